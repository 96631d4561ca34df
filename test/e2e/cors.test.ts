/**
 * Browsers at the gate, over HTTP: preflights answered from the origins of a route and of the
 * platform's keys, and calls held to their own key's. (`fetch` of Node sends `sec-fetch-mode` by itself,
 * so with an `Origin` it looks like a browser.)
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Cors, Route } from '../../src/context.ts'
import { createHandler } from '../../src/handler.ts'
import { createDatabase, type TestDatabase } from '../database.ts'
import { startGate, type TestGate } from '../gate.ts'
import { logLines } from '../gate-process.ts'
import { openWire } from '../wire.ts'

const config = `
version: 1
platforms:
  - id: plt_x
    slug: x
    permissions: { data: [read, write] }
    routes:
      - { path: /things/**, methods: [GET], handler: things, permission: data:read, classes: [secret, publishable] }
      - { path: /things/**, methods: [POST], handler: things, permission: data:write, classes: [secret] }
      - { path: /any/**, handler: things, classes: [secret, publishable], environments: [live] }
      - { path: /closed/**, methods: [GET], handler: things, classes: [secret, publishable] }
    seed: [{ id: a }]
server: { trustedProxies: [127.0.0.1/32] }
`
const cors: Cors = {
  origins: ['https://good.com'],
  requestHeaders: ['x-api-key', 'x-tn'],
  exposedHeaders: ['x-request-id'],
  maxAgeSeconds: 600,
}
const shop = 'https://shop.example'
const kiosk = 'https://kiosk.example:8443'

const things = createHandler().all('*', (c) => {
  c.header('vary', 'Accept-Encoding')
  c.header('access-control-allow-origin', '*')
  c.header('access-control-allow-credentials', 'true')
  return c.json({ path: c.req.path })
})

let database: TestDatabase
let gate: TestGate
const keys = { shop: '', kiosk: '', writes: '', free: '' }

beforeAll(async () => {
  database = await createDatabase({ migrate: false })
  gate = await startGate({ DATABASE_URL: database.ownerUrl }, config, { things })
  useCors((route) => !route.path.startsWith('/closed'))
  const mint = (origins: string[] | null, changes: Parameters<TestGate['mint']>[0] = {}) =>
    gate.mint({
      class: 'publishable',
      prefix: 'pk_live_',
      permissions: ['data:read'],
      restrictions: { ips: null, origins, referrers: null, endpoints: null },
      ...changes,
    })
  keys.shop = await mint([shop])
  keys.kiosk = await mint([kiosk], {
    environment: 'test',
    prefix: 'pk_dev_',
    restrictions: { ips: null, origins: [kiosk], referrers: null, endpoints: ['GET /things/1'] },
  })
  keys.writes = await mint([shop], { permissions: ['data:write'] })
  keys.free = await mint(null)
})
afterAll(async () => {
  await gate?.stop()
  await database?.drop()
})

/** Swaps in the same config with CORS on some routes. A gateway made anew remembers no origins. */
function useCors(on: (route: Route) => boolean): void {
  const platforms = gate.config.platforms.map((platform) => ({
    ...platform,
    routes: platform.routes.map((route) => ({ ...route, cors: on(route) ? cors : null })),
  }))
  gate.deployment.swap({ ...gate.config, platforms })
}

async function ask(path: string, init: RequestInit) {
  const response = await fetch(gate.url + path, init)
  const text = await response.text()
  const { headers } = response
  return {
    status: response.status,
    code: text.startsWith('{"type"') ? JSON.parse(text).code : null,
    text,
    headers,
    origin: headers.get('access-control-allow-origin'),
    said: [...headers.keys()].filter((name) => name.startsWith('access-control-')),
  }
}

function preflight(path: string, origin: string, method = 'GET', more: HeadersInit = {}) {
  const asked = {
    'access-control-request-method': method,
    'access-control-request-headers': 'x-api-key,x-tn',
  }
  return ask(path, { method: 'OPTIONS', headers: { origin, ...asked, ...more } })
}

const call = (path: string, key: string, more: Record<string, string> = {}, method = 'GET') =>
  ask(path, { method, headers: { 'x-api-key': key, 'x-tn': 'a', ...more } })

