/**
 * Keys from a key, and bytes that nobody reads or changes unseen: HKDF and AES-GCM, synchronously.
 * Beside lib/digest.ts the one `node:crypto` import outside `runtime/`, for its reason: it works in
 * workerd too, and WebCrypto would cost a turn of the event loop for each of a hundred secrets.
 *
 * It refuses to know what is sealed and for whom. The danger is a nonce that is used twice under one
 * key, so callers cannot give one; and a tag that is cut short, so its length is fixed (threats X1, X2).
 */
import {
  createCipheriv,
  createDecipheriv,
  createSecretKey,
  hkdfSync,
  randomFillSync,
} from 'node:crypto'

const cipher = 'aes-256-gcm'
const keyBytes = 32
const nonceBytes = 12
const tagBytes = 16

/** What sealing adds to the length of what is sealed. */
export const sealedOverheadBytes = nonceBytes + tagBytes

// Keys are wrapped first: with bare bytes Node 24 takes three times as long for each call (measured).

/**
 * HKDF-SHA-256 (RFC 5869), 32 bytes. `info` must be unambiguous, as
 * `lengthPrefixed` of lib/parts.ts makes it.
 */
export function hkdfSha256(secret: Uint8Array, salt: Uint8Array, info: Uint8Array): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', createSecretKey(secret), salt, info, keyBytes))
}

/**
 * Seals `plain` with AES-256-GCM (NIST SP 800-38D): nonce (96 random bits), ciphertext, tag (128
 * bits). One key may seal 2^32 times at most (8.3 there); callers count. Throws for a key that is not 32 bytes.
 */
export function sealBytes(key: Uint8Array, plain: Uint8Array, associated: Uint8Array): Uint8Array {
  const sealed = new Uint8Array(nonceBytes + plain.byteLength + tagBytes)
  const nonce = sealed.subarray(0, nonceBytes)
  drawNonce(nonce)
  const encrypting = createCipheriv(cipher, createSecretKey(key), nonce, {
    authTagLength: tagBytes,
  })
  encrypting.setAAD(associated)
  sealed.set(encrypting.update(plain), nonceBytes)
  // A stream mode keeps nothing back: what `final` adds is the tag alone.
  encrypting.final()
  sealed.set(encrypting.getAuthTag(), nonceBytes + plain.byteLength)
  return sealed
}

// Drawn many at a time: a call of the generator for each is a fifth of a seal (bench/vault.ts).
const nonces = new Uint8Array(nonceBytes * 256)
let drawn = nonces.length

/** Fills `nonce` with bytes that no other was given, and forgets them here. */
function drawNonce(nonce: Uint8Array): void {
  if (drawn === nonces.length) {
    randomFillSync(nonces)
    drawn = 0
  }
  nonce.set(nonces.subarray(drawn, drawn + nonceBytes))
  nonces.fill(0, drawn, drawn + nonceBytes)
  drawn += nonceBytes
}

/**
 * What was sealed, or null where key, associated data or any bit is another one. Nothing of it is
 * given out before the whole tag has been verified. Throws for a key that is not 32 bytes.
 */
export function openBytes(
  key: Uint8Array,
  sealed: Uint8Array,
  associated: Uint8Array,
): Uint8Array | null {
  const end = sealed.byteLength - tagBytes
  if (end < nonceBytes) return null
  const nonce = sealed.subarray(0, nonceBytes)
  const decrypting = createDecipheriv(cipher, createSecretKey(key), nonce, {
    authTagLength: tagBytes,
  })
  decrypting.setAAD(associated)
  decrypting.setAuthTag(sealed.subarray(end))
  const plain = decrypting.update(sealed.subarray(nonceBytes, end))
  try {
    decrypting.final()
  } catch {
    plain.fill(0)
    return null
  }
  return plain
}
