/**
 * How many charges a second? In process through the limiter, headers included, with the memory
 * counter; and calls of the counter on Redis over one connection, 256 at a time. Runs alone with
 * `node bench/limits.ts` (REDIS_URL for the second part), or from bench/run.ts.
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

/** Calls a second of the counter on Redis: one connection, `atOnce` callers. */
export async function redisCallsPerSecond(
  url: string,
  rounds = 100_000,
  atOnce = 256,
): Promise<number> {
  const store = await connectRedis(url, { timeoutMs: 5000 })
  const shard = { ...platform, id: `plt_bench_${process.pid}` }
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

/** Both figures, as bench/run.ts prints them. The second is null without a Redis. */
export async function benchLimits(
  url: string | undefined,
): Promise<{ memoryChargesPerSecond: number; redisCallsPerSecond: number | null }> {
  return {
    memoryChargesPerSecond: chargesPerSecond(),
    redisCallsPerSecond: url === undefined ? null : await redisCallsPerSecond(url),
  }
}

if (import.meta.main) {
  process.stdout.write(`${JSON.stringify(await benchLimits(process.env.REDIS_URL))}\n`)
}
