import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type CounterTree, StoreDown } from '../../src/context.ts'
import { connectRedis, type RedisStore } from '../../src/runtime/node/redis.ts'
import { ask, type RedisSet, startCluster, until } from '../redis.ts'
import { counterSuite, limit, treeOf } from '../suites/counter.suite.ts'

let cluster: RedisSet
beforeAll(async () => {
  cluster = await startCluster()
}, 60_000)
afterAll(() => cluster?.stop())

counterSuite(
  'Redis Cluster',
  async (clock) => {
    const options = { timeoutMs: 10_000, now: () => clock.ms * 1000 }
    return (await connectRedis(cluster.url, options)).counter
  },
  { runs: 10 },
)

describe('Redis Cluster', () => {
  let store: RedisStore
  beforeAll(async () => {
    store = await connectRedis(cluster.url)
  })
  afterAll(() => store?.close())

  const trees = Array.from({ length: 60 }, () =>
    treeOf(
      { key: 'tenant', limits: [limit(1000, 60), limit(1000, 1)] },
      { key: 'key', limits: [limit(1000, 60)] },
      { key: 'route', limits: [limit(1000, 60)] },
    ),
  )
  const passes = async (tree: CounterTree): Promise<boolean> => {
    try {
      return (await store.counter.borrow(tree, 1)).granted
    } catch (error) {
      if (error instanceof StoreDown) return false
      throw error
    }
  }

  it('L10: a tree is one slot, and trees of all nodes go through at once', async () => {
    expect(await Promise.all(trees.map(passes))).not.toContain(false)
    for (const server of cluster.servers) {
      expect(await ask(server, 'DBSIZE')).toMatch(/^:[1-9]/)
    }
  })

  it('the comma-separated list of its servers is the same cluster', async () => {
    const list = cluster.servers.map(({ url }) => url).join(',')
    const other = await connectRedis(list)
    const one = treeOf({ key: 'one', limits: [limit(1, 60)] })
    expect((await other.counter.borrow(one, 1)).granted).toBe(true)
    expect((await store.counter.borrow(one, 1)).granted).toBe(false)
    await other.close()
  })

  it('L5: a frozen node stops its own shards and no others, and they come back with it', async () => {
    const [frozen] = cluster.servers
    process.kill(frozen!.pid(), 'SIGSTOP')
    let down: CounterTree[] = []
    for (let round = 0; round < 5; round++) {
      const passed = await Promise.all(trees.map(passes))
      down = trees.filter((_, i) => !passed[i])
    }
    expect(down.length).toBeGreaterThan(0)
    expect(down.length).toBeLessThan(trees.length)
    expect(store.state()).toBe('down')
    process.kill(frozen!.pid(), 'SIGCONT')
    await until(() => store.state() === 'ready')
    expect(await Promise.all(trees.map(passes))).not.toContain(false)
  })
})
