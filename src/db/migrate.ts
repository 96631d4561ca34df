/**
 * How does a database become one that may be served from? Roles first, then the generated tables,
 * then FORCE, grants, lookups and hardening, over any plain SQL executor, so that PostgreSQL and
 * the embedded PGlite are set up by the same lines.
 *
 * It refuses to know where the files lie and how to connect. The dangers: roles belong to the whole
 * cluster, so two databases migrated at once meet there (hence the retries); and a REVOKE beyond
 * one's rights is only a warning, so what is in force is read back and never assumed.
 */

/** A migration that drizzle-kit wrote. `when` and `hash` are what drizzle's own journal keeps. */
export type Migration = {
  readonly tag: string
  readonly when: number
  readonly hash: string
  readonly sql: string
}

/** The contents of `drizzle/`: what runs before, the generated files in order, and what runs after. */
export type Migrations = {
  readonly roles: string
  readonly generated: readonly Migration[]
  readonly rls: string
  readonly harden: string
}

/**
 * Runs SQL on one connection as the owner of the database. A text without values may hold several
 * statements (the simple protocol); its rows are then of no interest.
 */
export type Execute = (
  text: string,
  values?: unknown[],
) => Promise<{ readonly rows: readonly Record<string, unknown>[] }>

/**
 * What is in force afterwards. `hardened`: SQL that was injected into a handler's statement cannot
 * change the scope. `applied`: the migrations that this run applied. `warnings`: what could not be
 * revoked here, in sentences for the operator.
 */
export type Migrated = {
  readonly hardened: boolean
  readonly applied: readonly string[]
  readonly warnings: readonly string[]
}

const attemptsMax = 20
// Another database of the cluster is making the same roles: unique violation, duplicate object,
// deadlock, and "tuple concurrently updated", which has no code of its own.
const contention = new Set(['23505', '42710', '40P01', 'XX000'])

/**
 * Brings a database up to date; a second run changes nothing, and several at once wait for each
 * other. Throws what the database answered when it may not (a role that cannot create roles, say),
 * with nothing half applied except the roles.
 */
export async function migrate(execute: Execute, migrations: Migrations): Promise<Migrated> {
  const { rows } = await execute(`select current_setting('server_version_num')::int as version`)
  if (Number(rows[0]?.version) < 150_000) throw new Error('PostgreSQL 15 or newer is needed')
  for (let attempt = 1; ; attempt++) {
    try {
      await transaction(execute, () => execute(migrations.roles))
      break
    } catch (error) {
      if (attempt === attemptsMax || !contention.has(codeOf(error))) throw error
    }
  }
  return transaction(execute, async () => {
    const applied = await applyPending(execute, migrations.generated)
    await execute(migrations.rls)
    await execute(migrations.harden)
    return { applied, ...(await readBack(execute)) }
  })
}

async function transaction<T>(execute: Execute, work: () => Promise<T>): Promise<T> {
  await execute('begin')
  try {
    // Held to the end of the transaction: PGlite's connections share a session, so no session locks.
    await execute(`select pg_advisory_xact_lock(hashtext('postern migrate'))`)
    const result = await work()
    await execute('commit')
    return result
  } catch (error) {
    // The first error is the one that says what is wrong, whatever becomes of the rollback.
    await execute('rollback').catch(() => undefined)
    throw error
  }
}

/** The journal is drizzle's own, so that its tools can read it; no role that serves reaches it. */
async function applyPending(execute: Execute, generated: readonly Migration[]): Promise<string[]> {
  await execute(`
    create schema if not exists drizzle;
    create table if not exists drizzle.__drizzle_migrations
      (id serial primary key, hash text not null, created_at bigint)`)
  const { rows } = await execute(
    'select coalesce(max(created_at), 0)::float8 as last from drizzle.__drizzle_migrations',
  )
  const pending = generated.filter(({ when }) => when > Number(rows[0]?.last))
  for (const { hash, when, sql } of pending) {
    await execute(sql)
    await execute('insert into drizzle.__drizzle_migrations (hash, created_at) values ($1, $2)', [
      hash,
      when,
    ])
  }
  return pending.map(({ tag }) => tag)
}

async function readBack(execute: Execute): Promise<Pick<Migrated, 'hardened' | 'warnings'>> {
  const { rows } = await execute(`
    select
      not has_function_privilege('postern_tenant', 'pg_catalog.set_config(text,text,boolean)', 'execute')
        and not has_table_privilege('postern_tenant', 'pg_catalog.pg_settings', 'update') as hardened,
      has_schema_privilege('postern_tenant', 'public', 'create') as creates,
      has_database_privilege('postern_tenant', current_database(), 'temporary') as temporary`)
  const { hardened, creates, temporary } = rows[0] ?? {}
  const warnings: string[] = []
  if (hardened !== true) {
    warnings.push(
      'scope: plain. EXECUTE on set_config could not be revoked from PUBLIC, so SQL injected into a handler could change its tenant; a superuser can run drizzle/harden.sql in this database',
    )
  }
  if (creates === true) warnings.push('CREATE on schema public could not be revoked from PUBLIC')
  if (temporary === true)
    warnings.push('TEMPORARY on the database could not be revoked from PUBLIC')
  // PostgreSQL lets a function that holds dynamic SQL change settings, so creating one undoes it.
  return { hardened: hardened === true && creates !== true && temporary !== true, warnings }
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : ''
}
