/** A new random id: the prefix and 32 hex digits (122 random bits), e.g. `req_` + …. */
export function newId(prefix: string): string {
  return prefix + crypto.randomUUID().replaceAll('-', '')
}

const hex = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))
const idBytes = 16
const poolBytes = 256 * idBytes
let pool = ''
let used = 0

/**
 * The same from random digits drawn for 256 ids at once: for what is made at every request. Its
 * digits wait in memory before they are used, so it is no secret and must not be used for one.
 */
export function newRequestId(): string {
  if (used === pool.length) {
    pool = ''
    for (const byte of crypto.getRandomValues(new Uint8Array(poolBytes))) pool += hex[byte]
    used = 0
  }
  used += 2 * idBytes
  return `req_${pool.slice(used - 2 * idBytes, used)}`
}
