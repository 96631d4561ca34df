/**
 * Where are the secrets of sessions, and what are their keys made with? Rows of one tenant, written
 * and removed under the lock of their session, so that what ends a session and what writes to it
 * never pass each other. What the rows mean is not known here: they come sealed.
 *
 * The danger is a salt. One that is made a second time makes all that was sealed before unreadable, so
 * it is made only for a session without secrets; and one that outlives its session makes old backups
 * readable, so it is destroyed before the end is committed, and again whenever the end is asked for.
 */
import type { Scope, Sql, SqlResult, SqlTransaction, Statement } from '../context.ts'
import { DatabaseFault } from './fault.ts'
import { versionFloor } from './master-keys.ts'
import { transact } from './transact.ts'

/** A secret as it is stored. */
export type SecretRow = {
  readonly name: string
  readonly keyVersion: number
  readonly sealed: Uint8Array
}

type Writing = {
  readonly count: number
  readonly countMax: number
  readonly sealsMax: number
  readonly freshSalt: Uint8Array
  seal(salt: Uint8Array): readonly SecretRow[]
}
type Written = 'written' | 'no_session' | 'too_many' | 'worn_out' | 'salt_lost' | 'version_retired'
type Ask = <Row>(statement: Statement) => Promise<SqlResult<Row>>

/**
 * Builds the store on the tenant role's connections: `SecretStore` of src/vault/vault.ts. With
 * `saltSql`, new salts are in that database; those from before stay where they are until their
 * session ends.
 */
export function createSecretStore(sql: Sql, saltSql: Sql | null) {
  /** Where salts are, the place of new ones first. */
  const saltPlaces = (scope: Scope, main: Ask): readonly [Ask, ...Ask[]] => {
    if (saltSql === null) return [main]
    return [(statement) => saltSql.query(scope, statement), main]
  }
  return {
    async write(scope: Scope, session: string, writing: Writing): Promise<Written> {
      return transact(sql, scope, 'written', async (open) => {
        const held = await open.query<{ seals: string }>({
          text: holding,
          values: [session, writing.count],
        })
        const seals = held.rows[0]?.seals
        if (seals === undefined) return 'no_session'
        if (Number(seals) > writing.sealsMax) return 'worn_out'
        const places = saltPlaces(scope, (statement) => open.query(statement))
        const salt = await saltFor(places, open, session, writing.freshSalt)
        if (salt === null) return 'salt_lost'
        const rows = writing.seal(salt)
        try {
          await open.query({
            text: storing,
            values: [
              session,
              rows.map(({ name }) => name),
              rows.map(({ keyVersion }) => keyVersion),
              rows.map(({ sealed }) => sealed),
            ],
          })
        } catch (error) {
          if (error instanceof DatabaseFault && error.constraint === versionFloor) {
            return 'version_retired'
          }
          throw error
        }
        const counted = await open.query<{ total: number }>({ text: counting, values: [session] })
        return (counted.rows[0]?.total ?? 0) > writing.countMax ? 'too_many' : 'written'
      })
    },

    async list(scope: Scope, session: string) {
      const { rows } = await sql.query<{ name: string | null; createdAt: Date }>(scope, {
        text: listing,
        values: [session],
      })
      if (rows.length === 0) return null
      // A session without secrets is one row without a name.
      return rows.flatMap(({ name, createdAt }) => (name === null ? [] : [{ name, createdAt }]))
    },

    async remove(scope: Scope, session: string, name: string): Promise<boolean | null> {
      const { rows } = await sql.query<{ stands: boolean; removed: boolean }>(scope, {
        text: removing,
        values: [session, name],
      })
      return rows[0]?.stands === true ? rows[0].removed : null
    },

    async read(scope: Scope, session: string, names: readonly string[]) {
      const places = saltPlaces(scope, (statement) => sql.query(scope, statement))
      const salt = await findSalt(places, session)
      if (salt === null) return null
      const { rows } = await sql.query<SecretRow>(scope, {
        text: reading,
        values: [session, names],
      })
      return { salt, secrets: rows }
    },

    async end(scope: Scope, session: string): Promise<boolean> {
      const ended = await transact(sql, scope, 'ended', async (open) => {
        const { rowCount } = await open.query({ text: ending, values: [session] })
        if (rowCount !== 1) return 'unknown'
        // Before the end is committed: no session is said to have ended while its salt is there.
        for (const ask of saltPlaces(scope, (statement) => open.query(statement))) {
          await ask({ text: 'delete from session_salts where id = $1', values: [session] })
        }
        await open.query({ text: 'delete from secrets where session_id = $1', values: [session] })
        return 'ended'
      })
      return ended === 'ended'
    },

    /** Sessions that are past their time and hold what they held, at most so many. */
    async expired(scope: Scope, max: number): Promise<readonly string[]> {
      const { rows } = await sql.query<{ id: string }>(scope, { text: expiring, values: [max] })
      return rows.map(({ id }) => id)
    },

    /** The next secrets below a version, by session and name, with their sessions' salts. */
    async stale(
      scope: Scope,
      least: number,
      after: { readonly session: string; readonly name: string } | null,
    ) {
      type Row = SecretRow & { readonly session: string; readonly salt: Uint8Array | null }
      const { rows } = await sql.query<Row>(scope, {
        text: finding,
        values: [least, after?.session ?? '', after?.name ?? '', batchMax],
      })
      if (saltSql === null || rows.length === 0) return rows
      const found = await saltSql.query<{ id: string; salt: Uint8Array }>(scope, {
        text: 'select id, salt from session_salts where id = any ($1)',
        values: [rows.map(({ session }) => session)],
      })
      const salts = new Map(found.rows.map(({ id, salt }) => [id, salt]))
      return rows.map((row) => ({ ...row, salt: salts.get(row.session) ?? row.salt }))
    },

    /** Stores secrets that are still what was read. Resolves to how many. */
    async reseal(
      scope: Scope,
      version: number,
      secrets: readonly {
        readonly session: string
        readonly name: string
        readonly before: Uint8Array
        readonly after: Uint8Array
      }[],
    ): Promise<number> {
      const { rowCount } = await sql.query(scope, {
        text: resealing,
        values: [
          version,
          secrets.map(({ session }) => session),
          secrets.map(({ name }) => name),
          secrets.map(({ before }) => before),
          secrets.map(({ after }) => after),
        ],
      })
      return rowCount ?? 0
    },
  }
}

