/**
 * How does everything come under a newer master key while requests are served? Row by row: each is
 * opened under the version it names and sealed under the newest, and stored only if it is still what
 * was read, so that whoever sets a secret meanwhile wins.
 *
 * It keeps no state of its own. Killed at any point, every row opens, under one version or the other,
 * and the next run goes on where this one stopped. The danger is retiring a version too early: that
 * is for the database to allow, which looks at all rows of all platforms and not at what was counted.
 */
import type { Scope } from '../context.ts'
import { judgeMasters, type MasterRegistry, type Masters } from './masters.ts'
import { checkValue, SessionKey } from './seal.ts'
import type { SealedSecret } from './vault.ts'

/** A secret that is sealed under an older version. `salt` null: it is not where it should be. */
export type StaleSecret = SealedSecret & {
  readonly session: string
  readonly salt: Uint8Array | null
}

/** A secret sealed anew. `before`: as it was read. */
export type Resealed = {
  readonly session: string
  readonly name: string
  readonly before: Uint8Array
  readonly after: Uint8Array
}

/** The rows of all tenants. Everything rejects when a store does not answer. */
export type RotationStore = {
  /** Every scope of the platforms that are served. */
  scopes(): AsyncIterable<Scope>
  /** From now on nothing is stored under a version below `least`, by whichever node. */
  bar(least: number): Promise<void>
  /** The next secrets below `least`, by session and name, after the one given. */
  stale(
    scope: Scope,
    least: number,
    after: Pick<StaleSecret, 'session' | 'name'> | null,
  ): Promise<readonly StaleSecret[]>
  /** Stores those that are still as they were read. Resolves to how many. */
  reseal(scope: Scope, version: number, secrets: readonly Resealed[]): Promise<number>
  /** Whether no row of any platform is below `least`; then none ever will be. */
  confirm(least: number): Promise<boolean>
}

/** What a rotation came to. */
export type Rotated = {
  /** What everything is sealed under now. */
  readonly version: number
  readonly resealed: number
  /** Versions that are not needed any more. */
  readonly retired: readonly number[]
}

/**
 * Seals everything under the highest version of `masters` and retires the others. Rejects with a
 * sentence for the operator when a master key is wrong or missing, or when a secret cannot be opened;
 * what was done until then stays done.
 */
export async function rotate(
  masters: Masters,
  registry: MasterRegistry,
  store: RotationStore,
): Promise<Rotated> {
  const version = masters.current
  const before = await judged(masters, registry)
  if (!before.some((one) => one.version === version)) {
    // It is the highest, and `judged` has looked at the others.
    await registry.register(version, checkValue(masters.versions.get(version)!, version))
  }
  const known = await judged(masters, registry)
  const retiring = known.filter((one) => one.version < version && !one.retired)
  if (retiring.length === 0) return { version, resealed: 0, retired: [] }
  await store.bar(version)
  const unopened: string[] = []
  let resealed = 0
  for await (const scope of store.scopes()) resealed += await walk(masters, store, scope, unopened)
  if (unopened.length > 0) throw new Error(unopenedText(unopened))
  if (!(await store.confirm(version))) {
    throw new Error(
      `secrets of platforms that this config does not name are sealed under an older version; keep it, name them, and run this again`,
    )
  }
  await registry.retire(version)
  return { version, resealed, retired: retiring.map((one) => one.version) }
}

async function judged(masters: Masters, registry: MasterRegistry) {
  const known = await registry.list()
  const fault = judgeMasters(masters, known)
  if (fault !== null) throw new Error(fault)
  return known
}

const namedMax = 10

function unopenedText(unopened: readonly string[]): string {
  const named = unopened.slice(0, namedMax).join(', ')
  const more = unopened.length > namedMax ? ', …' : ''
  return `${unopened.length} secrets cannot be opened, and keep the version they have: ${named}${more}. Set or delete them, or end their sessions, and run this again; with POSTERN_SHRED_URL, make sure that it is set here too`
}

async function walk(
  masters: Masters,
  store: RotationStore,
  scope: Scope,
  unopened: string[],
): Promise<number> {
  const version = masters.current
  let resealed = 0
  let after: StaleSecret | null = null
  for (;;) {
    const batch: readonly StaleSecret[] = await store.stale(scope, version, after)
    const last = batch.at(-1)
    if (last === undefined) return resealed
    const done = batch.flatMap((secret) => {
      const again = resealOne(masters, scope, secret)
      if (again === null) unopened.push(`${secret.name} of ${secret.session} (${scope.tenant})`)
      return again ?? []
    })
    if (done.length > 0) resealed += await store.reseal(scope, version, done)
    after = last
  }
}

function resealOne(masters: Masters, scope: Scope, secret: StaleSecret): Resealed | null {
  const { session, name, keyVersion, salt, sealed: before } = secret
  const version = masters.current
  const [older, newest] = [masters.versions.get(keyVersion), masters.versions.get(version)]
  if (salt === null || older === undefined || newest === undefined) return null
  const value = new SessionKey(older, salt, { scope, session, keyVersion }).open(name, before)
  if (value === null) return null
  const key = new SessionKey(newest, salt, { scope, session, keyVersion: version })
  return { session, name, before, after: key.seal(name, value) }
}
