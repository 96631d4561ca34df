/**
 * The first start: an empty deployment is seeded, and its keys go into an env file, the only place
 * where they will ever stand in the clear. Later starts find keys in the store and touch nothing but
 * the URLs; a key that the file has lost is said to be lost, and no other is made in its place.
 */
import type { Config } from '../../config.ts'
import type { Platform, Ports } from '../../context.ts'
import { type Credentials, createCredentials } from '../../db/credentials.ts'
import { type SeedStores, seededKeys, seedOperator, seedPlatform } from '../../seed.ts'
import type { RootSecrets } from '../root-secrets.ts'
import type { Deployment } from './deployment.ts'
import { readEnvFile, writeEnvFile } from './env-file.ts'

/** Keys by the names that the env file has for them. */
export type FirstStart = {
  /** What stands in the file now and belongs to this store: URLs, and keys. */
  readonly entries: ReadonlyMap<string, string>
  /** Keys that this start made. */
  readonly written: readonly string[]
  /** Keys that the store has and the file lacks: they cannot be shown again. */
  readonly lost: readonly string[]
}

/** What is seeded: stores, and where each platform is reached. */
type Seeded = Pick<Deployment, 'urls'> & {
  readonly ports: Pick<Ports, 'gatewaySql' | 'tenantSql'>
}

/**
 * Seeds every platform that the config has seeds for and the store has no keys of. Writes `file`
 * (mode 0600); where the config seeds nothing, there is no file. Rejects when a store is down, and
 * before it makes anything when the file cannot be written.
 */
export async function firstStart(
  { platforms, seeds }: Config,
  { ports, urls }: Seeded,
  { peppers }: RootSecrets,
  file: string,
): Promise<FirstStart> {
  const seeded = seeds.filter(({ tenants }) => tenants.length > 0)
  if (seeded.length === 0) return { entries: new Map(), written: [], lost: [] }
  const bytes = peppers.versions.get(peppers.current)
  if (bytes === undefined) throw new Error('the current pepper is missing')
  const pepper = { version: peppers.current, bytes }
  const credentials = createCredentials(ports.gatewaySql)
  const stores: SeedStores = { credentials, tenantSql: ports.tenantSql, pepper }

  const named = naming(platforms)
  const addresses = platforms.map(
    (platform) => [named(platform, 'URL'), urls.get(platform.slug) ?? ''] as const,
  )
  // Before there is any key to lose: the file may be somebody else's, or the disk full.
  writeEnvFile(file, new Map(addresses))
  const written: string[] = []
  const keep = (keys: readonly (readonly [string, string])[]) => {
    writeEnvFile(file, new Map(keys))
    written.push(...keys.map(([name]) => name))
  }
  for (const { platform: id, tenants } of seeded) {
    const platform = platforms.find((one) => one.id === id)
    if (platform === undefined) continue
    const keys = await seedPlatform(platform, tenants, stores)
    keep((keys ?? []).map(({ name, key }) => [named(platform, name), key]))
  }
  const operator = await seedOperator(stores)
  if (operator !== null) keep([[operatorName, operator.key]])

  const { found, lost } = await takeStock(platforms, credentials, readEnvFile(file))
  return { entries: new Map([...addresses, ...found]), written, lost }
}

/** Which of the keys that the store has can still be read in the file, under whatever name. */
async function takeStock(
  platforms: readonly Platform[],
  credentials: Credentials,
  inFile: ReadonlyMap<string, string>,
): Promise<{ readonly found: ReadonlyMap<string, string>; readonly lost: readonly string[] }> {
  const named = naming(platforms)
  const found = new Map<string, string>()
  const lost: string[] = []
  for (const platform of [...platforms, null]) {
    for (const { name, start } of await seededKeys(platform, credentials)) {
      const shown = platform === null ? operatorName : named(platform, name)
      const key = [...inFile.values()].find((value) => value.startsWith(start))
      if (key === undefined) lost.push(shown)
      else found.set(shown, key)
    }
  }
  return { found, lost: lost.sort() }
}

const operatorName = 'POSTERN_OPERATOR_KEY'

/**
 * How an env file names what is a platform's: `POSTERN_URL`, `POSTERN_SK_DEV`, `POSTERN_ADMIN_KEY`;
 * with several platforms `POSTERN_<SLUG>_URL`, `POSTERN_<SLUG>_SK_DEV_KEY`.
 */
export function naming(platforms: readonly Platform[]): (one: Platform, name: string) => string {
  if (platforms.length === 1) {
    return (_, name) => (name === 'ADMIN' ? 'POSTERN_ADMIN_KEY' : `POSTERN_${name}`)
  }
  return ({ slug }, name) => {
    const stem = `POSTERN_${slug.toUpperCase().replaceAll('-', '_')}_${name}`
    return name === 'URL' ? stem : `${stem}_KEY`
  }
}
