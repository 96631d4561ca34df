/**
 * The counter port on Redis from Workers, over TCP: a connection for each request that is charged,
 * because a socket cannot outlive the request that opened it. One script call, as on Node.
 */
import { type Counter, StoreDown } from '../../context.ts'
import { evictionFlaw, openRedis } from '../redis-client.ts'
import { defineBorrow, redisCounter } from '../redis-counter.ts'
import type { RedisTarget } from '../redis-url.ts'

/** For the connection and the call together. */
const timeoutMs = 1000

/** What an isolate keeps: whether the server has said that it does not evict counters. */
export type KnownOfRedis = { fit: boolean }

/**
 * Opens a connection and a counter on it. It rejects with `StoreDown` when Redis does not answer in
 * time or would evict counters, and with a RangeError for a `want` that is no positive integer.
 */
export function openRedisCounter(target: RedisTarget, known: KnownOfRedis): Counter {
  const client = openRedis(target, timeoutMs)
  defineBorrow(client)
  const { promise: ready, resolve, reject } = Promise.withResolvers<void>()
  let failure = new Error('the connection is lost')
  client.once('ready', resolve)
  client.on('error', (error: Error) => {
    failure = error
  })
  client.once('close', () => reject(failure))
  // Nobody may be waiting when it closes.
  ready.catch(() => undefined)

  async function borrowReady(borrow: () => Promise<unknown>): Promise<unknown> {
    await ready
    if (!known.fit) {
      const flaw = await evictionFlaw(client)
      if (flaw !== null) throw new StoreDown(flaw)
      known.fit = true
    }
    return borrow()
  }

  const counter = redisCounter(client, async (_shard, borrow) => {
    const { promise: late, reject: giveUp } = Promise.withResolvers<never>()
    const timer = setTimeout(() => giveUp(new StoreDown('Redis is late')), timeoutMs)
    try {
      return await Promise.race([borrowReady(borrow), late])
    } catch (error) {
      if (error instanceof StoreDown) throw error
      throw new StoreDown(`Redis: ${error instanceof Error ? error.message : typeof error}`)
    } finally {
      clearTimeout(timer)
    }
  })
  return {
    borrow: counter.borrow,
    async close() {
      client.disconnect()
    },
  }
}
