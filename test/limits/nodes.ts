/** Nodes that lease from one store on a clock that the test moves, for tests. */
import type { Ask, Borrowed, Counter, CounterTree, Lender, Lent } from '../../src/context.ts'
import { StoreDown } from '../../src/context.ts'
import { leasedCounter } from '../../src/limits/lease.ts'
import type { Clock } from '../suites/counter.suite.ts'

/** Lets everything that has been settled run on. */
export const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** A lender that notes what it is asked. */
export function watched(lender: Lender): Lender & { readonly calls: (readonly Ask[])[] } {
  const calls: (readonly Ask[])[] = []
  return {
    calls,
    lend(shard, asks) {
      calls.push(asks)
      return lender.lend(shard, asks)
    },
    close: () => lender.close(),
  }
}

type Pending = {
  readonly shard: string
  readonly asks: readonly Ask[]
  resolve(lent: Lent): void
  reject(error: unknown): void
}

/** A way to the store on which calls stay until the test lets them arrive, or loses them. */
export class Wire {
  readonly #lender: Lender
  readonly #pending: Pending[] = []

  constructor(lender: Lender) {
    this.#lender = lender
  }

  readonly lender: Lender = {
    lend: (shard, asks) =>
      new Promise((resolve, reject) => {
        this.#pending.push({ shard, asks, resolve, reject })
      }),
    async close() {},
  }

  get waiting(): number {
    return this.#pending.length
  }

  /** The store is asked and answers; `lost`: the answer, or the call itself, is lost. */
  async deliver(at: number, lost: 'nothing' | 'answer' | 'call'): Promise<void> {
    const [call] = this.#pending.splice(at % Math.max(1, this.#pending.length), 1)
    if (call === undefined) return
    const answer = lost === 'call' ? null : await this.#lender.lend(call.shard, call.asks)
    if (lost === 'nothing' && answer !== null) call.resolve(answer)
    else call.reject(new StoreDown(`the ${lost} was lost`))
    await turn()
  }
}

export type Node = {
  readonly counter: Counter
  /** Runs what the node has scheduled. */
  sweep(): void
}

export function nodeOf(lender: Lender, clock: Clock): Node {
  let scheduled: (() => void) | null = null
  const counter = leasedCounter(lender, {
    now: () => clock.ms,
    schedule: (work) => {
      scheduled = work
    },
  })
  return {
    counter,
    sweep() {
      const work = scheduled
      scheduled = null
      work?.()
    },
  }
}

/** Units that passed at a counter, and when. */
export type Passed = { readonly at: number; readonly units: number }[]

/** The most units that any window of this length holds. */
export function fullest(passed: Passed, windowMs: number): number {
  const all = passed.toSorted((a, b) => a.at - b.at)
  let most = 0
  let units = 0
  let from = 0
  for (const one of all) {
    units += one.units
    while (all[from]!.at <= one.at - windowMs) units -= all[from++]!.units
    most = Math.max(most, units)
  }
  return most
}

/** Of requests evenly spaced at this part of the quota, on nodes in turn, how many are refused. */
export async function refusedOf(
  requests: number,
  nodes: readonly Node[],
  tree: CounterTree,
  clock: Clock,
  everyMs: number,
): Promise<number> {
  let refused = 0
  let swept = clock.ms
  for (let i = 0; i < requests; i++) {
    clock.ms += everyMs
    const borrowed: Borrowed = await nodes[(i * 7) % nodes.length]!.counter.borrow(tree, 1)
    if (!borrowed.granted) refused++
    if (clock.ms - swept < 500) continue
    swept = clock.ms
    for (const node of nodes) node.sweep()
    await turn()
  }
  return refused
}
