import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { describe, expect, test } from 'vitest'
import { type KeyRecord, type OpenSocket, StoreDown, type TenantRecord } from '../../src/context.ts'
import { storedDigest } from '../../src/keys/format.ts'
import { presets } from '../../src/keys/schemes.ts'
import { createTenants } from '../../src/keys/tenant.ts'
import { createVerifier } from '../../src/keys/verify.ts'
import { createSocketWatch, type SocketCaller } from '../../src/keys/watch.ts'
import { createStore, headersOf, pepper1, platformOf, recordOf } from './store.ts'

const route = { permission: 'vec:read', classes: ['secret'], environments: ['live'] } as const
const grants: Partial<KeyRecord> = { permissions: ['vec:read'] }

function setUp(everyMs = 60_000, platform = platformOf()) {
  const store = createStore()
  const suspended = new Map<string, TenantRecord>()
  const asked = { tenants: 0 }
  let down: Error | null = null
  const verifier = createVerifier({
    async findKey(digests) {
      if (down !== null) throw down
      return store.findKey(digests)
    },
    peppers: { current: 1, versions: new Map([[1, pepper1]]) },
  })
  const tenants = createTenants({
    async findTenant(_platform, id) {
      asked.tenants += 1
      if (down !== null) throw down
      return id === 'gone' ? null : (suspended.get(id) ?? { id, suspended: false })
    },
  })
  const failures: unknown[] = []
  const watch = createSocketWatch({
    ...{ verifier, tenants, everyMs, staleMs: 1000 },
    defer: (work) => void work.catch((error: unknown) => failures.push(error)),
  })
  const closings: string[] = []
  const told = Promise.withResolvers<void>()
  const open = (key: string, caller: Partial<SocketCaller> = {}, name = '') => {
    const socket: OpenSocket = {
      close(code, reason) {
        closings.push(`${name}${code} ${reason}`)
        told.resolve()
      },
    }
    const call = { method: 'GET', path: '/ws', clientAddress: '192.0.2.1', headers: headersOf({}) }
    return watch.opener({ key, platform, tenant: 'acme', route, call, ...caller })(socket)
  }
  return {
    ...{ store, suspended, asked, verifier, watch, closings, open, failures, told: told.promise },
    issue: (changes: Partial<KeyRecord> = {}) => store.issue({ ...grants, ...changes }),
    /** Stores the key anew with other facts. */
    change: (key: string, changes: Partial<KeyRecord>) =>
      store.put(storedDigest(key, pepper1), recordOf({ ...grants, ...changes })),
    fail: (error: Error | null) => {
      down = error
    },
  }
}

describe('R23: what closes an open socket', () => {
  test.each<[what: string, changes: Partial<KeyRecord>, closing: string]>([
    ['revoked', { revoked: true }, '4401 auth/key_revoked'],
    ['disabled', { disabled: true }, '4401 auth/key_disabled'],
    ['expired', { expiresAt: 1 }, '4401 auth/key_expired'],
    ['moved to another platform', { platform: 'plt_two' }, '4401 auth/invalid_key'],
    ['taken from the tenant', { tenants: ['other'] }, '4403 tenant/mismatch'],
    ['without the permission', { permissions: [] }, '4403 auth/insufficient_permission'],
    [
      'kept to other addresses',
      { restrictions: { ...recordOf().restrictions, ips: ['198.51.100.0/24'] } },
      '4403 auth/ip_not_allowed',
    ],
  ])('a key that is %s', async (_, changes, closing) => {
    const { issue, change, open, watch, closings } = setUp()
    const key = issue()
    open(key)
    await watch.sweep(Date.now())
    expect(closings).toEqual([])
    change(key, changes)
    await watch.sweep(Date.now())
    await watch.sweep(Date.now())
    expect([closings, watch.size]).toEqual([[closing], 0])
  })

  test('a key that is deleted, whatever is remembered of it', async () => {
    const { store, issue, open, watch, closings, verifier } = setUp()
    const key = issue()
    const verify = () => verifier.verify(key, platformOf(), Date.now(), '192.0.2.1')
    expect(await verify()).toMatchObject({ ok: true })
    open(key)
    store.rows.clear()
    await watch.sweep(Date.now())
    expect(closings).toEqual(['4401 auth/invalid_key'])
    // What the watch has learned holds for requests too, and at once.
    expect(verify()).toMatchObject({ ok: false, refusal: { code: 'auth/invalid_key' } })
  })

  test('a tenant that is suspended, or gone; not the other tenants of the key', async () => {
    const { issue, open, watch, closings, suspended } = setUp()
    const key = issue()
    open(key, {}, 'acme ')
    open(key, { tenant: 'gone' }, 'gone ')
    open(key, { tenant: 'fine' }, 'fine ')
    suspended.set('acme', { id: 'acme', suspended: true })
    await watch.sweep(Date.now())
    expect(closings.sort()).toEqual(['acme 4403 tenant/suspended', 'gone 4403 tenant/mismatch'])
    expect(watch.size).toBe(1)
  })

  test('an origin that is no longer allowed, though the request is not kept', async () => {
    const { issue, change, open, watch, closings } = setUp()
    const key = issue()
    const headers = headersOf({ origin: 'https://app.example', 'x-api-key': key })
    const call = { method: 'GET', path: '/ws', clientAddress: '192.0.2.1', headers }
    const close = open(key, { call })
    change(key, { restrictions: { ...recordOf().restrictions, origins: ['https://app.example'] } })
    await watch.sweep(Date.now())
    expect(closings).toEqual([])
    change(key, { restrictions: { ...recordOf().restrictions, origins: ['https://b.example'] } })
    await watch.sweep(Date.now())
    expect(closings).toEqual(['4403 auth/origin_not_allowed'])
    close()
  })

  test('by itself, soon after the revocation', async () => {
    const { issue, change, open, told, closings } = setUp(5)
    const key = issue()
    open(key)
    change(key, { revoked: true })
    await told
    expect(closings).toEqual(['4401 auth/key_revoked'])
  })
})

