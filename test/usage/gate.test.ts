/** The use of keys as a gate counts it, on both databases, and as the management API tells it. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createDatabase, type TestDatabase, withClient } from '../database.ts'
import { startGate, type TestGate } from '../gate.ts'
import { logLines } from '../gate-process.ts'
import { callerOf } from '../manage/caller.ts'
import { until } from '../redis.ts'
import { type Relay, startRelay } from '../relay.ts'

const list = '/v1/subscriptions'
const tenant = 'tenant_abc123'

type Made = { readonly id: string; readonly key: string }
type Called = { readonly path?: string; readonly body?: unknown; readonly tenant?: string }

/** What tests do with a gate and its keys. */
function workWith(gate: TestGate) {
  const api = callerOf(gate.url, gate.seeded.operator)
  const usage = async (id: string) => (await api.call('GET', `/v1/api-keys/${id}/usage`)).json.data
  return {
    api,
    usage,
    make: (more: Readonly<Record<string, unknown>> = {}): Promise<Made> =>
      api.make({ permissions: ['*'], ...more }),
    async call({ key }: Pick<Made, 'key'>, called: Called = {}, headers = {}): Promise<number> {
      const response = await fetch(gate.url + (called.path ?? list), {
        method: called.body === undefined ? 'GET' : 'POST',
        headers: {
          'x-api-key': key,
          'x-tn': called.tenant ?? tenant,
          ...(called.body !== undefined && { 'content-type': 'application/json' }),
          ...headers,
        },
        body: called.body === undefined ? null : JSON.stringify(called.body),
      })
      await response.arrayBuffer()
      return response.status
    },
    /** Until so many requests of a key are stored. */
    counted: (id: string, requests: number) =>
      until(async () => (await usage(id)).total.requests >= requests),
    /** What the log says of a key. */
    async logged(id: string) {
      const lines = logLines(await gate.logged()).filter(({ keyId }) => keyId === id)
      const sum = (name: string) => lines.reduce((all, line) => all + Number(line[name]), 0)
      return {
        requests: lines.length,
        errors: lines.filter(({ status }) => Number(status) >= 400).length,
        bytes_in: sum('requestBytes'),
        bytes_out: sum('responseBytes'),
      }
    },
  }
}

const databases: readonly [string, () => Promise<TestDatabase | null>][] = [
  ['PGlite', async () => null],
  ['PostgreSQL', () => createDatabase({ migrate: false })],
]

