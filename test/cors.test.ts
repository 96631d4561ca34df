import { describe, expect, test } from 'vitest'
import type { Route } from '../src/context.ts'
import {
  answerHeaders,
  type CorsOptions,
  createCors,
  isShared,
  type Leave,
  type PageCall,
  preflightOf,
  type SharedRoute,
  varyOf,
  withoutCors,
} from '../src/cors.ts'
import type { Refusal } from '../src/problem.ts'

const good = 'https://good.com'
const route: SharedRoute = {
  id: 'GET /v1/things',
  hosts: [],
  path: '/v1/things',
  methods: ['GET', 'PATCH'],
  handler: 'things',
  upstream: null,
  sandbox: null,
  secrets: null,
  rewrite: null,
  cors: {
    origins: [good],
    requestHeaders: ['x-api-key', 'x-tn'],
    exposedHeaders: ['ratelimit', 'x-request-id'],
    maxAgeSeconds: 600,
  },
  permission: null,
  classes: ['publishable'],
  environments: ['live'],
  cost: 1,
  limits: [],
  bodyBytesMax: 1000,
  jsonOnly: false,
  requireHttps: false,
  encodedSlash: false,
}

function callFrom(origin: string | null, changes: Partial<SharedRoute> = {}): PageCall {
  return {
    // Only what judges origins looks at the platform, and here that is a stand-in.
    platform: {} as PageCall['platform'],
    route: { ...route, ...changes },
    origin,
    method: 'GET',
    path: '/v1/things',
    clientAddress: '203.0.113.7',
  }
}

const notAllowed: Refusal = { code: 'auth/origin_not_allowed' }

/** A gate whose platform has one key, for `https://key.example`. */
function gateOf(changes: Partial<CorsOptions> = {}) {
  const asked: string[] = []
  const charged: string[] = []
  const gate = createCors({
    judgeOrigin: ({ origin }) => {
      asked.push(origin)
      return origin === 'https://key.example' ? null : notAllowed
    },
    chargePreflight: async (clientAddress) => {
      charged.push(clientAddress)
      return null
    },
    ...changes,
  })
  return { ...gate, asked, charged }
}

const headersOf = (headers: Record<string, string>) => ({
  get: (name: string) => headers[name] ?? null,
})

/** Nothing that would let a page read, or send cookies. */
function expectNoLeave(leave: Leave | Refusal) {
  expect(Object.keys(leave).filter((name) => name.startsWith('access-control-'))).toEqual([])
}

/** None of them is `https://good.com`, and each has been taken for it somewhere. */
const lookalikes = [
  'https://evil.com',
  'https://good.com.evil.com',
  'https://evilgood.com',
  'https://sub.good.com',
  'http://good.com',
  'https://good.com:444',
  'https://good.com:443',
  'HTTPS://GOOD.COM',
  'https://Good.com',
  'https://good.com/',
  'https://good.com.',
  'https://good.com@evil.com',
  'https://good.com,https://evil.com',
  'https://good.com, https://evil.com',
  'https://good.com https://evil.com',
  'https://xn--gd-fka.com',
  'https://gооd.com',
  'good.com',
  '//good.com',
  'null',
  '*',
  '',
  ' https://good.com',
]

describe('preflightOf', () => {
  const headers = { origin: good, 'access-control-request-method': 'PATCH' }

  test.each([
    ['GET', headers],
    ['options', headers],
    ['OPTIONS', { origin: good }],
    ['OPTIONS', { 'access-control-request-method': 'PATCH' }],
    ['OPTIONS', { ...headers, 'access-control-request-method': '' }],
    ['OPTIONS', { ...headers, 'access-control-request-method': 'GET, POST' }],
    ['OPTIONS', { ...headers, 'access-control-request-method': 'GE T' }],
    ['OPTIONS', { ...headers, 'access-control-request-method': 'X'.repeat(33) }],
  ])('%s %j is a call of its own', (method, sent) => {
    expect(preflightOf(method, headersOf(sent))).toBeNull()
  })

  test('OPTIONS that names an origin and a method asks leave for that method', () => {
    expect(preflightOf('OPTIONS', headersOf(headers))).toBe('PATCH')
  })
})

test('the gateway owns CORS on a route that has it, and on nothing else that a router finds', () => {
  const without: Route = { ...route, cors: null }
  const nothing: Refusal = { code: 'route/not_found' }
  expect([null, without, nothing, route].map(isShared)).toEqual([false, false, false, true])
})

