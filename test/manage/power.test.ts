import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Limit, Restrictions } from '../../src/context.ts'
import { permits } from '../../src/keys/authorize.ts'
import { checkRestrictions, isEndpointWithin } from '../../src/keys/restrictions.ts'
import { excess, type Power } from '../../src/manage/power.ts'
import { fuzzRuns, headersOf } from '../keys/store.ts'

const open: Restrictions = { ips: null, origins: null, referrers: null, endpoints: null }
const power = (changes: Partial<Power> = {}): Power => ({
  environment: 'live',
  class: 'secret',
  tenants: null,
  permissions: ['*'],
  restrictions: open,
  limits: null,
  expiresAt: null,
  ...changes,
})
const limit = (quota: number, windowSeconds: number): Limit => ({
  name: 'custom',
  quota,
  windowSeconds,
  onStoreDown: 'local',
})
const held = (changes: Partial<Restrictions>): Restrictions => ({ ...open, ...changes })

describe('G3: more than one has oneself', () => {
  const table: readonly [keyof Power, Partial<Power>, Partial<Power>][] = [
    ['environment', { environment: 'test' }, { environment: 'live' }],
    ['class', { class: 'publishable' }, { class: 'secret' }],
    ['tenants', { tenants: ['a'] }, { tenants: null }],
    ['tenants', { tenants: ['a'] }, { tenants: ['a', 'b'] }],
    ['permissions', { permissions: ['data:read'] }, { permissions: ['data:write'] }],
    ['permissions', { permissions: ['data:read'] }, { permissions: ['data:*'] }],
    ['permissions', { permissions: ['data:*'] }, { permissions: ['*'] }],
    ['permissions', { permissions: ['data:*'] }, { permissions: ['self:rotate'] }],
    ['expiresAt', { expiresAt: 5 }, { expiresAt: null }],
    ['expiresAt', { expiresAt: 5 }, { expiresAt: 6 }],
    ['limits', { limits: [limit(10, 60)] }, { limits: null }],
    ['limits', { limits: [limit(10, 60)] }, { limits: [limit(11, 60)] }],
    ['limits', { limits: [limit(10, 60)] }, { limits: [limit(10, 59)] }],
    ['limits', { limits: [limit(10, 60), limit(1, 1)] }, { limits: [limit(10, 60)] }],
    ['restrictions', { restrictions: held({ ips: ['10.0.0.0/8'] }) }, {}],
    [
      'restrictions',
      { restrictions: held({ ips: ['10.0.0.0/8'] }) },
      { restrictions: held({ ips: ['10.0.0.0/7'] }) },
    ],
    [
      'restrictions',
      { restrictions: held({ ips: ['10.0.0.0/8'] }) },
      { restrictions: held({ ips: ['10.1.1.1', '11.1.1.1'] }) },
    ],
    [
      'restrictions',
      { restrictions: held({ origins: ['https://a.x'] }) },
      { restrictions: held({ origins: ['https://a.x'], referrers: ['https://b.x'] }) },
    ],
    [
      'restrictions',
      { restrictions: held({ endpoints: ['GET /v1/**'] }) },
      { restrictions: held({ endpoints: ['/v1/a'] }) },
    ],
  ]
  test.each(table)('%s: %j makes no %j', (field, parent, child) => {
    expect(excess(power(parent), power(child))).toContain(field)
  })

  test.each<[Partial<Power>, Partial<Power>]>([
    [{}, { environment: 'test', class: 'publishable', tenants: ['a'], permissions: [] }],
    [{ permissions: ['data:*'] }, { permissions: ['data:read', 'data:*'] }],
    [{ permissions: ['admin:keys'] }, { permissions: ['self:rotate'] }],
    [{ limits: [limit(10, 60)] }, { limits: [limit(10, 60), limit(5, 1)] }],
    [{ expiresAt: 6 }, { expiresAt: 6 }],
    [
      { restrictions: held({ ips: ['10.0.0.0/8'], endpoints: ['/v1/:a/**'] }) },
      { restrictions: held({ ips: ['10.2.0.0/16'], endpoints: ['GET /v1/x', '/v1/*/y'] }) },
    ],
  ])('%j makes %j', (parent, child) => {
    expect(excess(power(parent), power(child))).toEqual([])
  })
})

