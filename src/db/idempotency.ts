/**
 * Has this very request been carried out already? One row for each Idempotency-Key of a credential,
 * method and path (threats G13): the first to ask is told to go ahead, all others get what it
 * answered.
 *
 * It refuses to read what it keeps: a body that holds a secret comes sealed, and is gone after ten
 * minutes. The Idempotency-Key itself is not stored, only a digest of it with its scope, because the
 * seal's key is made from it. The danger is a process that dies in the middle: what it held is free
 * again after a minute, and then the request is carried out once more.
 */
import type { Sql } from '../context.ts'
import { sha256Name } from '../lib/digest.ts'
import { newId } from '../lib/id.ts'

/** What an Idempotency-Key is unique in. `path` is canonical. */
export type IdempotencyScope = {
  readonly platform: string
  /** The id of the API key or operator that calls. */
  readonly credential: string
  readonly method: string
  readonly path: string
}

/** What the first one answered. */
export type Answered = {
  readonly status: number
  /** The body without what is shown only once. */
  readonly body: string
  /** The whole body, sealed by the caller. null: there was none, or its ten minutes are over. */
  readonly sealed: Uint8Array | null
}

export type Begun =
  /** Go ahead, then `finish` or `forget` with this claim. */
  | { readonly state: 'fresh'; readonly claim: string }
  | ({ readonly state: 'done' } & Answered)
  /** Another is at it. */
  | { readonly state: 'in_progress' }
  /** The key was used with another request. */
  | { readonly state: 'mismatch' }

/** The requests that are being or have been carried out. Rejects when the database does not answer. */
export type IdempotencyStore = {
  /** Claims a key for the request with this digest (SHA-256, 32 bytes). Of many at once one is fresh. */
  begin(scope: IdempotencyScope, key: string, digest: Uint8Array): Promise<Begun>
  /** Keeps the answer for 24 hours. False when the claim was lost to another in the meantime. */
  finish(scope: IdempotencyScope, key: string, claim: string, answered: Answered): Promise<boolean>
  /** Gives the key free again, after a request that changed nothing. */
  forget(scope: IdempotencyScope, key: string, claim: string): Promise<void>
  /** Removes what is over, sealed bodies after ten minutes, rows after 24 hours. Resolves to the rows. */
  sweep(platform: string): Promise<number>
}

/** Builds the store on the gateway role's connections. */
export function createIdempotencyStore(sql: Sql): IdempotencyStore {
  return {
    async begin(scope, key, digest) {
      const { platform } = scope
      const id = idOf(scope, key)
      const claim = newId('clm_')
      // A row that is there already may be gone by the time it is read; then the claim is made anew.
      for (let attempt = 0; attempt < attemptsMax; attempt++) {
        const made = await sql.query({ platform }, { text: claiming, values: [id, digest, claim] })
        if (made.rowCount === 1) return { state: 'fresh', claim }
        const { rows } = await sql.query<Row>({ platform }, { text: reading, values: [id, digest] })
        const row = rows[0]
        if (row === undefined) continue
        if (!row.same) return { state: 'mismatch' }
        if (row.status === null || row.body === null) return { state: 'in_progress' }
        return { state: 'done', status: row.status, body: row.body, sealed: row.sealed }
      }
      return { state: 'in_progress' }
    },
    async finish(scope, key, claim, { status, body, sealed }) {
      const { rowCount } = await sql.query(
        { platform: scope.platform },
        {
          text: `update postern.idempotency_keys
            set state = 'done', status = $3, body = $4, sealed = $5
            where id = $1 and claim = $2 and state = 'in_progress'`,
          values: [idOf(scope, key), claim, status, body, sealed],
        },
      )
      return rowCount === 1
    },
    async forget(scope, key, claim) {
      await sql.query(
        { platform: scope.platform },
        {
          text: `delete from postern.idempotency_keys
            where id = $1 and claim = $2 and state = 'in_progress'`,
          values: [idOf(scope, key), claim],
        },
      )
    },
    async sweep(platform) {
      await sql.query({ platform }, { text: unsealing })
      const { rowCount } = await sql.query({ platform }, { text: removing })
      return rowCount ?? 0
    },
  }
}

const attemptsMax = 5

type Row = {
  readonly same: boolean
  readonly status: number | null
  readonly body: string | null
  readonly sealed: Uint8Array | null
}

/** One text for each (scope, key): JSON leaves no two ways to read it (threats T16). */
const idOf = ({ credential, method, path }: IdempotencyScope, key: string): string =>
  sha256Name(JSON.stringify([credential, method, path, key]))

// Free: nobody had it, its time is over, or whoever had it is long gone.
const claiming = `
  insert into postern.idempotency_keys as i (id, digest, claim, expires_at)
  values ($1, $2, $3, now() + interval '24 hours')
  on conflict (platform, id) do update set digest = excluded.digest, claim = excluded.claim,
    state = 'in_progress', status = null, body = null, sealed = null, created_at = now(),
    expires_at = excluded.expires_at
  where i.expires_at <= now() or (i.state = 'in_progress' and i.digest = excluded.digest
    and i.created_at < now() - interval '1 minute')`

const reading = `
  select digest = $2 as same, status, body,
    case when created_at > now() - interval '10 minutes' then sealed end as sealed
  from postern.idempotency_keys where id = $1 and expires_at > now()`

const unsealing = `
  update postern.idempotency_keys set sealed = null
  where sealed is not null and created_at <= now() - interval '10 minutes'`

const removing = `
  delete from postern.idempotency_keys where id in (
    select id from postern.idempotency_keys where expires_at <= now()
    order by expires_at limit 10000)`
