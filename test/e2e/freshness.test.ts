/**
 * What a node may still believe, on two gateways over one PostgreSQL and one channel. Each reaches the
 * database through a relay of its own, which can be cut; the channel is the test's, and can be cut too.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { Runs } from '../../src/agents/runs.ts'
import type { Change, KeyRecord, Ports, Receipt, Signal } from '../../src/context.ts'
import { createAgentStore } from '../../src/db/agents.ts'
import { createCredentials } from '../../src/db/credentials.ts'
import { createUsageStore } from '../../src/db/usage.ts'
import { createGateway } from '../../src/gateway.ts'
import { createHandler } from '../../src/handler.ts'
import { generateKey, storedDigest } from '../../src/keys/format.ts'
import { newId } from '../../src/lib/id.ts'
import { memoryCounter } from '../../src/limits/memory.ts'
import { Balancers } from '../../src/proxy/balance.ts'
import { createFront } from '../../src/runtime/node/front.ts'
import { createSql } from '../../src/runtime/sql.ts'
import { noSandbox } from '../../src/runtime/workers/sandbox.ts'
import { createDatabase, type TestDatabase } from '../database.ts'
import { configOf } from '../gate.ts'
import { callerOf } from '../manage/caller.ts'
import { type Relay, startRelay } from '../relay.ts'
import { limits } from '../sql.ts'

const pepper = new Uint8Array(32).fill(7)
const staleMs = 60_000
const text = `
version: 1
platforms:
  - id: plt_x
    slug: x
    permissions: { data: [read], admin: [keys] }
    environments: { live: { limits: { key: [], tenant: [] } } }
    routes: [{ path: /open, handler: open, cors: { origins: [] }, classes: [secret, publishable] }]
`

/** A channel between nodes, on a clock that only the test moves. */
class Bus {
  now = 0
  epoch = 0
  readonly members = new Set<Member>()
  /** What was announced, and how long its announcer would have waited. */
  readonly announced: { readonly change: Change; readonly waitMs: number }[] = []

  join(): Member {
    const member = new Member(this)
    this.members.add(member)
    return member
  }
}

class Member implements Signal {
  silentSince: number | null = null
  readonly #bus: Bus
  #heard = (_change: Change | null): void => {}

  constructor(bus: Bus) {
    this.#bus = bus
  }

  async announce(change: Change, waitMs: number): Promise<Receipt> {
    const { members, announced, now } = this.#bus
    announced.push({ change, waitMs })
    const reached = [...members].filter(
      (one) => one === this || (one.silentSince === null && this.silentSince === null),
    )
    for (const one of reached) one.#heard(change)
    const isWhole = reached.length === members.size
    return {
      epoch: this.silentSince === null ? ++this.#bus.epoch : null,
      ...{ nodes: members.size, acknowledged: reached.length },
      ...{ effectiveAt: now + (isWhole ? 0 : staleMs), maxStalenessMs: isWhole ? 0 : staleMs },
    }
  }

  listen(heard: (change: Change | null) => void): void {
    this.#heard = heard
  }