describe('a preflight', () => {
  test('is granted to an origin of the route, with what the route allows and no key', async () => {
    const answer = await preflight('/things/1', 'https://good.com')
    expect([answer.status, answer.text]).toEqual([204, ''])
    expect(Object.fromEntries(answer.headers)).toMatchObject({
      'access-control-allow-origin': 'https://good.com',
      'access-control-allow-methods': 'GET',
      'access-control-allow-headers': 'x-api-key, x-tn',
      'access-control-max-age': '600',
      vary: 'Origin, Access-Control-Request-Method, Access-Control-Request-Headers',
      'x-request-id': expect.stringMatching(/^req_/),
    })
    expect(answer.said).not.toContain('access-control-allow-credentials')
  })

  test("is granted to an origin that a publishable key has, where that key's rules allow the call", async () => {
    expect((await preflight('/things/1', shop)).origin).toBe(shop)
    expect((await preflight('/any/1', shop, 'PUT')).origin).toBe(shop)
    expect((await preflight('/things/1', kiosk)).origin).toBe(kiosk)
    // The key of the kiosk may call one path, and only in test.
    for (const path of ['/things/2', '/any/1']) {
      expect(await preflight(path, kiosk)).toMatchObject({
        status: 403,
        code: 'auth/origin_not_allowed',
        said: [],
      })
    }
  })

  test.each([
    'https://evil.com',
    'https://good.com.evil.com',
    'https://evilgood.com',
    'http://good.com',
    'https://good.com:444',
    'HTTPS://GOOD.COM',
    'https://good.com, https://evil.com',
    'https://xn--gd-fka.com',
    'null',
    '*',
    `${shop}.evil.com`,
    `${shop}:443`,
    'https://kiosk.example',
  ])('C1, C2: is refused to %s, with no word of CORS', async (origin) => {
    const answer = await preflight('/things/1', origin)
    expect([answer.status, answer.code, answer.said]).toEqual([403, 'auth/origin_not_allowed', []])
    expect(answer.headers.get('vary')).toMatch(/^Origin, /)
  })

  test('C2: of two Origin headers is a 400', async () => {
    const wire = await openWire(Number(new URL(gate.url).port))
    wire.send(
      'OPTIONS /things/1 HTTP/1.1\r\nhost: x\r\norigin: https://good.com\r\n' +
        'origin: https://evil.com\r\naccess-control-request-method: GET\r\n\r\n',
    )
    const answer = await wire.answer()
    expect(answer.status).toBe(400)
    expect(answer.body).toContain('request/duplicate_header')
    wire.close()
  })

  test('C4, K17: opens no route that is for secret keys, whatever a publishable key may do', async () => {
    expect(await preflight('/things', shop, 'POST')).toMatchObject({ status: 403, said: [] })
    const post = await call('/things', keys.writes, { origin: shop }, 'POST')
    expect([post.status, post.code]).toEqual([403, 'auth/class_not_allowed'])
  })

  test('C5: asks for headers at any length, and the list that is granted is the route’s', async () => {
    const wanted = [' '.repeat(15_000), `x-api-key${' '.repeat(15_000)},a`, ','.repeat(15_000)]
    for (const list of wanted) {
      const more = { 'access-control-request-headers': `a${list}b` }
      const answer = await preflight('/things/1', 'https://good.com', 'GET', more)
      expect(answer.headers.get('access-control-allow-headers')).toBe('x-api-key, x-tn')
    }
  })

  test('of what no route takes is a 404 or a 405, and says nothing of CORS', async () => {
    const missing = await preflight('/nowhere', 'https://good.com')
    expect([missing.status, missing.said]).toEqual([404, []])
    const other = await preflight('/things/1', 'https://good.com', 'DELETE')
    expect([other.status, other.said]).toEqual([405, []])
    expect(other.headers.get('allow')).toContain('GET')
  })

  test('of a route without CORS, and OPTIONS that is none, are calls like any other', async () => {
    expect((await preflight('/closed/1', 'https://good.com')).code).toBe('route/method_not_allowed')
    const plain = await ask('/any/1', { method: 'OPTIONS', headers: { origin: 'https://x.com' } })
    expect([plain.status, plain.code]).toEqual([401, 'auth/missing_key'])
  })

  test('is one line of the log: its route, and no key', async () => {
    await preflight('/things/log', 'https://good.com')
    const lines = logLines(await gate.logged()).filter(({ path }) => path === '/things/log')
    expect(lines).toEqual([
      expect.objectContaining({ method: 'OPTIONS', status: 204, route: 'GET /things/**' }),
    ])
  })
})