// Values are at most 16 kB: two megabytes in memory, and a statement well below its time.
const batchMax = 100

async function findSalt(places: readonly Ask[], session: string): Promise<Uint8Array | null> {
  for (const ask of places) {
    const { rows } = await ask<{ salt: Uint8Array }>({
      text: 'select salt from session_salts where id = $1',
      values: [session],
    })
    if (rows[0] !== undefined) return rows[0].salt
  }
  return null
}

/** The session's salt, made where it has neither one nor secrets. null: it had one. */
async function saltFor(
  places: readonly [Ask, ...Ask[]],
  open: SqlTransaction,
  session: string,
  fresh: Uint8Array,
): Promise<Uint8Array | null> {
  const found = await findSalt(places, session)
  if (found !== null) return found
  const { rows } = await open.query({
    text: 'select from secrets where session_id = $1 limit 1',
    values: [session],
  })
  if (rows.length > 0) return null
  const [ask] = places
  await ask({
    text: 'insert into session_salts (id, salt) values ($1, $2)',
    values: [session, fresh],
  })
  return fresh
}

/** Of a session that is neither ended nor past its time. `a`: what it is called there. */
export const stands = (a: string): string =>
  `${a}.ended_at is null and (${a}.expires_at is null or ${a}.expires_at > now())`

// Holds the session: writers wait here for each other, and whoever ends it waits for them.
const holding = `
  update sessions s set seals = seals + $2 where id = $1 and ${stands('s')} returning seals`

const storing = `
  insert into secrets (session_id, name, key_version, sealed)
  select $1, n.name, n.key_version, n.sealed
  from unnest($2::text[], $3::integer[], $4::bytea[]) n (name, key_version, sealed)
  on conflict (platform, environment, tenant, session_id, name) do update
    set key_version = excluded.key_version, sealed = excluded.sealed, updated_at = now()`

const counting = 'select count(*)::int as total from secrets where session_id = $1'

const listing = `
  select s.name, s.created_at as "createdAt"
  from sessions a left join secrets s on s.session_id = a.id
  where a.id = $1 and ${stands('a')} order by s.created_at, s.name`

const removing = `
  with gone as (delete from secrets where session_id = $1 and name = $2 returning name)
  select exists (select from sessions a where a.id = $1 and ${stands('a')}) as stands,
    exists (select from gone) as removed`

const reading = `
  select s.name, s.key_version as "keyVersion", s.sealed
  from secrets s join sessions a on a.id = s.session_id and ${stands('a')}
  where s.session_id = $1 and s.name = any ($2)`

// One that is past its time ended then.
const ending = `
  update sessions set ended_at = coalesce(ended_at, least(expires_at, now())) where id = $1`

const expiring = `
  select id from sessions where ended_at is null and expires_at <= now()
  order by expires_at limit $1`

const finding = `
  select s.session_id as session, s.name, s.key_version as "keyVersion", s.sealed, a.salt
  from secrets s left join session_salts a on a.id = s.session_id
  where s.key_version < $1 and (s.session_id, s.name) > ($2, $3)
  order by s.session_id, s.name limit $4`

const resealing = `
  update secrets s set key_version = $1, sealed = n.after
  from unnest($2::text[], $3::text[], $4::bytea[], $5::bytea[]) n (session, name, before, after)
  where s.session_id = n.session and s.name = n.name and s.sealed = n.before`
