/**
 * Which key does a platform sign with now, and which does an upstream need to check it? The keys are
 * made from the master key, the platform's id and the epoch, so that every node has the same ones
 * and nothing is stored. It refuses to know what is signed.
 *
 * The danger is one platform's key speaking for another, and a private key on the wire: the parts
 * that a key is made from are told apart by their lengths, and the public set is written member by
 * member.
 */
import { calculateJwkThumbprint } from 'jose'
import type { Platform } from '../context.ts'
import { lengthPrefixed } from '../lib/parts.ts'

/** A public key as RFC 7517 and RFC 8037 write it. */
export type PublicKey = {
  readonly kty: 'OKP'
  readonly crv: 'Ed25519'
  readonly x: string
  readonly kid: string
  readonly use: 'sig'
  readonly alg: 'EdDSA'
}

/** A JWK Set (RFC 7517 section 5). */
export type KeySet = { readonly keys: readonly PublicKey[] }

/** The keys of one platform in one epoch. */
export type KeyRing = {
  readonly epoch: number
  /** What is signed with. It cannot be exported. */
  readonly privateKey: CryptoKey
  /** Names it: its RFC 7638 thumbprint. */
  readonly kid: string
  /** Of the epoch before, this one and the next. */
  readonly published: KeySet
}

/** How long a key signs. Published it is for three times as long: an epoch before and one after. */
export const epochMs = 30 * 24 * 60 * 60 * 1000

const label = 'postern/identity/v1'

// RFC 8410 section 7: PrivateKeyInfo of an Ed25519 seed, whose 32 bytes follow.
const pkcs8Head = [48, 46, 2, 1, 0, 48, 5, 6, 3, 43, 101, 112, 4, 34, 4, 32]

/**
 * Makes the key rings of platforms from `masterKey`, 32 bytes. The function that is returned answers
 * a held ring as it is, and a promise for the first of an epoch; one that could not be made is tried
 * again by the next caller. It holds one ring for each platform object. Throws when the master key
 * has another length.
 */
export function createKeyRings(
  masterKey: Uint8Array,
): (platform: Platform, nowMs: number) => KeyRing | Promise<KeyRing> {
  if (masterKey.byteLength !== 32) throw new RangeError('"masterKey" must have 32 bytes')
  // A copy, in a buffer of its own: whoever gave it may wipe theirs.
  const master = new Uint8Array(masterKey)
  const held = new WeakMap<Platform, { epoch: number; ring: KeyRing | Promise<KeyRing> }>()

  return (platform, nowMs) => {
    const epoch = Math.floor(nowMs / epochMs)
    const known = held.get(platform)
    if (known !== undefined && known.epoch === epoch) return known.ring
    const making = makeRing(master, platform.id, epoch)
    const entry: { epoch: number; ring: KeyRing | Promise<KeyRing> } = { epoch, ring: making }
    held.set(platform, entry)
    making.then(
      (ring) => {
        entry.ring = ring
      },
      () => {
        if (held.get(platform) === entry) held.delete(platform)
      },
    )
    return making
  }
}

async function makeRing(
  master: Uint8Array<ArrayBuffer>,
  platform: string,
  epoch: number,
): Promise<KeyRing> {
  const seeds = await Promise.all(
    [epoch - 1, epoch, epoch + 1].map((each) => deriveSeed(master, platform, each)),
  )
  const [before, current, after] = await Promise.all(seeds.map(publicKeyOf))
  const seed = seeds[1]
  if (!before || !current || !after || !seed) throw new Error('a signing key was not made')
  return {
    epoch,
    privateKey: await importSeed(seed, false),
    kid: current.kid,
    published: { keys: [before, current, after] },
  }
}

/** HKDF-SHA-256 (RFC 5869) without a salt: the master key is uniformly random. */
async function deriveSeed(master: Uint8Array<ArrayBuffer>, platform: string, epoch: number) {
  const secret = await crypto.subtle.importKey('raw', master, 'HKDF', false, ['deriveBits'])
  const info = lengthPrefixed([label, platform, String(epoch)])
  const salt = new Uint8Array(0)
  const bits = await crypto.subtle.deriveBits(
    { name: 'HKDF', hash: 'SHA-256', salt, info },
    secret,
    256,
  )
  return new Uint8Array(bits)
}

function importSeed(seed: Uint8Array, extractable: boolean): Promise<CryptoKey> {
  const pkcs8 = new Uint8Array([...pkcs8Head, ...seed])
  return crypto.subtle.importKey('pkcs8', pkcs8, 'Ed25519', extractable, ['sign'])
}

async function publicKeyOf(seed: Uint8Array): Promise<PublicKey> {
  // WebCrypto tells the public half only together with the private one, which is left behind here.
  const { x } = await crypto.subtle.exportKey('jwk', await importSeed(seed, true))
  if (x === undefined) throw new Error('a signing key has no public half')
  const kid = await calculateJwkThumbprint({ kty: 'OKP', crv: 'Ed25519', x })
  return { kty: 'OKP', crv: 'Ed25519', x, kid, use: 'sig', alg: 'EdDSA' }
}
