/** Several texts as one run of bytes, so that no two lists of texts are the same bytes. */

const encoder = new TextEncoder()

/**
 * Each part as UTF-8 after its length as four bytes: what HKDF's `info` and a cipher's associated
 * data are made of (threats X4). Throws `RangeError` for half of a surrogate pair, which UTF-8 would
 * write like another one.
 */
export function lengthPrefixed(parts: readonly string[]): Uint8Array<ArrayBuffer> {
  return ofAscii(parts) ?? ofText(parts)
}

/** What nearly all parts are; the encoder's own cost is many times that of the bytes. */
function ofAscii(parts: readonly string[]): Uint8Array<ArrayBuffer> | null {
  let size = 4 * parts.length
  for (const part of parts) size += part.length
  const bytes = new Uint8Array(size)
  let at = 0
  for (const part of parts) {
    at = writeLength(bytes, at, part.length)
    for (let i = 0; i < part.length; i++) {
      const code = part.charCodeAt(i)
      if (code > 0x7f) return null
      bytes[at++] = code
    }
  }
  return bytes
}

function ofText(parts: readonly string[]): Uint8Array<ArrayBuffer> {
  const encoded = parts.map((part) => {
    if (!part.isWellFormed()) throw new RangeError('a part holds half of a surrogate pair')
    return encoder.encode(part)
  })
  const bytes = new Uint8Array(encoded.reduce((sum, part) => sum + 4 + part.byteLength, 0))
  let at = 0
  for (const part of encoded) {
    at = writeLength(bytes, at, part.byteLength)
    bytes.set(part, at)
    at += part.byteLength
  }
  return bytes
}

/** Big-endian; answers where to go on. */
function writeLength(bytes: Uint8Array, at: number, length: number): number {
  bytes[at] = length >>> 24
  bytes[at + 1] = length >>> 16
  bytes[at + 2] = length >>> 8
  bytes[at + 3] = length
  return at + 4
}
