/** Several texts as one run of bytes, so that no two lists of texts are the same bytes. */

const encoder = new TextEncoder()

/**
 * Each part as UTF-8 after its length as four bytes: what HKDF's `info` and a cipher's associated
 * data are made of (threats X4). Throws `RangeError` for half of a surrogate pair, which UTF-8 would
 * write like another one.
 */
export function lengthPrefixed(parts: readonly string[]): Uint8Array<ArrayBuffer> {
  const encoded = parts.map((part) => {
    if (!part.isWellFormed()) throw new RangeError('a part holds half of a surrogate pair')
    return encoder.encode(part)
  })
  const bytes = new Uint8Array(encoded.reduce((sum, part) => sum + 4 + part.byteLength, 0))
  const view = new DataView(bytes.buffer)
  let at = 0
  for (const part of encoded) {
    view.setUint32(at, part.byteLength)
    bytes.set(part, at + 4)
    at += 4 + part.byteLength
  }
  return bytes
}
