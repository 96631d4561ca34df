/**
 * A request as it arrives: `IncomingMessage`, with its body counted, bounded and timed.
 *
 * A body that goes wrong (too large, stalled, malformed) fails for whoever reads it, with a `Problem`
 * that becomes the answer. It never looks like a shorter body that ended well, and it never takes the
 * connection away before the answer is written (threats R17, R20).
 */
import { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { Problem } from '../../problem.ts'

/** Bytes and milliseconds; all may be set in `createFront`. */
export type BodyLimits = {
  /** Of a body whose route has not said; a route says with `Exchange.limitBody`. */
  readonly bodyBytesMax: number
  /** Between two pieces of a body that somebody waits for, unless it is passed on as it comes. */
  readonly bodyIdleMs: number
  /** For a whole body, however steadily it comes, unless it is passed on as it comes. */
  readonly requestMs: number
  /** Beyond this, nothing more is read of a body nobody wants; the rest is given time to be sent. */
  readonly drainBytesMax: number
  readonly drainMs: number
}

// Replaced before anything is read: Node makes the object, and the front knows the limits.
const noLimits: BodyLimits = {
  bodyBytesMax: 0,
  bodyIdleMs: 0,
  requestMs: 0,
  drainBytesMax: 0,
  drainMs: 0,
}

export class Incoming extends IncomingMessage {
  /** Bytes of body that have arrived, wanted or not. */
  receivedBytes = 0
  bytesMax = Number.POSITIVE_INFINITY
  /** Called once, when somebody first asks for the body: time to send `100 Continue`. */
  onWanted: (() => void) | null = null
  limits = noLimits
  /** Somebody reads, or has read, the body. */
  wanted = false
  /**
   * The body is passed on as it comes: it may take its time, and pause for this long. A client that
   * makes its body while it sends it, as git compresses a pack, has nothing to send for a while.
   */
  passedOn: { readonly idleMs: number } | null = null
  #hurry: ReturnType<typeof setTimeout> | null = null
  #failure: Problem | null = null
  #timed = false
  #discarding = false
  #onDiscarded: (() => void) | null = null

  constructor(socket: Socket) {
    super(socket)
  }

  /** The parser's way in. null is the end. False stops reading from the socket. */
  override push(chunk: Buffer | null, encoding?: BufferEncoding): boolean {
    if (chunk === null) return this.#end()
    this.receivedBytes += chunk.length
    if (this.#discarding || this.#failure !== null || this.destroyed) {
      return this.receivedBytes < this.limits.drainBytesMax
    }
    if (this.receivedBytes <= this.bytesMax) return super.push(chunk, encoding)
    this.fail(new Problem('request/too_large', { detail: `Send at most ${this.bytesMax} bytes.` }))
    return true
  }

  #end(): boolean {
    this.#stopTimers()
    this.#onDiscarded?.()
    // The end of a body that failed is not an end: a reader that comes late must see the failure.
    return this.#failure === null ? super.push(null) : false
  }

  override _read(size: number): void {
    if (this.#failure !== null && !this.#discarding) {
      this.destroy(this.#failure)
      return
    }
    if (!this.wanted && !this.#discarding) {
      this.wanted = true
      this.onWanted?.()
      if (!this.complete) this.#startTimer()
    }
    super._read(size)
  }

  #startTimer(): void {
    const { bodyIdleMs, requestMs } = this.limits
    const { idleMs } = this.passedOn ?? { idleMs: bodyIdleMs }
    this.#timed = true
    this.socket.setTimeout(idleMs)
    if (this.passedOn === null) {
      const late = () =>
        this.fail(new Problem('request/timeout', { cause: 'the body took too long' }))
      this.#hurry = setTimeout(late, requestMs)
    }
    this.on('timeout', () => {
      // A reader that has paused is slow itself; the client is not to blame.
      if (this.isPaused()) this.socket.setTimeout(idleMs)
      else this.fail(new Problem('request/timeout', { cause: 'the body stalled' }))
    })
  }

  #stopTimers(): void {
    if (!this.#timed) return
    this.socket.setTimeout(0)
    if (this.#hurry !== null) clearTimeout(this.#hurry)
  }

  /** A header by its lower-case name. Those that count are in the request once (frame.ts). */
  get(name: string): string | null {
    const value = this.headers[name]
    return typeof value === 'string' ? value : null
  }

  /** All of the body has arrived, and is good. */
  get isWhole(): boolean {
    return this.complete && this.#failure === null
  }

  /** Why the body is no good, as far as is known. */
  get failure(): Problem | null {
    return this.#failure
  }

  /** Makes reading the body throw `problem`, now or whenever somebody starts to. */
  fail(problem: Problem): void {
    if (this.complete || this.#failure !== null) return
    this.#failure = problem
    this.#stopTimers()
    if (this.wanted) this.destroy(problem)
  }

  // The original destroys the socket of an unfinished request, and with it the answer. Here the
  // connection ends after the answer, because the answer says `Connection: close`.
  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#stopTimers()
    process.nextTick(() => done(this.listenerCount('error') > 0 ? error : null))
  }

  /**
   * Reads and drops what is left of the body, within the limits, and then calls `done` once: at its
   * end, or when time is up.
   */
  discard(done: () => void): void {
    const timer = setTimeout(() => this.#onDiscarded?.(), this.limits.drainMs)
    this.#onDiscarded = () => {
      this.#onDiscarded = null
      clearTimeout(timer)
      done()
    }
    this.#stopTimers()
    this.#discarding = true
    if (this.receivedBytes < this.limits.drainBytesMax) this.resume()
  }
}
