/**
 * Does the database still say anything at all? A statement that takes long is not yet a database that
 * is gone, and one that is frozen looks like it for as long as a statement may take. So whenever a
 * caller has waited for a moment, and nobody else has been answered since, the database is asked
 * something else, on a connection of its own. If that is not answered either, all who wait are told,
 * and whoever comes is told at once, until it answers (threats Q7, V4).
 *
 * It refuses to know what callers asked. The danger is a process that stood still itself and takes
 * that for the silence of others: what has arrived meanwhile is always read first (threats Q25).
 */
import { StoreDown } from '../context.ts'

export type PulseOptions = {
  /** Rejects unless the database answers within `timeoutMs`; an error that it sent is an answer. */
  probe(timeoutMs: number): Promise<unknown>
}

/** A caller who waits for the database. */
export type Waiting = {
  /** Told, once, that nothing will come. */
  readonly cut: (cause: StoreDown) => void
  readonly since: number
  /** Where the pulse keeps it; -1: nowhere. */
  place: number
}

/** After so long without an answer the database is asked something else. */
const patienceMs = 250
/** For that to be answered. */
const probeMs = 750
/** Between one probe of a silent database and the next. */
const againMs = 250
/** After it has answered one, while a statement goes on taking long. */
const calmMs = 1000

export class Pulse {
  readonly #probe: PulseOptions['probe']
  #waiting: Waiting[] = []
  #silence: StoreDown | null = null
  #answeredAt = 0
  #askAgainAt = 0
  #timer: ReturnType<typeof setTimeout> | undefined
  #probing = false
  #closed = false

  constructor({ probe }: PulseOptions) {
    this.#probe = probe
  }

  /** Why nothing need be asked now; null: it answers, as far as is known. */
  get silence(): StoreDown | null {
    return this.#silence
  }

  /** From here on somebody waits; whoever enters leaves, or is cut. */
  enter(cut: Waiting['cut']): Waiting {
    const waiting = { cut, since: performance.now(), place: this.#waiting.length }
    this.#waiting.push(waiting)
    this.#timer ??= this.#after(patienceMs)
    return waiting
  }

  /** The database has answered, whatever it said; or the connection is lost, which is known too. */
  leave(waiting: Waiting): void {
    if (waiting.place < 0) return
    this.#answeredAt = performance.now()
    const last = this.#waiting.pop()
    if (last !== undefined && last !== waiting) {
      this.#waiting[waiting.place] = last
      last.place = waiting.place
    }
    waiting.place = -1
  }

  /** Nothing is asked from here on. */
  close(): void {
    this.#closed = true
    clearTimeout(this.#timer)
  }

  #after(ms: number): ReturnType<typeof setTimeout> {
    return setTimeout(() => setImmediate(() => void this.#look()), ms).unref()
  }

  async #look(): Promise<void> {
    this.#timer = undefined
    if (this.#closed || this.#probing) return
    const waitsMs = this.#askInMs()
    if (waitsMs === null) return
    if (waitsMs <= 1) await this.#ask()
    if (this.#closed) return
    this.#timer ??= this.#after(waitsMs > 1 ? waitsMs : againMs)
  }

  /** In how long the database is to be asked; null: nobody waits for it. */
  #askInMs(): number | null {
    if (this.#silence !== null) return 0
    if (this.#waiting.length === 0) return null
    let since = Number.POSITIVE_INFINITY
    for (const one of this.#waiting) if (one.since < since) since = one.since
    const from = Math.max(since, this.#answeredAt)
    return Math.max(from + patienceMs, this.#askAgainAt) - performance.now()
  }

  async #ask(): Promise<void> {
    this.#probing = true
    const from = performance.now()
    try {
      await this.#probe(probeMs)
      this.#silence = null
      this.#askAgainAt = performance.now() + calmMs
    } catch {
      await new Promise<void>((resolve) => setImmediate(resolve))
      if (this.#answeredAt >= from) this.#silence = null
      else this.#fallSilent()
    } finally {
      this.#probing = false
    }
  }

  #fallSilent(): void {
    // One for all of them, also those still to come: a stack costs more than the refusal.
    this.#silence ??= new StoreDown(`the database has said nothing for ${patienceMs + probeMs} ms`)
    const waiting = this.#waiting
    this.#waiting = []
    for (const one of waiting) {
      one.place = -1
      one.cut(this.#silence)
    }
  }
}
