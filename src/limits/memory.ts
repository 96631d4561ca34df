/**
 * The counter port in this process: for a gateway of one node, and for every node while the shared
 * store is down. It answers without an await.
 *
 * It is exact, so it never drops a count that still matters: counters that hold nothing are let go
 * as new ones come, and when all of `countersMax` hold something a new one is refused with
 * `StoreDown`. Only verified keys and known tenants get here, so a stranger cannot fill it.
 */
import type { Borrowed, Counter, CounterTree, LimitState } from '../context.ts'
import { StoreDown } from '../context.ts'
import { join, type Plan, planTree } from './tree.ts'
import {
  advance,
  charge,
  emptyWindow,
  returnMs,
  subWindowMs,
  validateCost,
  type Window,
  wholeMs,
} from './window.ts'

type Held = Window & { readonly key: string; readonly subMs: number; dropped: boolean }
type Prepared = { readonly plan: Plan; readonly held: Held[] }

export type MemoryCounterOptions = {
  /** Milliseconds on a clock that does not step back. */
  readonly now?: () => number
  /** How many counts are kept at most; about 300 bytes each, up to 1.2 kB when busy. */
  readonly countersMax?: number
}

/** A counter whose answers are values. It rejects with `StoreDown` only when it is full. */
export function memoryCounter(options: MemoryCounterOptions = {}): Counter {
  const { now = () => performance.now(), countersMax = 200_000 } = options
  const counts = new Map<string, Held>()
  const prepared = new WeakMap<CounterTree, Prepared>()
  let hand = counts.values()

  /** A clock hand: for each count of a new tree, looks at a few and lets go of those that hold nothing. */
  function sweep(time: number): void {
    for (let looks = counts.size < countersMax ? 2 : 1000; looks > 0; looks--) {
      const { value: held, done } = hand.next()
      if (done) {
        hand = counts.values()
        continue
      }
      advance(held, held.subMs, time)
      if (held.used > 0) continue
      held.dropped = true
      counts.delete(held.key)
    }
  }

  function find(shard: string, plan: Plan, time: number): Held[] | null {
    const found: Held[] = []
    // Before the first of them is found: a later sweep could let go of one that is already in hand.
    for (const _ of plan.counters) sweep(time)
    for (const counter of plan.counters) {
      const key = join(shard) + counter.key
      let held = counts.get(key)
      if (held === undefined) {
        if (counts.size >= countersMax) return null
        const subMs = subWindowMs(counter.windowSeconds)
        held = { ...emptyWindow(), key, subMs, dropped: false }
        counts.set(key, held)
      }
      found.push(held)
    }
    return found
  }

  function prepare(tree: CounterTree, time: number): Prepared | null {
    const known = prepared.get(tree)
    if (known !== undefined && !anyDropped(known.held)) return known
    const plan = known?.plan ?? planTree(tree)
    const held = find(tree.shard, plan, time)
    if (held === null) return null
    const fresh = { plan, held }
    prepared.set(tree, fresh)
    return fresh
  }

  return {
    borrow(tree, want) {
      const flaw = validateCost(want)
      if (flaw !== null) throw new RangeError(flaw)
      const time = now()
      const at = prepare(tree, time)
      if (at === null) return Promise.reject(new StoreDown('the memory counter is full'))
      return decide(at, want, time)
    },
    async close() {},
  }
}

function anyDropped(held: readonly Held[]): boolean {
  for (const one of held) if (one.dropped) return true
  return false
}

/** All counters or none: nothing is charged before every one of them has agreed (L4). */
function decide({ plan, held }: Prepared, want: number, now: number): Borrowed {
  const { counters } = plan
  let refusing = -1
  let waitMs = 0
  for (let i = 0; i < held.length; i++) {
    const window = held[i]!
    const { quota } = counters[i]!
    advance(window, window.subMs, now)
    const over = window.used + want - quota
    if (over <= 0) continue
    const ms = want > quota ? Number.POSITIVE_INFINITY : returnMs(window, over, window.subMs, now)
    if (refusing < 0 || ms > waitMs) {
      refusing = i
      waitMs = ms
    }
  }
  if (refusing < 0) {
    for (let i = 0; i < held.length; i++) charge(held[i]!, want)
    return { granted: true, states: statesOf(plan, held, now) }
  }
  const { node, limit } = counters[refusing]!
  const retryAfterSeconds = Math.ceil(waitMs / 1000)
  return { granted: false, node, limit, retryAfterSeconds, states: statesOf(plan, held, now) }
}

function statesOf(plan: Plan, held: readonly Held[], now: number): LimitState[] {
  const states: LimitState[] = []
  for (const { limit, node, counter } of plan.limits) {
    const window = held[counter]!
    states.push({
      limit,
      node,
      remaining: Math.max(0, limit.quota - window.used),
      moreSeconds: Math.ceil(returnMs(window, 1, window.subMs, now) / 1000),
      resetSeconds: Math.ceil(wholeMs(window, window.subMs, now) / 1000),
    })
  }
  return states
}