const some = <T>(items: readonly T[]) => fc.uniqueArray(fc.constantFrom(...items), { minLength: 1 })
const maybe = <T>(list: fc.Arbitrary<T>) => fc.oneof(fc.constant(null), list)
const rules = ['GET /v1/*', '/v1/**', 'POST /v1/a/b', '/v1/a', '/**', 'GET /v1/:x/b', '/v1/*/**']
const ranges = ['10.0.0.0/8', '10.1.0.0/16', '10.1.2.3', '2001:db8::/32', '2001:db8::1']
const powers: fc.Arbitrary<Power> = fc.record({
  environment: fc.constantFrom('test', 'live'),
  class: fc.constantFrom('secret', 'publishable'),
  tenants: maybe(some(['a', 'b', 'c'])),
  permissions: some(['*', 'a:*', 'a:x', 'a:y', 'admin:keys', 'self:rotate', 'b:x']),
  restrictions: fc.record({
    ips: maybe(some(ranges)),
    origins: maybe(some(['https://a.x', 'https://b.x'])),
    referrers: maybe(some(['https://a.x', 'https://b.x'])),
    endpoints: maybe(some(rules)),
  }),
  limits: maybe(
    fc.array(
      fc.tuple(fc.integer({ min: 1, max: 3 }), fc.constantFrom(1, 60)).map(([q, w]) => limit(q, w)),
      { minLength: 1, maxLength: 2 },
    ),
  ),
  expiresAt: maybe(fc.integer({ min: 1, max: 3 })),
})
const calls = fc.record({
  method: fc.constantFrom('GET', 'HEAD', 'POST'),
  path: fc.constantFrom('/', '/v1', '/v1/', '/v1/a', '/v1/a/b', '/v1/a/b/c', '/v2/a'),
  clientAddress: fc.constantFrom('10.0.0.1', '10.1.0.1', '10.1.2.3', '2001:db8::1', '192.0.2.1'),
  headers: fc
    .constantFrom<Record<string, string>>(
      {},
      { origin: 'https://a.x' },
      { origin: 'https://b.x' },
      { referer: 'https://a.x/p' },
      { referer: 'https://b.x/p' },
      { origin: 'https://a.x', referer: 'https://b.x/p' },
    )
    .map(headersOf),
})

/** Any power with some fields of this one: by chance alone, hardly any would be inside. */
const near = (one: Power): fc.Arbitrary<Power> =>
  fc.tuple(powers, fc.subarray(Object.keys(power()) as (keyof Power)[])).map(([other, same]) => ({
    ...other,
    ...Object.fromEntries(same.map((field) => [field, one[field]])),
  }))
const pairs = powers.chain((a) => fc.tuple(fc.constant(a), near(a)))
const triples = pairs.chain(([a, b]) => fc.tuple(fc.constant(a), fc.constant(b), near(b)))

describe('G3: the lattice', () => {
  test('nothing that is inside can do what that around it cannot', () => {
    fc.assert(
      fc.property(pairs, calls, ([parent, child], call) => {
        if (excess(parent, child).length > 0) return
        const passes = ({ restrictions }: Power) => checkRestrictions(restrictions, call) === null
        if (passes(child)) expect(passes(parent)).toBe(true)
        for (const one of ['a:x', 'a:y', 'b:x', 'admin:keys', 'c:z']) {
          if (permits(child.permissions, one)) expect(permits(parent.permissions, one)).toBe(true)
        }
      }),
      { numRuns: 20 * fuzzRuns },
    )
  })

  test('everything is inside itself, and what is inside is inside all the way up', () => {
    fc.assert(
      fc.property(triples, ([a, b, c]) => {
        expect(excess(a, a)).toEqual([])
        if (excess(a, b).length === 0 && excess(b, c).length === 0) {
          expect(excess(a, c)).toEqual([])
        }
      }),
      { numRuns: 20 * fuzzRuns },
    )
  })
})

test('an endpoint rule that cannot be read is inside nothing, and nothing is inside it', () => {
  expect(isEndpointWithin('/v1/pro*', '/**')).toBe(false)
  expect(isEndpointWithin('/v1/a', 'GET/v1')).toBe(false)
})
