/** The databases that the isolation suites run against, and what their catalogs hold. */
import pg from 'pg'
import { type RoleKind, scopeColumns, scopePredicate } from '../../src/db/policies.ts'
import { migrateDatabase } from '../../src/runtime/node/migrations.ts'
import { clusterUrl, createDatabase, startEmbedded, withClient } from '../database.ts'
import { type Server, startPgBouncer } from '../servers.ts'

/** Two scopes that must not see each other, and the roles they are compared for. */
export type Pair = {
  readonly name: string
  readonly ours: string
  readonly theirs: string
  readonly kinds: readonly RoleKind[]
}

export const pairs: readonly Pair[] = [
  { name: 'tenant and tenant', ours: 'plt_p/test/a', theirs: 'plt_p/test/b', kinds: ['tenant'] },
  { name: 'test and live', ours: 'plt_p/test/c', theirs: 'plt_p/live/c', kinds: ['tenant'] },
  {
    name: 'platform and platform',
    ours: 'plt_x/test/d',
    theirs: 'plt_y/test/d',
    kinds: ['tenant', 'gateway'],
  },
]

export type Target = {
  readonly owner: pg.ClientConfig
  /** Runs `work` in a transaction as the role, in the scope. `keep` commits it. */
  as<T>(
    kind: RoleKind,
    scope: string,
    work: (client: pg.ClientBase) => Promise<T>,
    keep?: 'keep',
  ): Promise<T>
  close(): Promise<void>
}

/** What a future migration might add: two tenant tables, one of which refers to the other. */
const family = `
  create table public.parents (SCOPE, id text not null, slug text not null,
    primary key (KEY, id), unique (KEY, slug));
  create table public.children (SCOPE, id text not null, parent_id text not null,
    primary key (KEY, id), foreign key (KEY, parent_id) references public.parents (KEY, id)
      on delete cascade);
  alter table public.parents enable row level security;
  alter table public.children enable row level security;
  create policy tenant_scope on public.parents to postern_tenant using (RULE) with check (RULE);
  create policy tenant_scope on public.children to postern_tenant using (RULE) with check (RULE);`
  .replaceAll(
    'SCOPE',
    scopeColumns('tenant')
      .map((c) => `${c} text collate "C" not null default postern.scope_${c}()`)
      .join(', '),
  )
  .replaceAll('KEY', scopeColumns('tenant').join(', '))
  .replaceAll('RULE', scopePredicate('tenant'))

/** Adds the family, and lets the next migration force and grant it as it would any new table. */
async function addFamily(owner: pg.ClientConfig): Promise<void> {
  await withClient(owner, (client) => client.query(family))
  await migrateDatabase(owner)
}

/** Production's set-up: a login per role. */
export const openPostgres = (): Promise<Target> => openRoles(null)

/** The same through a PgBouncer that gives each transaction another session. */
export const openPooled = async (): Promise<Target> => openRoles(await startPgBouncer(clusterUrl()))

async function openRoles(bouncer: Server | null): Promise<Target> {
  const database = await createDatabase()
  const owner = { connectionString: database.ownerUrl }
  await addFamily(owner)
  const through = (url: string) => {
    if (bouncer === null) return openPool({ connectionString: url })
    const target = new URL(url)
    target.host = new URL(bouncer.url).host
    return openPool({ connectionString: target.href })
  }
  const pools = { tenant: through(database.tenantUrl), gateway: through(database.gatewayUrl) }
  return {
    owner,
    as: (kind, scope, work, keep) =>
      flight(pools[kind], [`set local app.scope = '${scope}'`], work, keep),
    close: async () => {
      await Promise.all([pools.tenant.end(), pools.gateway.end()])
      await bouncer?.stop()
      await database.drop()
    },
  }
}

/** The embedded set-up: a superuser's session in which each flight sets the role. */
export async function openPglite(): Promise<Target> {
  const embedded = await startEmbedded()
  await addFamily(embedded.connection)
  const pool = openPool(embedded.connection)
  return {
    owner: embedded.connection,
    as: (kind, scope, work, keep) =>
      flight(
        pool,
        [`set local role postern_${kind}`, `set local app.scope = '${scope}'`],
        work,
        keep,
      ),
    close: async () => {
      await pool.end()
      await embedded.drop()
    },
  }
}

/** A pool whose connections may be cut when the database is dropped, while they say goodbye. */
function openPool(connection: pg.ClientConfig): pg.Pool {
  const pool = new pg.Pool({ ...connection, max: 2 })
  pool.on('error', () => undefined)
  pool.on('connect', (client) => client.on('error', () => undefined))
  return pool
}

async function flight<T>(
  pool: pg.Pool,
  lead: readonly string[],
  work: (client: pg.ClientBase) => Promise<T>,
  keep?: 'keep',
): Promise<T> {
  const client = await pool.connect()
  try {
    await client.query('begin')
    for (const statement of lead) await client.query(statement)
    const result = await work(client)
    await client.query(keep === 'keep' ? 'commit' : 'rollback')
    return result
  } catch (error) {
    await client.query('rollback')
    throw error
  } finally {
    client.release()
  }
}

export type Table = {
  readonly name: string
  readonly kind: RoleKind
  readonly columns: readonly { name: string; type: string; required: boolean }[]
  /** The primary key, without the scope's columns. */
  readonly key: readonly string[]
  /** What the role may do to it. */
  readonly grants: readonly string[]
  /** Columns beyond the scope's that refer to a parent's id. */
  readonly parents: readonly { column: string; table: string }[]
}

/** Every table of the schemas that Postern serves from, with what an insert needs. */
export async function readTables(owner: pg.ClientConfig): Promise<readonly Table[]> {
  const { rows } = await withClient(owner, (client) =>
    client.query<Table>(
      `
      select n.nspname || '.' || c.relname as name,
        case n.nspname when 'public' then 'tenant' else 'gateway' end as kind,
        (select jsonb_agg(jsonb_build_object('name', a.attname,
            'type', format_type(a.atttypid, null), 'required', a.attnotnull and not a.atthasdef)
            order by a.attnum)
          from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped)
          as columns,
        (select jsonb_agg(a.attname order by place) from pg_index i,
            unnest(i.indkey::int2[]) with ordinality k (attnum, place)
            join pg_attribute a on a.attrelid = c.oid and a.attnum = k.attnum
          where i.indrelid = c.oid and i.indisprimary
            and a.attname <> all (case n.nspname when 'public' then $1::text[] else $2::text[] end)) as key,
        array(select w from unnest(array['SELECT', 'INSERT', 'UPDATE', 'DELETE']) w
          where has_table_privilege(case n.nspname when 'public' then 'postern_tenant'
            else 'postern_gateway' end, c.oid, w)) as grants,
        coalesce((select jsonb_agg(jsonb_build_object('table', f.confrelid::regclass, 'column',
            (select attname from pg_attribute
              where attrelid = c.oid and attnum = f.conkey[array_upper(f.conkey, 1)])))
          from pg_constraint f where f.conrelid = c.oid and f.contype = 'f'), '[]') as parents
      from pg_class c join pg_namespace n on n.oid = c.relnamespace
      where c.relkind in ('r', 'p') and n.nspname in ('public', 'postern')
      order by n.nspname desc, c.relname`,
      [scopeColumns('tenant'), scopeColumns('gateway')],
    ),
  )
  return rows
}
