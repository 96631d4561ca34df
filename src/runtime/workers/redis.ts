/**
 * The store operation on Redis from Workers, over TCP: a connection for each request that calls it,
 * because a socket cannot outlive the request that opened it. One script call, as on Node.
 */
import { type Lender, StoreDown } from '../../context.ts'
import { evictionFlaw, openRedis } from '../redis-client.ts'
import { defineLend, redisLender } from '../redis-lender.ts'
import type { RedisTarget } from '../redis-url.ts'

/** For the connection and the call together. */
const timeoutMs = 1000

/** What an isolate keeps: the server has said that it does not evict counters; it was warned of. */
export type KnownOfRedis = { fit: boolean; foreign: boolean }

/**
 * Opens a connection and a lender on it. It rejects with `StoreDown` when Redis does not answer in
 * time or would evict counters. `warn` is told once in an isolate of what is wrong in Redis.
 */
export function openRedisLender(
  target: RedisTarget,
  known: KnownOfRedis,
  warn: (message: string) => void,
): Lender {
  const client = openRedis(target, timeoutMs)
  defineLend(client)
  const { promise: ready, resolve, reject } = Promise.withResolvers<void>()
  let failure = new Error('the connection is lost')
  client.once('ready', resolve)
  client.on('error', (error: Error) => {
    failure = error
  })
  client.once('close', () => reject(failure))
  // Nobody may be waiting when it closes.
  ready.catch(() => undefined)

  async function callReady(call: () => Promise<unknown>): Promise<unknown> {
    await ready
    if (!known.fit) {
      const flaw = await evictionFlaw(client)
      if (flaw !== null) throw new StoreDown(flaw)
      known.fit = true
    }
    return call()
  }

  async function guard(_shard: string, call: () => Promise<unknown>): Promise<unknown> {
    const { promise: late, reject: giveUp } = Promise.withResolvers<never>()
    const timer = setTimeout(() => giveUp(new StoreDown('Redis is late')), timeoutMs)
    try {
      return await Promise.race([callReady(call), late])
    } catch (error) {
      if (error instanceof StoreDown) throw error
      throw new StoreDown(`Redis: ${error instanceof Error ? error.message : typeof error}`)
    } finally {
      clearTimeout(timer)
    }
  }

  const onForeign = (message: string): void => {
    if (!known.foreign) warn(message)
    known.foreign = true
  }
  return {
    lend: redisLender(client, guard, { onForeign }).lend,
    async close() {
      client.disconnect()
    },
  }
}
