import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { StoreDown, type Tenancy, type TenantRecord } from '../../src/context.ts'
import { presets } from '../../src/keys/schemes.ts'
import { createTenants, readTenant, type TenantsOptions } from '../../src/keys/tenant.ts'
import type { TrustOptions } from '../../src/keys/trust.ts'
import { problems } from '../../src/problem.ts'
import { fuzzRuns, headersOf, platformOf, recordOf, timeless, wireOf } from './store.ts'

const schemeOf = (tenancy: Tenancy) => ({ ...presets.azotte, tenancy })
const tenancies: Tenancy[] = ['required', 'implied', 'none']

function read(value: string | null, tenancy: Tenancy = 'required') {
  const reading = readTenant(headersOf(value === null ? {} : { 'x-tn': value }), schemeOf(tenancy))
  return reading.ok ? reading.tenant : reading.refusal.code
}

describe('readTenant', () => {
  test.each(tenancies)('T3: an empty x-tn is no tenant (%s)', (tenancy) => {
    expect(read('', tenancy)).toBe('tenant/missing')
  })

  test('T3: an absent x-tn is a 400 where it is required, and never a default tenant', () => {
    expect(read(null)).toBe('tenant/missing')
    expect([read(null, 'implied'), read(null, 'none')]).toEqual([null, null])
  })

  test.each([
    'a, b',
    'a,b',
    ' a',
    'a ',
    'a\t',
    'a b',
    'acm\u00c3\u00a9',
    'acmé',
    '\uff41',
    'a\u200b',
    'a\0',
    'a\n',
    '-a',
    '_a',
    "a'--",
    'a;DROP',
    '%00',
    '../b',
    '{{',
    '__proto__',
    'a.b',
    'a/b',
    'a:b',
    'a'.repeat(64),
  ])('T2, T5, T6, T9: %j is malformed', (value) => {
    for (const tenancy of tenancies) expect(read(value, tenancy)).toBe('tenant/malformed')
  })

  test.each(['a', 'A', '0', 'tenant_abc123', 'xn--80ak6aa92e', 'constructor', 'a'.repeat(63)])(
    'T4, T6: %s is read as it was sent, byte for byte',
    (value) => {
      expect(read(value)).toBe(value)
    },
  )

  test('T13: nothing but the header is asked', () => {
    const fields = { 'x-tenant': 'a', 'x-tenant-id': 'a', x_tn: 'a', cookie: 'x-tn=a' }
    expect(readTenant(headersOf(fields), schemeOf('required'))).toMatchObject({ ok: false })
  })

  test('K14: whatever bytes arrive, the answer is an id of the grammar or a 400', () => {
    const latin1 = fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code))
    const text = fc.oneof(
      fc.string({ unit: latin1, maxLength: 70 }),
      fc.string({ unit: 'binary', maxLength: 70 }),
    )
    fc.assert(
      fc.property(text, fc.constantFrom(...tenancies), (value, tenancy) => {
        const reading = readTenant(headersOf({ 'x-tn': value }), schemeOf(tenancy))
        if (reading.ok) expect(value).toMatch(/^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$/)
        else expect(problems[reading.refusal.code].status).toBe(400)
      }),
      { numRuns: fuzzRuns },
    )
  })
})

function setUp(options: Partial<TenantsOptions> & TrustOptions = {}) {
  const { trust, time } = timeless(options)
  const rows = new Map<string, TenantRecord>()
  const asked: string[] = []
  for (const id of ['a', 'b']) rows.set(`plt_one ${id}`, { id, suspended: false })
  rows.set('plt_one closed', { id: 'closed', suspended: true })
  rows.set('plt_two a', { id: 'a', suspended: true })
  const tenants = createTenants({
    async findTenant(platform, tenant) {
      asked.push(tenant)
      return rows.get(`${platform} ${tenant}`) ?? null
    },
    trust,
    ...options,
  })
  type Case = {
    sent?: string | null
    of?: string[] | null
    tenancy?: Tenancy
    now?: number
    at?: string
  }
  const bind = ({ sent = null, of = null, tenancy = 'required', now, at = 'plt_one' }: Case) => {
    time.now = now ?? time.now
    return tenants.bind(recordOf({ tenants: of }), sent, platformOf(at, schemeOf(tenancy)))
  }
  const bound = async (one: Case) => {
    const verdict = await bind(one)
    return verdict.ok ? verdict.tenant : verdict.refusal.code
  }
  return { rows, asked, tenants, bind, bound, time }
}

