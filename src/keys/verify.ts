/**
 * Is this API key good? Given the string that was shown and the platform it was shown to, answers
 * with the stored record or a refusal; at once when the answer is remembered. It knows no request,
 * no tenant and no permission. The dangers: telling anything about a key whose whole secret did not
 * match; letting the platform take part in the lookup (a try on the wrong host would then poison the
 * memory); taking a store that is down for a bad key; and letting a flood of random keys use up the
 * memory or the connections.
 */
import type { KeyPrefix, KeyRecord, Platform, Scheme } from '../context.ts'
import { StoreDown } from '../context.ts'
import { addressBucket } from '../lib/address.ts'
import { digestsEqual, sha256, sha256Name } from '../lib/digest.ts'
import { createDigestSet } from '../lib/digest-set.ts'
import { createTurnstile } from '../lib/turnstile.ts'
import type { Refusal } from '../problem.ts'
import { parseKey, wrapDigest } from './format.ts'
import { createMemory } from './memory.ts'
import { findPrefix } from './schemes.ts'
import { createTrust, type Trust } from './trust.ts'

/** A row of the store: the record, and the digest that it was found by. */
export type FoundKey = { readonly record: KeyRecord; readonly digest: Uint8Array }

/** Peppers by version. New digests are made under `current`; keys under the others still work. */
export type Peppers = {
  readonly current: number
  readonly versions: ReadonlyMap<number, Uint8Array>
}

export type VerifierOptions = {
  /**
   * The row whose stored digest is one of these (one digest per pepper version), on any platform,
   * or null. Rejects with StoreDown when the store does not answer.
   */
  findKey(digests: readonly Uint8Array[]): Promise<FoundKey | null>
  readonly peppers: Peppers
  /** Writes a secret's digest anew under the current pepper. It is tried again on a later use. */
  rehash?(record: KeyRecord, from: Uint8Array, to: Uint8Array, version: number): Promise<unknown>
  /** Takes work that outlives the request (the `defer` port). */
  defer?(work: Promise<unknown>): void
  /** Known keys held in memory. */
  readonly knownMax?: number
  /** Unknown keys held in memory. They cost an attacker nothing, so they have a bound of their own. */
  readonly unknownMax?: number
  /** How long what is known of a key may be gone by. Default: it is certain that changes are heard. */
  readonly trust?: Trust
  /** How long an unknown key is not looked up again. 0: always. */
  readonly negativeTtlMs?: number
  /** Lookups of keys that are not in memory, at once, per client address (IPv6: per /64). */
  readonly lookupsPerAddress?: number
  /** How many more may wait per address; past that, `auth/too_many_failures`. */
  readonly waitingPerAddress?: number
  /** Lookups under way or waiting, over all addresses; past that, `gateway/overloaded`. */
  readonly lookupsMax?: number
}

export type Denied = { readonly ok: false; readonly refusal: Refusal }
export type Verdict = { readonly ok: true; readonly record: KeyRecord } | Denied
type Known = Extract<Verdict, { ok: true }>

/** A question about one key that was good, to be asked again and again. */
export type Recheck = {
  /** The same for every use of the same key on the same platform. */
  readonly name: string
  /**
   * Asks the store, whatever is remembered, and has it remembered. Refuses as `verify` does after its
   * lookup: with 401, or `auth/unavailable` while the store is down. Rejects when `findKey` breaks.
   */
  ask(now: number): Promise<Verdict>
}

