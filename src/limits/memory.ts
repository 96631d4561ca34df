/**
 * The counter port in this process: for a gateway of one node, and for every node while the shared
 * store is down. It answers without an await. It is exact, and what holds its memory is ledger.ts's.
 */
import type { Borrowed, Counter, CounterTree, LimitState } from '../context.ts'
import { StoreDown } from '../context.ts'
import { type Held, Ledger } from './ledger.ts'
import { join, type Plan, planTree } from './tree.ts'
import { advance, charge, returnMs, validateCost, wholeMs } from './window.ts'

type Prepared = { readonly plan: Plan; readonly held: Held[] }

export type MemoryCounterOptions = {
  /** Milliseconds on a clock that does not step back. */
  readonly now?: () => number
  /** How many counts are kept at most; about 300 bytes each, up to 1.2 kB when busy. */
  readonly countersMax?: number
}

export type MemoryCounter = Counter & {
  /**
   * Counts what another store has granted, at each counter of the tree as far as its quota has room:
   * no verdict, nothing made. For the time when that store is down.
   */
  note(tree: CounterTree, want: number): void
}

/** A counter whose answers are values. It rejects with `StoreDown` only when it is full. */
export function memoryCounter(options: MemoryCounterOptions = {}): MemoryCounter {
  const { now = () => performance.now() } = options
  const ledger = new Ledger(options.countersMax)
  const prepared = new WeakMap<CounterTree, Prepared>()

  function find(shard: string, plan: Plan, time: number): Held[] | null {
    ledger.makeRoom(plan.counters.length, time)
    const found: Held[] = []
    for (const { key, windowSeconds } of plan.counters) {
      const held = ledger.find(join(shard) + key, windowSeconds)
      if (held === null) return null
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
    note(tree, want) {
      const time = now()
      const at = prepare(tree, time)
      if (at === null) return
      const { held, plan } = at
      for (let i = 0; i < held.length; i++) {
        const window = held[i]!
        advance(window, window.subMs, time)
        const units = Math.min(want, plan.counters[i]!.quota - window.used)
        if (units > 0) charge(window, units)
      }
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
