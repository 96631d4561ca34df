/**
 * Digests, synchronously. Beside lib/aead.ts the one `node:crypto` import outside `runtime/`: it works in workerd too,
 * and an awaited WebCrypto digest would cost every request a turn of the event loop.
 */
import { createHmac, hash, timingSafeEqual } from 'node:crypto'

/** SHA-256 (FIPS 180-4) of the UTF-8 bytes of `text`, as 32 bytes. */
export function sha256(text: string): Uint8Array {
  return hash('sha256', text, 'buffer')
}

/** SHA-256 of the UTF-8 bytes of `text`, as 43 base64url characters: a short name for a Map. */
export function sha256Name(text: string): string {
  return hash('sha256', text, 'base64url')
}

/** HMAC-SHA-256 (RFC 2104), as 32 bytes. */
export function hmacSha256(secret: Uint8Array, data: Uint8Array): Uint8Array {
  return createHmac('sha256', secret).update(data).digest()
}

/** Whether two digests are the same, in a time that does not depend on where they differ. */
export function digestsEqual(a: Uint8Array, b: Uint8Array): boolean {
  return a.byteLength === b.byteLength && timingSafeEqual(a, b)
}