export type Verifier = {
  /**
   * Verifies a key string (validated by `readCredential`, at most 512 characters) shown to
   * `platform` at `now` (ms) from `clientAddress`. The verdict is no promise when it needs no I/O.
   * Refuses with 401 (`auth/malformed_key`, `auth/invalid_key`; once the whole secret matched also
   * `auth/key_revoked`, `auth/key_expired`, `auth/key_disabled`), `auth/too_many_failures` (429),
   * `auth/unavailable` or `gateway/overloaded` (503). Rejects only when `findKey` breaks otherwise.
   */
  verify(
    key: string,
    platform: Platform,
    now: number,
    clientAddress: string,
  ): Verdict | Promise<Verdict>
  /**
   * How to ask about a key again, long after it was shown (a WebSocket outlives many revocations).
   * Holds no key string.
   */
  recheck(key: string, platform: Platform): Recheck
  /**
   * The same of what the store says now, whatever is remembered: for calls that change keys, so that
   * a key revoked a moment ago cannot make another (threats V9). Remembers nothing of a good key.
   */
  verifyNow(key: string, platform: Platform, now: number, clientAddress: string): Promise<Verdict>
  /**
   * Forgets every key, or all secrets of one, and in either case which keys are unknown: a change in
   * the store is seen by whoever asks from here on.
   */
  forget(keyId?: string): void
  /** How much is held: known keys, unknown keys, lookups under way or waiting. */
  sizes(): { readonly known: number; readonly unknown: number; readonly lookups: number }
}

const deny = (refusal: Refusal): Denied =>
  Object.freeze({ ok: false, refusal: Object.freeze(refusal) })
// The three that a caller cannot tell apart differ for the log alone.
const unknownKey = deny({ code: 'auth/invalid_key', cause: 'no such key' })
const foreignKey = deny({ code: 'auth/invalid_key', cause: 'key of another platform' })
const wrongPrefix = deny({ code: 'auth/invalid_key', cause: 'prefix disagrees with the record' })
const revoked = deny({ code: 'auth/key_revoked' })
const expired = deny({ code: 'auth/key_expired' })
const disabled = deny({ code: 'auth/key_disabled' })
const unavailable = deny({ code: 'auth/unavailable', cause: 'the key store is down' })
const overloaded = deny({ code: 'gateway/overloaded', cause: 'too many key lookups at once' })
const crowded = deny({
  code: 'auth/too_many_failures',
  cause: 'too many key lookups at once from this address',
  headers: Object.freeze({ 'retry-after': '1' }),
})
const noDigest = new Uint8Array(32)

/** Creates a verifier. Throws when the current pepper version is not among the versions. */
export function createVerifier(options: VerifierOptions): Verifier {
  const { negativeTtlMs = 5000, trust = createTrust() } = options
  const look = createLookup(options)
  const known = createMemory<Known>({
    entriesMax: options.knownMax ?? 50_000,
    trust,
    // Limits, principals and identity tokens hang on the record; they need not be made anew.
    same: ({ record: held }, { record: found }) => JSON.stringify(held) === JSON.stringify(found),
    // The first use of the secret that took its place starts its end, and nobody announces that.
    isBrief: ({ record }) => record.replaced === true,
  })
  const unknown = createDigestSet(options.unknownMax ?? 20_000)
  const turnstile = createTurnstile({
    insideMax: options.lookupsPerAddress ?? 4,
    waitingMax: options.waitingPerAddress ?? 256,
    totalMax: options.lookupsMax ?? 4096,
  })

  let changes = 0

  /** Only keys that are not in memory pass the turnstile: a good key is never held up by a flood. */
  async function find(plain: Uint8Array, name: string, clientAddress: string) {
    if (known.knows(name)) return known.learn(name, () => look(plain))
    const asking = takeTurn(plain, clientAddress)
    return typeof asking === 'function' ? known.learn(name, asking) : asking
  }

  async function findNow(plain: Uint8Array, clientAddress: string) {
    const asking = takeTurn(plain, clientAddress)
    return typeof asking === 'function' ? asking() : asking
  }

  /** A place in the turnstile and what to do in it, which must be called; or why there is none. */
  function takeTurn(plain: Uint8Array, clientAddress: string) {
    const bucket = addressBucket(clientAddress)
    const turn = turnstile.enter(bucket)
    if (turn === 'full') return crowded
    if (turn === 'overfull') return overloaded
    return async () => {
      try {
        if (turn !== undefined) await turn
        return await look(plain)
      } finally {
        turnstile.leave(bucket)
      }
    }
  }

  async function resolve(
    ask: () => Promise<Known | Denied | undefined>,
    plain: Uint8Array,
    verdictOn: (found: Known) => Verdict,
  ): Promise<Verdict> {
    const askedIn = changes
    try {
      const found = await ask()
      if (found !== undefined) return found.ok ? verdictOn(found) : found
      // Asked before a change, the answer may be older than the key (threats V5).
      if (negativeTtlMs > 0 && askedIn === changes) {
        unknown.add(plain, trust.now() + negativeTtlMs)
      }
      return unknownKey
    } catch (error) {
      // A store that is down proves nothing against the key: never a 401, and nothing remembered.
      if (error instanceof StoreDown) return unavailable
      throw error
    }
  }

  return {
    verify(key, platform, now, clientAddress) {
      const name = sha256Name(key)
      const held = known.get(name)
      // Its checksum was right when it came into the memory, under this very string.
      if (held !== undefined) return judge(held, prefixOf(key, platform.scheme), platform, now)
      const parsed = parseKey(key, platform.scheme)
      if (!parsed.ok) return parsed
      const plain = sha256(key)
      if (unknown.has(plain, trust.now())) return unknownKey
      return resolve(
        () => find(plain, name, clientAddress),
        plain,
        (found) => judge(found, parsed.prefix, platform, now),
      )
    },
    recheck(key, platform) {
      const name = sha256Name(key)
      const plain = sha256(key)
      const prefix = prefixOf(key, platform.scheme)
      return {
        name: `${platform.id}\n${name}`,
        ask(now) {
          const ask = () => known.relearn(name, () => look(plain))
          return resolve(ask, plain, (found) => judge(found, prefix, platform, now))
        },
      }
    },
    async verifyNow(key, platform, now, clientAddress) {
      const parsed = parseKey(key, platform.scheme)
      if (!parsed.ok) return parsed
      const plain = sha256(key)
      if (unknown.has(plain, trust.now())) return unknownKey
      return resolve(
        () => findNow(plain, clientAddress),
        plain,
        (found) => judge(found, parsed.prefix, platform, now),
      )
    },
    forget(keyId) {
      changes++
      known.forget(keyId === undefined ? undefined : ({ record }) => record.id === keyId)
      // A key made or adopted just now may have been tried before.
      unknown.clear()
    },
    sizes: () => ({ known: known.size, unknown: unknown.size, lookups: turnstile.size }),
  }
}

