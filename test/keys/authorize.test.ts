import { describe, expect, test } from 'vitest'
import type { KeyRecord } from '../../src/context.ts'
import { authorize, type Demand, judgedHeaders, permits } from '../../src/keys/authorize.ts'
import { headersOf, recordOf } from './store.ts'

const open: Demand = {
  permission: null,
  classes: ['secret', 'publishable'],
  environments: ['test', 'live'],
}

function codeOf(
  record: Partial<KeyRecord>,
  demand: Partial<Demand> = {},
  headers: Record<string, string> = {},
) {
  const call = {
    method: 'GET',
    path: '/v1/things',
    clientAddress: '10.0.0.5',
    headers: headersOf(headers),
  }
  return authorize(recordOf(record), { ...open, ...demand }, call)?.code ?? 'ok'
}

describe('permits', () => {
  test.each([
    [[], 'vec:read'],
    [['vec:write'], 'vec:read'],
    [['vec:'], 'vec:read'],
    [['vec'], 'vec:read'],
    [['ve:*'], 'vec:read'],
    [['vector:*'], 'vec:read'],
    [['vec:*'], 'vector:read'],
    [['vec:re*'], 'vec:read'],
    [['VEC:READ'], 'vec:read'],
    [['*:read'], 'vec:read'],
    [['vec:*'], 'admin:keys'],
    [['vec:read'], 'vec:read:all'],
  ])('%j does not grant %s', (grants, permission) => {
    expect(permits(grants, permission)).toBe(false)
  })

  test.each([
    [['vec:read'], 'vec:read'],
    [['other:x', 'vec:*'], 'vec:read'],
    [['*'], 'admin:keys'],
  ])('%j grants %s', (grants, permission) => {
    expect(permits(grants, permission)).toBe(true)
  })
})

describe('authorize', () => {
  test('K17: a publishable key may not call a route that is for secret keys', () => {
    expect(codeOf({ class: 'publishable' }, { classes: ['secret'] })).toBe('auth/class_not_allowed')
    expect(codeOf({ class: 'secret' }, { classes: ['secret'] })).toBe('ok')
    expect(codeOf({ class: 'secret' }, { classes: [] })).toBe('auth/class_not_allowed')
  })

  test('K7: a test key on a live route is refused', () => {
    const demand: Partial<Demand> = { environments: ['live'] }
    expect(codeOf({ environment: 'test' }, demand)).toBe('auth/wrong_environment')
    expect(codeOf({ environment: 'live' }, demand)).toBe('ok')
  })

  test('a permission that is demanded must be held, and the refusal names it', () => {
    const demand: Demand = { ...open, permission: 'vec:read' }
    const call = { method: 'GET', path: '/', clientAddress: '', headers: headersOf({}) }
    expect(authorize(recordOf({ permissions: ['vec:write'] }), demand, call)).toMatchObject({
      code: 'auth/insufficient_permission',
      param: 'vec:read',
      detail: expect.stringContaining('vec:read'),
    })
    expect(authorize(recordOf({ permissions: ['vec:*'] }), demand, call)).toBeNull()
  })

  test.each([
    [{ origin: 'https://a.com', 'sec-fetch-site': 'cross-site' }],
    [{ origin: 'null', 'sec-fetch-mode': 'cors' }],
    [{ origin: '', 'sec-fetch-dest': 'empty' }],
  ])('a secret key in a browser is refused: %j', (headers) => {
    expect(codeOf({ class: 'secret' }, {}, headers)).toBe('auth/secret_key_in_browser')
    expect(codeOf({ class: 'publishable' }, {}, headers)).toBe('ok')
  })

  test.each([[{ origin: 'https://a.com' }], [{ 'sec-fetch-mode': 'cors' }], [{}]])(
    'a server that sends %j is no browser',
    (headers) => {
      expect(codeOf({ class: 'secret' }, {}, headers)).toBe('ok')
    },
  )

  test('the restrictions of the key are held last', () => {
    const restrictions = { ips: [], origins: null, referrers: null, endpoints: null }
    expect(codeOf({ restrictions })).toBe('auth/ip_not_allowed')
    expect(codeOf({ restrictions }, { classes: [] })).toBe('auth/class_not_allowed')
  })
})

test('judgedHeaders names every header that is looked at', () => {
  const asked = new Set<string>()
  const headers = {
    get(name: string) {
      asked.add(name)
      // An Origin ends the search, so there is one the second time.
      return name === 'origin' && asked.has('referer') ? 'https://app.example' : null
    },
  }
  const call = { method: 'GET', path: '/', clientAddress: '10.0.0.5', headers }
  const { restrictions } = recordOf()
  const record = recordOf({ restrictions: { ...restrictions, origins: ['https://app.example'] } })
  expect(authorize(record, open, call)?.code).toBe('auth/origin_not_allowed')
  expect(authorize(record, open, call)).toBeNull()
  expect([...asked].sort()).toEqual([...judgedHeaders].sort())
})
