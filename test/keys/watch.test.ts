import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { describe, expect, test } from 'vitest'
import { type KeyRecord, type OpenSocket, StoreDown, type TenantRecord } from '../../src/context.ts'
import { storedDigest } from '../../src/keys/format.ts'
import { presets } from '../../src/keys/schemes.ts'
import { createTenants } from '../../src/keys/tenant.ts'
import { createVerifier } from '../../src/keys/verify.ts'
import { createSocketWatch, type SocketCaller } from '../../src/keys/watch.ts'
import { createStore, headersOf, pepper1, platformOf, recordOf, timeless } from './store.ts'

const route = { permission: 'vec:read', classes: ['secret'], environments: ['live'] } as const
const grants: Partial<KeyRecord> = { permissions: ['vec:read'] }

const times = { positiveTtlMs: 0, outageMs: 2000, staleMs: 1000 }
const tenantChanged = (id: string, platform = 'plt_one') =>
  ({ kind: 'tenant', platform, id }) as const
const keyChanged = (id = 'key_1') => ({ kind: 'key', platform: 'plt_one', id }) as const

function setUp(everyMs = 60_000, platform = platformOf(), slowMs = 60_000) {
  const { trust, time } = timeless(times)
  const store = createStore()
  const suspended = new Map<string, TenantRecord>()
  const asked = { tenants: 0 }
  let down: Error | null = null
  let held: Promise<void> | null = null
  const verifier = createVerifier({
    async findKey(digests) {
      const [fault, found] = [down, store.findKey(digests)]
      await held
      if (fault !== null) throw fault
      return found
    },
    ...{ trust, peppers: { current: 1, versions: new Map([[1, pepper1]]) } },
  })
  const tenants = createTenants({
    trust,
    async findTenant(_platform, id) {
      asked.tenants += 1
      if (down !== null) throw down
      return id === 'gone' ? null : (suspended.get(id) ?? { id, suspended: false })
    },
  })
  const failures: unknown[] = []
  const watch = createSocketWatch({
    ...{ verifier, tenants, trust, everyMs, slowMs },
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
    const { changes: since } = watch
    const judged = { key, record: recordOf(grants), platform, tenant: 'acme', route, call, since }
    return watch.opener({ ...judged, ...caller })(socket)
  }
  return {
    ...{ store, suspended, asked, verifier, watch, closings, open, failures, told: told.promise },
    time,
    issue: (changes: Partial<KeyRecord> = {}) => store.issue({ ...grants, ...changes }),
    /** Stores the key anew with other facts. */
    change: (key: string, changes: Partial<KeyRecord>) =>
      store.put(storedDigest(key, pepper1), recordOf({ ...grants, ...changes })),
    fail: (error: Error | null) => {
      down = error
    },
    /** From here on the store reads, and answers when what this answers is called. */
    hold: () => {
      const gate = Promise.withResolvers<void>()
      held = gate.promise
      return gate.resolve
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

  test('V3: by itself, soon after the revocation, while changes may go unheard', async () => {
    const { issue, change, open, told, closings, time } = setUp(5)
    const key = issue()
    time.silentSince = 0
    open(key)
    change(key, { revoked: true })
    await told
    expect(closings).toEqual(['4401 auth/key_revoked'])
  })

  test('by itself, in the slow round, while every change is heard', async () => {
    const { issue, change, open, told, closings, time } = setUp(5, platformOf(), 1000)
    const key = issue()
    open(key)
    change(key, { revoked: true })
    time.now = 1000
    await told
    expect(closings).toEqual(['4401 auth/key_revoked'])
  })

  test('by itself, when the key expires', async () => {
    const { issue, open, told, closings, store } = setUp(5)
    const expiresAt = Date.now() - 1
    const key = issue({ expiresAt })
    open(key, { record: recordOf({ ...grants, expiresAt }) })
    await told
    expect([closings, store.lookups]).toEqual([['4401 auth/key_expired'], 1])
  })
})

describe('V1: a change that is heard', () => {
  test('closes the sockets of the key at once, and asks about no other', async () => {
    const { store, issue, change, open, watch, closings, told } = setUp()
    const [mine, other] = [issue(), issue({ id: 'key_2' })]
    open(mine)
    open(other, { record: recordOf({ ...grants, id: 'key_2' }) })
    change(mine, { revoked: true })
    watch.heard(keyChanged('key_3'))
    watch.heard(keyChanged())
    await told
    expect([closings, store.lookups, watch.size]).toEqual([['4401 auth/key_revoked'], 1, 1])
  })

  test('closes the sockets of the tenant, on its platform', async () => {
    const { issue, open, watch, closings, suspended, told, asked } = setUp()
    const key = issue()
    open(key, {}, 'acme ')
    open(key, { tenant: 'fine' }, 'fine ')
    suspended.set('acme', { id: 'acme', suspended: true })
    watch.heard(tenantChanged('acme', 'plt_two'))
    watch.heard(tenantChanged('else'))
    expect(asked.tenants).toBe(0)
    watch.heard(tenantChanged('acme'))
    await told
    expect([closings, watch.size]).toEqual([['acme 4403 tenant/suspended'], 1])
  })

  test('V3: of which nothing is known judges all', async () => {
    const { issue, change, open, watch, closings, told } = setUp()
    const key = issue({ id: 'key_2' })
    open(key, { record: recordOf({ ...grants, id: 'key_2' }) })
    change(key, { id: 'key_2', revoked: true })
    watch.heard(null)
    await told
    expect(closings).toEqual(['4401 auth/key_revoked'])
  })

  test('V7: while a socket was being opened closes it as soon as it stands', async () => {
    const { issue, change, open, watch, closings, told } = setUp()
    const key = issue()
    const { changes: since } = watch
    change(key, { revoked: true })
    watch.heard(keyChanged())
    open(key, { since })
    await told
    expect(closings).toEqual(['4401 auth/key_revoked'])
  })

  test('with the store down closes the sockets of that key, of which nobody can say, and no others', async () => {
    const { issue, open, watch, closings, told, fail } = setUp()
    const [mine, other] = [issue(), issue({ id: 'key_2' })]
    open(mine)
    open(other, { record: recordOf({ ...grants, id: 'key_2' }) })
    fail(new StoreDown('no answer'))
    watch.heard(keyChanged())
    await told
    await watch.sweep(Date.now())
    expect([closings, watch.size]).toEqual([['1013 auth/unavailable'], 1])
  })

  test('V7: is not outdone by an answer that was asked for before it', async () => {
    const platform = platformOf('plt_one', { ...presets.azotte, tenancy: 'none' })
    const { issue, open, watch, closings, told, fail, hold } = setUp(60_000, platform)
    open(issue(), { tenant: null })
    const answerFirst = hold()
    const round = watch.sweep(Date.now())
    fail(new StoreDown('no answer'))
    const answerSecond = hold()
    watch.heard(keyChanged())
    answerFirst()
    await round
    answerSecond()
    await told
    expect(closings).toEqual(['1013 auth/unavailable'])
  })

  test('closes a socket once, however many passes judge it', async () => {
    const { issue, change, open, watch, closings } = setUp()
    const key = issue()
    open(key)
    change(key, { revoked: true })
    watch.heard(keyChanged())
    await Promise.all([watch.sweep(Date.now()), watch.sweep(Date.now())])
    expect(closings).toEqual(['4401 auth/key_revoked'])
  })

  test('when some may have been missed, the store being down, closes them after staleMs', async () => {
    const { issue, open, watch, closings, time, fail } = setUp()
    open(issue())
    fail(new StoreDown('no answer'))
    watch.heard(null)
    time.now = 999
    await watch.sweep(Date.now())
    expect(closings).toEqual([])
    time.now = 1000
    await watch.sweep(Date.now())
    expect(closings).toEqual(['1013 auth/unavailable'])
  })
})

describe('what keeps a socket open', () => {
  test('a store that is down, for as long as keys are honoured without it', async () => {
    const { issue, open, watch, closings, fail, time } = setUp()
    open(issue())
    fail(new StoreDown('no answer'))
    time.now = 500
    await watch.sweep(Date.now())
    expect(closings).toEqual([])
    fail(null)
    time.now = 900
    await watch.sweep(Date.now())
    fail(new StoreDown('no answer'))
    time.now = 2899
    await watch.sweep(Date.now())
    expect(closings).toEqual([])
    time.now = 2900
    await watch.sweep(Date.now())
    expect(closings).toEqual(['1013 auth/unavailable'])
  })

  test('V4: and for staleMs since the end of certainty, when the channel is silent too', async () => {
    const { issue, open, watch, closings, fail, time } = setUp()
    open(issue())
    fail(new StoreDown('no answer'))
    time.silentSince = 500
    time.now = 1499
    await watch.sweep(Date.now())
    expect(closings).toEqual([])
    time.now = 1500
    await watch.sweep(Date.now())
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