  silentMs(): number {
    if (this.silentSince === null) return 0
    return Math.max(this.#bus.now - this.silentSince, Number.MIN_VALUE)
  }

  cut(): void {
    this.silentSince = this.#bus.now
  }

  mend(): void {
    this.silentSince = null
    this.#heard(null)
  }

  async close(): Promise<void> {
    this.#bus.members.delete(this)
  }
}

async function startNode(database: TestDatabase, bus: Bus) {
  const target = new URL(database.gatewayUrl)
  const relay: Relay = await startRelay(Number(target.port))
  target.host = `127.0.0.1:${relay.port}`
  let lookups = 0
  const opened = createSql({
    ...{ connection: target.href, role: null, scope: 'hardened', embedded: false },
    ...{ ...limits, connectTimeoutMs: 2000 },
  })
  const gatewaySql: typeof opened = {
    query(scope, statement) {
      if (statement.text.includes('find_key')) lookups += 1
      return opened.query(scope, statement)
    },
    begin: (scope, begin) => opened.begin(scope, begin),
    close: () => opened.close(),
  }
  const signal = bus.join()
  const deferred = new Set<Promise<unknown>>()
  const ports: Ports = {
    ...{ tenantSql: gatewaySql, gatewaySql, saltSql: null, signal, counter: memoryCounter() },
    shed: () => false,
    chargeFailure: async () => null,
    chargePreflight: async () => null,
    forward: () => Promise.reject(new Error('nothing is forwarded here')),
    sandbox: noSandbox,
    defer(work) {
      const held = work.catch(() => undefined).finally(() => deferred.delete(held))
      deferred.add(held)
    },
    health: async () => ({ status: 'ready', parts: {} }),
  }
  const open = createHandler().all('*', (c) => c.text('open'))
  const { platforms, keys, management } = configOf(text, '/nowhere', {}, { open })
  const gateway = createGateway(
    {
      platforms,
      keys: {
        ...{ ...keys, clock: () => bus.now },
        peppers: { current: 1, versions: new Map([[1, pepper]]) },
      },
      limits: { local: memoryCounter(), nodeShare: 1 },
      management: { ...management, readScript: null },
      ...{ masterKey: pepper, masters: { current: 1, versions: new Map([[1, pepper]]) } },
      ...{ mockOf: () => null, publicUrl: null, balancers: new Balancers() },
      runs: new Runs({ store: createAgentStore(gatewaySql), placesMax: 0, warn: () => undefined }),
    },
    ports,
    { open },
  )
  signal.listen((change) => gateway.heard(change))
  const { fetch: answer, refuse } = gateway
  const front = createFront({ fetch: answer, refuse, log: () => {}, trustedProxies: [] })
  const url = `http://127.0.0.1:${await front.listen(0, '127.0.0.1')}`
  return {
    ...{ url, signal, gateway, sql: gatewaySql },
    lookups: () => lookups,
    cutDatabase: () => relay.stop(),
    /** The status, and the code of a refusal. */
    async use(key: string, tenant = 'a', headers: Record<string, string> = {}) {
      const sent = { 'x-api-key': key, 'x-tn': tenant, ...headers }
      const response = await fetch(`${url}/open`, { headers: sent })
      const body = await response.text()
      return response.ok ? '200' : `${response.status} ${JSON.parse(body).code}`
    },
    async preflight(origin: string) {
      const headers = { origin, 'access-control-request-method': 'GET' }
      return (await fetch(`${url}/open`, { method: 'OPTIONS', headers })).status
    },
    async stop() {
      await front.drain(0)
      await Promise.all(deferred)
      await signal.close()
      await gatewaySql.close()
      await relay.stop().catch(() => undefined)
    },
  }
}
type Node = Awaited<ReturnType<typeof startNode>>

let database: TestDatabase
let admin: string
let bus: Bus
const nodes: Node[] = []
beforeAll(async () => {
  database = await createDatabase()
  const { node } = await start()
  const credentials = createCredentials(node.sql)
  for (const tenant of ['a', 'b']) await credentials.insertTenant('plt_x', tenant)
  const { key, ref, last4 } = generateKey('sk_live_')
  admin = key
  const record: Omit<KeyRecord, 'revoked' | 'disabled' | 'pepperVersion' | 'secretId'> = {
    ...{ id: newId('key_'), platform: 'plt_x', environment: 'live', class: 'secret' },
    ...{ name: 'admin', prefix: 'sk_live_', ref, last4, tenants: null, permissions: ['*'] },
    restrictions: { ips: null, origins: null, referrers: null, endpoints: null },
    ...{ limits: null, expiresAt: null },
  }
  const secret = { pepperVersion: 1, digest: storedDigest(key, pepper) }
  expect(await credentials.insertKey({ ...record, secret })).toBeNull()
  await stopAll()
})
afterEach(stopAll)
afterAll(async () => {
  await database?.drop()
})

async function stopAll() {
  await Promise.all(nodes.splice(0).map((one) => one.stop()))
}

/** Two nodes on a channel of their own, and the management API of the first. */
async function start() {
  bus = new Bus()
  const node = await startNode(database, bus)
  const other = await startNode(database, bus)
  nodes.push(node, other)
  return { node, other, api: callerOf(node.url, admin) }
}

describe('with the channel up', () => {
  test.each<[what: string, ends: (id: string) => [string, string, unknown?], after: string]>([
    ['DELETE', (id) => ['DELETE', `/v1/api-keys/${id}`], '401 auth/key_revoked'],
    ['revoke', (id) => ['POST', `/v1/api-keys/${id}/revoke`, {}], '401 auth/key_revoked'],
    ['disable', (id) => ['POST', `/v1/api-keys/${id}/disable`, {}], '401 auth/key_disabled'],
    [
      'PATCH',
      (id) => ['PATCH', `/v1/api-keys/${id}`, { restrictions: { ips: ['203.0.113.0/24'] } }],
      '403 auth/ip_not_allowed',
    ],
    [
      'rotate now',
      (id) => ['POST', `/v1/api-keys/${id}/rotate`, { overlap: 'now' }],
      '401 auth/key_expired',
    ],
    ['suspend', () => ['POST', '/v1/tenants/b/suspend', {}], '403 tenant/suspended'],
  ])(
    'V1, V7, Q12, Q13: %s is in force on every node when its receipt has come',
    async (_, ends, after) => {
      const { node, other, api } = await start()
      const { id, key } = await api.make()
      for (const one of [node, other]) expect(await one.use(key, 'b')).toBe('200')
      const before = other.lookups()
      expect(await other.use(key, 'b')).toBe('200')
      expect(other.lookups()).toBe(before)
      const [method, path, body] = ends(id)
      const { status, json } = await api.call(method, path, { body, headers: { 'if-match': '*' } })
      expect([status, json.success, json.nodes, json.acknowledged]).toEqual([200, true, 2, 2])
      expect(json).toMatchObject({ epoch: bus.epoch, max_staleness_ms: 0 })
      expect(json.effective_at).toBe(new Date(bus.now).toISOString())
      expect(bus.announced.at(-1)?.waitMs).toBe(2000)
      for (const one of [node, other]) expect(await one.use(key, 'b')).toBe(after)
      await api.call('POST', '/v1/tenants/b/resume', { body: {} })
      if (after.startsWith('403 tenant')) expect(await other.use(key, 'b')).toBe('200')
    },
  )

  test('?wait=none does not wait, and any other word is refused', async () => {
    const { api } = await start()
    const { id } = await api.make()
    const refused = await api.call('DELETE', `/v1/api-keys/${id}?wait=some`)
    expect([refused.status, refused.json.errors[0].location]).toEqual([400, 'query.wait'])
    await api.call('DELETE', `/v1/api-keys/${id}?wait=none`)
    expect(bus.announced.at(-1)).toEqual({
      ...{ change: { kind: 'key', platform: 'plt_x', id }, waitMs: 0 },
    })
  })

  test('the same POST sent again gets the receipt that the first one got', async () => {
    const { api } = await start()
    const { id } = await api.make()
    const sent = { body: {}, headers: { 'idempotency-key': `end-${id}` } }
    const first = await api.call('POST', `/v1/api-keys/${id}/revoke`, sent)
    bus.now = 5000
    const again = await api.call('POST', `/v1/api-keys/${id}/revoke`, sent)
    expect(again.headers.get('idempotent-replayed')).toBe('true')
    expect([again.text, first.json.epoch]).toEqual([first.text, bus.epoch])
  })

  test('V5: a key, a tenant and an origin that were refused on a node are known there when they are made', async () => {
    const { other, api } = await start()
    const { key, ref, last4 } = generateKey('sk_live_')
    expect(await other.use(key)).toBe('401 auth/invalid_key')
    const digest = Buffer.from(storedDigest(key, pepper)).toString('hex')
    const line = { name: 'moved', prefix: 'sk_live_', ref, last4, hmac_sha256: digest }
    const { json } = await api.call('POST', '/v1/api-keys/import', {
      body: [{ ...line, pepper_version: 1 }],
    })
    expect(json.data.imported).toBe(1)
    expect(await other.use(key)).toBe('200')
    const imports = bus.announced.filter(({ waitMs }) => waitMs === 0)
    expect(imports).toHaveLength(1)

    const tenant = `made_${bus.announced.length}`
    expect(await other.use(key, tenant)).toBe('403 tenant/mismatch')
    await api.call('POST', '/v1/tenants', { body: { id: tenant } })
    expect(await other.use(key, tenant)).toBe('200')

    expect(await other.preflight('https://a.example')).toBe(403)
    const page = await api.make({
      ...{ class: 'publishable', restrictions: { origins: ['https://a.example'] } },
    })
    expect(await other.preflight('https://a.example')).toBe(204)
    await api.call('DELETE', `/v1/api-keys/${page.id}`)
    expect(await other.preflight('https://a.example')).toBe(403)
  })

  test('enabling and resuming are known at once, and say nothing of nodes', async () => {
    const { other, api } = await start()
    const { id, key } = await api.make()
    await api.call('POST', `/v1/api-keys/${id}/disable`)
    expect(await other.use(key)).toBe('401 auth/key_disabled')
    const { json } = await api.call('POST', `/v1/api-keys/${id}/enable`)
    expect(json).not.toHaveProperty('epoch')
    expect(await other.use(key)).toBe('200')
  })

  test('a refused change is announced to nobody', async () => {
    const { api } = await start()
    expect((await api.call('DELETE', `/v1/api-keys/key_${'0'.repeat(32)}`)).status).toBe(404)
    expect(bus.announced).toEqual([])
  })

  test('V2: uses and flushes while it is revoked leave it revoked, in memory and in its row', async () => {
    const { node, other, api } = await start()
    const { id, key } = await api.make()
    expect([await node.use(key), await other.use(key)]).toEqual(['200', '200'])
    const [row] = (await api.call('GET', `/v1/api-keys/${id}`)).json.data.rotation.secrets
    const usage = createUsageStore(node.sql)
    let isOver = false
    const flush = async () => {
      for (let n = 0; !isOver; n++) {
        const at = Date.now()
        const entry = {
          ...{ keyId: id, secretId: row.id, day: '2026-11-25', requests: 1, errors: 0 },
          ...{ bytesIn: 0, bytesOut: 0, firstUsedAt: at, lastUsedAt: at },
          ...{ lastAddress: '192.0.2.1', lastOrigin: null },
        }
        await usage.addUsage('plt_x', { id: `${id}-${n}`, entries: [entry] })
      }
    }
    const call = async () => {
      const seen: string[] = []
      while (!isOver) for (const one of [node, other]) seen.push(await one.use(key))
      return seen
    }
    const callers = Array.from({ length: 8 }, call)
    const work = [flush(), ...callers]
    await usedOften(usage, id)
    expect((await api.call('DELETE', `/v1/api-keys/${id}`)).json.acknowledged).toBe(2)
    const after = await Promise.all(Array.from({ length: 50 }, () => other.use(key)))
    const version = (await api.call('GET', `/v1/api-keys/${id}`)).json.data.etag
    const counted = await usedOften(usage, id)
    await Promise.all(Array.from({ length: 50 }, () => node.use(key)))
    isOver = true
    await Promise.all(work)
    expect(new Set(after)).toEqual(new Set(['401 auth/key_revoked']))
    const { json } = await api.call('GET', `/v1/api-keys/${id}`)
    expect([json.data.status, json.data.etag]).toEqual(['revoked', version])
    expect(await usedOften(usage, id)).toBe(counted)
    for (const seen of await Promise.all(callers)) {
      const first = seen.findIndex((one) => one !== '200')
      expect(new Set(seen.slice(first))).toEqual(new Set(['401 auth/key_revoked']))
    }
  })
})

/** Resolves, once there is some use of the key, to how much. */
async function usedOften(usage: ReturnType<typeof createUsageStore>, id: string): Promise<number> {
  for (;;) {
    const days = await usage.usageOf('plt_x', id, '2026-11-25', '2026-11-25')
    const requests = days.reduce((sum, day) => sum + day.requests, 0)
    if (requests > 0) return requests
  }
}

describe('V3: with the channel of a node cut', () => {
  test('it asks for each key, sees a revocation at once, and the receipt counts it as not reached', async () => {
    const { node, other, api } = await start()
    const { id, key } = await api.make()
    expect(await other.use(key)).toBe('200')
    other.signal.cut()
    const before = other.lookups()
    expect([await other.use(key), await other.use(key), other.lookups() - before]).toEqual([
      ...['200', '200', 2],
    ])
    const { json } = await api.call('DELETE', `/v1/api-keys/${id}`)
    expect(json).toMatchObject({ nodes: 2, acknowledged: 1, max_staleness_ms: staleMs })
    expect(json.effective_at).toBe(new Date(bus.now + staleMs).toISOString())
    expect([await node.use(key), await other.use(key)]).toEqual(
      Array(2).fill('401 auth/key_revoked'),
    )
  })

  test('and mended, it has forgotten what it may have missed', async () => {
    const { other, api } = await start()
    const { id, key } = await api.make()
    expect(await other.use(key)).toBe('200')
    other.signal.cut()
    await api.call('DELETE', `/v1/api-keys/${id}`)
    other.signal.mend()
    expect(await other.use(key)).toBe('401 auth/key_revoked')
  })

  test('a gateway that was replaced hears no more, and so it asks', async () => {
    const { node, api } = await start()
    const { key } = await api.make()
    expect(await node.use(key)).toBe('200')
    node.gateway.retire()
    const before = node.lookups()
    expect([await node.use(key), node.lookups() - before]).toEqual(['200', 1])
  })
})

describe('with the database gone', () => {
  test('Q5, Q8: and the channel up, known keys work for a quarter of an hour, and no key is called bad', async () => {
    const { node, other, api } = await start()
    const [one, two] = [await api.make(), await api.make()]
    for (const key of [one.key, two.key]) expect(await other.use(key)).toBe('200')
    await other.cutDatabase()
    bus.now = 14 * 60_000
    expect(await other.use(one.key)).toBe('200')
    expect(await other.use(generateKey('sk_live_').key)).toBe('503 auth/unavailable')
    // Revoked elsewhere, it is heard of here, and what cannot be asked about is not honoured.
    await api.call('DELETE', `/v1/api-keys/${two.id}`)
    expect(await other.use(two.key)).toBe('503 auth/unavailable')
    bus.now = 17 * 60_000
    expect(await other.use(one.key)).toBe('503 auth/unavailable')
    expect(await node.use(one.key)).toBe('200')
  })

  test('V4: and the channel too, known keys work for a minute; then it is a 503 and never a 401', async () => {
    const { other, api } = await start()
    const { id, key } = await api.make()
    expect(await other.use(key)).toBe('200')
    bus.now = 1000
    other.signal.cut()
    await other.cutDatabase()
    const { json } = await api.call('DELETE', `/v1/api-keys/${id}`)
    const certainAt = Date.parse(json.effective_at)
    expect(certainAt).toBe(61_000)
    bus.now = certainAt - 1
    expect(await other.use(key)).toBe('200')
    bus.now = certainAt
    expect(await other.use(key)).toBe('503 auth/unavailable')
  })

  test('a management call is a 503, and V9: a key that is in memory changes nothing by it', async () => {
    const { node, api } = await start()
    expect(await node.use(admin)).toBe('200')
    await node.cutDatabase()
    const answer = await api.call('POST', '/v1/api-keys', { body: { name: 'x' } })
    expect([answer.status, answer.json.code]).toEqual([503, 'auth/unavailable'])
  })
})
