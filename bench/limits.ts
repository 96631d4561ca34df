/**
 * How many charges a second? In process through the limiter, headers included, with the memory
 * counter and leased from Redis; and calls of Redis over one connection, 256 at a time, where limits
 * are exact. Runs alone with `node bench/limits.ts` (REDIS_URL for all but the first), or from
 * bench/run.ts.
 */
import type { KeyRecord, Limit, Platform, Route } from '../src/context.ts'
import { createLimiter } from '../src/limits/limiter.ts'
import { memoryCounter } from '../src/limits/memory.ts'
import { treeFor } from '../src/limits/tree.ts'
import { connectRedis } from '../src/runtime/node/redis.ts'

const limit = (name: string, quota: number, windowSeconds: number): Limit => ({
  name,
  quota,
  windowSeconds,
  onStoreDown: 'local',
})

const minute = { key: [limit('minute', 100_000_000, 60)], tenant: [limit('minute', 5e8, 60)] }

const platform: Platform = {
  id: 'plt_bench',
  slug: 'bench',
  name: 'Bench',
  scheme: {
    name: 'azotte',
    prefixes: [],
    adopted: [],
    headers: ['x-api-key'],
    tenancy: 'required',
  },
  hosts: [],
  port: null,
  vocabulary: 'slash',
  docsUrl: null,
  issuer: 'urn:postern:test',
  upstreams: [],
  testMode: 'sandbox',
  openapi: null,
  permissions: [],
  limits: { environments: { test: minute, live: minute }, classes: {} },
  routes: [],
}

const route: Route = {
  id: 'list',
  path: '/v1/things',
  methods: ['GET'],
  handler: 'things',
  hosts: [],
  upstream: null,
  sandbox: null,
  secrets: null,
  rewrite: null,
  cors: null,
  permission: null,
  classes: ['secret'],
  environments: ['live'],
  cost: 1,
  limits: [],
  bodyBytesMax: 0,
  jsonOnly: false,
  requireHttps: false,
  encodedSlash: false,
}

const record = (n: number): KeyRecord => ({
  id: `key_${n}`,
  platform: platform.id,
  environment: 'live',
  class: 'secret',
  name: 'bench',
  prefix: 'sk_live_',
  ref: 'k7Gh2Qm9x',
  last4: '0000',
  secretId: 'sec_1',
  tenants: null,
  permissions: [],
  restrictions: { ips: null, origins: null, referrers: null, endpoints: null },
  limits: null,
  expiresAt: null,
  revoked: false,
  disabled: false,
  pepperVersion: 1,
})

/** Charges a second with the memory counter: tenant and API key, 100 keys of 10 tenants. */
export function chargesPerSecond(rounds = 2_000_000): number {
  const counter = memoryCounter()
  const limiter = createLimiter({ counter, local: counter, nodeShare: 1 })
  const records = Array.from({ length: 100 }, (_, n) => record(n))
  const tenants = Array.from({ length: 10 }, (_, n) => `tenant_${n}`)
  const run = (times: number): number => {
    let passed = 0
    for (let i = 0; i < times; i++) {
      const charge = limiter.charge(platform, route, records[i % 100]!, tenants[i % 10]!)
      if (!(charge instanceof Promise) && charge.ok) passed += charge.headers.ratelimit!.length
    }
    return passed
  }
  run(200_000)
  const start = performance.now()
  run(rounds)
  return Math.round(rounds / ((performance.now() - start) / 1000))
}

/** Charges a second with limits leased from Redis, mirrored in memory as the gateway does it. */
export async function leasedChargesPerSecond(url: string, rounds = 1_000_000): Promise<number> {
  const store = await connectRedis(url, { timeoutMs: 5000 })
  const limiter = createLimiter({ counter: store.counter, local: memoryCounter(), nodeShare: 1 })
  const shard = { ...platform, id: `plt_bench_leased_${process.pid}` }
  const records = Array.from({ length: 100 }, (_, n) => record(n))
  const tenants = Array.from({ length: 10 }, (_, n) => `tenant_${n}`)
  const run = async (times: number): Promise<void> => {
    for (let i = 0; i < times; i++) {
      const charge = limiter.charge(shard, route, records[i % 100]!, tenants[i % 10]!)
      if (charge instanceof Promise) await charge
      // As a server does between requests, so that renewals come in.
      else if (i % 50 === 0) await new Promise(setImmediate)
    }
  }
  await run(200_000)
  const start = performance.now()
  await run(rounds)
  const perSecond = Math.round(rounds / ((performance.now() - start) / 1000))
  await store.close()
  return perSecond
}

/** Calls a second of Redis where limits are exact: one connection, `atOnce` callers. */
export async function redisCallsPerSecond(
  url: string,
  rounds = 100_000,
  atOnce = 256,
): Promise<number> {
  const store = await connectRedis(url, { timeoutMs: 5000 })
  const isExact = (limits: readonly Limit[]): Limit[] =>
    limits.map((one) => ({ ...one, counting: 'exact' }))
  const exact = { key: isExact(minute.key), tenant: isExact(minute.tenant) }
  const shard = {
    ...platform,
    id: `plt_bench_${process.pid}`,
    limits: { environments: { test: exact, live: exact }, classes: {} },
  }
  const trees = Array.from(
    { length: 100 },
    (_, n) => treeFor(shard, route, record(n), `tenant_${n % 10}`).tree,
  )
  const run = async (times: number): Promise<void> => {
    let left = times
    const caller = async (): Promise<void> => {
      while (left-- > 0) await store.counter.borrow(trees[left % 100]!, 1)
    }
    await Promise.all(Array.from({ length: atOnce }, caller))
  }
  await run(10_000)
  const start = performance.now()
  await run(rounds)
  const perSecond = Math.round(rounds / ((performance.now() - start) / 1000))
  await store.close()
  return perSecond
}

/** The figures, as bench/run.ts prints them. All but the first are null without a Redis. */
export async function benchLimits(url: string | undefined): Promise<{
  memoryChargesPerSecond: number
  leasedChargesPerSecond: number | null
  redisCallsPerSecond: number | null
}> {
  return {
    memoryChargesPerSecond: chargesPerSecond(),
    leasedChargesPerSecond: url === undefined ? null : await leasedChargesPerSecond(url),
    redisCallsPerSecond: url === undefined ? null : await redisCallsPerSecond(url),
  }
}

if (import.meta.main) {
  process.stdout.write(`${JSON.stringify(await benchLimits(process.env.REDIS_URL))}\n`)
}
