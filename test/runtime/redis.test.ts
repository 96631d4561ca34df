import { once } from 'node:events'
import fc from 'fast-check'
import { afterEach, describe, expect, it } from 'vitest'
import { StoreDown } from '../../src/context.ts'
import {
  connectRedis,
  type RedisOptions,
  type RedisStore,
  RedisUnfit,
} from '../../src/runtime/node/redis.ts'
import { openRedis } from '../../src/runtime/redis-client.ts'
import { defineLend, redisLender } from '../../src/runtime/redis-lender.ts'
import { parseRedisUrl } from '../../src/runtime/redis-url.ts'
import { fullest, type Passed } from '../limits/nodes.ts'
import { ask, until } from '../redis.ts'
import { type Server, startRedis } from '../servers.ts'
import { type Clock, counterSuite, exactLimit, limit, treeOf } from '../suites/counter.suite.ts'
import { lenderSuite } from '../suites/lender.suite.ts'

const patient: RedisOptions = { timeoutMs: 10_000 }

const sharedUrl = (): string => {
  const url = process.env.REDIS_URL
  if (url === undefined) throw new Error('REDIS_URL is not set')
  return url
}

const patiently = async (clock: Clock) => {
  const { counter } = await connectRedis(sharedUrl(), { ...patient, now: () => clock.ms * 1000 })
  return counter
}
counterSuite('Redis', patiently, { floodMs: 5 })
counterSuite('Redis', patiently, { counting: 'exact', floodMs: 5 })
lenderSuite('Redis', async (clock) => {
  const client = openRedis(parseRedisUrl(sharedUrl()), 10_000)
  defineLend(client)
  await once(client, 'ready')
  const { lend } = redisLender(client, (_, call) => call(), { now: () => clock.ms * 1000 })
  return { lend, close: async () => client.disconnect() }
})