/** One question to the store, believed only when its answer carries the digest that was shown. */
function createLookup({ findKey, peppers, rehash, defer }: VerifierOptions) {
  const currentPepper = peppers.versions.get(peppers.current)
  if (currentPepper === undefined) throw new Error('"peppers.current" is not in "peppers.versions"')

  return async (plain: Uint8Array): Promise<Known | undefined> => {
    const shown = new Map<number, Uint8Array>()
    for (const [version, pepper] of peppers.versions) shown.set(version, wrapDigest(plain, pepper))
    const found = await findKey([...shown.values()])
    // Compared in constant time, and compared even when there is nothing to compare with.
    const digest = shown.get(found?.record.pepperVersion ?? peppers.current) ?? noDigest
    if (!digestsEqual(digest, found?.digest ?? noDigest) || found === null) return undefined
    const { record } = found
    if (record.pepperVersion !== peppers.current && rehash !== undefined) {
      const to = wrapDigest(plain, currentPepper)
      // A failure is no concern of this request: the old digest still works, and a later use of
      // the key tries again.
      defer?.(rehash(record, digest, to, peppers.current).catch(() => undefined))
    }
    return Object.freeze({ ok: true, record: freezeDeep(record) })
  }
}

const prefixOf = (key: string, { prefixes, adopted }: Scheme): KeyPrefix | null =>
  findPrefix(key, prefixes) ?? findPrefix(key, adopted)

/** Judges a key whose whole secret matched, at every use: it may have expired since it was read. */
function judge(known: Known, prefix: KeyPrefix | null, platform: Platform, now: number): Verdict {
  const { record } = known
  if (record.platform !== platform.id) return foreignKey
  if (record.environment !== prefix?.environment || record.class !== prefix.class) {
    return wrongPrefix
  }
  if (record.revoked) return revoked
  if (record.expiresAt !== null && now >= record.expiresAt) return expired
  if (record.disabled) return disabled
  return known
}

/** Many requests share a record; none may change it for the others. */
function freezeDeep<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value)
    for (const part of Object.values(value)) freezeDeep(part)
  }
  return value
}
