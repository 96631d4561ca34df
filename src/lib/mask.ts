/**
 * Covers what must not be read in bytes that stream past: each occurrence of a pattern becomes as many
 * asterisks, however the bytes are cut into pieces. Lengths stay, so a Content-Length stays true.
 *
 * The danger is the seam: a value that begins in one piece ends in the next. So the end of a piece
 * that could be the beginning of a pattern waits for the next one, and nothing else does.
 */
import { QuickSearch, type Range, SteadySearch } from './search.ts'

export type Mask = {
  /** What of the bytes so far may go on. Does not change `piece`, and may answer with it. */
  push(piece: Uint8Array): Uint8Array
  /** What still waited. */
  end(): Uint8Array
}

/** Shorter values are not covered: they would be found everywhere. In bytes. */
export const maskedMin = 4

const asterisk = 42
const none = new Uint8Array()

/**
 * The ways in which a value is likely to come back, as texts: as it is, in JSON, URL-encoded (RFC 3986
 * and as forms are), and in base64 (RFC 4648, both alphabets) at each of the three places a byte can
 * have in it. Empty for values below `maskedMin`.
 */
export function formsOf(value: string): string[] {
  const bytes = encoder.encode(value)
  if (bytes.length < maskedMin) return []
  const escaped = percentEncoded(bytes)
  const texts = new Set([
    value,
    JSON.stringify(value).slice(1, -1),
    ...[encodeURIComponent(value.toWellFormed()), escaped],
    ...[escaped.replaceAll('%20', '+'), escaped.replace(/%../g, (code) => code.toLowerCase())],
    ...[0, 1, 2].flatMap((at) => base64Core(bytes, at)),
  ])
  return [...texts]
}

/** The same as bytes, ready for `createMask`. */
export const patternsOf = (value: string): Uint8Array[] => formsOf(value).map(toBytes)

const encoder = new TextEncoder()
const toBytes = (text: string): Uint8Array => encoder.encode(text)

/** Everything but RFC 3986's unreserved characters. */
function percentEncoded(bytes: Uint8Array): string {
  let text = ''
  for (const byte of bytes) {
    const character = String.fromCharCode(byte)
    const plain = /[A-Za-z0-9._~-]/.test(character)
    text += plain ? character : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`
  }
  return text
}

/** The characters that depend on nothing but `bytes`, when as many bytes as `at` precede them. */
function base64Core(bytes: Uint8Array, at: number): string[] {
  const shifted = new Uint8Array(at + bytes.length)
  shifted.set(bytes, at)
  const text = btoa(String.fromCharCode(...shifted))
  const whole = Math.floor((shifted.length * 8) / 6)
  const core = text.slice(Math.ceil((at * 8) / 6), whole)
  return core.length < maskedMin ? [] : [core, core.replaceAll('+', '-').replaceAll('/', '_')]
}

/** A mask for one stream. Patterns are bytes, none of them empty. */
export function createMask(patterns: readonly Uint8Array[]): Mask {
  const quick = new QuickSearch(patterns)
  let steady: SteadySearch | null = null
  /** The end of what was pushed, which may be the beginning of a pattern. A copy: pieces are lent. */
  let held: Uint8Array = none
  /** What of it is covered whatever follows. */
  let carried: readonly Range[] = []

  return {
    push(piece) {
      const bytes = held.length === 0 ? piece : joined(held, piece)
      let found = steady?.take(piece, held.length) ?? quick.take(bytes, piece.length)
      if (found === null) {
        steady = new SteadySearch(patterns)
        found = steady.take(bytes, 0)
      }
      const ranges = carried.length === 0 ? found.ranges : [...carried, ...found.ranges]
      const stop = bytes.length - found.waiting
      held = stop === bytes.length ? none : copyOf(bytes, stop, bytes.length)
      carried = ranges
        .filter(([, end]) => end > stop)
        .map(([start, end]) => [Math.max(0, start - stop), end - stop])
      return cover(bytes, ranges, stop)
    },
    end() {
      const rest = cover(held, carried, held.length)
      held = none
      carried = []
      return rest
    },
  }
}

function joined(first: Uint8Array, second: Uint8Array): Uint8Array {
  const both = new Uint8Array(first.length + second.length)
  both.set(first)
  both.set(second, first.length)
  return both
}

/** `slice` of a Buffer is no copy. */
function copyOf(bytes: Uint8Array, from: number, to: number): Uint8Array {
  const copy = new Uint8Array(to - from)
  copy.set(bytes.subarray(from, to))
  return copy
}

/** The bytes before `stop`, with the ranges covered. The same object where nothing is to be covered. */
function cover(bytes: Uint8Array, ranges: readonly Range[], stop: number): Uint8Array {
  const output = stop === bytes.length ? bytes : bytes.subarray(0, stop)
  const inside = ranges.filter(([start]) => start < stop)
  if (inside.length === 0) return output
  const copy = copyOf(output, 0, output.length)
  for (const [start, end] of inside) copy.fill(asterisk, start, end)
  return copy
}