describe('Redis', () => {
  const stores: RedisStore[] = []
  const servers: Server[] = []
  const connect = async (url: string, options: RedisOptions = {}): Promise<RedisStore> => {
    const store = await connectRedis(url, options)
    stores.push(store)
    return store
  }
  const boot = async (...args: string[]): Promise<Server> => {
    const server = await startRedis(args)
    servers.push(server)
    return server
  }
  afterEach(async () => {
    await Promise.all(stores.splice(0).map((store) => store.close()))
    await Promise.all(servers.splice(0).map((server) => server.stop()))
  })

  const tree = (quota = 100) => treeOf({ key: 'one', limits: [limit(quota, 60)] })
  const exactTree = (quota = 100) => treeOf({ key: 'one', limits: [exactLimit(quota, 60)] })
  const commands = async (server: Server, name: string): Promise<number> => {
    const stats = await ask(server, 'INFO commandstats')
    return Number(new RegExp(`cmdstat_${name}:calls=(\\d+)`).exec(stats)?.[1] ?? 0)
  }

  it('L1: 5 000 at once over four connections on a quota of 100: exactly 100 are granted', async () => {
    const nodes = await Promise.all(Array.from({ length: 4 }, () => connect(sharedUrl(), patient)))
    const one = tree()
    const all = await Promise.all(
      Array.from({ length: 5000 }, (_, n) => nodes[n % 4]!.counter.borrow(one, 1)),
    )
    expect(all.filter(({ granted }) => granted)).toHaveLength(100)
  })

  it('L3: counts on the clock of the server when given none', async () => {
    const server = await boot()
    const { counter } = await connect(server.url, patient)
    expect(await counter.borrow(tree(2), 1)).toMatchObject({
      granted: true,
      states: [{ remaining: 1, resetSeconds: 61, moreSeconds: 61 }],
    })
    expect(await commands(server, 'time')).toBe(1)
  })

  it('where one limit is exact, one request is one script call, whatever its tree', async () => {
    const server = await boot()
    const { counter } = await connect(server.url, patient)
    const wide = treeOf(
      { key: 'tenant', limits: [limit(1000, 60), limit(500, 1)] },
      { key: 'key', limits: [limit(1000, 60)] },
      { key: 'route', limits: [exactLimit(1000, 60)] },
    )
    for (let i = 0; i < 3; i++) await counter.borrow(wide, 1)
    expect((await commands(server, 'eval')) + (await commands(server, 'evalsha'))).toBe(3)
    expect(await commands(server, 'eval')).toBe(1)
  })

  it('L4: every key expires, and a refusal writes none', async () => {
    const server = await boot()
    const { counter } = await connect(server.url, patient)
    await counter.borrow(treeOf({ key: 'a', limits: [limit(1, 60), limit(1, 10)] }), 1)
    await counter.borrow(treeOf({ key: 'b', limits: [limit(1, 60)] }), 2)
    expect(await ask(server, 'INFO keyspace')).toMatch(/db0:keys=2,expires=2,/)
  })

  it('L18: SCRIPT FLUSH loses no call and no count', async () => {
    const server = await boot()
    const { counter } = await connect(server.url, patient)
    const one = exactTree(1000)
    for (let i = 0; i < 10; i++) {
      const some = await Promise.all(Array.from({ length: 20 }, () => counter.borrow(one, 1)))
      expect(some.filter(({ granted }) => granted)).toHaveLength(20)
      expect(await ask(server, 'SCRIPT FLUSH')).toBe('+OK\r\n')
    }
    expect((await counter.borrow(one, 1)).states[0]?.remaining).toBe(799)
  })

  it.each([
    ['a list', 'LPUSH KEY x'],
    ['a short text', 'SET KEY x'],
    ['bytes of the right length', `SET KEY ${'z'.repeat(18)}`],
    ['bytes of another right length', `SET KEY ${'\x01'.repeat(13 + 5 * 9)}`],
    ['a hash', 'HSET KEY a b'],
  ])('L15: %s at a counter key counts as nothing, and is replaced', async (_, command) => {
    const server = await boot()
    const { counter } = await connect(server.url, patient)
    const one = tree(5)
    await counter.borrow(one, 1)
    const key = /\$\d+\r\n(\{.*)\r\n/.exec(await ask(server, 'KEYS *'))?.[1] ?? ''
    expect(await ask(server, `DEL ${key}`)).toBe(':1\r\n')
    expect(await ask(server, command.replace('KEY', key))).not.toMatch(/^-/)
    const borrowed = await counter.borrow(one, 1)
    expect(borrowed).toMatchObject({ granted: true, states: [{ remaining: 4 }] })
    expect(borrowed.states[0]!.resetSeconds).toBeGreaterThan(0)
  })

  it('L15: a foreign value at a counter key is warned of once, of whatever kind it is', async () => {
    const server = await boot()
    const warnings: string[] = []
    const { counter } = await connect(server.url, {
      ...patient,
      onWarning: (message) => warnings.push(message),
    })
    const all = ['a', 'b', 'c'].map((key) => treeOf({ key, limits: [limit(5, 60)] }))
    for (const one of all) await counter.borrow(one, 1)
    expect(warnings).toEqual([])
    const keys = [...(await ask(server, 'KEYS *')).matchAll(/(\{.*)\r\n/g)].map(([, key]) => key)
    for (const [at, command] of ['LPUSH KEY x', 'SET KEY x', 'HSET KEY a b'].entries()) {
      const key = keys[at] ?? ''
      expect(await ask(server, `DEL ${key}`)).toBe(':1\r\n')
      await ask(server, command.replace('KEY', key))
    }
    for (const one of all) expect(await counter.borrow(one, 1)).toMatchObject({ granted: true })
    expect(warnings).toEqual([expect.stringContaining('did not write')])
  })

  it('a value as versions before leasing wrote it is counted on', async () => {
    const server = await boot()
    const { counter } = await connect(server.url, patient)
    const one = tree(5)
    await counter.borrow(one, 1)
    const client = openRedis(parseRedisUrl(server.url), 10_000)
    await once(client, 'ready')
    const [key = ''] = await client.keys('*')
    const old = Buffer.alloc(23)
    const index = Math.floor((Date.now() * 1000) / ((60 * 1_000_000) / 64))
    old.writeDoubleBE(index - 3, 0)
    old.writeUInt8(3, 8)
    old.writeUInt32BE(4, 9)
    // The distance that stands before the oldest entry may be a leftover.
    old.writeUInt8(9, 13)
    old.writeUInt32BE(3, 14)
    old.writeUInt8(3, 18)
    old.writeUInt32BE(1, 19)
    await client.set(key, old)
    client.disconnect()
    const borrowed = [await counter.borrow(one, 1), await counter.borrow(one, 1)]
    expect(borrowed).toMatchObject([
      { granted: true, states: [{ remaining: 0 }] },
      { granted: false },
    ])
  })

  it('several nodes that lease at random, stop and give back never pass the quota', async () => {
    const clock = { ms: 1_800_000_000_000 }
    const options = { ...patient, now: () => clock.ms * 1000 }
    const fresh = () => connect(sharedUrl(), options)
    const nodes = await Promise.all([fresh(), fresh(), fresh()])
    const step = fc.record({
      node: fc.nat(2),
      ms: fc.constantFrom(0, 0, 1, 3, 8, 16, 40),
      want: fc.constantFrom(1, 1, 1, 2, 5),
      times: fc.integer({ min: 1, max: 12 }),
      ends: fc.constantFrom(...Array<boolean>(19).fill(false), true),
    })
    const property = fc.asyncProperty(
      fc.array(step, { minLength: 60, maxLength: 120, size: 'max' }),
      fc.integer({ min: 20, max: 200 }),
      async (steps, quota) => {
        const one = treeOf({ key: 'one', limits: [limit(quota, 1)] })
        const passed: Passed = []
        for (const { node, ms, want, times, ends } of steps) {
          clock.ms += ms
          const { counter } = nodes[node]!
          const some = Array.from({ length: times }, async () => counter.borrow(one, want))
          for (const { granted } of await Promise.all(some)) {
            if (granted) passed.push({ at: clock.ms, units: want })
          }
          if (!ends) continue
          await nodes[node]!.close()
          nodes[node] = await fresh()
        }
        expect(fullest(passed, 1000)).toBeLessThanOrEqual(quota)
      },
    )
    await fc.assert(property, { numRuns: 10 })
  })

  it('FLUSHALL starts the count over, and what was lent before is spent and given back', async () => {
    const server = await boot()
    const { counter } = await connect(server.url, patient)
    const one = tree(1000)
    for (let i = 0; i < 20; i++) await counter.borrow(one, 1)
    expect(await ask(server, 'FLUSHALL')).toBe('+OK\r\n')
    let granted = 20
    for (let i = 0; i < 2500; i++) if ((await counter.borrow(one, 1)).granted) granted++
    expect(granted).toBeGreaterThanOrEqual(1000)
    expect(granted).toBeLessThanOrEqual(2000)
  })

  it('what is lent is given back when the node is closed', async () => {
    const server = await boot()
    const [node, other] = [await connect(server.url, patient), await connect(server.url, patient)]
    const one = tree(10_000)
    for (let i = 0; i < 5; i++) await node.counter.borrow(one, 1)
    await node.close()
    expect((await other.counter.borrow(one, 1)).states[0]?.remaining).toBe(9994)
  })

  it('L18: OOM is a store that is down, and heals by itself', async () => {
    const server = await boot('--maxmemory-policy', 'noeviction')
    const { counter, state } = await connect(server.url, patient)
    await ask(server, 'CONFIG SET maxmemory 1')
    for (let i = 0; i < 8; i++) await expect(counter.borrow(tree(), 1)).rejects.toThrow(StoreDown)
    expect(state()).toBe('down')
    await ask(server, 'CONFIG SET maxmemory 0')
    await until(() => state() === 'ready')
    expect((await counter.borrow(tree(), 1)).granted).toBe(true)
  })

  it('L18: a read-only replica is a store that is down', async () => {
    const primary = await boot('--shutdown-timeout', '0', '--repl-diskless-sync-delay', '0')
    const replica = await boot('--replicaof', '127.0.0.1', `${primary.port}`)
    await until(async () => (await ask(replica, 'INFO replication')).includes('link_status:up'))
    const { counter } = await connect(replica.url, patient)
    await expect(counter.borrow(tree(), 1)).rejects.toThrow(StoreDown)
    await ask(replica, 'REPLICAOF NO ONE')
    await until(async () => (await counter.borrow(tree(), 1)).granted)
  })

  it('L18: a server that asks for a password we do not have is a store that is down', async () => {
    const server = await boot('--requirepass', 'secret')
    const store = await connect(server.url, { bootMs: 200 })
    await expect(store.counter.borrow(tree(), 1)).rejects.toThrow(StoreDown)
    const right = await connect(`redis://:secret@127.0.0.1:${server.port}`)
    expect(right.state()).toBe('ready')
  })

  it.each(['allkeys-lru', 'allkeys-random', 'volatile-lru'])(
    'L18: maxmemory-policy %s is refused at boot with what to change',
    async (policy) => {
      const server = await boot('--maxmemory', '64mb', '--maxmemory-policy', policy)
      await expect(connectRedis(server.url)).rejects.toThrow(RedisUnfit)
      await expect(connectRedis(server.url)).rejects.toThrow(/Set it to noeviction/)
    },
  )

  it('F10: starting without a server neither hangs nor fails, and finds it when it comes', async () => {
    const server = await boot()
    await server.kill()
    const states: string[] = []
    const store = await connect(server.url, { bootMs: 100, onState: (state) => states.push(state) })
    expect(store.state()).toBe('down')
    await expect(store.counter.borrow(tree(), 1)).rejects.toThrow(StoreDown)
    await server.restart()
    await until(() => store.state() === 'ready')
    expect((await store.counter.borrow(tree(), 1)).granted).toBe(true)
    expect(states).toEqual(['ready'])
  })

  it('F10: starting while the server is frozen neither hangs nor fails', async () => {
    const server = await boot()
    process.kill(server.pid(), 'SIGSTOP')
    const store = await connect(server.url, { bootMs: 100 })
    await expect(store.counter.borrow(tree(), 1)).rejects.toThrow(StoreDown)
    process.kill(server.pid(), 'SIGCONT')
    await until(() => store.state() === 'ready')
    expect((await store.counter.borrow(tree(), 1)).granted).toBe(true)
  })

  it('L18: a server that comes back evicting counters is not counted with', async () => {
    const server = await boot('--maxmemory-policy', 'allkeys-lru')
    await server.kill()
    const told: string[] = []
    const store = await connect(server.url, { bootMs: 50, onState: (_, cause) => told.push(cause) })
    await server.restart()
    await until(() => told.some((cause) => cause.includes('allkeys-lru')))
    expect(store.state()).toBe('down')
    await expect(store.counter.borrow(tree(), 1)).rejects.toThrow(StoreDown)
  })

  it('L5: a frozen server costs its deadline a few times, then nothing, and heals', async () => {
    const server = await boot()
    const store = await connect(server.url, { failuresMax: 3 })
    const one = exactTree()
    await store.counter.borrow(one, 1)
    process.kill(server.pid(), 'SIGSTOP')
    const took: number[] = []
    for (let i = 0; i < 50; i++) {
      const start = performance.now()
      await expect(store.counter.borrow(one, 1)).rejects.toThrow(StoreDown)
      took.push(performance.now() - start)
    }
    // Not how fast it is, but which of them waited: the first three, and nobody after the breaker.
    expect(took.filter((ms) => ms > 150)).toHaveLength(3)
    expect(store.state()).toBe('down')
    process.kill(server.pid(), 'SIGCONT')
    await until(() => store.state() === 'ready')
    const after = await store.counter.borrow(one, 1)
    // L8: calls that timed out may have been executed: counted too much, never too little.
    expect(after.states[0]!.remaining).toBeLessThanOrEqual(98)
    expect(after.states[0]!.remaining).toBeGreaterThanOrEqual(95)
  })

  it('L5: of many at once on a frozen server, every one is rejected within the same deadline', async () => {
    const server = await boot()
    const store = await connect(server.url)
    await store.counter.borrow(tree(), 1)
    process.kill(server.pid(), 'SIGSTOP')
    const start = performance.now()
    const all = await Promise.allSettled(
      Array.from({ length: 500 }, () => store.counter.borrow(tree(), 1)),
    )
    expect(all.every(({ status }) => status === 'rejected')).toBe(true)
    expect(performance.now() - start).toBeLessThan(2000)
    process.kill(server.pid(), 'SIGCONT')
  })

  it('L6: a server killed under traffic and restarted empty: nothing hangs or throws otherwise', async () => {
    const server = await boot()
    const store = await connect(server.url)
    const one = tree(1_000_000)
    let stop = false
    const outcomes = { granted: 0, down: 0, other: 0 }
    const caller = async (): Promise<void> => {
      while (!stop) {
        try {
          await store.counter.borrow(one, 1)
          outcomes.granted++
        } catch (error) {
          outcomes[error instanceof StoreDown ? 'down' : 'other']++
        }
        await new Promise((resolve) => setImmediate(resolve))
      }
    }
    const callers = Promise.all(Array.from({ length: 20 }, caller))
    await until(() => outcomes.granted > 100)
    await server.kill()
    await until(() => outcomes.down > 100)
    await server.restart()
    await until(() => store.state() === 'ready')
    const before = outcomes.granted
    await until(() => outcomes.granted > before + 100)
    stop = true
    await callers
    expect(outcomes.other).toBe(0)
  })

  it('L7: a call whose connection was lost is not sent again', async () => {
    const server = await boot()
    const store = await connect(server.url)
    const one = exactTree(1000)
    let granted = 0
    let asked = 0
    for (let i = 0; i < 20; i++) {
      const some = Promise.allSettled(
        Array.from({ length: 10 }, async () => store.counter.borrow(one, 1)),
      )
      asked += 10
      await ask(server, 'CLIENT KILL TYPE normal').catch(() => '')
      for (const { status } of await some) if (status === 'fulfilled') granted++
      await until(() => store.state() === 'ready')
    }
    // A cost above the quota charges nothing, and still tells where the limit stands.
    let used = -1
    await until(async () => {
      used = 1000 - (await store.counter.borrow(one, 1001)).states[0]!.remaining
      return true
    })
    expect(used).toBeGreaterThanOrEqual(granted)
    expect(used).toBeLessThanOrEqual(asked)
  })

  it('after close every call is rejected', async () => {
    const store = await connect(sharedUrl())
    await store.close()
    await expect(store.counter.borrow(tree(), 1)).rejects.toThrow(StoreDown)
    expect(store.state()).toBe('down')
  })
})
