/**
 * Bounds what a store that does not answer can cost: each call by a deadline, and all calls after
 * `failuresMax` failures in a row by not making them. While it is open a probe is sent in the
 * background, never a caller's request, and the first that succeeds closes it.
 */
import { StoreDown } from '../../context.ts'

export type BreakerOptions = {
  readonly timeoutMs: number
  /** How many failures in a row open it. */
  readonly failuresMax: number
  readonly probeEveryMs: number
  /** Rejects while the store is not fit to be used. It must settle by itself. */
  readonly probe: () => Promise<void>
  readonly onChange: (open: boolean, cause: string) => void
}

type Waiting = {
  readonly due: number
  readonly reject: (error: StoreDown) => void
  settled: boolean
}

/** A breaker around the calls to one server. Failures are rejections with `StoreDown`. */
export class Breaker {
  readonly #options: BreakerOptions
  /** In order of their deadlines, because each waits equally long. Those before `#first` are done. */
  #waiting: (Waiting | undefined)[] = []
  #first = 0
  #failures = 0
  #refusal: StoreDown | null = null
  #deadline: NodeJS.Timeout | undefined
  #probing: NodeJS.Timeout | undefined
  #closed = false

  constructor(options: BreakerOptions) {
    this.#options = options
  }

  get isOpen(): boolean {
    return this.#refusal !== null
  }

  /** Makes the call, or rejects at once while open. A call that throws has failed like any other. */
  run<Reply>(call: () => Promise<Reply>): Promise<Reply> {
    // One error for all of them: while open this is the hot path, and a stack costs microseconds.
    if (this.#refusal !== null) return Promise.reject(this.#refusal)
    return new Promise<Reply>((resolve, reject) => {
      const due = performance.now() + this.#options.timeoutMs
      const waiting: Waiting = { due, reject, settled: false }
      const done = (reply: Reply): void => {
        if (waiting.settled) return
        waiting.settled = true
        this.#failures = 0
        this.#letGo()
        resolve(reply)
      }
      const failed = (error: unknown): void => this.#fail(waiting, reasonOf(error))
      this.#waiting.push(waiting)
      this.#deadline ??= this.#arm(this.#options.timeoutMs)
      try {
        call().then(done, failed)
      } catch (error) {
        failed(error)
      }
    })
  }

  /** Opens it, rejecting all that wait, and keeps probing until a probe succeeds. */
  open(cause: string): void {
    if (this.#closed || this.#refusal !== null) return
    this.#refusal = new StoreDown(cause)
    for (const waiting of this.#waiting) if (waiting !== undefined) this.#settle(waiting, cause)
    this.#waiting = []
    this.#first = 0
    this.#options.onChange(true, cause)
    this.#probeAfter(this.#options.probeEveryMs)
  }

  /** Probes now, not when it is next due: for when the connection has just come back. */
  probeNow(): void {
    if (this.#refusal === null || this.#probing === undefined) return
    clearTimeout(this.#probing)
    this.#probeAfter(0)
  }

  /** Stops probing; calls are rejected from here on. */
  close(): void {
    this.open('the counter is closed')
    this.#closed = true
    clearTimeout(this.#probing)
    clearTimeout(this.#deadline)
  }

  #fail(waiting: Waiting, cause: string): void {
    if (waiting.settled) return
    this.#settle(waiting, cause)
    this.#failures++
    if (this.#failures >= this.#options.failuresMax) this.open(cause)
  }

  #settle(waiting: Waiting, cause: string): void {
    if (waiting.settled) return
    waiting.settled = true
    waiting.reject(new StoreDown(cause))
  }

  #arm(afterMs: number): NodeJS.Timeout {
    // A stalled event loop must not look like a dead store: answers that have already arrived are
    // read in the I/O phase, which comes between the timer and setImmediate.
    return setTimeout(() => setImmediate(() => this.#sweep()), afterMs).unref()
  }

  #sweep(): void {
    this.#deadline = undefined
    const now = performance.now()
    const late = `no answer in ${this.#options.timeoutMs} ms`
    for (let next = this.#next(); next !== undefined; next = this.#next()) {
      if (next.due > now) {
        this.#deadline = this.#arm(Math.max(1, next.due - now))
        return
      }
      this.#fail(next, late)
    }
  }

  /** The call that has waited longest and still does. */
  #next(): Waiting | undefined {
    this.#letGo()
    return this.#waiting[this.#first]
  }

  /** Forgets calls as they are answered, in order: kept until their deadlines, they cost the GC dearly. */
  #letGo(): void {
    while (this.#waiting[this.#first]?.settled === true) this.#waiting[this.#first++] = undefined
    if (this.#first < 1024) return
    this.#waiting = this.#waiting.slice(this.#first)
    this.#first = 0
  }

  #probeAfter(afterMs: number): void {
    if (this.#closed) return
    this.#probing = setTimeout(() => {
      this.#probing = undefined
      this.#options.probe().then(
        () => this.#recover(),
        () => this.#probeAfter(this.#options.probeEveryMs),
      )
    }, afterMs).unref()
  }

  #recover(): void {
    if (this.#closed) return
    this.#refusal = null
    this.#failures = 0
    this.#options.onChange(false, 'answers again')
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
