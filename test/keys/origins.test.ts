import { describe, expect, test } from 'vitest'
import { type KeyRule, StoreDown } from '../../src/context.ts'
import type { Demand } from '../../src/keys/authorize.ts'
import {
  createOrigins,
  type OriginCall,
  type OriginsOptions,
  originAllowedOn,
} from '../../src/keys/origins.ts'
import type { TrustOptions } from '../../src/keys/trust.ts'
import { platformOf, timeless } from './store.ts'

const origin = 'https://a.com'
const rule: KeyRule = { environment: 'live', permissions: ['vec:read'], endpoints: null }
const route: Demand = {
  permission: 'vec:read',
  classes: ['secret', 'publishable'],
  environments: ['live'],
}

describe('originAllowedOn', () => {
  const allowed = (rules: readonly KeyRule[], demand: Partial<Demand> = {}) =>
    originAllowedOn(rules, { ...route, ...demand }, 'GET', '/v1/things')

  test('no key, or only keys that may not call there, allow nothing', () => {
    expect(allowed([])).toBe(false)
    expect(allowed([{ ...rule, environment: 'test' }])).toBe(false)
    expect(allowed([{ ...rule, permissions: ['vec:write'] }])).toBe(false)
    expect(allowed([{ ...rule, endpoints: [] }])).toBe(false)
    expect(allowed([{ ...rule, endpoints: ['POST /v1/things'] }])).toBe(false)
    expect(allowed([{ ...rule, endpoints: ['/v1/things', '/v1/thi*'] }])).toBe(false)
    // What two keys allow together, neither allows alone.
    const [reads, tests] = [
      { ...rule, endpoints: ['/v2'] },
      { ...rule, permissions: [] },
    ]
    expect(allowed([reads, tests])).toBe(false)
  })

  test('C4, K17: no key in a page opens a route that is for secret keys', () => {
    expect(allowed([{ ...rule, permissions: ['*'] }], { classes: ['secret'] })).toBe(false)
  })

  test('one key that may call there is enough', () => {
    expect(allowed([rule])).toBe(true)
    expect(allowed([{ ...rule, environment: 'test' }, rule])).toBe(true)
    expect(allowed([{ ...rule, permissions: [] }], { permission: null })).toBe(true)
    expect(allowed([{ ...rule, endpoints: ['GET /v1/*'] }])).toBe(true)
  })
})

/** A judge over a store that knows what `stored` says, and how often it was asked. */
function judgeOf(
  stored: Readonly<Record<string, readonly KeyRule[]>>,
  options: Partial<OriginsOptions> & TrustOptions = {},
) {
  const { trust, time } = timeless(options)
  const asked: string[] = []
  const origins = createOrigins({
    findOrigin: async (platform, name) => {
      asked.push(`${platform} ${name}`)
      return stored[`${platform} ${name}`] ?? []
    },
    trust,
    ...options,
  })
  const judge = async (changes: Partial<OriginCall> = {}, now = time.now) => {
    time.now = now
    const call = { method: 'GET', path: '/v1', clientAddress: '10.0.0.1', ...changes }
    const refusal = await origins.judge({ platform: platformOf(), route, origin, ...call })
    return refusal?.code ?? 'ok'
  }
  return { ...origins, judge, asked }
}

const stored = { [`plt_one ${origin}`]: [rule] }

