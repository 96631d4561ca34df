/**
 * The bytes of one body on their way from a stream to another, a piece at a time, each side held back
 * by the other's pace. Nothing is kept but the piece that is being passed on.
 *
 * The danger is an end that looks whole: a side that breaks must break the other one, and the length
 * that was announced is announced again, so that a body cut short is seen to be (threats R25).
 */
import type { Mask } from '../../lib/mask.ts'

/** How it ended before its time. `from`: where it comes from. `to`: who takes it. */
export type Broken = { readonly side: 'from' | 'to'; readonly error: unknown }

/** Told of each step. */
export type Watch = {
  /** The next piece is being waited for. */
  waiting?(): void
  /** It is there; `bytes` is the sum so far. What this throws breaks both sides. */
  arrived?(bytes: number): void
  /** What the bytes are passed through; their number stays the same. */
  readonly mask?: Mask | null
}

export class Relay {
  /** What is to be sent. */
  readonly readable: ReadableStream<Uint8Array>
  /** Resolves when the last byte has been taken, with null, or when it has broken. Never rejects. */
  readonly over: Promise<Broken | null>
  /** Passed on so far. */
  bytes = 0
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>
  readonly #watch: Watch
  #broken: Broken | null = null
  #ended = false

  /** Begins at once. `length` is what was announced in bytes, null where nothing was. */
  constructor(from: ReadableStream<Uint8Array>, length: number | null, watch: Watch = {}) {
    const { readable, writable } =
      length === null ? new IdentityTransformStream() : new FixedLengthStream(length)
    this.readable = readable
    this.#reader = from.getReader()
    this.#writer = writable.getWriter()
    this.#watch = watch
    // Whoever takes it may leave while nothing comes.
    this.#writer.closed.catch((error: unknown) => this.stop('to', error))
    this.over = this.#run()
  }

  /** Breaks both sides off, unless it has ended. */
  stop(side: Broken['side'], error: unknown): void {
    if (this.#ended || this.#broken !== null) return
    this.#broken = { side, error }
    this.#reader.cancel(error).catch(ignore)
    this.#writer.abort(error).catch(ignore)
  }

  async #run(): Promise<Broken | null> {
    let side: Broken['side'] = 'from'
    try {
      for (;;) {
        side = 'from'
        this.#watch.waiting?.()
        const { done, value } = await this.#reader.read()
        if (this.#broken !== null) break
        this.bytes += value?.byteLength ?? 0
        this.#watch.arrived?.(this.bytes)
        side = 'to'
        const { mask } = this.#watch
        const shown = mask == null ? value : done ? mask.end() : mask.push(value)
        // A piece may be waited with whole, and an end have nothing left.
        if (shown !== undefined && shown.length > 0) await this.#writer.write(shown)
        if (done) {
          await this.#writer.close()
          this.#ended = true
          break
        }
      }
    } catch (error) {
      this.stop(side, error)
    }
    return this.#broken
  }
}

const ignore = (): void => {}

/** Of `Content-Length`; null without one, or where it is no number. */
export function lengthOf(headers: Headers): number | null {
  const length = headers.get('content-length')
  return length !== null && /^\d{1,15}$/.test(length) ? Number(length) : null
}
