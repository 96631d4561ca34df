/**
 * The store operation over a connected client: which keys and arguments its asks become, and what
 * the script's reply says. What is asked for in one turn of the event loop goes to the server
 * together: a command costs this process more than the counting in it costs the server. Deadlines,
 * breakers and reconnecting are redis.ts's.
 */
import type { Cluster, Redis } from 'ioredis'
import { type Ask, type Lender, type Lent, type Standing, StoreDown } from '../context.ts'
import { subWindows } from '../limits/window.ts'
import { lendScript } from './lend-script.ts'

type Arguments = readonly (string | number)[]

declare module 'ioredis' {
  interface RedisCommander<Context> {
    /** `lend3` takes three keys. See `defineLend`. */
    [lend: `lend${number}`]: (...args: Arguments) => Promise<unknown>
  }
}

/** A call has at most this many counters; so has a tree. */
export const countersMax = 32

/**
 * What stands in key names after the hash tag: the version of the format of the values. Nodes from
 * before units were lent read and write the same.
 */
const format = '1'

/** Gives the client one command per number of keys, so that the number is no argument of a call. */
export function defineLend(client: Redis | Cluster): void {
  for (let keys = 1; keys <= countersMax; keys++) {
    client.defineCommand(`lend${keys}`, { lua: lendScript, numberOfKeys: keys })
  }
}

type Asked = {
  readonly asks: readonly Ask[]
  resolve(lent: Lent): void
  reject(error: unknown): void
}

/** Runs a call to the server that holds the shard; rejects with `StoreDown` instead of failing. */
export type Guard = (shard: string, call: () => Promise<unknown>) => Promise<unknown>

export type RedisLenderOptions = {
  /** Told once, when something stood in Redis, or came from it, that no Postern wrote. */
  readonly onForeign?: (message: string) => void
  /** Microseconds in place of the server's clock: tests alone pass it. */
  readonly now?: () => number
}

export type RedisLender = Pick<Lender, 'lend'> & {
  /** A real charge of a counter nobody reads: succeeds only when charging does. */
  probe(shard: string): Promise<void>
}

/** Counts on `client`, which `defineLend` has prepared. Rejects with `StoreDown`. */
export function redisLender(
  client: Redis | Cluster,
  guard: Guard,
  { onForeign, now }: RedisLenderOptions = {},
): RedisLender {
  let waiting = new Map<string, Asked[]>()
  let told = false
  /** Of each shard: as many as the config has platforms and environments. */
  const prefixes = new Map<string, string>()

  function prefixOf(shard: string): string {
    const known = prefixes.get(shard)
    if (known !== undefined) return known
    const prefix = keyPrefix(shard)
    prefixes.set(shard, prefix)
    return prefix
  }

  /** Sends what has been asked for in this turn, as few calls to each shard as will hold it. */
  function flush(): void {
    const turn = waiting
    // First, so that whatever happens below the next turn starts with nothing and is flushed again.
    waiting = new Map()
    for (const [shard, asked] of turn) {
      for (let from = 0; from < asked.length; ) {
        let to = from
        let keys = 0
        while (to < asked.length && keys + asked[to]!.asks.length <= countersMax) {
          keys += asked[to++]!.asks.length
        }
        send(shard, asked.slice(from, to))
        from = to
      }
    }
  }

  function send(shard: string, asked: readonly Asked[]): void {
    const keys: string[] = []
    const counts: number[] = []
    const prefix = prefixOf(shard)
    for (const { asks } of asked) {
      counts.push(asks.length)
      for (const ask of asks) {
        keys.push(prefix + ask.key)
        pushArguments(counts, ask)
      }
    }
    const command = `lend${keys.length}` as const
    guard(shard, () => client[command]!(...keys, now?.() ?? '', ...counts)).then(
      (reply) => {
        const message = settle(asked, reply)
        if (message === null || told) return
        told = true
        onForeign?.(message)
      },
      (error) => {
        for (const one of asked) one.reject(error)
      },
    )
  }

  return {
    lend(shard, asks) {
      return new Promise((resolve, reject) => {
        if (asks.length > countersMax) {
          throw new RangeError(`a tree has at most ${countersMax} counters`)
        }
        // After the reads of this turn, so that what they ask for goes together.
        if (waiting.size === 0) setImmediate(flush)
        const same = waiting.get(shard)
        if (same === undefined) waiting.set(shard, [{ asks, resolve, reject }])
        else same.push({ asks, resolve, reject })
      })
    },
    async probe(shard) {
      const counts = [1_000_000 / subWindows, 1_000_000_000, 1, 0, 0]
      await client.lend1!(`${prefixOf(shard)}probe`, '', 1, ...counts)
    },
  }
}

const foreignMessage =
  'A value that Postern did not write stands at a key of a limit in Redis. It counts as nothing and is replaced; let nothing else write there.'

const shapeMessage =
  'Redis answered the script of the limits in another shape. Each limit does what its onStoreDown says; look at what stands between this node and Redis.'

function pushArguments(counts: number[], { windowSeconds, quota, need, extra, backs }: Ask): void {
  counts.push((windowSeconds * 1_000_000) / subWindows, quota, need, extra, backs.length)
  for (const { slot, units } of backs) counts.push(slot, units)
}

/** Answers each with its part of the reply. Returns what is wrong with it, or null. */
function settle(asked: readonly Asked[], reply: unknown): string | null {
  let length = 1
  for (const { asks } of asked) length += 2 + 6 * asks.length
  if (!isIntegers(reply) || reply.length !== length) {
    const error = new StoreDown('the script answered in another shape')
    for (const one of asked) one.reject(error)
    return shapeMessage
  }
  let at = 0
  for (const { asks, resolve } of asked) {
    resolve(lentAt(reply, at, asks.length))
    at += 2 + 6 * asks.length
  }
  return reply[at] === 0 ? null : foreignMessage
}

/** Reads one tree of the reply, whose shape lend-script.ts tells. */
function lentAt(reply: readonly number[], from: number, counters: number): Lent {
  const standings: Standing[] = []
  for (let at = from + 2; standings.length < counters; at += 6) {
    standings.push({
      used: reply[at]!,
      moreMs: reply[at + 1]! / 1000,
      resetMs: reply[at + 2]! / 1000,
      lent: reply[at + 3]!,
      slot: reply[at + 4]!,
      validMs: reply[at + 5]! / 1000,
    })
  }
  const waitUs = reply[from + 1]!
  const waitMs = waitUs < 0 ? Number.POSITIVE_INFINITY : waitUs / 1000
  return { refusing: reply[from]! - 1, waitMs, standings }
}

/** The shard in braces is the hash tag, which decides the slot; so it may hold no brace itself. */
function keyPrefix(shard: string): string {
  return `{${shard.replace(/[%{}]/g, encodeURIComponent)}}:${format}:`
}

function isIntegers(reply: unknown): reply is number[] {
  return Array.isArray(reply) && reply.every((value) => Number.isInteger(value))
}
