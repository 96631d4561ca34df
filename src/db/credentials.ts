/**
 * Which tenants and API keys does a platform have? The gateway's writes in its platform's scope,
 * for seeding and for the management API. Every statement is held to the platform by row-level
 * security; none of them names it.
 *
 * It refuses to make or to see a secret: it stores the digest it is given. The danger is a digest
 * stored twice, which would let one secret stand for two keys; the database refuses that, and here
 * it is a returned conflict.
 */
import type { KeyRecord, Sql, SqlTransaction } from '../context.ts'
import type { Refusal } from '../problem.ts'
import { DatabaseFault } from './fault.ts'
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
  /** The platform's API keys by id, each with its newest secret. */
  listKeys(platform: string): Promise<readonly KeyRecord[]>
}

/** Builds the writes on the gateway role's connections. */
export function createCredentials(sql: Sql): Credentials {
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
    async insertKey(key) {
      const transaction = await sql.begin({ platform: key.platform })
      let how: 'commit' | 'rollback' = 'rollback'
      try {
        await insertRows(transaction, key)
        how = 'commit'
        return null
      } catch (error) {
        // SQLSTATE unique_violation.
        if (!(error instanceof DatabaseFault && error.code === '23505')) throw error
        return { code: 'resource/conflict', cause: 'this digest, id or ref is stored already' }
      } finally {
        await transaction.end(how)
      }
    },
    async listKeys(platform) {
      const { rows } = await sql.query<{ key: unknown }>({ platform }, { text: listed })
      return rows.map(({ key }) => readKeyRecord(key))
    },
  }
}

async function insertRows(transaction: SqlTransaction, key: NewKey): Promise<void> {
  await transaction.query({
    text: `insert into postern.api_keys (id, environment, class, name, prefix, ref, tenants,
        permissions, restrictions, limits, expires_at)
      values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, to_timestamp($11::float8 / 1000))`,
    values: [
      key.id,
      key.environment,
      key.class,
      key.name,
      key.prefix,
      key.ref,
      key.tenants,
      key.permissions,
      JSON.stringify(key.restrictions),
      key.limits === null ? null : JSON.stringify(key.limits),
      key.expiresAt,
    ],
  })
  await transaction.query({
    text: `insert into postern.api_key_secrets (key_id, digest, pepper_version, last4)
      values ($1, $2, $3, $4)`,
    values: [key.id, key.secret.digest, key.secret.pepperVersion, key.last4],
  })
}

const listed = `
  select postern.show_key(k, newest.secret) as key
  from postern.api_keys k
  cross join lateral (
    select s as secret from postern.api_key_secrets s
    where s.platform = k.platform and s.key_id = k.id
    order by s.created_at desc, s.id limit 1) newest
  order by k.id`
