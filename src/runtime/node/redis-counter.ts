/**
 * The counter port over a connected client: which keys and arguments a tree becomes, and what the
 * script's reply says. Deadlines, breakers and reconnecting are redis.ts's.
 */
import type { Cluster, Redis } from 'ioredis'
import { type Borrowed, type CounterTree, type LimitState, StoreDown } from '../../context.ts'
import { type Plan, planTree } from '../../limits/tree.ts'
import { subWindows, validateCost } from '../../limits/window.ts'
import { borrowScript } from './borrow-script.ts'

type Arguments = readonly (string | number)[]

declare module 'ioredis' {
  interface RedisCommander<Context> {
    /** `borrow3` takes three keys. See `defineBorrow`. */
    [borrow: `borrow${number}`]: (...args: Arguments) => Promise<unknown>
  }
}

/** A tree has at most this many counters. */
export const countersMax = 32

/** What stands in key names after the hash tag: the version of the format of the values. */
const format = '1'

/**
 * Gives the client one command per number of keys. Not one command whose first argument is that
 * number: automatic pipelines of a cluster take the first argument for a key, and would mix shards
 * of different nodes in one pipeline, which ioredis then refuses.
 */
export function defineBorrow(client: Redis | Cluster): void {
  for (let keys = 1; keys <= countersMax; keys++) {
    client.defineCommand(`borrow${keys}`, { lua: borrowScript, numberOfKeys: keys })
  }
}

type Prepared = { readonly plan: Plan; readonly keys: string[]; readonly limits: number[] }

/** Runs a call to the server that holds the shard; rejects with `StoreDown` instead of failing. */
export type Guard = (shard: string, call: () => Promise<unknown>) => Promise<unknown>

export type RedisCounter = {
  borrow(tree: CounterTree, want: number): Promise<Borrowed>
  /** A real charge of a counter nobody reads: succeeds only when charging does. */
  probe(shard: string): Promise<void>
}

/**
 * Counts on `client`, which `defineBorrow` has prepared. `now` gives microseconds and replaces the
 * server's clock: tests alone pass it. A borrow rejects with `StoreDown`, and with a RangeError for
 * a `want` that is no positive integer.
 */
export function redisCounter(
  client: Redis | Cluster,
  guard: Guard,
  now?: () => number,
): RedisCounter {
  const prepared = new WeakMap<CounterTree, Prepared>()

  function prepare(tree: CounterTree): Prepared {
    const known = prepared.get(tree)
    if (known !== undefined) return known
    const plan = planTree(tree)
    if (plan.counters.length > countersMax) {
      throw new RangeError(`a tree has at most ${countersMax} counters`)
    }
    const keys = plan.counters.map(({ key }) => keyOf(tree.shard, key))
    const limits = plan.counters.flatMap(({ windowSeconds, quota }) => [
      (windowSeconds * 1_000_000) / subWindows,
      quota,
    ])
    const fresh = { plan, keys, limits }
    prepared.set(tree, fresh)
    return fresh
  }

  return {
    async borrow(tree, want) {
      const flaw = validateCost(want)
      if (flaw !== null) throw new RangeError(flaw)
      const { plan, keys, limits } = prepare(tree)
      if (keys.length === 0) return { granted: true, states: [] }
      const command = `borrow${keys.length}` as const
      const clock = now === undefined ? [] : [now()]
      const reply = await guard(tree.shard, () =>
        client[command]!(...keys, want, ...limits, ...clock),
      )
      return verdict(plan, reply)
    },
    async probe(shard) {
      await client.borrow1!(keyOf(shard, 'probe'), 1, 1_000_000 / subWindows, 1_000_000_000)
    },
  }
}

/** The shard in braces is the hash tag, which decides the slot; so it may hold no brace itself. */
function keyOf(shard: string, key: string): string {
  return `{${shard.replace(/[%{}]/g, encodeURIComponent)}}:${format}:${key}`
}

/** Reads the reply of the script, whose shape borrow-script.ts tells. */
function verdict(plan: Plan, reply: unknown): Borrowed {
  if (!isIntegers(reply) || reply.length < 2 + 3 * plan.counters.length) {
    throw new StoreDown('the script answered in another shape')
  }
  const states: LimitState[] = []
  for (const { limit, node, counter } of plan.limits) {
    const at = 2 + 3 * counter
    states.push({
      limit,
      node,
      remaining: Math.max(0, limit.quota - reply[at]!),
      moreSeconds: reply[at + 1]!,
      resetSeconds: reply[at + 2]!,
    })
  }
  const refusing = plan.counters[reply[0]! - 1]
  if (refusing === undefined) return { granted: true, states }
  const { node, limit } = refusing
  const seconds = reply[1]!
  const retryAfterSeconds = seconds < 0 ? Number.POSITIVE_INFINITY : seconds
  return { granted: false, node, limit, retryAfterSeconds, states }
}

function isIntegers(reply: unknown): reply is number[] {
  return Array.isArray(reply) && reply.every((value) => Number.isInteger(value))
}
