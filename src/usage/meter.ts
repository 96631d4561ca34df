/**
 * What did each key use? Every request is added to a sum in memory, and the sums are written in
 * batches, by one writer, a second later at most. So a process that is killed loses a second of its
 * own traffic, and none is ever counted twice (threats Q9, Q10).
 *
 * It refuses to make a request wait, whatever the store does. While that is away, the sums go on
 * growing in their place and it is asked less and less often. The danger is memory: sums are held up
 * to a number, and a request of yet another key is then not counted but dropped, which is told.
 */
import { type Outcome, StoreDown, type UsageBatch } from '../context.ts'
import { createLru } from '../lib/lru.ts'
import { Ledger, type Sending } from './ledger.ts'

export type MeterOptions = {
  /** Adds a batch of a platform, all or none, and once under its id. StoreDown: nobody knows. */
  write(platform: string, batch: UsageBatch): Promise<unknown>
  /** Told what an operator should know of what happens to the sums. Never throws. */
  warn(message: string, fields: Readonly<Record<string, unknown>>): void
  /** How long a request may wait to be written. */
  readonly flushMs?: number
  /** The same for a secret that this process has not seen: its first use may end another's time. */
  readonly promptMs?: number
  /** Sums in a batch; as many waiting are written at once. */
  readonly batchMax?: number
  /** Sums held, of each secret and day one. Past it, requests of further ones are dropped. */
  readonly entriesMax?: number
  /** Secrets remembered as seen; the least recently used is forgotten. */
  readonly seenMax?: number
  /** Between two tries while the store is away; they start at `flushMs`. */
  readonly retryMsMax?: number
  /** How long the last flush may try. */
  readonly closeMs?: number
  /** Milliseconds since 1970. */
  now?(): number
}

export type Meter = {
  /** Adds a request that is over. One without a good key is nobody's. Never throws, never waits. */
  note(outcome: Outcome): void
  /** Writes what is held now. Resolves to whether all of it was. Never rejects. */
  flush(): Promise<boolean>
  /** The last flush: tries for `closeMs`, and tells what is lost. What is noted later is not counted. */
  close(): Promise<void>
}

// The store remembers a batch's id for 24 hours; after that, sent again, it could count twice.
const batchMsMax = 20 * 3_600_000
// A batch that the store refuses again and again would hold up all that comes after it.
const refusalsMax = 10

/** Starts a meter; it has a timer only while it holds something. */
export function createMeter(options: MeterOptions): Meter {
  return new SummingMeter(options)
}

class SummingMeter implements Meter {
  readonly #options: Required<MeterOptions>
  readonly #ledgers = new Map<string, Ledger>()
  readonly #seen
  readonly #now: () => number
  /** Sums in all ledgers. */
  #held = 0
  /** Requests dropped since it was last told. */
  #dropped = 0
  #timer: ReturnType<typeof setTimeout> | undefined
  /** Something held is to be written in `promptMs`. */
  #hurried = false
  #running: Promise<boolean> | null = null
  /** Rounds that failed, in a row. */
  #failures = 0
  #closed = false

