/**
 * What the store said: a bounded number of answers, each given for as long as it may be believed
 * (trust.ts). One question is asked once, however many wait for its answer.
 *
 * The danger is an answer that was true before a change and is remembered after it (threats V2, V7).
 * So what was asked before something was forgotten is never remembered, and of two answers the one
 * that was asked for later stays, whichever comes first.
 */
import { StoreDown } from '../context.ts'
import { createLru } from '../lib/lru.ts'
import type { Trust } from './trust.ts'

export type Memory<V> = {
  /** The answer, while nothing need be asked. */
  get(name: string): V | undefined
  /** Asking again costs nobody else a place: there is an answer to fall back on, or one is due. */
  knows(name: string): boolean
  /**
   * Asks the store and remembers what it says; undefined means nothing is there, and is forgotten.
   * `ask` is not called while the same question is out, unless nothing may be gone by unasked: an
   * answer that was asked for before is then too old already, and a promise would tie one request to
   * another's end. When it rejects with StoreDown and the last answer is still good without the
   * store, that answer is given again; otherwise rejects as `ask` did.
   */
  learn(name: string, ask: () => Promise<V | undefined>): Promise<V | undefined>
  /**
   * Asks the store whatever is remembered, and remembers what it says. Rejects as `ask` does: the
   * last answer is never given for a new one.
   */
  relearn(name: string, ask: () => Promise<V | undefined>): Promise<V | undefined>
  /**
   * Forgets everything, or the answers that are so; in either case also what is still under way,
   * which may have been asked before the change that made somebody call this.
   */
  forget(so?: (value: V) => boolean): void
  /** Forgets what has this name, and what is still under way. */
  forgetName(name: string): void
  readonly size: number
}

export type MemoryOptions<V> = {
  readonly entriesMax: number
  readonly trust: Trust
  /** What two answers have to be for the first to be kept: what hangs on the object then stays. */
  same?(held: V, found: V): boolean
  /** Whether an answer may change with no change being announced: it is asked for once a second. */
  isBrief?(value: V): boolean
}

/** A store that was down a moment ago is asked once a second per name, not at every request. */
const retryMs = 1000
const briefMs = 1000

type Entry<V> = {
  readonly value: V
  readonly readAt: number
  readonly isBrief: boolean
  /** The store was down a moment ago: not asked before this. */
  heldUntil: number
}

/** Creates an empty memory. */
export function createMemory<V>(options: MemoryOptions<V>): Memory<V> {
  const { entriesMax, trust, same = () => false, isBrief = () => false } = options
  const entries = createLru<Entry<V>>(entriesMax)
  const flights = new Map<string, Promise<V | undefined>>()
  let epoch = 0

  async function relearn(name: string, ask: () => Promise<V | undefined>) {
    const askedIn = epoch
    const readAt = trust.now()
    const found = await ask()
    if (askedIn !== epoch) return found
    const held = entries.get(name, trust.now())
    if (held !== undefined && held.readAt > readAt) return held.value
    if (found === undefined || trust.lifeMs === 0) {
      entries.delete(name)
      return found
    }
    const value = held !== undefined && same(held.value, found) ? held.value : found
    const entry = { value, readAt, isBrief: isBrief(value), heldUntil: 0 }
    entries.set(name, entry, readAt + trust.lifeMs)
    return value
  }

  async function fly(name: string, ask: () => Promise<V | undefined>) {
    const askedIn = epoch
    try {
      return await relearn(name, ask)
    } catch (error) {
      const now = trust.now()
      const last = error instanceof StoreDown ? entries.get(name, now) : undefined
      if (last === undefined || !trust.unanswered(last.readAt, now)) throw error
      last.heldUntil = now + retryMs
      return last.value
    } finally {
      if (askedIn === epoch) flights.delete(name)
    }
  }

  function isGiven({ readAt, isBrief, heldUntil }: Entry<V>, now: number): boolean {
    if (!(isBrief && now - readAt >= briefMs) && trust.unasked(readAt, now)) return true
    return now < heldUntil && trust.unanswered(readAt, now)
  }

  return {
    get(name) {
      const now = trust.now()
      const entry = entries.get(name, now)
      return entry !== undefined && isGiven(entry, now) ? entry.value : undefined
    },
    knows: (name) => flights.has(name) || entries.get(name, trust.now()) !== undefined,
    learn(name, ask) {
      if (trust.ttlMs === 0) return fly(name, async () => ask())
      const due = flights.get(name)
      if (due !== undefined) return due
      // An async function does not throw before its first await, so the flight is in the map
      // before `fly` takes it out again.
      const flight = fly(name, async () => ask())
      flights.set(name, flight)
      return flight
    },
    relearn,
    forget(so) {
      epoch++
      if (so === undefined) entries.clear()
      else entries.deleteWhere(({ value }) => so(value))
      flights.clear()
    },
    forgetName(name) {
      epoch++
      entries.delete(name)
      flights.clear()
    },
    get size() {
      return entries.size
    },
  }
}