describe('a preflight', () => {
  test.each(lookalikes)('C1, C2: is refused for %j, and says nothing of CORS', async (origin) => {
    const answer = await gateOf().preflight(callFrom(origin))
    expect(answer).toMatchObject(notAllowed)
    expectNoLeave(answer)
  })

  test('C2: no list makes an origin of `null`, of `*`, or of what is none', async () => {
    for (const origin of ['null', '*', '', 'https://*.good.com', 'https://good.com/']) {
      const { preflight, asked } = gateOf()
      const changes = { cors: { ...route.cors, origins: [origin] } }
      expect(await preflight(callFrom(origin, changes)), origin).toMatchObject(notAllowed)
      expect(asked).toEqual([])
    }
  })

  test("of an origin of the route's is granted without asking anybody, exactly as the route says", async () => {
    const { preflight, asked } = gateOf()
    expect(await preflight(callFrom(good))).toEqual({
      'access-control-allow-origin': good,
      'access-control-allow-methods': 'GET, PATCH',
      'access-control-allow-headers': 'x-api-key, x-tn',
      'access-control-max-age': '600',
      vary: 'Origin, Access-Control-Request-Method, Access-Control-Request-Headers',
    })
    expect(asked).toEqual([])
  })

  test('C1: leave is never given with credentials, nor to everybody', async () => {
    const changes = { methods: null, cors: { ...route.cors, requestHeaders: [] } }
    const granted = await gateOf().preflight(callFrom(good, changes))
    expect(granted).toEqual({
      'access-control-allow-origin': good,
      'access-control-allow-methods': 'GET',
      'access-control-max-age': '600',
      vary: expect.any(String),
    })
  })

  test("of another origin is granted where a key's origins allow it, and refused as that refuses", async () => {
    const { preflight, asked } = gateOf()
    expect(await preflight(callFrom('https://key.example'))).toMatchObject({
      'access-control-allow-origin': 'https://key.example',
    })
    expect(asked).toEqual(['https://key.example'])
    const down: Refusal = { code: 'auth/unavailable' }
    const away = gateOf({ judgeOrigin: async () => down })
    expect(await away.preflight(callFrom('https://key.example'))).toEqual(down)
    expect(await away.preflight(callFrom(good))).toHaveProperty('access-control-allow-origin')
  })

  test('C5: past its share a client is told when to come back, and nothing is looked up', async () => {
    const { preflight, asked } = gateOf({ chargePreflight: async () => 17 })
    for (const origin of [good, 'https://key.example']) {
      const answer = await preflight(callFrom(origin))
      expect(answer).toMatchObject({
        code: 'rate_limit/exceeded',
        headers: { 'retry-after': '17' },
      })
      expectNoLeave(answer)
    }
    expect(asked).toEqual([])
  })
})

describe('the answer to a proven caller', () => {
  const granted = {
    'access-control-allow-origin': good,
    'access-control-expose-headers': 'ratelimit, x-request-id',
    vary: 'Origin',
  }

  test.each(lookalikes)('C1, C2: gives %j no leave', (origin) => {
    expect(answerHeaders(callFrom(origin), [good])).toEqual({ vary: 'Origin' })
    expect(answerHeaders(callFrom(origin), null)).toEqual({ vary: 'Origin' })
  })

  test('gives leave to an origin of the route, or of the key itself', () => {
    expect(answerHeaders(callFrom(good), null)).toEqual(granted)
    expect(answerHeaders(callFrom(good), ['https://other.example'])).toEqual(granted)
    const bare = { cors: { ...route.cors, origins: [], exposedHeaders: [] } }
    const own = { 'access-control-allow-origin': good, vary: 'Origin' }
    expect(answerHeaders(callFrom(good, bare), [good])).toEqual(own)
    expect(answerHeaders(callFrom(good, bare), [])).toEqual({ vary: 'Origin' })
    expect(answerHeaders(callFrom(good, bare), null)).toEqual({ vary: 'Origin' })
  })

  test('C6: to nobody at all varies by Origin too', () => {
    expect(answerHeaders(callFrom(null), [good])).toEqual({ vary: 'Origin' })
  })
})

describe('the answer to a caller who is not proven', () => {
  test.each([null, ...lookalikes])('C1, C2: gives %j no leave', async (origin) => {
    expect(await gateOf().unproven(callFrom(origin))).toEqual({ vary: 'Origin' })
  })

  test('gives leave where the preflight would be granted', async () => {
    const { unproven, charged } = gateOf()
    for (const origin of [good, 'https://key.example']) {
      expect(await unproven(callFrom(origin))).toMatchObject({
        'access-control-allow-origin': origin,
      })
    }
    // The route's own list costs nothing to read.
    expect(charged).toHaveLength(1)
  })

  test('goes out without leave past the share of the client, or when nobody can be asked', async () => {
    const broken = async () => {
      throw new Error('broken')
    }
    for (const gate of [
      gateOf({ chargePreflight: async () => 1 }),
      gateOf({ judgeOrigin: broken }),
      gateOf({ chargePreflight: broken }),
    ]) {
      expect(await gate.unproven(callFrom('https://key.example'))).toEqual({ vary: 'Origin' })
    }
  })
})

describe('what others say of CORS', () => {
  test('H8: is taken off an answer, and the rest of it stays', async () => {
    const said = new Response('body', {
      status: 201,
      headers: {
        'Access-Control-Allow-Origin': '*',
        'Access-Control-Allow-Credentials': 'true',
        'access-control-expose-headers': '*',
        'x-own': '1',
      },
    })
    said.headers.append('set-cookie', 'a=1')
    said.headers.append('set-cookie', 'b=2')
    const left = withoutCors(said, { 'access-control-allow-origin': good })
    expect([left.status, await left.text()]).toEqual([201, 'body'])
    // Ours will be laid over the first.
    expect([...left.headers.keys()].filter((name) => name.startsWith('access-'))).toEqual([
      'access-control-allow-origin',
    ])
    expect([left.headers.get('x-own'), left.headers.getSetCookie()]).toEqual(['1', ['a=1', 'b=2']])
  })

  test('is not looked for twice: an answer that says nothing is the same answer', () => {
    const plain = new Response('body')
    expect(withoutCors(plain, {})).toBe(plain)
  })
})

test.each([
  [null, 'Origin', 'Origin'],
  ['Accept-Encoding', 'Origin', 'Accept-Encoding, Origin'],
  ['accept, ORIGIN', 'Origin', 'accept, ORIGIN'],
  ['X-Origin', 'Origin', 'X-Origin, Origin'],
  ['*', 'Origin', '*'],
  ['Accept', 'Origin, Accept', 'Accept, Origin'],
])('C6: Vary %j with %j is %j', (own, ours, merged) => {
  expect(varyOf(own, ours)).toBe(merged)
})