describe('binding a key to a tenant', () => {
  test.each([
    [{ sent: null, of: null }, 'tenant/missing'],
    [{ sent: null, of: ['a'] }, 'tenant/missing'],
    [{ sent: 'b', of: ['a'] }, 'tenant/mismatch'],
    [{ sent: 'A', of: ['a'] }, 'tenant/mismatch'],
    [{ sent: 'A', of: null }, 'tenant/mismatch'],
    [{ sent: 'nobody', of: ['a'] }, 'tenant/mismatch'],
    [{ sent: 'nobody', of: null }, 'tenant/mismatch'],
    [{ sent: 'nobody', of: ['nobody'] }, 'tenant/mismatch'],
    [{ sent: 'a', of: [] }, 'tenant/mismatch'],
    [{ sent: 'closed', of: null }, 'tenant/suspended'],
    [{ sent: 'closed', of: ['closed'] }, 'tenant/suspended'],
    [{ sent: 'a', of: ['a'] }, 'a'],
    [{ sent: 'b', of: ['a', 'b'] }, 'b'],
    [{ sent: 'b', of: null }, 'b'],
  ])('required, %j: %s', async (one, result) => {
    expect(await setUp().bound(one)).toBe(result)
  })

  test.each([
    [{ sent: null, of: null }, 'tenant/missing'],
    [{ sent: null, of: [] }, 'tenant/missing'],
    [{ sent: null, of: ['a', 'b'] }, 'tenant/missing'],
    [{ sent: 'b', of: ['a'] }, 'tenant/mismatch'],
    [{ sent: null, of: ['closed'] }, 'tenant/suspended'],
    [{ sent: null, of: ['nobody'] }, 'tenant/mismatch'],
    [{ sent: null, of: ['a'] }, 'a'],
    [{ sent: 'a', of: ['a'] }, 'a'],
    [{ sent: 'b', of: ['a', 'b'] }, 'b'],
    [{ sent: 'b', of: null }, 'b'],
  ])('implied, %j: %s', async (one, result) => {
    expect(await setUp().bound({ ...one, tenancy: 'implied' })).toBe(result)
  })

  test('a platform without tenants binds to none, and refuses one that is sent', async () => {
    const { bound, asked } = setUp()
    expect(await bound({ tenancy: 'none', of: ['a'] })).toBeNull()
    expect(await bound({ tenancy: 'none', sent: 'a' })).toBe('tenant/mismatch')
    expect(asked).toEqual([])
  })

  test('T8: a foreign and an unknown tenant are answered byte for byte alike, with no lookup', async () => {
    const { bind, asked } = setUp()
    const bodies = ['b', 'nobody', 'closed'].map(async (sent) => {
      const verdict = await bind({ sent, of: ['a'] })
      return verdict.ok ? 'ok' : wireOf(verdict.refusal)
    })
    bodies.push(
      Promise.resolve(bind({ sent: 'nobody', of: null })).then((verdict) =>
        verdict.ok ? 'ok' : wireOf(verdict.refusal),
      ),
    )
    expect(new Set(await Promise.all(bodies)).size).toBe(1)
    expect(asked).toEqual(['nobody'])
  })

  test('T15: the same id on two platforms is two tenants, in memory too', async () => {
    const { bound } = setUp()
    for (let round = 0; round < 3; round++) {
      expect(await bound({ sent: 'a' })).toBe('a')
      expect(await bound({ sent: 'a', at: 'plt_two' })).toBe('tenant/suspended')
    }
  })

  test('is answered without a promise once the tenant is known', async () => {
    const { bind, asked } = setUp()
    await bind({ sent: 'a' })
    expect(bind({ sent: 'a', now: 9999 })).toEqual({ ok: true, tenant: 'a' })
    await bind({ sent: 'nobody' })
    expect(bind({ sent: 'nobody' })).not.toBeInstanceOf(Promise)
    expect(asked).toEqual(['a', 'nobody'])
  })

  test('a suspension is seen once the stated delay has passed, or at once after forget', async () => {
    const { rows, bound, tenants } = setUp({ positiveTtlMs: 1000 })
    expect(await bound({ sent: 'a', now: 0 })).toBe('a')
    rows.set('plt_one a', { id: 'a', suspended: true })
    expect(await bound({ sent: 'a', now: 999 })).toBe('a')
    expect(await bound({ sent: 'a', now: 1000 })).toBe('tenant/suspended')
    rows.set('plt_one a', { id: 'a', suspended: false })
    tenants.forget()
    expect(await bound({ sent: 'a', now: 1000 })).toBe('a')
  })

  test('V1: what is heard of one tenant forgets that one, on its platform', async () => {
    const { bound, tenants, asked } = setUp()
    const all = async () => [
      await bound({ sent: 'a' }),
      await bound({ sent: 'b' }),
      await bound({ sent: 'a', at: 'plt_two' }),
    ]
    await all()
    tenants.forget('plt_one', 'a')
    await all()
    expect(asked).toEqual(['a', 'b', 'a', 'a'])
  })

  test('V5: that there was no such tenant is forgotten too', async () => {
    const { rows, bound, tenants } = setUp()
    expect(await bound({ sent: 'new' })).toBe('tenant/mismatch')
    rows.set('plt_one new', { id: 'new', suspended: false })
    tenants.forget('plt_one', 'new')
    expect(await bound({ sent: 'new' })).toBe('new')
  })

  test('many at once are one lookup', async () => {
    const { bound, asked } = setUp()
    const all = await Promise.all(Array.from({ length: 50 }, () => bound({ sent: 'a' })))
    expect([new Set(all), asked]).toEqual([new Set(['a']), ['a']])
  })

  test('with the store down an unknown tenant is a 503, and a known one lasts outageMs', async () => {
    let asked = 0
    const { bound } = setUp({
      ...{ positiveTtlMs: 1000, outageMs: 5000, staleMs: 0 },
      async findTenant(_, id) {
        if (asked++ > 0) throw new StoreDown('no answer')
        return { id, suspended: false }
      },
    })
    expect(await bound({ sent: 'a', now: 0 })).toBe('a')
    expect(await bound({ sent: 'b', now: 0 })).toBe('auth/unavailable')
    expect(await bound({ sent: 'a', now: 5999 })).toBe('a')
    expect(await bound({ sent: 'a', now: 6000 })).toBe('auth/unavailable')
  })

  test('what breaks otherwise is thrown', async () => {
    const { bound } = setUp({
      findTenant: () => {
        throw new TypeError('a bug')
      },
    })
    await expect(bound({ sent: 'a' })).rejects.toThrow('a bug')
  })
})
