/**
 * Who is calling, in words that an upstream can prove: a JWT for one principal and one upstream,
 * signed with the platform's key. Made once and said again for as long as it has life left. It
 * refuses to know the request, so nothing of the request is in it.
 *
 * The danger is a statement about one caller that goes out with another's request. So a token is
 * held by the principal object and the upstream object that it was made for, never by a name.
 */
import { SignJWT } from 'jose'
import type { Platform, Principal, Upstream } from '../context.ts'
import { createKeyRings, type KeyRing, type KeySet } from './signing.ts'

export type IdentityOptions = {
  /** 32 bytes, from which the keys of every platform are made. */
  readonly masterKey: Uint8Array
  /** Twice as many tokens are held in memory at most; a positive integer. */
  readonly tokensMax?: number
}

export type Identity = {
  /**
   * The `Postern-Identity` token (RFC 7519) of `principal` for `upstream`, with 15 seconds of life or
   * more. A string when one is held. Rejects when `principal` is of another platform, or when
   * nothing can be signed.
   */
  tokenFor(
    platform: Platform,
    upstream: Upstream,
    principal: Principal,
    nowMs: number,
  ): string | Promise<string>
  /** The public keys that tokens of `platform` are checked with, now and for the next 30 days. */
  jwks(platform: Platform, nowMs: number): Promise<KeySet>
}

/** `typ` of the token's header (RFC 8725 3.11): no other token of anybody's passes for this one. */
export const identityType = 'postern-identity+jwt'

const lifeSeconds = 60
const lifeMs = lifeSeconds * 1000
/** With less life left than this a token is renewed, while requests still go out with it. */
const renewMs = 30_000
/** With less than this it is not sent: it must outlive its way to the upstream. */
const sendableMs = 15_000

/** `renewal`: the one signing that is under way. */
type Held = { token: string; expiresAt: number; renewal: Promise<string> | null }
type Generation = WeakMap<Principal, Map<Upstream, Held>>

/** Builds the maker of identity tokens. Throws when an option is out of range. */
export function createIdentity({ masterKey, tokensMax = 10_000 }: IdentityOptions): Identity {
  if (!Number.isInteger(tokensMax) || tokensMax < 1) {
    throw new RangeError('"tokensMax" must be a positive integer')
  }
  const ringOf = createKeyRings(masterKey)
  // Principals come and go with the memory of API keys, and their tokens with them. But a key for
  // all tenants has very many principals, so there is a number of our own: when the young generation
  // is full, the old one is forgotten, with all in it that has not been asked for since.
  let young: Generation = new WeakMap()
  let old: Generation = new WeakMap()
  let count = 0

  function heldFor(principal: Principal, upstream: Upstream): Held {
    const known = young.get(principal)?.get(upstream)
    if (known !== undefined) return known
    const held = old.get(principal)?.get(upstream) ?? { token: '', expiresAt: 0, renewal: null }
    if (count >= tokensMax) {
      old = young
      young = new WeakMap()
      count = 0
    }
    const tokens = young.get(principal) ?? new Map<Upstream, Held>()
    young.set(principal, tokens.set(upstream, held))
    count += 1
    return held
  }

  async function renew(
    held: Held,
    platform: Platform,
    upstream: Upstream,
    principal: Principal,
    nowMs: number,
  ): Promise<string> {
    const found = ringOf(platform, nowMs)
    const ring = found instanceof Promise ? await found : found
    const issuedAt = Math.floor(nowMs / 1000)
    held.token = await sign(ring, platform, upstream, principal, issuedAt)
    held.expiresAt = (issuedAt + lifeSeconds) * 1000
    return held.token
  }

  return {
    tokenFor(platform, upstream, principal, nowMs) {
      const held = heldFor(principal, upstream)
      const leftMs = held.expiresAt - nowMs
      // More than a whole life is left of a token when the clock was set back. To the upstream it
      // would come from the future.
      if (leftMs >= renewMs && leftMs <= lifeMs) return held.token
      if (held.renewal === null) {
        held.renewal = renew(held, platform, upstream, principal, nowMs)
        const over = () => {
          held.renewal = null
        }
        // Nobody may be waiting for it. A failure is told to whoever needs the token at last.
        held.renewal.then(over, over)
      }
      return leftMs >= sendableMs && leftMs <= lifeMs ? held.token : held.renewal
    },
    async jwks(platform, nowMs) {
      return (await ringOf(platform, nowMs)).published
    },
  }
}

function sign(
  ring: KeyRing,
  platform: Platform,
  upstream: Upstream,
  principal: Principal,
  issuedAt: number,
): Promise<string> {
  if (principal.platform !== platform.id) {
    throw new Error('a principal of one platform was to be vouched for by another')
  }
  const { tenant, environment, permissions, credential } = principal
  const claims = {
    platform: platform.id,
    ...(tenant === null ? {} : { tenant }),
    env: environment,
    class: principal.class,
    permissions,
  }
  return new SignJWT(claims)
    .setProtectedHeader({ alg: 'EdDSA', typ: identityType, kid: ring.kid })
    .setIssuer(platform.issuer)
    .setAudience(upstream.audience)
    .setSubject(credential.id)
    .setIssuedAt(issuedAt)
    .setExpirationTime(issuedAt + lifeSeconds)
    .sign(ring.privateKey)
}
