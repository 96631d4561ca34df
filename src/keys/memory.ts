/**
 * What the store said a moment ago: a bounded number of answers, each good for a limited time. One
 * question is asked once, however many wait for its answer. The danger is staleness: a change in the
 * store is seen here `ttlMs` later at most, or `staleMs` later while the store cannot be reached.
 */
import { StoreDown } from '../context.ts'
import { createLru } from '../lib/lru.ts'

export type Memory<V> = {
  /** The answer, while it is fresh. */
  get(name: string, now: number): V | undefined
  /** Asking again costs nobody else a place: there is an answer to fall back on, or one is due. */
  knows(name: string, now: number): boolean
  /**
   * Asks the store and remembers what it says; undefined means nothing is there, and is forgotten.
   * `ask` is not called while the same question is out, unless `ttlMs` is 0: an answer that was asked
   * for before is then too old already, and a promise would tie one request to another's end. When it
   * rejects with StoreDown and the last answer is not too old, that answer is given again; otherwise
   * rejects as `ask` did.
   */
  learn(name: string, now: number, ask: () => Promise<V | undefined>): Promise<V | undefined>
  /**
   * Asks the store whatever is remembered, and remembers what it says. Rejects as `ask` does: the
   * last answer is never given for a new one.
   */
  relearn(name: string, now: number, ask: () => Promise<V | undefined>): Promise<V | undefined>
  /**
   * Forgets everything, or the answers that are so; in either case also what is still under way,
   * which may have been asked before the change that made somebody call this.
   */
  forget(so?: (value: V) => boolean): void
  readonly size: number
}

export type MemoryOptions = {
  readonly entriesMax: number
  /** How long an answer is given without asking. 0: every question is asked. */
  readonly ttlMs: number
  /** How much longer it may be given while the store is down. 0: not at all. */
  readonly staleMs: number
}

/** What two answers have to be for the first to be kept: what hangs on the object then stays. */
export type Same<V> = (held: V, found: V) => boolean

/** A store that was down a moment ago is asked once a second per name, not at every request. */
const retryMs = 1000

type Entry<V> = { readonly value: V; freshUntil: number; readonly staleUntil: number }

/** Creates an empty memory. */
export function createMemory<V>(
  { entriesMax, ttlMs, staleMs }: MemoryOptions,
  same: Same<V> = () => false,
): Memory<V> {
  const entries = createLru<Entry<V>>(entriesMax)
  const flights = new Map<string, Promise<V | undefined>>()
  let epoch = 0

  async function relearn(name: string, now: number, ask: () => Promise<V | undefined>) {
    const askedIn = epoch
    const found = await ask()
    if (askedIn !== epoch) return found
    const held = entries.get(name, now)?.value
    const value = held !== undefined && found !== undefined && same(held, found) ? held : found
    const freshUntil = now + ttlMs
    const staleUntil = freshUntil + staleMs
    if (value === undefined || staleUntil <= now) entries.delete(name)
    else {
      entries.set(name, { value, freshUntil, staleUntil }, staleUntil)
    }
    return value
  }

  async function fly(name: string, now: number, ask: () => Promise<V | undefined>) {
    const askedIn = epoch
    try {
      return await relearn(name, now, ask)
    } catch (error) {
      const last = error instanceof StoreDown ? entries.get(name, now) : undefined
      if (last === undefined) throw error
      last.freshUntil = Math.min(now + retryMs, last.staleUntil)
      return last.value
    } finally {
      if (askedIn === epoch) flights.delete(name)
    }
  }

  return {
    get(name, now) {
      const entry = entries.get(name, now)
      return entry !== undefined && now < entry.freshUntil ? entry.value : undefined
    },
    knows: (name, now) => flights.has(name) || entries.get(name, now) !== undefined,
    learn(name, now, ask) {
      if (ttlMs === 0) return fly(name, now, async () => ask())
      const due = flights.get(name)
      if (due !== undefined) return due
      // An async function does not throw before its first await, so the flight is in the map
      // before `fly` takes it out again.
      const flight = fly(name, now, async () => ask())
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
    get size() {
      return entries.size
    },
  }
}
