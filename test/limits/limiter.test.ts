import { afterEach, describe, expect, it } from 'vitest'
import type { Counter, Limit, Route } from '../../src/context.ts'
import { type Charge, createLimiter, type Limiter } from '../../src/limits/limiter.ts'
import { memoryCounter } from '../../src/limits/memory.ts'
import { connectRedis } from '../../src/runtime/node/redis.ts'
import { until } from '../redis.ts'
import { type Server, startRedis } from '../servers.ts'
import { limit, platformOf, recordOf, routeOf } from './platform.ts'

/** Charges in memory, which must be synchronous. */
const inMemory = (
  clock = { ms: 0 },
): { charge: (...args: Parameters<Limiter['charge']>) => Charge } => {
  const counter = memoryCounter({ now: () => clock.ms })
  const limiter = createLimiter({ counter, local: counter, nodeShare: 1 })
  const charge = (...args: Parameters<Limiter['charge']>): Charge => {
    const charged = limiter.charge(...args)
    if (charged instanceof Promise) throw new Error('not synchronous')
    return charged
  }
  return { charge }
}

const platform = platformOf([limit(3, 60)], [limit(5, 60)])

describe('the limiter', () => {
  it('answers synchronously when the counter does', () => {
    const charge = inMemory().charge(platform, routeOf(), recordOf(), 't')
    expect(charge).toEqual({
      ok: true,
      headers: {
        'ratelimit-policy': '"tenant";q=5;w=60, "key";q=3;w=60',
        ratelimit: '"tenant";r=4;t=61, "key";r=2;t=61',
      },
    })
  })

  it('a refusal names node and limit, and says when; the request after that passes', () => {
    const clock = { ms: 0 }
    const { charge } = inMemory(clock)
    for (let i = 0; i < 3; i++) charge(platform, routeOf(), recordOf(), 't')
    const refused = charge(platform, routeOf(), recordOf(), 't')
    expect(refused).toMatchObject({
      ok: false,
      refusal: { code: 'rate_limit/exceeded', headers: { 'retry-after': '61' } },
      headers: { ratelimit: expect.stringContaining('"key";r=0;t=61') },
    })
    expect(detailOf(refused)).toContain('"limit" of this API key (3 per 60 s)')
    clock.ms += 61_000
    expect(charge(platform, routeOf(), recordOf(), 't')).toMatchObject({ ok: true })
  })

  it('the tenant’s limit holds over all of its keys, and refuses by its name', () => {
    const { charge } = inMemory()
    const passed = Array.from({ length: 10 }, (_, n) =>
      charge(platform, routeOf(), recordOf({ id: `key_${n}` }), 't'),
    )
    expect(passed.filter(isOk)).toHaveLength(5)
    expect(detailOf(passed[9]!)).toContain('of this tenant')
    expect(charge(platform, routeOf(), recordOf({ id: 'key_1' }), 'other')).toMatchObject({
      ok: true,
    })
  })

  it('a key for all tenants has one count', () => {
    const { charge } = inMemory()
    const passed = Array.from({ length: 10 }, (_, n) =>
      charge(platform, routeOf(), recordOf(), `t${n}`),
    )
    expect(passed.filter(isOk)).toHaveLength(3)
  })

  it('a rotated secret neither resets nor doubles the count', () => {
    const { charge } = inMemory()
    const passed = Array.from({ length: 10 }, (_, n) =>
      charge(platform, routeOf(), recordOf({ last4: `000${n}` }), 't'),
    )
    expect(passed.filter(isOk)).toHaveLength(3)
  })

  it('L17: traffic of the test environment does not touch a live counter', () => {
    const { charge } = inMemory()
    for (let i = 0; i < 50; i++) charge(platform, routeOf(), recordOf({ environment: 'test' }), 't')
    const live = charge(platform, routeOf(), recordOf({ environment: 'live' }), 't')
    expect(live.headers.ratelimit).toBe('"tenant";r=4;t=61, "key";r=2;t=61')
  })

  it('a route’s own limit is counted per API key, and its cost at every node', () => {
    const { charge } = inMemory()
    const wide = platformOf([limit(100, 60)])
    const route = routeOf({ cost: 3, limits: [limit(7, 60)] })
    const first = recordOf({ id: 'a' })
    expect([1, 2, 3].map(() => charge(wide, route, first, 't')).filter(isOk)).toHaveLength(2)
    const other = charge(wide, route, recordOf({ id: 'b' }), 't')
    expect(other.headers.ratelimit).toBe('"key";r=97;t=61, "route";r=4;t=61')
    expect(charge(wide, routeOf(), first, 't').headers.ratelimit).toBe('"key";r=93;t=61')
  })

  it('a cost above the quota is refused without a Retry-After, because waiting does not help', () => {
    const refused = inMemory().charge(platform, routeOf({ cost: 4 }), recordOf(), 't')
    expect(refused).toMatchObject({ ok: false, refusal: { code: 'rate_limit/exceeded' } })
    expect(refused).not.toHaveProperty('refusal.headers')
    expect(detailOf(refused)).toContain('costs 4')
  })

  it('where nothing is limited, nothing is counted and nothing is said', () => {
    expect(inMemory().charge(platformOf([]), routeOf(), recordOf(), 't')).toEqual({
      ok: true,
      headers: {},
    })
  })

  it('T16: thousands of tenants under one key are still counted apart', () => {
    const { charge } = inMemory()
    const many = platformOf([limit(100_000, 60)], [limit(2, 60)])
    for (let round = 0; round < 3; round++) {
      for (let n = 0; n < 1500; n++) {
        expect(isOk(charge(many, routeOf(), recordOf(), `t${n}`))).toBe(round < 2)
      }
    }
  })
})