describe('a call', () => {
  test('is answered for a page of an origin of the route, or of its own key', async () => {
    for (const [key, origin] of [
      [keys.shop, shop],
      [keys.free, 'https://good.com'],
    ] as const) {
      const answer = await call('/things/1', key, { origin })
      expect([answer.status, answer.origin]).toEqual([200, origin])
      expect(answer.headers.get('access-control-expose-headers')).toBe('x-request-id')
    }
  })

  test("is held to its own key's origins, and another key's are no leave to read", async () => {
    const [preflighted, sent] = [
      await preflight('/things/1', kiosk),
      await call('/things/1', keys.shop, { origin: kiosk }),
    ]
    expect(preflighted.status).toBe(204)
    expect([sent.status, sent.code, sent.said]).toEqual([403, 'auth/origin_not_allowed', []])
    // A key without origins may be used from anywhere, and no page may read what it gets.
    const free = await call('/things/1', keys.free, { origin: shop })
    expect([free.status, free.said]).toEqual([200, []])
    expect((await call('/things/1', keys.shop)).code).toBe('auth/origin_not_allowed')
  })

  test('C3: a Referer stands in for an Origin that is missing, and gives no leave', async () => {
    const answer = await call('/things/1', keys.shop, { referer: `${shop}/cart` })
    expect([answer.status, answer.said]).toEqual([200, []])
    for (const referer of ['https://evil/?https://shop.example', `${shop}@evil/`]) {
      expect((await call('/things/1', keys.shop, { referer })).code).toBe('auth/origin_not_allowed')
    }
  })

  test('with a secret key in a page is refused, and the page may read why', async () => {
    const answer = await call('/things/1', gate.seeded.sk_live_, { origin: 'https://good.com' })
    expect(answer).toMatchObject({
      status: 403,
      code: 'auth/secret_key_in_browser',
      origin: 'https://good.com',
    })
  })

  test('C6, H8: keeps what its handler varies by, and loses what it says of CORS', async () => {
    for (const [origin, said] of [
      [shop, ['access-control-allow-origin', 'access-control-expose-headers']],
      [null, []],
    ] as const) {
      const key = origin === null ? keys.free : keys.shop
      const answer = await call('/things/1', key, origin === null ? {} : { origin })
      expect([answer.status, answer.origin]).toEqual([200, origin])
      expect(answer.said.sort()).toEqual(said)
      expect(answer.headers.get('vary')).toBe('Accept-Encoding, Origin')
    }
  })

  test("of a route without CORS passes the handler's own words", async () => {
    const answer = await call('/closed/1', keys.free, { origin: shop })
    expect([answer.origin, answer.headers.get('vary')]).toEqual(['*', 'Accept-Encoding'])
  })
})

describe('a refusal', () => {
  const unproven = { 'x-api-key': 'sk_live_nothing', 'x-tn': 'a' }

  test.each([{}, unproven])(
    'before a key is proven can be read where a preflight would be granted: %j',
    async (headers) => {
      for (const origin of ['https://good.com', shop]) {
        const answer = await ask('/things/1', { headers: { origin, ...headers } })
        expect([answer.status, answer.origin]).toEqual([401, origin])
        expect(answer.headers.get('vary')).toBe('Origin')
      }
      for (const origin of ['https://evil.com', 'null']) {
        const answer = await ask('/things/1', { headers: { origin, ...headers } })
        expect([answer.status, answer.said]).toEqual([401, []])
      }
    },
  )

  test('of a proven key can be read by the pages of that key', async () => {
    const headers = { origin: shop, 'x-api-key': keys.shop }
    const answer = await ask('/things/1', { headers })
    expect([answer.code, answer.origin]).toEqual(['tenant/missing', shop])
  })
})

test('C5, C9: preflights have a small share per client, a /64 of IPv6, that calls do not draw on', async () => {
  const from = (client: string) => ({ 'x-forwarded-for': client })
  const answers = await Promise.all(
    Array.from({ length: 310 }, (_, n) =>
      preflight('/things/1', 'https://good.com', 'GET', from(`2001:db8:1:2::${n.toString(16)}`)),
    ),
  )
  const refused = answers.filter(({ status }) => status === 429)
  expect(refused).toHaveLength(10)
  expect(refused[0]).toMatchObject({ code: 'rate_limit/exceeded', said: [] })
  expect(Number(refused[0]?.headers.get('retry-after'))).toBeGreaterThan(0)
  const neighbour = await preflight('/things/1', 'https://good.com', 'GET', from('2001:db8:1:3::1'))
  expect(neighbour.status).toBe(204)
  const called = await call('/things/1', keys.shop, { origin: shop, ...from('2001:db8:1:2::1') })
  expect([called.status, called.origin]).toEqual([200, shop])
})

test('a database that is away: the list of a route holds, unknown origins are a 503', async () => {
  useCors(() => true)
  await database.drop()
  expect((await preflight('/things/1', 'https://good.com')).status).toBe(204)
  const unknown = await preflight('/things/1', shop)
  expect([unknown.status, unknown.code, unknown.said]).toEqual([503, 'auth/unavailable', []])
  const refused = await ask('/things/1', { headers: { origin: shop } })
  expect([refused.status, refused.said]).toEqual([401, []])
})
