/**
 * How is one secret of one session sealed? Under a key that belongs to its platform, environment,
 * tenant and session alone, made from a version of the master key and the session's salt. Without
 * either of those the bytes mean nothing, which is how ending a session destroys what it held.
 *
 * It refuses to know where rows are kept. The danger is a row that is read in another's place: every
 * part of where it stands goes into the associated data, each with its length, so that bytes moved
 * to another tenant, session, name or version never open (threats X3, X4).
 */
import type { Scope } from '../context.ts'
import { hkdfSha256, openBytes, sealBytes } from '../lib/aead.ts'
import { lengthPrefixed } from '../lib/parts.ts'

/** Random bytes of a session, without which none of its secrets can be opened. */
export const saltBytes = 32

/** Where a secret stands, apart from its name. */
export type Place = {
  readonly scope: Scope
  readonly session: string
  /** Which master key it is sealed under. */
  readonly keyVersion: number
}

/** A session's key under one version of the master key. Prints nothing of itself. */
export class SessionKey {
  readonly #key: Uint8Array
  readonly #place: Place

  /** `master`: 32 bytes; `salt`: the session's, 32 bytes. Throws `RangeError` for other lengths. */
  constructor(master: Uint8Array, salt: Uint8Array, place: Place) {
    if (master.byteLength !== 32) throw new RangeError('a master key has 32 bytes')
    if (salt.byteLength !== saltBytes) throw new RangeError(`a salt has ${saltBytes} bytes`)
    this.#place = place
    this.#key = hkdfSha256(master, salt, lengthPrefixed(['postern/session/v1', ...partsOf(place)]))
  }

  /** Seals a value under its name. Two calls never answer the same bytes. */
  seal(name: string, value: string): Uint8Array {
    return sealBytes(this.#key, encoder.encode(value), this.#associated(name))
  }

  /** The value, or null where these bytes were not sealed here under this name. */
  open(name: string, sealed: Uint8Array): string | null {
    const plain = openBytes(this.#key, sealed, this.#associated(name))
    if (plain === null) return null
    const value = decoder.decode(plain)
    plain.fill(0)
    return value
  }

  #associated(name: string): Uint8Array {
    return lengthPrefixed(['postern/secret/v1', ...partsOf(this.#place), name])
  }
}

/** A fresh salt. */
export const newSalt = (): Uint8Array => crypto.getRandomValues(new Uint8Array(saltBytes))

/** What is kept of a master key to know it again: 32 bytes that lead back to nothing. */
export const checkValue = (master: Uint8Array, version: number): Uint8Array =>
  hkdfSha256(
    master,
    new Uint8Array(32),
    lengthPrefixed(['postern/vault-check/v1', String(version)]),
  )

const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

const partsOf = ({ scope, session, keyVersion }: Place): readonly string[] => [
  scope.platform,
  scope.environment,
  scope.tenant,
  session,
  String(keyVersion),
]
