/**
 * The string of an API key: `<prefix><ref>_<secret><check>`. `ref` is 9 public base62 characters,
 * `secret` 32 random ones (190 bits), `check` the CRC-32 of everything before it as 6 base62 digits.
 * The checksum refuses a typo before any I/O; anyone can compute it, so it proves nothing. Only
 * `generateKey` ever sees a secret in the making, and nothing here keeps one.
 */
import type { KeyPrefix, Scheme } from '../context.ts'
import { hmacSha256, sha256 } from '../lib/digest.ts'
import type { Refusal } from '../problem.ts'
import { findPrefix } from './schemes.ts'

const digits = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
const refLength = 9
const secretLength = 32
const checkLength = 6
const bodyLength = refLength + 1 + secretLength + checkLength
/** Shorter ones cannot be secrets, and their last four characters would give too much away. */
const adoptedLengthMin = 16
/** No credential is longer, in characters or bytes: both are the same in what is accepted. */
export const keyLengthMax = 512

const underscore = 0x5f
const digitValues = new Int8Array(128).fill(-1)
for (let value = 0; value < digits.length; value++) digitValues[digits.charCodeAt(value)] = value

/** A key whose shape is right. Whether it exists is another question. */
export type ParsedKey =
  | {
      readonly ok: true
      readonly prefix: KeyPrefix
      /** Empty for adopted keys. */
      readonly ref: string
      readonly last4: string
      readonly adopted: boolean
    }
  | { readonly ok: false; readonly refusal: Refusal }

const malformed: ParsedKey = Object.freeze({
  ok: false,
  refusal: Object.freeze({ code: 'auth/malformed_key', cause: 'wrong shape or checksum' }),
})
// Not told apart from an unknown key, or another platform's scheme could be seen through this one.
const foreignPrefix: ParsedKey = Object.freeze({
  ok: false,
  refusal: Object.freeze({ code: 'auth/invalid_key', cause: 'no such prefix in the scheme' }),
})

/**
 * Takes a key string apart, with no I/O. Refuses with `auth/malformed_key` when a prefix of the
 * scheme is followed by the wrong shape or checksum, and with `auth/invalid_key` for other prefixes.
 * Where an issued prefix and an adopted one both fit, a right checksum or else the longer one decides.
 */
export function parseKey(key: string, scheme: Scheme): ParsedKey {
  if (key.length > keyLengthMax) return malformed
  const own = findPrefix(key, scheme.prefixes)
  if (own !== null && isWhole(key, own.prefix.length)) {
    const ref = key.slice(own.prefix.length, own.prefix.length + refLength)
    return { ok: true, prefix: own, ref, last4: key.slice(-4), adopted: false }
  }
  const foreign = findPrefix(key, scheme.adopted)
  if (foreign !== null && (own === null || foreign.prefix.length >= own.prefix.length)) {
    const rest = key.slice(foreign.prefix.length)
    if (rest.length < adoptedLengthMin || !/^[A-Za-z0-9._~+/=-]+$/.test(rest)) return malformed
    return { ok: true, prefix: foreign, ref: '', last4: key.slice(-4), adopted: true }
  }
  return own === null ? foreignPrefix : malformed
}

function isWhole(key: string, start: number): boolean {
  if (key.length !== start + bodyLength) return false
  const separator = start + refLength
  const checkStart = key.length - checkLength
  let check = 0
  for (let at = start; at < key.length; at++) {
    const code = key.charCodeAt(at)
    if (at === separator) {
      if (code !== underscore) return false
      continue
    }
    const value = code < 128 ? digitValues[code]! : -1
    if (value < 0) return false
    if (at >= checkStart) check = check * 62 + value
  }
  return check === crc32(key, checkStart)
}

const crcTable = Int32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1
  return crc
})

/** CRC-32 (ISO-HDLC, the one of zip and PNG) of the first `length` characters, which are ASCII. */
function crc32(text: string, length: number): number {
  let crc = -1
  for (let at = 0; at < length; at++) {
    crc = crcTable[(crc ^ text.charCodeAt(at)) & 0xff]! ^ (crc >>> 8)
  }
  return (crc ^ -1) >>> 0
}

/** A new API key. `key` is the secret string, to be shown once; `ref` and `last4` may be kept. */
export type IssuedKey = { readonly key: string; readonly ref: string; readonly last4: string }

/**
 * Makes a key under a prefix of a scheme. Give the `ref` of an API key to issue it another secret
 * (rotation); without one, a new ref is drawn. Refs are random: the store must keep them unique.
 */
export function generateKey(prefix: string, ref = randomDigits(refLength)): IssuedKey {
  const body = `${prefix}${ref}_${randomDigits(secretLength)}`
  const key = body + checkDigits(crc32(body, body.length))
  return { key, ref, last4: key.slice(-4) }
}

function checkDigits(crc: number): string {
  let text = ''
  for (let rest = crc, at = 0; at < checkLength; at++, rest = Math.floor(rest / 62)) {
    text = digits[rest % 62] + text
  }
  return text
}

function randomDigits(count: number): string {
  let text = ''
  const bytes = new Uint8Array(count * 2)
  while (text.length < count) {
    for (const byte of crypto.getRandomValues(bytes)) {
      // 248 is the last multiple of 62 below 256. Taking the rest too would favour eight digits.
      if (byte < 248 && text.length < count) text += digits[byte % 62]
    }
  }
  return text
}

/** The source of a regular expression that finds issued keys of this prefix in any text (RE2 too). */
export function keyPattern(prefix: string): string {
  const literal = prefix.replace(/[^A-Za-z0-9_]/g, '\\$&')
  return `\\b${literal}[0-9A-Za-z]{${refLength}}_[0-9A-Za-z]{${secretLength + checkLength}}\\b`
}

/**
 * What the store keeps of a key: HMAC-SHA-256(pepper, SHA-256(key)), 32 bytes. Who can only write
 * to the store cannot plant a key he knows (threats K4).
 */
export function storedDigest(key: string, pepper: Uint8Array): Uint8Array {
  return wrapDigest(sha256(key), pepper)
}

/** The same for a key adopted from elsewhere, of which only the SHA-256 digest is known. */
export function wrapDigest(keyDigest: Uint8Array, pepper: Uint8Array): Uint8Array {
  return hmacSha256(pepper, keyDigest)
}