describe.each(databases)('%s', (_, create) => {
  let database: TestDatabase | null
  let gate: TestGate
  let work: ReturnType<typeof workWith>
  beforeAll(async () => {
    database = await create()
    gate = await startGate(database === null ? {} : { DATABASE_URL: database.ownerUrl })
    work = workWith(gate)
  })
  afterAll(async () => {
    await gate?.stop()
    await database?.drop()
  })

  test('requests, errors and bytes are those of the log, and test is apart from live', async () => {
    const live = await work.make({ tenants: [tenant] })
    const sandbox = await work.make({ environment: 'test' })
    const body = { plan: 'x'.repeat(30) }
    const statuses = await Promise.all([
      ...Array.from({ length: 20 }, () => work.call(live)),
      work.call(live, { body }),
      work.call(live, { path: `${list}/sub_nobody` }),
      work.call(live, { body: { plan: 1 } }),
      work.call(live, { tenant: 'tenant_xyz789' }),
      ...Array.from({ length: 5 }, () => work.call(sandbox)),
    ])
    expect(new Set(statuses)).toEqual(new Set([200, 201, 404, 400, 403]))
    // A secret key in a browser: what a good key is refused is its use too.
    expect(await work.call(live, {}, { origin: 'https://a.example' })).toBe(403)
    await Promise.all([work.counted(live.id, 25), work.counted(sandbox.id, 5)])

    const told = await work.usage(live.id)
    expect(told.total).toEqual(await work.logged(live.id))
    expect(told.total).toMatchObject({ requests: 25, errors: 4 })
    expect(told.total.bytes_in).toBeGreaterThan(30)
    expect(told.total.bytes_out).toBeGreaterThan(20 * 100)
    expect(told.days).toMatchObject([
      {
        environment: 'live',
        billable: true,
        last_address: expect.stringMatching(/127\.0\.0\.1|::1/),
      },
    ])
    expect(told.days[0].last_origin).toBe('https://a.example')

    const apart = await work.usage(sandbox.id)
    expect(apart.total).toEqual(await work.logged(sandbox.id))
    expect(apart.days).toMatchObject([{ environment: 'test', billable: false, requests: 5 }])

    const { data } = (await work.api.call('GET', `/v1/api-keys/${live.id}`)).json
    expect(data.last_used).not.toBeNull()
    expect(data.rotation.secrets[0]).toMatchObject({ last_used_from: told.days[0].last_address })
  })

  test('what shows no good key is nobody’s', async () => {
    const key = await work.make()
    await work.api.call('POST', `/v1/api-keys/${key.id}/disable`)
    expect(await work.call(key)).toBe(401)
    expect(await work.call({ key: `${key.key.slice(0, -1)}_` })).toBe(401)
    const other = await work.make()
    await work.call(other)
    await work.counted(other.id, 1)
    expect((await work.usage(key.id)).total.requests).toBe(0)
  })

  test('V2: a revoked key’s use that is written late changes nothing of it', async () => {
    const dead = await work.make()
    await work.call(dead)
    await work.counted(dead.id, 1)
    await work.call(dead)
    await work.api.call('DELETE', `/v1/api-keys/${dead.id}`)
    const read = async () => [
      (await work.api.call('GET', `/v1/api-keys/${dead.id}`)).json.data,
      await work.usage(dead.id),
    ]
    const before = await read()
    expect(before[0].status).toBe('revoked')
    // Whatever was held of the dead key is written by the time that a later use is.
    const other = await work.make()
    await work.call(other)
    await work.counted(other.id, 1)
    expect(await read()).toEqual(before)
    expect(await work.call(dead)).toBe(401)
  })
})

describe('on the way to PostgreSQL', () => {
  let database: TestDatabase
  let relay: Relay
  let gate: TestGate
  beforeAll(async () => {
    database = await createDatabase({ migrate: false })
    const url = new URL(database.ownerUrl)
    relay = await startRelay(Number(url.port))
    url.port = String(relay.port)
    gate = await startGate({ DATABASE_URL: url.href })
  })
  afterAll(async () => {
    await gate?.stop()
    await relay?.stop()
    await database?.drop()
  })

  test('L7 Q10: what was stored and not answered is stored once, and nothing is lost meanwhile', async () => {
    const { make, call, counted, usage, logged } = workWith(gate)
    const [one, two] = [await make(), await make()]
    await call(one)
    await counted(one.id, 1)
    relay.loseAnswersTo('add_usage')
    let calls = 1
    while (relay.lost() < 3) {
      expect(await call(one)).toBe(200)
      calls++
    }
    await call(two)
    relay.loseAnswersTo(null)
    await Promise.all([counted(one.id, calls), counted(two.id, 1)])
    expect((await usage(one.id)).total).toEqual(await logged(one.id))
    expect((await usage(two.id)).total.requests).toBe(1)
    const batches = await withClient(database.ownerUrl, (client) =>
      client.query('select count(*)::int as n from postern.usage_batches'),
    )
    expect(batches.rows[0].n).toBeGreaterThan(2)
  })

  test('backends that are killed all the time lose nothing and double nothing', async () => {
    const { make, call, counted, usage, logged } = workWith(gate)
    const key = await make()
    await call(key)
    let killing = true
    const killer = withClient(database.ownerUrl, async (client) => {
      let kills = 0
      while (killing || kills < 10) {
        const { rowCount } = await client.query(`
          select pg_terminate_backend(pid) from pg_stat_activity
          where datname = current_database() and pid <> pg_backend_pid() and application_name = 'postern'`)
        kills += rowCount ?? 0
        await client.query('select pg_sleep(0.02)')
      }
    })
    const endAt = performance.now() + 3000
    while (performance.now() < endAt) expect([200, 503]).toContain(await call(key))
    killing = false
    await killer
    await until(async () => {
      const stored = await usage(key.id)
      return stored?.total.requests === (await logged(key.id)).requests
    })
    expect((await usage(key.id)).total).toEqual(await logged(key.id))
    await counted(key.id, 1)
  })
})
