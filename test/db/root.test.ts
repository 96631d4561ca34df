import { randomBytes, randomUUID } from 'node:crypto'
import { afterAll, describe, expect, test } from 'vitest'
import type { KeyRecord } from '../../src/context.ts'
import { createCredentials, type NewKey } from '../../src/db/credentials.ts'
import { createRoot, readKeyRecord } from '../../src/db/root.ts'
import { hmacSha256, sha256 } from '../../src/lib/digest.ts'
import { withClient } from '../database.ts'
import { oneUrl, pglite, production, type Stores } from './stores.ts'

const pepper = randomBytes(32)
const digestOf = (key: string) => hmacSha256(pepper, sha256(key))
const asClient = (owner: Stores['owner']) =>
  typeof owner === 'string' ? { connectionString: owner } : owner

function newKey(more: Partial<NewKey> = {}): NewKey {
  return {
    id: `key_${randomUUID()}`,
    platform: 'plt_p',
    environment: 'test',
    class: 'secret',
    name: 'a key',
    prefix: 'sk_dev_',
    ref: randomUUID(),
    last4: '9xYz',
    tenants: null,
    permissions: ['subscriptions:read'],
    restrictions: { ips: null, origins: null, referrers: null, endpoints: null },
    limits: null,
    expiresAt: null,
    secret: { pepperVersion: 1, digest: randomBytes(32) },
    ...more,
  }
}

const setups: readonly [string, Stores][] = [
  ['a login per role', await production()],
  ['one URL', await oneUrl()],
  ['embedded', await pglite()],
]
afterAll(async () => {
  for (const [, stores] of setups) await stores.close()
})

