/**
 * Where does a block of header lines end, and what stands in it? The head of an answer and the
 * trailers of a chunked one are read here, in whatever pieces they arrive.
 *
 * It knows no field by name. The danger is a reader that is more lenient than the next one: what two
 * of them take apart differently is how one answer becomes two. So lines end in CR LF and in nothing
 * else, a name is a token with a colon right behind it, and a line that is folded is refused, though
 * RFC 9112 section 5.2 would let a gateway unfold it (threats R7, R8, R25).
 */
import { HopFault } from '../../../context.ts'

/** Of a head or of trailers, status line and line ends included. */
export const sectionBytesMax = 65_536

const lineFeed = 10
const carriageReturn = 13
const colon = 58
const start = [...'HTTP/'].map((letter) => letter.charCodeAt(0))

/** What may stand in a value or a reason (RFC 9110 5.5), and in a name (5.6.2). */
const text = 1
const token = 2
const kinds = new Uint8Array(256)
for (let byte = 0; byte < 256; byte++) {
  if (byte === 9 || (byte >= 32 && byte !== 127)) kinds[byte] = text
  if (/[\w!#$%&'*+.^`|~-]/.test(String.fromCharCode(byte))) kinds[byte] = text | token
}

type State = 'first' | 'name' | 'value' | 'feed' | 'line' | 'last'

export class Section {
  /** Offsets from the start: the end of the status line; then of each field its colon and its end. */
  readonly #marks: number[] = []
  #state: State = 'first'
  #hasStatus = true
  #nameAt = 0
  /** Bytes of earlier pieces, which are kept in `#held`. */
  #taken = 0
  #held: Buffer | null = null
  #text = ''

  /** Begins a section: with a status line, or with its first field. */
  begin(hasStatus: boolean): void {
    this.#marks.length = 0
    this.#state = hasStatus ? 'first' : 'line'
    this.#hasStatus = hasStatus
    this.#nameAt = 0
    this.#taken = 0
    this.#held = null
  }

  /** Something of it has arrived. */
  get isBegun(): boolean {
    return this.#taken > 0
  }

  /**
   * Reads on at `from`. The index behind the section's end, or -1 when that has not come yet; the
   * bytes are copied then. Throws a `HopFault` when this is no section, or too large a one.
   */
  take(bytes: Buffer, from: number, to: number): number {
    if (this.#state === 'first' && this.#taken < start.length) this.#checkStart(bytes, from, to)
    const end = this.#scan(bytes, from, to)
    const size = this.#taken + (end < 0 ? to : end) - from
    if (size > sectionBytesMax) {
      const cause = `more than ${sectionBytesMax} bytes of header lines`
      throw new HopFault('http_response_header_section_size', false, cause)
    }
    if (end < 0 || this.#held !== null) this.#hold(bytes, from, end < 0 ? to : end)
    if (end < 0) return -1
    this.#text = this.#held?.toString('latin1', 0, size) ?? bytes.toString('latin1', from, end)
    this.#held = null
    return end
  }

  #scan(bytes: Buffer, from: number, to: number): number {
    const shift = this.#taken - from
    let at = from
    while (at < to) {
      switch (this.#state) {
        case 'first':
        case 'value':
          at = skip(bytes, at, to, text)
          if (at === to) break
          if (bytes[at] !== carriageReturn) throw bad('a byte that no header line may hold')
          this.#marks.push(at + shift)
          this.#state = 'feed'
          at += 1
          break
        case 'feed':
          if (bytes[at] !== lineFeed) throw bad('a line that does not end in CR LF')
          this.#state = 'line'
          at += 1
          break
        case 'line':
          this.#nameAt = at + shift
          this.#state = bytes[at] === carriageReturn ? 'last' : 'name'
          if (this.#state === 'last') at += 1
          break
        case 'name':
          at = skip(bytes, at, to, token)
          if (at === to) break
          if (bytes[at] !== colon || at + shift === this.#nameAt) throw bad('a line with no name')
          this.#marks.push(at + shift)
          this.#state = 'value'
          at += 1
          break
        case 'last':
          if (bytes[at] !== lineFeed) throw bad('header lines that do not end in CR LF')
          return at + 1
      }
    }
    return -1
  }

  /** What does not even begin like an answer is not waited for. */
  #checkStart(bytes: Buffer, from: number, to: number): void {
    const end = Math.min(start.length, this.#taken + to - from)
    for (let at = this.#taken; at < end; at++) {
      if (bytes[from + at - this.#taken] !== start[at]) throw bad('no HTTP')
    }
  }

  #hold(bytes: Buffer, from: number, to: number): void {
    const size = this.#taken + to - from
    if (this.#held === null || this.#held.length < size) {
      const larger = Buffer.allocUnsafe(Math.max(1024, 2 * size))
      this.#held?.copy(larger, 0, 0, this.#taken)
      this.#held = larger
    }
    bytes.copy(this.#held, this.#taken, from, to)
    this.#taken = size
  }

  /** The status line, of a whole section that has one. */
  get statusLine(): string {
    return this.#text.slice(0, this.#marks[0] ?? 0)
  }

  /** Names and values in turn, of a whole section. Bytes above 127 are latin-1. */
  fields(): string[] {
    const marks = this.#marks
    const list: string[] = []
    let at = this.#hasStatus ? 1 : 0
    let from = this.#hasStatus ? (marks[0] ?? 0) + 2 : 0
    for (; at < marks.length; at += 2) {
      const nameEnd = marks[at] ?? 0
      const end = marks[at + 1] ?? 0
      list.push(this.#text.slice(from, nameEnd), trimmed(this.#text, nameEnd + 1, end))
      from = end + 2
    }
    return list
  }
}

/** The index of the first byte that is not of this kind. */
function skip(bytes: Buffer, from: number, to: number, kind: number): number {
  let at = from
  while (at < to && ((kinds[bytes[at] ?? 0] ?? 0) & kind) !== 0) at += 1
  return at
}

/** Without the blanks around it, which are not of the value (RFC 9112 5.1). */
function trimmed(line: string, from: number, to: number): string {
  let first = from
  let last = to
  while (first < last && isBlank(line.charCodeAt(first))) first += 1
  while (last > first && isBlank(line.charCodeAt(last - 1))) last -= 1
  return line.slice(first, last)
}

const isBlank = (code: number): boolean => code === 32 || code === 9

const bad = (cause: string): HopFault => new HopFault('http_protocol_error', false, cause)
