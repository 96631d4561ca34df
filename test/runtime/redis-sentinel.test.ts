import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { StoreDown } from '../../src/context.ts'
import { connectRedis } from '../../src/runtime/node/redis.ts'
import { type RedisSet, startSentinel, until } from '../redis.ts'
import type { Server } from '../servers.ts'
import { counterSuite, limit, treeOf } from '../suites/counter.suite.ts'

let set: RedisSet
beforeAll(async () => {
  set = await startSentinel()
}, 60_000)
afterAll(() => set?.stop())

counterSuite(
  'Redis behind Sentinel',
  async (clock) => {
    const options = { timeoutMs: 10_000, now: () => clock.ms * 1000 }
    return (await connectRedis(set.url, options)).counter
  },
  { runs: 10 },
)

/** Ends the primary in some way; counting stops, and goes on at the replica. */
async function survives({ url, servers }: RedisSet, end: (primary: Server) => unknown) {
  const store = await connectRedis(url)
  const one = treeOf({ key: 'one', limits: [limit(1000, 60)] })
  expect((await store.counter.borrow(one, 1)).granted).toBe(true)
  await end(servers[0]!)
  await until(async () => {
    await Promise.resolve(store.counter.borrow(one, 1)).catch(() => {})
    return store.state() === 'down'
  })
  await expect(async () => store.counter.borrow(one, 1)).rejects.toThrow(StoreDown)
  await until(() => store.state() === 'ready')
  expect((await store.counter.borrow(one, 1)).granted).toBe(true)
  await store.close()
}

describe('Redis behind Sentinel', () => {
  it('L6: when the primary is killed, counting goes on at the one that takes over', async () => {
    await survives(set, (primary) => primary.kill())
  }, 40_000)

  it('L5: so it does when the primary freezes', async () => {
    const other = await startSentinel()
    await survives(other, (primary) => process.kill(primary.pid(), 'SIGSTOP'))
    process.kill(other.servers[0]!.pid(), 'SIGCONT')
    await other.stop()
  }, 60_000)
})