describe.each(setups)('%s', (_, { gatewaySql, tenantSql, owner }) => {
  const root = createRoot(gatewaySql)
  const credentials = createCredentials(gatewaySql)
  const asOwner = (text: string, values: unknown[] = []) =>
    withClient(asClient(owner), (client) => client.query(text, values))

  test('a digest that nobody has finds nothing, and so does no digest', async () => {
    expect(await root.findKey([randomBytes(32), randomBytes(32)])).toBeNull()
    expect(await root.findKey([])).toBeNull()
    expect(await root.findKey([new Uint8Array(0)])).toBeNull()
  })

  test('a key comes back as it was stored, frozen through and through', async () => {
    const key = newKey({
      environment: 'live',
      class: 'publishable',
      tenants: ['tenant_a', 'Tenant_A'],
      permissions: ['a:b', '*'],
      restrictions: { ips: ['10.0.0.0/8'], origins: [], referrers: null, endpoints: ['GET /v1'] },
      limits: [{ name: 'burst', quota: 5, windowSeconds: 60, onStoreDown: 'deny' }],
      expiresAt: 1_900_000_000_123,
    })
    expect(await credentials.insertKey(key)).toBeNull()
    const found = await root.findKey([randomBytes(32), key.secret.digest])
    const { secret, ...stored } = key
    const { secretId = '' } = found?.record ?? {}
    const record: KeyRecord = {
      ...stored,
      secretId,
      revoked: false,
      disabled: false,
      pepperVersion: 1,
      replaced: false,
    }
    expect(found?.record).toEqual(record)
    expect(secretId).toMatch(/^sec_[0-9a-f]{32}$/)
    expect(Buffer.from(found!.digest).equals(secret.digest)).toBe(true)
    const { restrictions, tenants, permissions, limits } = found!.record
    for (const part of [found, found!.record, restrictions, restrictions.ips, tenants]) {
      expect(Object.isFrozen(part)).toBe(true)
    }
    expect(Object.isFrozen(permissions) && Object.isFrozen(limits?.[0])).toBe(true)
  })

  test('the states of a key are told, and of two ends the first counts', async () => {
    const key = newKey({ expiresAt: 2_000_000_000_000 })
    await credentials.insertKey(key)
    const read = async () => (await root.findKey([key.secret.digest]))?.record
    await asOwner('update postern.api_key_secrets set expires_at = $2 where key_id = $1', [
      key.id,
      new Date(1_950_000_000_000),
    ])
    expect((await read())?.expiresAt).toBe(1_950_000_000_000)
    await asOwner('update postern.api_keys set disabled_at = now() where id = $1', [key.id])
    expect(await read()).toMatchObject({ disabled: true, revoked: false })
    await asOwner('update postern.api_keys set revoked_at = now() where id = $1', [key.id])
    expect(await read()).toMatchObject({ disabled: true, revoked: true })
  })

  test('K4: a plain digest written past us into the table matches no key that is shown', async () => {
    const planted = newKey({ secret: { pepperVersion: 1, digest: sha256('sk_dev_known') } })
    await credentials.insertKey(planted)
    expect(await root.findKey([digestOf('sk_dev_known')])).toBeNull()
  })

  test('K6: keys, refs and tenants that differ in case only are different ones', async () => {
    const [small, large] = ['sk_dev_abcXyz', 'sk_dev_abcXyZ']
    const ref = randomUUID()
    const keys = [
      newKey({ ref: `x${ref}`, secret: { pepperVersion: 1, digest: digestOf(small!) } }),
      newKey({ ref: `X${ref}`, secret: { pepperVersion: 1, digest: digestOf(large!) } }),
    ]
    for (const key of keys) expect(await credentials.insertKey(key)).toBeNull()
    expect((await root.findKey([digestOf(small!)]))?.record.id).toBe(keys[0]!.id)
    expect((await root.findKey([digestOf(large!)]))?.record.id).toBe(keys[1]!.id)
    expect(await root.findKey([digestOf('sk_dev_ABCXYZ')])).toBeNull()
    await credentials.insertTenant('plt_p', 'Acme')
    expect(await root.findTenant('plt_p', 'acme')).toBeNull()
  })

  test('T8, T15: a tenant is found on its own platform only, and its suspension is its own', async () => {
    await credentials.insertTenant('plt_p', 'shared')
    await credentials.insertTenant('plt_q', 'shared')
    await credentials.insertTenant('plt_p', 'only_p')
    expect(await credentials.suspendTenant('plt_q', 'shared', true)).toBe(true)
    // Adding it again changes nothing.
    await credentials.insertTenant('plt_q', 'shared')
    const asked = Array.from({ length: 40 }, (_, i) =>
      root.findTenant(i % 2 === 0 ? 'plt_p' : 'plt_q', 'shared'),
    )
    for (const [i, found] of (await Promise.all(asked)).entries()) {
      expect(found).toEqual({ id: 'shared', suspended: i % 2 === 1 })
      expect(Object.isFrozen(found)).toBe(true)
    }
    expect(await root.findTenant('plt_q', 'only_p')).toBeNull()
    expect(await root.findTenant('plt_q', 'nobody')).toBeNull()
    expect(await credentials.suspendTenant('plt_q', 'only_p', true)).toBe(false)
    expect(await credentials.suspendTenant('plt_q', 'shared', false)).toBe(true)
    expect(await root.findTenant('plt_q', 'shared')).toEqual({ id: 'shared', suspended: false })
  })

  const restrictedTo = (origins: string[] | null, endpoints: string[] | null = null) => ({
    restrictions: { ips: null, origins, referrers: null, endpoints },
  })
  const browserKey = (platform: string, more: Partial<NewKey> = {}) =>
    newKey({ platform, class: 'publishable', prefix: 'pk_dev_', ...more })

  test('C2, T15: an origin finds live publishable keys of its platform that hold exactly it', async () => {
    const [here, origin] = ['plt_origin', 'https://a.com']
    const keys = [
      browserKey(here, restrictedTo(null)),
      browserKey(here, restrictedTo([])),
      browserKey(here, restrictedTo(['https://a.com.evil', 'https://A.com', 'https://a.com:444'])),
      browserKey(here, { ...restrictedTo([origin]), expiresAt: Date.now() - 1000 }),
      browserKey(here, { restrictions: { ...newKey().restrictions, referrers: [origin] } }),
      newKey({ platform: here, ...restrictedTo([origin]) }),
      browserKey('plt_origin_b', restrictedTo([origin])),
    ]
    const ended = ['revoked_at', 'disabled_at'].map((column) => {
      const key = browserKey(here, restrictedTo([origin]))
      keys.push(key)
      return [column, key.id]
    })
    for (const key of keys) expect(await credentials.insertKey(key)).toBeNull()
    for (const [column, id] of ended) {
      await asOwner(`update postern.api_keys set ${column} = now() where id = $1`, [id])
    }
    expect(await root.findOrigin(here, origin)).toEqual([])
    expect(await root.findOrigin('plt_nowhere', origin)).toEqual([])
    const live = browserKey(here, {
      environment: 'live',
      permissions: ['a:*'],
      expiresAt: Date.now() + 60_000,
      ...restrictedTo(['https://b.com', origin], ['GET /v1/**']),
    })
    await credentials.insertKey(live)
    const found = await root.findOrigin(here, origin)
    expect(found).toEqual([
      { environment: 'live', permissions: ['a:*'], endpoints: ['GET /v1/**'] },
    ])
    expect(Object.isFrozen(found) && Object.isFrozen(found[0]?.permissions)).toBe(true)
    for (const other of ['', 'https://a', 'https://a.com"', "https://a.com' or true --", '*']) {
      expect(await root.findOrigin(here, other), other).toEqual([])
    }
  })

  test('keys that allow the same are one rule, and no more than 100 rules are read', async () => {
    const platform = 'plt_origins'
    await asOwner(
      `insert into postern.api_keys (platform, id, environment, class, name, prefix, ref,
         permissions, restrictions)
       select $1, 'key_' || n, 'live', 'publishable', 'n', 'pk_live_', 'r' || n,
         array['data:' || case when n < 150 then 0 else n end],
         jsonb_build_object('origins', jsonb_build_array(
           case when n < 150 then 'https://same.com' else 'https://many.com' end))
       from generate_series(1, 300) n`,
      [platform],
    )
    expect(await root.findOrigin(platform, 'https://same.com')).toEqual([
      { environment: 'live', permissions: ['data:0'], endpoints: null },
    ])
    expect(await root.findOrigin(platform, 'https://many.com')).toHaveLength(100)
  })

  test('an origin lookup without a platform finds nothing', async () => {
    await credentials.insertKey(browserKey('plt_scoped', restrictedTo(['https://scoped.com'])))
    const text = `select * from postern.find_origin('https://scoped.com')`
    expect((await gatewaySql.query(null, { text })).rows).toEqual([])
    expect((await gatewaySql.query({ platform: 'plt_scoped' }, { text })).rows).toHaveLength(1)
  })

  test('K5: a secret is rewritten once, under the new pepper, and not for a revoked key', async () => {
    const key = newKey()
    await credentials.insertKey(key)
    const { record } = (await root.findKey([key.secret.digest]))!
    const [to, other] = [randomBytes(32), randomBytes(32)]
    expect(await root.rehash(record, other, to, 2)).toBe(false)
    expect(await root.rehash({ ...record, platform: 'plt_q' }, key.secret.digest, to, 2)).toBe(
      false,
    )
    expect(await root.rehash({ ...record, id: 'key_other' }, key.secret.digest, to, 2)).toBe(false)
    expect(await root.rehash(record, key.secret.digest, to, 2)).toBe(true)
    expect(await root.rehash(record, key.secret.digest, to, 2)).toBe(false)
    expect(await root.findKey([key.secret.digest])).toBeNull()
    expect((await root.findKey([to]))?.record).toEqual({ ...record, pepperVersion: 2 })
    await asOwner('update postern.api_keys set revoked_at = now() where id = $1', [key.id])
    expect(await root.rehash(record, to, other, 3)).toBe(false)
  })

  test('K15: of several keys with one digest exactly one is stored, on whatever platform', async () => {
    const secret = { pepperVersion: 1, digest: randomBytes(32) }
    const keys = [0, 1, 2, 3].map((n) => newKey({ platform: `plt_k15_${n % 2}`, secret }))
    const answers = await Promise.all(keys.map((key) => credentials.insertKey(key)))
    expect(answers.filter((answer) => answer === null)).toHaveLength(1)
    const refused = answers.filter((answer) => answer !== null)
    expect(refused.map(({ code }) => code)).toEqual(Array(3).fill('resource/conflict'))
    // The losers left no key without a secret behind.
    const kept = await Promise.all(
      ['plt_k15_0', 'plt_k15_1'].map((platform) => credentials.listKeys(platform)),
    )
    expect(kept.flat()).toHaveLength(1)
    const { rows } = await asOwner(`select 1 from postern.api_keys where platform like 'plt_k15%'`)
    expect(rows).toHaveLength(1)
  })

  test('K15: an id or a ref that the platform has already is a conflict, adopted keys have no ref', async () => {
    const key = newKey()
    await credentials.insertKey(key)
    for (const twin of [newKey({ id: key.id }), newKey({ ref: key.ref })]) {
      expect((await credentials.insertKey(twin))?.code).toBe('resource/conflict')
    }
    expect(await credentials.insertKey(newKey({ ref: key.ref, platform: 'plt_q' }))).toBeNull()
    for (const adopted of [newKey({ ref: '' }), newKey({ ref: '' })]) {
      expect(await credentials.insertKey(adopted)).toBeNull()
    }
  })

  test("a list holds one platform's keys, each once with its newest secret", async () => {
    const [first, second] = ['key_1', 'key_2'].map((id) => newKey({ id, platform: 'plt_list' }))
    await credentials.insertKey(second!)
    await credentials.insertKey(first!)
    await asOwner(
      `insert into postern.api_key_secrets (platform, key_id, digest, pepper_version, last4, created_at)
       values ('plt_list', 'key_1', $1, 2, 'new!', now() + interval '1 hour')`,
      [randomBytes(32)],
    )
    const listed = await credentials.listKeys('plt_list')
    expect(listed.map(({ id, last4 }) => `${id} ${last4}`)).toEqual(['key_1 new!', 'key_2 9xYz'])
    expect(await credentials.listKeys('plt_empty')).toEqual([])
  })

  test('a tenant id of another shape, or a digest of another size, is not stored', async () => {
    for (const id of ['', 'a b', 'a/b', '-a', 'x'.repeat(64), 'acmé']) {
      await expect(credentials.insertTenant('plt_p', id)).rejects.toMatchObject({ code: '23514' })
    }
    const short = newKey({ secret: { pepperVersion: 1, digest: randomBytes(31) } })
    await expect(credentials.insertKey(short)).rejects.toMatchObject({ code: '23514' })
  })

  test('the tenant role reaches neither the lookup nor the credentials', async () => {
    const scope = { platform: 'plt_p', environment: 'test', tenant: 'shared' } as const
    for (const text of [
      `select * from postern.find_key(array['\\x00'::bytea])`,
      `select * from postern.find_origin('https://a.com')`,
      'select * from postern.api_keys',
      'select * from postern.tenants',
      'select postern.scope_tenant()',
    ]) {
      await expect(tenantSql.query(scope, { text })).rejects.toMatchObject({ code: '42501' })
    }
  })
})

test('a row whose JSON is not what we write is a breakage, and not a key with fewer restrictions', () => {
  const good = { ...newKey(), secretId: 'sec_1', revoked: false, disabled: false, pepperVersion: 1 }
  expect(readKeyRecord(good).restrictions.ips).toBeNull()
  expect(() => readKeyRecord({ ...good, restrictions: { ips: 'all' } })).toThrow()
  expect(() => readKeyRecord({ ...good, restrictions: { countries: ['de'] } })).toThrow()
  expect(() => readKeyRecord({ ...good, limits: [{ name: 'x' }] })).toThrow()
  expect(() => readKeyRecord({ ...good, environment: 'prod' })).toThrow()
})