describe('when the store is down', () => {
  const servers: Server[] = []
  const counters: Counter[] = []
  afterEach(async () => {
    await Promise.all(counters.splice(0).map((counter) => counter.close()))
    await Promise.all(servers.splice(0).map((server) => server.stop()))
  })

  const start = async (nodeShare = 1) => {
    const server = await startRedis()
    servers.push(server)
    const store = await connectRedis(server.url)
    counters.push(store.counter)
    const { charge } = createLimiter({ counter: store.counter, local: memoryCounter(), nodeShare })
    const times = async (count: number, limits: Limit[], route: Route = routeOf()) => {
      const some = Array.from({ length: count }, () =>
        charge(platformOf(limits), route, recordOf(), 't'),
      )
      return Promise.all(some)
    }
    return { server, store, times }
  }

  it('local: each node enforces its share, at least 1, and says so in its headers', async () => {
    const { server, times } = await start(1 / 4)
    await server.kill()
    const passed = await times(50, [limit(20, 60)])
    expect(passed.filter(isOk)).toHaveLength(5)
    expect(passed[0]!.headers).toEqual({
      'ratelimit-policy': '"key";q=5;w=60',
      ratelimit: '"key";r=4;t=61',
    })
    expect(passed.at(-1)).toMatchObject({ ok: false, refusal: { code: 'rate_limit/exceeded' } })
    expect((await times(5, [limit(2, 10)])).filter(isOk)).toHaveLength(1)
  })

  it('allow: nothing is counted', async () => {
    const { server, times } = await start()
    await server.kill()
    const passed = await times(50, [limit(3, 60, { onStoreDown: 'allow' })])
    expect(passed.every((one) => one.ok && one.headers.ratelimit === undefined)).toBe(true)
  })

  it('deny: 503, with the reason in the log only', async () => {
    const { server, times } = await start()
    await server.kill()
    const [refused] = await times(1, [limit(3, 60), limit(9, 10, { onStoreDown: 'deny' })])
    expect(refused).toMatchObject({ ok: false, refusal: { code: 'limits/unavailable' } })
    expect(refused).not.toHaveProperty('refusal.detail')
  })

  it('each limit by its own name: allow beside local counts the local one', async () => {
    const { server, times } = await start()
    await server.kill()
    const limits = [limit(2, 60, { onStoreDown: 'allow' }), limit(4, 10)]
    expect((await times(9, limits)).filter(isOk)).toHaveLength(4)
  })

  it('a cost above this node’s share is a 503, not a limit that never lets it pass', async () => {
    const { server, times } = await start(1 / 4)
    await server.kill()
    const [refused] = await times(1, [limit(8, 60)], routeOf({ cost: 5 }))
    expect(refused).toMatchObject({ ok: false, refusal: { code: 'limits/unavailable' } })
  })

  it('L6: what was spent of a loan, without a call, counts here too when the store goes', async () => {
    const { server, store, times } = await start()
    const limits = [limit(1000, 3600)]
    let passed = 0
    while (passed < 300) passed += (await times(1, limits)).filter(isOk).length
    await server.kill()
    await until(() => store.state() === 'down')
    passed += (await times(2000, limits)).filter(isOk).length
    // Some of those are of the loan that was left.
    expect(passed).toBeGreaterThanOrEqual(1000)
    expect(passed).toBeLessThanOrEqual(1000 + 125)
  })

  it('L6: killed and restarted empty, at most twice the quota passes in that window', async () => {
    const { server, store, times } = await start()
    const limits = [limit(10, 3600)]
    let passed = (await times(7, limits)).filter(isOk).length
    await server.kill()
    await until(() => store.state() === 'down')
    passed += (await times(30, limits)).filter(isOk).length
    expect(passed).toBe(10)
    await server.restart()
    await until(() => store.state() === 'ready')
    passed += (await times(30, limits)).filter(isOk).length
    expect(passed).toBe(20)
  })
})

const isOk = (charge: Charge): boolean => charge.ok

const detailOf = (charge: Charge): string => (charge.ok ? '' : (charge.refusal.detail ?? ''))