describe('the judge of origins', () => {
  test.each([
    'null',
    '*',
    '',
    'https://A.com',
    'https://a.com/',
    'https://a.com:443',
    'https://a.com, https://b.com',
    'https://a.com\nplt_two',
    'capacitor://localhost',
    `https://${'a'.repeat(300)}`,
  ])('C2: %j, which no key can hold, is refused without a lookup', async (name) => {
    const { judge, asked } = judgeOf({})
    expect(await judge({ origin: name })).toBe('auth/origin_not_allowed')
    expect(asked).toEqual([])
  })

  test('nothing is looked up for a route that no publishable key may call', async () => {
    const { judge, asked } = judgeOf(stored)
    expect(await judge({ route: { ...route, classes: ['secret'] } })).toBe(
      'auth/origin_not_allowed',
    )
    expect(asked).toEqual([])
  })

  test('T15: platforms do not share what is remembered of an origin', async () => {
    const { judge } = judgeOf(stored)
    expect(await judge()).toBe('ok')
    expect(await judge({ platform: platformOf('plt_two') })).toBe('auth/origin_not_allowed')
    expect(await judge()).toBe('ok')
  })

  test('an answer is remembered for its time, and each call is judged by it', async () => {
    const { judge, asked } = judgeOf(stored, { positiveTtlMs: 100, negativeTtlMs: 50 })
    expect(await judge()).toBe('ok')
    const closed = { ...route, permission: 'vec:write' }
    expect(await judge({ route: closed }, 99)).toBe('auth/origin_not_allowed')
    expect(asked).toHaveLength(1)
    expect(await judge({}, 100)).toBe('ok')
    expect(asked).toHaveLength(2)
    const unknown = { origin: 'https://b.com' }
    for (const now of [0, 49, 50]) {
      expect(await judge(unknown, now)).toBe('auth/origin_not_allowed')
    }
    expect(asked).toHaveLength(4)
  })

  test('V5: what was asked before a key named the origin is not remembered after it', async () => {
    const late = Promise.withResolvers<readonly KeyRule[]>()
    let asked = 0
    const { judge, forget } = judgeOf(
      {},
      { findOrigin: async () => (asked++ === 0 ? late.promise : [rule]) },
    )
    const before = judge()
    forget()
    late.resolve([])
    expect(await before).toBe('auth/origin_not_allowed')
    expect(await judge()).toBe('ok')
  })

  test('one lookup serves all who ask at once', async () => {
    const { judge, asked } = judgeOf(stored)
    const answers = await Promise.all(Array.from({ length: 20 }, () => judge()))
    expect([new Set(answers), asked.length]).toEqual([new Set(['ok']), 1])
  })

  test('K9: ever new origins fill no memory, and push out none that a key names', async () => {
    const { judge, sizes } = judgeOf(stored, { originsMax: 10 })
    expect(await judge()).toBe('ok')
    for (let n = 0; n < 100; n++) await judge({ origin: `https://${n}.com` })
    expect(sizes()).toEqual({ known: 1, unknown: 10, lookups: 0 })
  })

  test('one address has few lookups at once, and the others are not held up by it', async () => {
    const held = Promise.withResolvers<void>()
    let atOnce = 0
    const { judge, sizes } = judgeOf(
      {},
      {
        findOrigin: async () => {
          atOnce++
          await held.promise
          return []
        },
        lookupsPerAddress: 2,
        waitingPerAddress: 1,
      },
    )
    const asked = [1, 2, 3, 4].map((n) => judge({ origin: `https://${n}.com` }))
    expect(await asked[3]).toBe('gateway/overloaded')
    const elsewhere = judge({ origin: 'https://5.com', clientAddress: '10.0.0.2' })
    expect([atOnce, sizes().lookups]).toEqual([3, 4])
    held.resolve()
    await Promise.all([...asked, elsewhere])
    expect(sizes().lookups).toBe(0)
  })

  test('a store that is down is a 503, and neither grants nor forgets', async () => {
    let down = false
    const { judge } = judgeOf(stored, {
      findOrigin: async () => {
        if (down) throw new StoreDown('gone')
        return [rule]
      },
      ...{ positiveTtlMs: 100, outageMs: 50, staleMs: 0 },
    })
    expect(await judge()).toBe('ok')
    down = true
    expect(await judge({ origin: 'https://b.com' })).toBe('auth/unavailable')
    expect(await judge({}, 149)).toBe('ok')
    expect(await judge({}, 150)).toBe('auth/unavailable')
    down = false
    expect(await judge({ origin: 'https://b.com' })).toBe('ok')
  })

  test('what breaks otherwise is thrown, and what was learned can be forgotten', async () => {
    const fault = new Error('broken')
    const broken = judgeOf({}, { findOrigin: () => Promise.reject(fault) })
    await expect(broken.judge()).rejects.toBe(fault)
    const { judge, asked, forget } = judgeOf(stored)
    for (const name of [origin, 'https://b.com']) await judge({ origin: name })
    forget()
    for (const name of [origin, 'https://b.com']) await judge({ origin: name })
    expect(asked).toHaveLength(4)
  })
})
