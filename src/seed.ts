/**
 * What the first start puts into an empty platform, so that there is something to call: its tenants,
 * rows of theirs that differ by tenant and environment, and one key of each prefix. Keys are random
 * and returned once; nothing here is a shared default.
 */
import type { EnvironmentName, KeyPrefix, Platform, Sql, TenantRecord } from './context.ts'
import type { Credentials } from './db/credentials.ts'
import { subscriptions } from './db/schema.ts'
import { bindDb } from './db/scope.ts'
import { generateKey, storedDigest } from './keys/format.ts'
import { operatorPlatformId, presets } from './keys/schemes.ts'
import { newId } from './lib/id.ts'

export type Pepper = { readonly version: number; readonly bytes: Uint8Array }
export type SeedStores = {
  readonly credentials: Credentials
  readonly tenantSql: Sql
  readonly pepper: Pepper
}
/** A key just made: its name for an env file (`SK_LIVE`, `ADMIN`) and the string, to be shown once. */
export type SeededKey = { readonly name: string; readonly key: string }

/** What a seeded key is called in the store begins with this; an env file leaves it away. */
const local = 'local '
const plans = ['starter', 'team', 'business', 'enterprise']
const unrestricted = { ips: null, origins: null, referrers: null, endpoints: null }

/**
 * Seeds a platform that has no API keys; null when it has some, and then nothing is touched.
 * `tenants`: those to create. Throws when a store does not answer.
 */
export async function seedPlatform(
  platform: Platform,
  records: readonly TenantRecord[],
  stores: SeedStores,
): Promise<readonly SeededKey[] | null> {
  const { credentials } = stores
  if (await credentials.hasKeys(platform.id)) return null
  const tenants = records.map(({ id }) => id)
  for (const { id, suspended } of records) {
    await credentials.insertTenant(platform.id, id)
    if (suspended) await credentials.suspendTenant(platform.id, id, true)
  }
  await seedRows(platform.id, tenants, stores.tenantSql)
  // Where a key implies its tenant it must have exactly one.
  const first = (records.find(({ suspended }) => !suspended) ?? records[0])?.id
  const bound = platform.scheme.tenancy === 'implied' && first !== undefined ? [first] : null
  const keys: SeededKey[] = []
  for (const prefix of platform.scheme.prefixes) {
    const name = seededName(prefix.prefix)
    const permissions = prefix.class === 'secret' ? platform.permissions : readsOf(platform)
    keys.push({ name, key: await issue(platform.id, prefix, bound, permissions, stores, name) })
  }
  const strongest = platform.scheme.prefixes.find(
    (one) => one.class === 'secret' && one.environment === 'live',
  )
  if (strongest !== undefined) {
    keys.push({
      name: 'ADMIN',
      key: await issue(platform.id, strongest, bound, ['*'], stores, 'ADMIN'),
    })
  }
  return keys
}

/** Makes the operator key of a deployment that has none; null when it has one. */
export async function seedOperator(stores: SeedStores): Promise<SeededKey | null> {
  if (await stores.credentials.hasKeys(operatorPlatformId)) return null
  const [prefix] = presets.operator.prefixes
  if (prefix === undefined) throw new Error('the operator scheme has no prefix')
  const key = await issue(operatorPlatformId, prefix, null, ['*'], stores, 'OPERATOR')
  return { name: 'OPERATOR', key }
}

/** What an env file calls the key of a prefix: `SK_LIVE` for `sk_live_`. */
export const seededName = (prefix: string): string => prefix.toUpperCase().replace(/_$/, '')

/** A seeded key that works: its name for an env file, and what its string starts with. */
export type SeededRecord = { readonly name: string; readonly start: string }

/** The keys that seeding made and nobody revoked since; of the operator, where `platform` is null. */
export async function seededKeys(
  platform: Platform | null,
  credentials: Credentials,
): Promise<readonly SeededRecord[]> {
  const stored = await credentials.listKeys(platform?.id ?? operatorPlatformId, local)
  return stored
    .filter(({ revoked }) => !revoked)
    .map(({ name, prefix, ref }) => ({
      name: name.slice(local.length),
      start: `${prefix}${ref}_`,
    }))
}

async function issue(
  platform: string,
  prefix: KeyPrefix,
  tenants: readonly string[] | null,
  permissions: readonly string[],
  { credentials, pepper }: SeedStores,
  name: string,
): Promise<string> {
  const { key, ref, last4 } = generateKey(prefix.prefix)
  const refusal = await credentials.insertKey({
    ...prefix,
    id: newId('key_'),
    platform,
    name: local + name,
    ref,
    last4,
    tenants,
    permissions,
    restrictions: unrestricted,
    limits: null,
    expiresAt: null,
    secret: { pepperVersion: pepper.version, digest: storedDigest(key, pepper.bytes) },
  })
  if (refusal !== null) throw new Error(`seeding: ${refusal.cause ?? refusal.code}`)
  return key
}

/** A publishable key may be seen by anyone: it reads, and nothing of the admin service. */
const readsOf = (platform: Platform): readonly string[] =>
  platform.permissions.filter((one) => one.endsWith(':read') && !one.startsWith('admin:'))

async function seedRows(platform: string, tenants: readonly string[], sql: Sql): Promise<void> {
  for (const [i, tenant] of tenants.entries()) {
    for (const environment of ['test', 'live'] as const satisfies EnvironmentName[]) {
      const rows = [0, 1].map((n) => ({
        id: newId('sub_'),
        plan: plans[(2 * i + n + (environment === 'live' ? 1 : 0)) % plans.length] ?? 'starter',
        seats: environment === 'live' ? 10 * (i + 1) + n : 1 + n,
      }))
      await bindDb(sql, { platform, environment, tenant }).insert(subscriptions).values(rows)
    }
  }
}
