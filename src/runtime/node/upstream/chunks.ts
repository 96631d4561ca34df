/**
 * Takes the chunked coding off a body (RFC 9112 section 7.1), in whatever pieces it arrives.
 *
 * The danger is a size that another reader takes for another number, and what may stand around it:
 * a size is hexadecimal digits and nothing else, lines end in CR LF, and extensions, which nobody
 * needs, are skipped up to a limit over the whole body (threats R9, R10).
 */
import { HopFault } from '../../../context.ts'
import { Section } from './section.ts'

/** Takes pieces of a body: the bytes from `from` to `to`, which are only lent. */
export type BodySink = { onBody(bytes: Buffer, from: number, to: number): void }

/** 2^52, and more than anybody has sent. */
const sizeDigitsMax = 13
const extensionBytesMax = 16_384

type State = 'size' | 'extension' | 'feed' | 'data' | 'dataEnd' | 'dataFeed' | 'trailers'

export class Chunks {
  #state: State = 'size'
  #size = 0
  #digits = 0
  #extensionBytes = 0
  readonly #trailers = new Section()

  begin(): void {
    this.#state = 'size'
    this.#size = 0
    this.#digits = 0
    this.#extensionBytes = 0
    this.#trailers.begin(false)
  }

  /** Names and values in turn, once the body has ended. */
  trailers(): string[] {
    return this.#trailers.fields()
  }

  /**
   * Reads on at `from` and hands on what is of the body. The index behind the body's end, or -1 when
   * that has not come yet. Throws a `HopFault` when this is not the coding.
   */
  take(bytes: Buffer, from: number, to: number, sink: BodySink): number {
    let at = from
    while (at < to) {
      if (this.#state === 'trailers') return this.#trailers.take(bytes, at, to)
      if (this.#state === 'data') {
        const end = Math.min(to, at + this.#size)
        this.#size -= end - at
        if (this.#size === 0) this.#state = 'dataEnd'
        sink.onBody(bytes, at, end)
        at = end
      } else {
        this.#step(bytes[at] ?? 0)
        at += 1
      }
    }
    return -1
  }

  /** One byte of what stands around the data. */
  #step(byte: number): void {
    switch (this.#state) {
      case 'size':
        this.#sizeByte(byte)
        return
      case 'extension':
        if (byte === 13) this.#state = 'feed'
        else if (!isText(byte)) throw bad('a byte that no chunk extension may hold')
        else if (++this.#extensionBytes > extensionBytesMax)
          throw bad('too much of chunk extensions')
        return
      case 'feed':
        if (byte !== 10) throw bad('a chunk size that does not end in CR LF')
        this.#digits = 0
        this.#state = this.#size === 0 ? 'trailers' : 'data'
        return
      case 'dataEnd':
        if (byte !== 13) throw bad('a chunk that is longer than its size')
        this.#state = 'dataFeed'
        return
      default:
        if (byte !== 10) throw bad('a chunk that does not end in CR LF')
        this.#state = 'size'
    }
  }

  #sizeByte(byte: number): void {
    const digit = digitOf(byte)
    if (digit >= 0) {
      this.#digits += 1
      if (this.#digits > sizeDigitsMax) throw bad('a chunk size of too many digits')
      this.#size = this.#size * 16 + digit
      return
    }
    if (this.#digits === 0) throw bad('a chunk without a size')
    if (byte === 13) this.#state = 'feed'
    // RFC 9112 7.1.1 lets blanks stand before an extension, and a lenient reader might end there.
    else if (byte === 59) this.#state = 'extension'
    else throw bad('a chunk size that is no number')
  }
}

function digitOf(byte: number): number {
  if (byte >= 48 && byte <= 57) return byte - 48
  const letter = byte | 32
  return letter >= 97 && letter <= 102 ? letter - 87 : -1
}

const isText = (byte: number): boolean => byte === 9 || (byte >= 32 && byte !== 127)

const bad = (cause: string): HopFault => new HopFault('http_protocol_error', false, cause)