  constructor(options: MeterOptions) {
    this.#options = {
      flushMs: 1000,
      promptMs: 100,
      batchMax: 1000,
      entriesMax: 100_000,
      seenMax: 50_000,
      retryMsMax: 15_000,
      closeMs: 3000,
      now: Date.now,
      ...options,
    }
    this.#now = this.#options.now
    this.#seen = createLru<true>(this.#options.seenMax)
  }

  note(outcome: Outcome): void {
    const { credential, platform } = outcome
    if (credential === null || platform === null || this.#closed) return
    const now = this.#now()
    let ledger = this.#ledgers.get(platform)
    if (ledger === undefined) {
      ledger = new Ledger(platform)
      this.#ledgers.set(platform, ledger)
    }
    if (ledger.add(outcome, credential, now)) return
    if (this.#held >= this.#options.entriesMax) {
      this.#dropped += 1
      return
    }
    ledger.open(outcome, credential, now)
    this.#held += 1
    // A secret's id is one in the whole deployment; the platform stands before it all the same.
    const secret = `${platform}\n${credential.secretId}`
    const known = this.#seen.get(secret, now) ?? false
    if (!known) this.#seen.set(secret, true, Number.POSITIVE_INFINITY)
    this.#plan(!known || this.#held >= this.#options.batchMax)
  }

  /** Sees to it that there is a round, and a quick one when it is hurried. */
  #plan(hurried: boolean): void {
    const early = hurried && !this.#hurried
    this.#hurried ||= hurried
    // A round that is running or failed plans the next one itself.
    if (this.#running !== null || this.#failures > 0 || this.#closed) return
    if (this.#timer !== undefined && !early) return
    this.#schedule(this.#hurried ? this.#options.promptMs : this.#options.flushMs)
  }

  #schedule(waitMs: number): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => void this.flush(), waitMs)
  }

  async flush(): Promise<boolean> {
    while (this.#running !== null) await this.#running
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#hurried = false
    this.#running = this.#round()
    const done = await this.#running
    this.#running = null
    if (this.#held > 0 && !this.#closed) this.#schedule(this.#waitMs())
    return done
  }

  #waitMs(): number {
    const { flushMs, promptMs, retryMsMax } = this.#options
    if (this.#failures === 0) return this.#hurried ? promptMs : flushMs
    // Spread out, or every node would ask at the same moment when the store is back.
    const spread = 0.5 + Math.random() / 2
    return Math.min(retryMsMax, flushMs * 2 ** (this.#failures - 1)) * spread
  }

  /** Writes what every ledger held when it began. */
  async #round(): Promise<boolean> {
    let cause: string | null = null
    for (const ledger of this.#ledgers.values()) {
      try {
        await this.#write(ledger)
      } catch (error) {
        cause = error instanceof Error ? error.message : String(error)
        // A store that is down is down for all.
        if (error instanceof StoreDown) break
      }
    }
    this.#tell(cause)
    return cause === null
  }

  async #write(ledger: Ledger): Promise<void> {
    const { batchMax, write } = this.#options
    for (let left = ledger.size; left > 0; ) {
      const sending = ledger.send(batchMax, this.#now())
      if (sending === null) return
      left -= sending.batch.entries.length
      if (this.#now() - sending.since > batchMsMax) this.#giveUp(sending)
      else await this.#ask(write(ledger.platform, sending.batch), sending)
      ledger.settle(sending)
      this.#held -= sending.batch.entries.length
    }
  }

  /** Throws what the store answers, unless it is to be asked no more. */
  async #ask(written: Promise<unknown>, sending: Sending): Promise<void> {
    try {
      await written
    } catch (error) {
      if (!(error instanceof StoreDown)) sending.refusals += 1
      if (sending.refusals < refusalsMax) throw error
      this.#giveUp(sending)
    }
  }

  #giveUp({ requests }: Sending): void {
    this.#dropped += requests
  }

  #tell(cause: string | null): void {
    const { warn } = this.#options
    if (cause !== null && this.#failures === 0) {
      warn('usage cannot be written: it is kept in memory and tried again', { cause })
    }
    if (cause === null && this.#failures > 0) warn('usage is written again', {})
    this.#failures = cause === null ? 0 : this.#failures + 1
    if (this.#dropped === 0) return
    warn('usage was dropped: these requests are not counted', { requests: this.#dropped })
    this.#dropped = 0
  }

  async close(): Promise<void> {
    const { closeMs, promptMs, warn } = this.#options
    this.#closed = true
    clearTimeout(this.#timer)
    const endAt = performance.now() + closeMs
    while (!(await this.flush()) && performance.now() < endAt) {
      await new Promise((resolve) => setTimeout(resolve, promptMs))
    }
    let requests = 0
    for (const ledger of this.#ledgers.values()) requests += ledger.requests
    if (requests > 0) warn('usage is lost: these requests are not counted', { requests })
  }
}
