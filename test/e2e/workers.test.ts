/**
 * The whole gate in workerd, on a real PostgreSQL. A PgBouncer in transaction mode stands where
 * Hyperdrive would: every transaction may meet another session, which wrangler alone does not show.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { clusterUrl, createDatabase, type TestDatabase, withClient } from '../database.ts'
import { until } from '../redis.ts'
import { type Server, startPgBouncer } from '../servers.ts'
import { gateSuite } from '../suites/gate.suite.ts'
import { startWorkerGate, type WorkerGate } from '../worker.ts'

let bouncer: Server
let single: TestDatabase
let perRole: TestDatabase
beforeAll(async () => {
  bouncer = await startPgBouncer(clusterUrl())
  single = await createDatabase({ migrate: false })
  perRole = await createDatabase()
})
afterAll(async () => {
  await bouncer?.stop()
  await single?.drop()
  await perRole?.drop()
})

const pooled = (url: string): string => Object.assign(new URL(url), { port: bouncer.port }).href
const redisUrl = (): string => {
  const url = process.env.REDIS_URL
  if (url === undefined || url === '') throw new Error('REDIS_URL is not set')
  return url
}
const onDurableObject = () =>
  startWorkerGate(
    {
      POSTERN_TENANT_DATABASE_URL: perRole.tenantUrl,
      POSTERN_GATEWAY_DATABASE_URL: perRole.gatewayUrl,
    },
    pooled,
  )
const onRedis = () =>
  startWorkerGate({ DATABASE_URL: single.ownerUrl, REDIS_URL: redisUrl() }, pooled)

gateSuite(
  'Workers with a database per role, counted in a Durable Object',
  onDurableObject,
  'workers',
)
gateSuite('Workers with one database, counted in Redis', onRedis, 'workers')

const tenant = 'tenant_abc123'
const list = '/v1/subscriptions'
const statusOf = async (url: string, key: string, signal?: AbortSignal): Promise<number> => {
  const response = await fetch(url + list, {
    headers: { 'x-api-key': key, 'x-tn': tenant },
    signal: signal ?? null,
  })
  await response.arrayBuffer()
  return response.status
}

describe('Workers', () => {
  let gate: WorkerGate
  beforeAll(async () => {
    gate = await onDurableObject()
  })
  afterAll(() => gate?.stop())

  const set = (column: string, key: string) =>
    withClient(perRole.ownerUrl, (client) =>
      client.query(`update postern.api_keys set ${column} = now() where ref = $1`, [
        key.slice('sk_live_'.length, 'sk_live_'.length + 9),
      ]),
    )

  test.each(['revoked_at', 'disabled_at', 'expires_at'])(
    'C1: a key whose %s was just set is dead at its next request',
    async (column) => {
      const key = await gate.mint({})
      expect(await statusOf(gate.url, key)).toBe(200)
      await set(column, key)
      expect(await statusOf(gate.url, key)).toBe(401)
    },
  )

  test('C1: a request that comes after a revocation never shares the answer of one before it', async () => {
    const key = await gate.mint({})
    const before = Array.from({ length: 40 }, () => statusOf(gate.url, key))
    await set('revoked_at', key)
    const after = await Promise.all(Array.from({ length: 40 }, () => statusOf(gate.url, key)))
    expect(new Set(after)).toEqual(new Set([401]))
    await Promise.all(before)
  })

  test('Q10: what a key uses is added after each answer, once', async () => {
    const key = await gate.mint({})
    const statuses = await Promise.all(
      Array.from({ length: 20 }, (_, n) => statusOf(gate.url + (n < 5 ? '/nothing' : ''), key)),
    )
    const used = async () =>
      withClient(perRole.ownerUrl, async (client) => {
        const { rows } = await client.query(
          `select u.requests::int, u.errors::int, u.bytes_out::int as bytes, u.billable
           from postern.usage_days u join postern.api_keys k on k.id = u.key_id where k.ref = $1`,
          [key.slice('sk_live_'.length, 'sk_live_'.length + 9)],
        )
        return rows[0]
      })
    const good = statuses.filter((status) => status === 200).length
    expect(good).toBe(15)
    await until(async () => (await used())?.requests >= good)
    expect(await used()).toMatchObject({ requests: good, errors: 0, billable: true })
    expect((await used()).bytes).toBeGreaterThan(good * 10)
  })

  test('a tenant that was just suspended is refused at its next request', async () => {
    const key = await gate.mint({})
    const call = () =>
      fetch(gate.url + list, { headers: { 'x-api-key': key, 'x-tn': 'tenant_leaving' } })
    await gate.addTenant('tenant_leaving')
    expect((await call()).status).toBe(200)
    await gate.suspend('tenant_leaving')
    expect((await call()).status).toBe(403)
  })

  test('D21: backends killed under load: every answer is its own rows or a clean 503', async () => {
    const key = await gate.mint({})
    const owners = ['tenant_abc123', 'tenant_xyz789']
    const ask = async (owner: string) => {
      const response = await fetch(gate.url + list, {
        headers: { 'x-api-key': key, 'x-tn': owner },
      })
      const body: { code?: string; data?: { id: string }[] } = await response.json()
      return { status: response.status, code: body.code, ids: body.data?.map(({ id }) => id) }
    }
    const own = await Promise.all(owners.map(async (owner) => (await ask(owner)).ids))
    const seen = new Map<number, number>()
    let running = true
    const killer = withClient(perRole.ownerUrl, async (client) => {
      let kills = 0
      while (running || kills < 20) {
        const { rowCount } = await client.query(`
          select pg_terminate_backend(pid, 1000) from pg_stat_activity
          where datname = current_database() and pid <> pg_backend_pid() and application_name = 'postern'
          order by random() limit 1`)
        kills += rowCount ?? 0
        if (!running) await ask('tenant_abc123')
      }
    })
    for (let round = 0; round < 40; round++) {
      const answers = await Promise.all(Array.from({ length: 10 }, (_, at) => ask(owners[at % 2]!)))
      for (const [at, { status, code, ids }] of answers.entries()) {
        seen.set(status, (seen.get(status) ?? 0) + 1)
        if (status === 200) expect(ids).toEqual(own[at % 2])
        else expect([status, code?.split('/')[1]]).toEqual([503, 'unavailable'])
      }
    }
    running = false
    await killer
    expect(own[0]).not.toEqual(own[1])
    expect(seen.get(200)).toBeGreaterThan(0)
    expect(seen.get(503)).toBeGreaterThan(0)
  })

  test('F4: clients that leave in the middle leave nothing behind, and nobody waits for them', async () => {
    const key = await gate.mint({})
    const left = Array.from({ length: 60 }, async (_, at) => {
      const leaving = new AbortController()
      const answer = statusOf(gate.url, key, leaving.signal).catch(() => 0)
      // Spread over what a request does: the lookups, the charge, the statement.
      for (let turn = 0; turn < at; turn++) await new Promise((next) => setImmediate(next))
      leaving.abort()
      return answer
    })
    await Promise.all(left)
    const answers = await Promise.all(Array.from({ length: 40 }, () => statusOf(gate.url, key)))
    expect(new Set(answers)).toEqual(new Set([200]))
    const { rows } = await withClient(perRole.ownerUrl, (client) =>
      client.query(
        `select count(*)::int as open from pg_stat_activity
          where datname = current_database() and state like 'idle in transaction%'`,
      ),
    )
    expect(rows).toEqual([{ open: 0 }])
  })
})

test('L7: Workers and Node with one Redis share one count', async () => {
  const gate = await onRedis()
  try {
    const limits = [{ name: 'key', quota: 3, windowSeconds: 60, onStoreDown: 'deny' as const }]
    const key = await gate.mint({ limits })
    const answers = []
    for (const url of [gate.url, gate.nodeUrl, gate.url, gate.nodeUrl, gate.url]) {
      answers.push(await statusOf(url, key))
    }
    expect(answers).toEqual([200, 200, 200, 429, 429])
  } finally {
    await gate.stop()
  }
})
