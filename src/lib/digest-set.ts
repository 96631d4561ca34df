/** A set of 32-byte digests that takes the same memory full or empty; each stays a limited time. */
export type DigestSet = {
  /** Whether the digest was added and has not expired by `now` (ms). */
  has(digest: Uint8Array, now: number): boolean
  /** Keeps the digest until `expiresAt` (ms); makes room by what expires soonest among its few neighbours. */
  add(digest: Uint8Array, expiresAt: number): void
  clear(): void
  /** Places taken, by expired digests too. */
  readonly size: number
}

const digestBytes = 32
const ways = 8

/**
 * Creates a set of at most `entriesMax` digests (rounded down to a multiple of 8). One flat array:
 * entries on the heap would live just long enough to be moved to its old part, and a flood of them
 * makes the heap grow by far more than it holds. Throws when `entriesMax` is less than 8.
 */
export function createDigestSet(entriesMax: number): DigestSet {
  const rows = Math.floor(entriesMax / ways)
  if (!(rows >= 1)) throw new RangeError('"entriesMax" must be at least 8')
  const digests = new Uint8Array(rows * ways * digestBytes)
  // 0: the place is free.
  const expiries = new Float64Array(rows * ways)
  let size = 0

  /** Its first place. Whoever crowds one row on purpose pushes out digests of his own. */
  function rowOf(digest: Uint8Array): number {
    const [a = 0, b = 0, c = 0, d = 0] = digest
    return ((((a << 24) | (b << 16) | (c << 8) | d) >>> 0) % rows) * ways
  }

  function holds(place: number, digest: Uint8Array): boolean {
    if (expiries[place] === 0) return false
    const start = place * digestBytes
    for (let at = 0; at < digestBytes; at++) {
      if (digests[start + at] !== digest[at]) return false
    }
    return true
  }

  return {
    has(digest, now) {
      const row = rowOf(digest)
      for (let place = row; place < row + ways; place++) {
        if (holds(place, digest)) return now < expiries[place]!
      }
      return false
    },
    add(digest, expiresAt) {
      const row = rowOf(digest)
      let chosen = row
      for (let place = row; place < row + ways; place++) {
        if (holds(place, digest)) {
          chosen = place
          break
        }
        if (expiries[place]! < expiries[chosen]!) chosen = place
      }
      if (expiries[chosen] === 0) size++
      digests.set(digest, chosen * digestBytes)
      expiries[chosen] = expiresAt
    },
    clear() {
      expiries.fill(0)
      size = 0
    },
    get size() {
      return size
    },
  }
}