describe('what keeps a socket open', () => {
  test('a store that is down, for as long as keys are honoured without it', async () => {
    const { issue, open, watch, closings, fail } = setUp()
    open(issue())
    const opened = Date.now()
    fail(new StoreDown('no answer'))
    await watch.sweep(opened + 500)
    expect(closings).toEqual([])
    fail(null)
    await watch.sweep(opened + 900)
    fail(new StoreDown('no answer'))
    await watch.sweep(opened + 1900)
    expect(closings).toEqual([])
    await watch.sweep(opened + 1901)
    expect(closings).toEqual(['1013 auth/unavailable'])
  })

  test('a store that breaks is the same, and one broken key stops no round', async () => {
    const { issue, change, open, watch, closings, fail } = setUp()
    const keys = [issue(), issue(), issue()]
    for (const [n, key] of keys.entries()) open(key, {}, `${n} `)
    fail(new TypeError('a row nobody can read'))
    await expect(watch.sweep(Date.now())).rejects.toThrow('a row nobody can read')
    expect(closings).toEqual([])
    fail(null)
    change(keys[1] ?? '', { revoked: true })
    await watch.sweep(Date.now())
    expect(closings).toEqual(['1 4401 auth/key_revoked'])
  })

  test('a platform without tenants asks about none', async () => {
    const platform = platformOf('plt_one', { ...presets.azotte, tenancy: 'none' })
    const { issue, open, watch, closings, asked } = setUp(60_000, platform)
    open(issue(), { tenant: null })
    await watch.sweep(Date.now())
    expect([closings, asked.tenants]).toEqual([[], 0])
  })
})

test('one question per key and per tenant, however many sockets; none when all have closed', async () => {
  const { issue, open, watch, store, asked } = setUp()
  const [one, two] = [issue(), issue()]
  const close = [...Array.from({ length: 50 }, () => open(one)), open(two)]
  await watch.sweep(Date.now())
  expect([store.lookups, asked.tenants, watch.size]).toEqual([2, 1, 51])
  for (const closed of close) {
    closed()
    closed()
  }
  expect(watch.size).toBe(0)
  await watch.sweep(Date.now())
  expect(store.lookups).toBe(2)
})

test('the request is not kept, whose headers hold the key', async () => {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void // what the flag has put there
  const { issue, open, watch } = setUp()
  const [headers, close] = (() => {
    const reader = headersOf({ 'x-api-key': 'secret' })
    const call = { method: 'GET', path: '/ws', clientAddress: '192.0.2.1', headers: reader }
    return [new WeakRef(reader), open(issue(), { call })]
  })()
  while (headers.deref() !== undefined) {
    await new Promise((resolve) => setImmediate(resolve))
    collect()
  }
  expect(watch.size).toBe(1)
  close()
})
