/**
 * What may be asked before a tenant is known? These four questions and no others: reading this
 * file is reading every statement of a request that is not bound to one tenant's rows.
 *
 * It refuses to judge what it finds; whether a key is good is decided in `keys/`. The danger is
 * `findKey`, the only statement that sees more than one platform. It goes through a SECURITY
 * DEFINER function of drizzle/rls.sql that answers for whole digests and nothing else. `findOrigin`
 * goes through another, which takes no platform but the flight's own.
 */
import * as z from 'zod'
import type { KeyRecord, KeyRule, Sql, TenantRecord } from '../context.ts'

/** An API key, and the stored digest that it was found by. */
export type FoundKey = { readonly record: KeyRecord; readonly digest: Uint8Array }

/** The lookups. Each is one flight, and rejects when the database does not answer. */
export type Root = {
  /**
   * The API key that one of the digests (a shown secret under each pepper that is still kept)
   * belongs to, or null. No platform is known yet: the secret is all there is, and its platform is
   * compared with the request's afterwards, so that a try on the wrong host looks like any other.
   */
  findKey(digests: readonly Uint8Array[]): Promise<FoundKey | null>
  /**
   * A tenant of a platform, or null. No tenant is known yet: this is what makes one known. The
   * platform is, so row-level security holds this to it.
   */
  findTenant(platform: string, tenant: string): Promise<TenantRecord | null>
  /**
   * What the platform's live publishable keys with exactly that origin among theirs may call, each
   * rule once, at most 100 of them and from 1000 keys; no secret and no key's name. No tenant is
   * known yet: a browser asks before it sends a key. The function holds it to the flight's platform;
   * under row-level security itself the index of origins would not serve, because `?` is not
   * leakproof.
   */
  findOrigin(platform: string, origin: string): Promise<readonly KeyRule[]>
  /**
   * Stores a secret under another version of the pepper, after it was verified. No tenant is known
   * yet: verification comes before `x-tn`; the policy of the key's platform applies. False when
   * nothing was changed: a revoked key stays as it is, and so does a secret that another node has
   * rewritten in the meantime.
   */
  rehash(record: KeyRecord, from: Uint8Array, to: Uint8Array, version: number): Promise<boolean>
}

const words = z.array(z.string()).nullable().default(null)
const restrictions = z.strictObject({
  ips: words,
  origins: words,
  referrers: words,
  endpoints: words,
})
const limit = z.object({
  name: z.string(),
  quota: z.number(),
  windowSeconds: z.number(),
  onStoreDown: z.enum(['local', 'allow', 'deny']),
})
/**
 * What every reading of a key has. The columns are checked by the database; what is inside JSON is
 * checked here, and a row that was written past us is a breakage, never a key with fewer restrictions.
 */
export const keyShape = {
  id: z.string(),
  platform: z.string(),
  environment: z.enum(['test', 'live']),
  class: z.enum(['secret', 'publishable']),
  name: z.string(),
  prefix: z.string(),
  ref: z.string(),
  tenants: z.array(z.string()).nullable(),
  permissions: z.array(z.string()),
  restrictions,
  limits: z.array(limit).nullable(),
}
const keyRecord = z.object({
  ...keyShape,
  last4: z.string(),
  secretId: z.string(),
  expiresAt: z.number().nullable(),
  revoked: z.boolean(),
  disabled: z.boolean(),
  pepperVersion: z.number(),
  replaced: z.boolean().optional(),
})

const keyRules = z.array(
  z.object({
    environment: z.enum(['test', 'live']),
    permissions: z.array(z.string()),
    endpoints: words,
  }),
)

/** Reads a key as `postern.find_key` returns it, frozen through and through. Throws on any other shape. */
export function readKeyRecord(found: unknown): KeyRecord {
  return freeze(keyRecord.parse(found))
}

/** Builds the lookups on the gateway role's connections. */
export function createRoot(sql: Sql): Root {
  return {
    async findKey(digests) {
      const { rows } = await sql.query<{ key: unknown; digest: Uint8Array }>(null, {
        text: 'select key, digest from postern.find_key($1)',
        values: [digests],
      })
      const found = rows[0]
      if (found === undefined) return null
      return Object.freeze({ record: readKeyRecord(found.key), digest: found.digest })
    },
    async findTenant(platform, tenant) {
      const { rows } = await sql.query<TenantRecord>(
        { platform },
        {
          text: 'select id, suspended_at is not null as suspended from postern.tenants where id = $1',
          values: [tenant],
        },
      )
      const found = rows[0]
      return found === undefined
        ? null
        : Object.freeze({ id: found.id, suspended: found.suspended })
    },
    async findOrigin(platform, origin) {
      const { rows } = await sql.query(
        { platform },
        {
          text: 'select environment, permissions, endpoints from postern.find_origin($1)',
          values: [origin],
        },
      )
      return freeze(keyRules.parse(rows))
    },
    async rehash({ platform, id }, from, to, version) {
      const { rowCount } = await sql.query(
        { platform },
        {
          text: `update postern.api_key_secrets s set digest = $3, pepper_version = $4
            from postern.api_keys k
            where s.key_id = $1 and s.digest = $2
              and k.platform = s.platform and k.id = s.key_id and k.revoked_at is null`,
          values: [id, from, to, version],
        },
      )
      return rowCount === 1
    },
  }
}

function freeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) {
    for (const inner of Object.values(value)) freeze(inner)
    Object.freeze(value)
  }
  return value
}
