/**
 * The counter port over a connected client: which keys and arguments a tree becomes, and what the
 * script's reply says. What is asked for in one turn of the event loop goes to the server together:
 * a command costs this process more than the counting in it costs the server. Deadlines, breakers
 * and reconnecting are redis.ts's.
 */
import type { Cluster, Redis } from 'ioredis'
import { type Borrowed, type CounterTree, type LimitState, StoreDown } from '../context.ts'
import { type Plan, planTree } from '../limits/tree.ts'
import { subWindows, validateCost } from '../limits/window.ts'
import { borrowScript } from './borrow-script.ts'

type Arguments = readonly (string | number)[]

declare module 'ioredis' {
  interface RedisCommander<Context> {
    /** `borrow3` takes three keys. See `defineBorrow`. */
    [borrow: `borrow${number}`]: (...args: Arguments) => Promise<unknown>
  }
}

/** A tree has at most this many counters, and a call carries at most so many. */
export const countersMax = 32

/** What stands in key names after the hash tag: the version of the format of the values. */
const format = '1'

/** Gives the client one command per number of keys, so that the number is no argument of a call. */
export function defineBorrow(client: Redis | Cluster): void {
  for (let keys = 1; keys <= countersMax; keys++) {
    client.defineCommand(`borrow${keys}`, { lua: borrowScript, numberOfKeys: keys })
  }
}

type Prepared = { readonly plan: Plan; readonly keys: string[]; readonly limits: number[] }
type Asked = Prepared & {
  readonly want: number
  resolve(borrowed: Borrowed): void
  reject(error: unknown): void
}

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

  let waiting = new Map<string, Asked[]>()

  /** Sends what has been asked for in this turn, as few calls to each shard as will hold it. */
  function flush(): void {
    const turn = waiting
    // First, so that whatever happens below the next turn starts with nothing and is flushed again.
    waiting = new Map()
    for (const [shard, asked] of turn) {
      for (let from = 0; from < asked.length; ) {
        let to = from
        let keys = 0
        while (to < asked.length && keys + asked[to]!.keys.length <= countersMax) {
          keys += asked[to++]!.keys.length
        }
        send(shard, asked.slice(from, to))
        from = to
      }
    }
  }

  function send(shard: string, asked: readonly Asked[]): void {
    const keys = asked.flatMap((one) => one.keys)
    const counts = asked.flatMap((one) => [one.keys.length, one.want, ...one.limits])
    const command = `borrow${keys.length}` as const
    guard(shard, () => client[command]!(...keys, now?.() ?? '', ...counts)).then(
      (reply) => settle(asked, reply),
      (error) => {
        for (const one of asked) one.reject(error)
      },
    )
  }

  return {
    borrow(tree, want) {
      return new Promise((resolve, reject) => {
        const flaw = validateCost(want)
        if (flaw !== null) throw new RangeError(flaw)
        const { plan, keys, limits } = prepare(tree)
        if (keys.length === 0) return resolve({ granted: true, states: [] })
        // After the reads of this turn, so that what they ask for goes together.
        if (waiting.size === 0) setImmediate(flush)
        const asked = { plan, keys, limits, want, resolve, reject }
        const same = waiting.get(tree.shard)
        if (same === undefined) waiting.set(tree.shard, [asked])
        else same.push(asked)
      })
    },
    async probe(shard) {
      const limits = [1_000_000 / subWindows, 1_000_000_000]
      await client.borrow1!(keyOf(shard, 'probe'), '', 1, 1, ...limits)
    },
  }
}

/** Answers each with its part of the reply. */
function settle(asked: readonly Asked[], reply: unknown): void {
  let at = 0
  for (const { plan, resolve, reject } of asked) {
    const length = 2 + 3 * plan.counters.length
    try {
      resolve(verdict(plan, Array.isArray(reply) ? reply.slice(at, at + length) : reply))
    } catch (error) {
      reject(error)
    }
    at += length
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
