/**
 * Where do patterns stand in bytes, and could one be beginning at their end? Two ways to know: one that
 * looks at few of the bytes, and one whose work is bounded whatever the bytes and the patterns are.
 *
 * The danger is who chooses them: a pattern of one letter four thousand times, and an answer made of
 * that letter, would keep the quick one, and everybody who waits for it, busy for a second. It counts
 * what it does, and gives up in time for the steady one to take over.
 */

/** From where to where. */
export type Range = readonly [start: number, end: number]

/** `waiting`: how many bytes at the end are the beginning of a pattern, and not all of it. */
export type Found = { readonly ranges: readonly Range[]; readonly waiting: number }

/** As many kinds of pairs of bytes as are told apart. A power of two. */
const kinds = 4096
const farthest = 255
/** Steps that a stream may take beyond those of its length. */
const stepsFree = 100_000
const stepsPerByte = 16

/**
 * All patterns at once (Wu and Manber 1994). A window as long as the shortest of them moves over the
 * bytes, and its last two say how far it may move without missing one: mostly by its length.
 */
export class QuickSearch {
  readonly #patterns: readonly Uint8Array[]
  readonly #least: number
  readonly #shifts: Uint8Array
  readonly #endings = new Map<number, Uint8Array[]>()
  #steps = stepsFree

  /** Patterns are not empty. */
  constructor(patterns: readonly Uint8Array[]) {
    this.#patterns = patterns
    const least = patterns.reduce((min, { length }) => Math.min(min, length), farthest)
    this.#least = least
    const isPair = least > 1
    this.#shifts = new Uint8Array(kinds).fill(isPair ? least - 1 : least)
    for (const pattern of patterns) {
      for (let at = isPair ? 1 : 0; at < least; at++) {
        const kind = this.#kindAt(pattern, at)
        this.#shifts[kind] = Math.min(this.#shifts[kind] ?? 0, least - 1 - at)
      }
      const last = this.#kindAt(pattern, least - 1)
      this.#endings.set(last, [...(this.#endings.get(last) ?? []), pattern])
    }
  }

  /**
   * Searches what waited together with what is new, of which there are `freshBytes`. null: it would
   * take too long, now and from here on.
   */
  take(bytes: Uint8Array, freshBytes: number): Found | null {
    this.#steps += freshBytes * stepsPerByte - bytes.length
    const ranges = this.#find(bytes)
    const waiting = this.#steps < 0 ? 0 : this.#waiting(bytes)
    return this.#steps < 0 ? null : { ranges, waiting }
  }

  #find(bytes: Uint8Array): Range[] {
    const ranges: Range[] = []
    const least = this.#least
    const shifts = this.#shifts
    for (let at = least - 1; at < bytes.length && this.#steps >= 0; ) {
      const kind = this.#kindAt(bytes, at)
      const shift = shifts[kind] ?? 0
      if (shift === 0) this.#check(bytes, at - least + 1, this.#endings.get(kind) ?? [], ranges)
      at += shift === 0 ? 1 : shift
    }
    return ranges
  }

  #check(bytes: Uint8Array, start: number, patterns: readonly Uint8Array[], into: Range[]): void {
    for (const pattern of patterns) {
      const end = start + pattern.length
      if (end <= bytes.length && this.#matches(bytes, start, pattern, pattern.length)) {
        into.push([start, end])
      }
    }
  }

  #waiting(bytes: Uint8Array): number {
    let most = 0
    for (const pattern of this.#patterns) {
      const first = pattern[0] ?? 0
      let at = bytes.indexOf(first, Math.max(0, bytes.length - pattern.length + 1))
      while (at >= 0 && bytes.length - at > most && this.#steps >= 0) {
        if (this.#matches(bytes, at, pattern, bytes.length - at)) most = bytes.length - at
        at = bytes.indexOf(first, at + 1)
      }
    }
    return most
  }

  #matches(bytes: Uint8Array, at: number, pattern: Uint8Array, length: number): boolean {
    let left = length - 1
    while (left >= 0 && bytes[at + left] === pattern[left]) left -= 1
    this.#steps -= length - left
    return left < 0
  }

  #kindAt(bytes: Uint8Array, at: number): number {
    if (this.#least < 2) return bytes[at] ?? 0
    return (((bytes[at - 1] ?? 0) << 4) ^ (bytes[at] ?? 0)) & (kinds - 1)
  }
}

type Watched = { readonly pattern: Uint8Array; readonly borders: Uint16Array; matched: number }

/** Each pattern by itself (Knuth, Morris and Pratt 1977): two steps for a byte at most. */
export class SteadySearch {
  readonly #watched: readonly Watched[]

  /** Patterns have less than 65 536 bytes. */
  constructor(patterns: readonly Uint8Array[]) {
    this.#watched = patterns.map((pattern) => ({
      ...{ pattern, borders: bordersOf(pattern), matched: 0 },
    }))
  }

  /** Reads what is new; `offset` is added to its places. */
  take(fresh: Uint8Array, offset: number): Found {
    const ranges: Range[] = []
    let waiting = 0
    for (const one of this.#watched) {
      read(one, fresh, offset, ranges)
      waiting = Math.max(waiting, one.matched)
    }
    return { ranges, waiting }
  }
}

function read(one: Watched, fresh: Uint8Array, offset: number, into: Range[]): void {
  const { pattern, borders } = one
  let matched = one.matched
  for (let at = 0; at < fresh.length; at++) {
    matched = follow(pattern, borders, matched, fresh[at] ?? 0)
    if (matched < pattern.length) continue
    const end = offset + at + 1
    const last = into.at(-1)
    // One that runs into the one before makes it longer: there may be one for each byte.
    if (last !== undefined && last[1] >= end - matched && last[0] <= end - matched) {
      into[into.length - 1] = [last[0], Math.max(last[1], end)]
    } else into.push([end - matched, end])
    matched = borders[matched - 1] ?? 0
  }
  one.matched = matched
}

/** How much of the pattern has been seen, after one byte more. */
function follow(pattern: Uint8Array, borders: Uint16Array, matched: number, byte: number): number {
  let length = matched
  while (length > 0 && pattern[length] !== byte) length = borders[length - 1] ?? 0
  return pattern[length] === byte ? length + 1 : 0
}

/** For each beginning of a pattern: how long an end of it is a beginning too. */
function bordersOf(pattern: Uint8Array): Uint16Array {
  const borders = new Uint16Array(pattern.length)
  for (let at = 1; at < pattern.length; at++) {
    borders[at] = follow(pattern, borders, borders[at - 1] ?? 0, pattern[at] ?? 0)
  }
  return borders
}
