/**
 * What does the first start put into a platform, and find there again? Tenants and API keys, made by
 * Postern itself. People make theirs through src/db/keys.ts and src/db/tenants.ts.
 *
 * It refuses to make or to see a secret: it stores the digest it is given, the way every key is
 * stored. Every statement is held to the platform by row-level security; none of them names it.
 */
import type { KeyRecord, Sql } from '../context.ts'
import type { Refusal } from '../problem.ts'
import type { Acting } from './audit.ts'
import { createKeyStore } from './keys.ts'
import { readKeyRecord } from './root.ts'

/** A secret as it is stored: its HMAC under a version of the pepper. */
export type StoredDigest = { readonly pepperVersion: number; readonly digest: Uint8Array }

/** An API key to store, with the digest of its first secret. `revoked` and `disabled` begin false. */
export type NewKey = Omit<KeyRecord, 'revoked' | 'disabled' | 'pepperVersion' | 'secretId'> & {
  readonly secret: StoredDigest
}

/** A platform's rows. Everything rejects when the database does not answer. */
export type Credentials = {
  /** Adds a tenant; one that exists already is left as it is. Rejects on an id of another shape. */
  insertTenant(platform: string, id: string): Promise<void>
  /** Suspends a tenant or ends that. False when there is no such tenant. */
  suspendTenant(platform: string, id: string, suspended: boolean): Promise<boolean>
  /**
   * Stores an API key with its first secret, both or none. Refuses with `resource/conflict` when
   * the digest, the id or the ref is there already.
   */
  insertKey(key: NewKey): Promise<Refusal | null>
  /** Whether the platform has any API key, revoked or not. */
  hasKeys(platform: string): Promise<boolean>
  /** The platform's API keys whose names start so, by id, each with its current secret. */
  listKeys(platform: string, named?: string): Promise<readonly KeyRecord[]>
}

/** Builds the writes on the gateway role's connections. */
export function createCredentials(sql: Sql): Credentials {
  const keys = createKeyStore(sql)
  return {
    async insertTenant(platform, id) {
      const text = 'insert into postern.tenants (id) values ($1) on conflict do nothing'
      await sql.query({ platform }, { text, values: [id] })
    },
    async suspendTenant(platform, id, suspended) {
      const { rowCount } = await sql.query(
        { platform },
        {
          text: `update postern.tenants set updated_at = now(),
            suspended_at = case when $2 then coalesce(suspended_at, now()) end where id = $1`,
          values: [id, suspended],
        },
      )
      return rowCount === 1
    },
    async insertKey({ platform, last4, secret, ...key }) {
      const whole = { ...key, metadata: {}, secret: { ...secret, last4 } }
      const made = await keys.create(platform, whole, seeding)
      if (typeof made === 'object') return null
      return { code: 'resource/conflict', cause: 'this digest, id or ref is stored already' }
    },
    async hasKeys(platform) {
      const text = 'select from postern.api_keys limit 1'
      return (await sql.query({ platform }, { text })).rowCount === 1
    },
    async listKeys(platform, named = '') {
      const values = [named]
      const { rows } = await sql.query<{ key: unknown }>({ platform }, { text: listed, values })
      return rows.map(({ key }) => readKeyRecord(key))
    },
  }
}

const seeding: Acting = {
  actor: { kind: 'system', id: 'seed' },
  secretId: null,
  address: null,
  requestId: null,
}

const listed = `
  select postern.show_key(k, newest.secret) as key
  from postern.api_keys k
  cross join lateral (
    select s as secret from postern.api_key_secrets s
    where s.platform = k.platform and s.key_id = k.id
    order by (s.superseded_by is null) desc, s.created_at desc, s.id limit 1) newest
  where starts_with(k.name, $1)
  order by k.id`
