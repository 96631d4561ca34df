/**
 * What an upstream reads, to the byte, and what a client reads of its answer: a TCP upstream that
 * keeps what it got, and clients that write every header in every spelling.
 */
import { connect } from 'node:net'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type ProxyGate, startProxyGate } from '../proxy-gate.ts'
import { openLine } from '../runtime/raw.ts'
import { type RawUpstream, startRawUpstream } from '../upstream.ts'

let upstream: RawUpstream
let gate: ProxyGate
/** What the upstream answers to everything. */
let answer = ''
/** What it got, one whole request after the other. */
const got: string[] = []

const plain = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'

beforeAll(async () => {
  upstream = await startRawUpstream(async (connection) => {
    for (;;) {
      const head = await connection.until('\r\n\r\n')
      if (!head.includes('\r\n\r\n')) return
      if (/^transfer-encoding: chunked/im.test(head)) await connection.until('\r\n0\r\n\r\n')
      got.push(connection.take())
      connection.socket.write(answer, 'latin1')
    }
  })
  const more = 'server: { trustedProxies: [127.0.0.2/32, 10.0.0.0/8] }'
  gate = await startProxyGate(upstream.url, { more, upstream: 'host: api.internal' })
})
afterAll(async () => {
  await gate?.stop()
  await upstream?.stop()
})
beforeEach(() => {
  answer = plain
  got.length = 0
})

/** Sends bytes on a connection of their own, and answers what came back on it. */
async function send(bytes: string): Promise<string> {
  const line = await openLine(gate.port)
  line.send(bytes)
  return line.closed()
}

/** One GET that is let in, with these lines more. */
const ask = (lines: readonly string[], credentials = gate.credentials): Promise<string> =>
  send(
    `GET /up/x HTTP/1.1\r\nHost: gw.example\r\n${credentials}Connection: close\r\n` +
      `${lines.map((line) => `${line}\r\n`).join('')}\r\n`,
  )

/** The fields of what the upstream got, by lower-case name. */
function fields(request = got.at(-1) ?? ''): Map<string, string[]> {
  const [head = ''] = request.split('\r\n\r\n')
  const map = new Map<string, string[]>()
  for (const line of head.split('\r\n').slice(1)) {
    const colon = line.indexOf(':')
    const name = line.slice(0, colon).toLowerCase()
    map.set(name, [...(map.get(name) ?? []), line.slice(colon + 1).trim()])
  }
  return map
}

/** With what differs from run to run named instead of shown. */
const steady = (text: string): string =>
  text
    .replace(/^(postern-identity: )[\w-]+\.[\w-]+\.[\w-]+$/m, '$1<token>')
    .replace(/^(postern-key-id: )key_\w+$/m, '$1<key>')
    .replaceAll(/req_\w+/g, '<request>')
    .replaceAll(/^date: .*$/gim, 'date: <now>')

test('H3 H5 H10: to the byte, what a request with everything in it is upstream', async () => {
  const text = await send(
    [
      'POST /up/a%20b?q=1&q=2 HTTP/1.1',
      'Host: GW.example:8080',
      'X-Api-Key: '.concat(gate.headers['x-api-key'] ?? ''),
      'X-Tn: tenant_abc123',
      'Connection: close, X-Hop',
      'X-Hop: mine',
      'Keep-Alive: timeout=5',
      'Proxy-Connection: keep-alive',
      'Proxy-Authorization: Basic eDp5',
      'Proxy-Authenticate: Basic',
      'TE: trailers, deflate;q=0.5',
      'Trailer: X-Sum',
      'HTTP2-Settings: AAMAAABkAAQAAP__',
      'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
      'Forwarded: for=1.2.3.4',
      'X-Forwarded-For: 1.2.3.4',
      'X-Forwarded-Host: evil.example',
      'X-Forwarded-Proto: https',
      'X-Forwarded-Prefix: /admin',
      'X-Forwarded-Server: evil',
      'X-Real-IP: 1.2.3.4',
      'X-Original-URL: /admin',
      'X-Rewrite-URL: /admin',
      'X-HTTP-Method-Override: DELETE',
      'X-Middleware-Subrequest: middleware',
      'CF-Connecting-IP: 1.2.3.4',
      'Via: 1.0 fred',
      'Cookie: a=1; b=2',
      'X-MiXeD: \xe9t\xe9',
      'accept: a',
      'Accept: b',
      'Traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
      'Content-Type: text/x-own',
      'Content-Length: 5',
      '',
      'hello',
    ].join('\r\n'),
  )
  expect(text).toMatch(/^HTTP\/1\.1 200 OK\r\n/)
  expect(steady(got[0] ?? '').split('\r\n')).toEqual([
    'POST /a%20b?q=1&q=2 HTTP/1.1',
    'host: api.internal',
    'connection: keep-alive',
    'Cookie: a=1; b=2',
    'X-MiXeD: \xe9t\xe9',
    'accept: a',
    'Accept: b',
    'Traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
    'Content-Type: text/x-own',
    'te: trailers',
    'via: 1.0 fred, 1.1 postern',
    'postern-identity: <token>',
    'postern-tenant: tenant_abc123',
    'postern-environment: live',
    'postern-key-id: <key>',
    'postern-permissions: data:read data:write',
    'x-request-id: <request>',
    'x-forwarded-for: 127.0.0.1',
    'x-forwarded-proto: http',
    'x-forwarded-host: gw.example:8080',
    'x-forwarded-port: 8080',
    'content-length: 5',
    '',
    'hello',
  ])
})

describe('H1 T7: no spelling of a name that the gateway speaks in is a client’s to write', () => {
  const reserved = [
    ...['postern-identity', 'postern-tenant', 'postern-environment', 'postern-key-id'],
    ...['postern-permissions', 'postern-mode', 'postern-anything', 'x-postern-tenant'],
    ...['x-request-id', 'request-id', 'x-forwarded-for', 'x-forwarded-host', 'x-forwarded-proto'],
    ...['x-forwarded-port', 'x-forwarded-prefix', 'x-forwarded-server', 'x-forwarded-anything'],
    ...['x-real-ip', 'x-client-ip', 'true-client-ip', 'x-cluster-client-ip', 'cf-connecting-ip'],
    ...['x-original-url', 'x-rewrite-url', 'x-http-method', 'x-http-method-override'],
    ...['x-method-override', 'x-middleware-subrequest', 'forwarded', 'proxy-authorization'],
  ]
  const titled = (name: string) => name.replace(/\b[a-z]/g, (letter) => letter.toUpperCase())
  const spellings = (name: string): string[] => [
    name,
    name.toUpperCase().replaceAll('-', '_'),
    name.replaceAll('-', '.'),
    titled(name),
    titled(name),
  ]
  /** Names that the gateway has a value for; whatever else a client wrote is absent. */
  const ours = new Set([
    ...['host', 'connection', 'via', 'postern-identity', 'postern-tenant', 'postern-environment'],
    ...['postern-key-id', 'x-request-id', 'x-forwarded-for', 'x-forwarded-proto'],
    ...['x-forwarded-host', 'x-forwarded-port'],
  ])

  // Without a permission: there is no value for postern-permissions.
  let key: string
  beforeAll(async () => {
    key = await gate.mint({ permissions: [] })
  })

  test.each(reserved)('%s', async (name) => {
    const credentials = `x-api-key: ${key}\r\nx-tn: tenant_abc123\r\n`
    const text = await ask(
      spellings(name).map((spelling) => `${spelling}: forged`),
      credentials,
    )
    expect(text).toMatch(/^HTTP\/1\.1 200 /)
    expect(got[0]).not.toContain('forged')
    expect(new Set(fields().keys())).toEqual(ours)
    for (const values of fields().values()) expect(values).toHaveLength(1)
  })

  test.each(['x_tn', 'X.TN', 'x_api_key', 'X_Api_Key', 'x.api.key'])(
    'T7: %s is a 400, and nothing is sent',
    async (name) => {
      expect(await ask([`${name}: evil`])).toMatch(/^HTTP\/1\.1 400 /)
      expect(got).toEqual([])
    },
  )
})

describe('H2 T11: Connection names what goes, and cannot name what is ours', () => {
  test('of a request', async () => {
    const named =
      'x-mine, X-Tn, x-api-key, postern-tenant, POSTERN-IDENTITY, x-forwarded-for, x-request-id, host, via'
    const text = await send(
      `GET /up/x HTTP/1.1\r\nHost: gw.example\r\n${gate.credentials}Connection: close, ${named}\r\nX-Mine: 1\r\nX-Other: 2\r\n\r\n`,
    )
    expect(text).toMatch(/^HTTP\/1\.1 200 /)
    const seen = fields()
    expect(seen.has('x-mine')).toBe(false)
    expect(seen.get('x-other')).toEqual(['2'])
    expect(seen.get('postern-tenant')).toEqual(['tenant_abc123'])
    expect(seen.get('postern-identity')).toHaveLength(1)
    expect(seen.get('x-forwarded-for')).toEqual(['127.0.0.1'])
    expect(seen.get('host')).toEqual(['api.internal'])
    expect(seen.get('connection')).toEqual(['keep-alive'])
  })

  test('of an answer', async () => {
    answer =
      'HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Internal, x-request-id\r\nX-Internal: secret\r\nX-Shown: 1\r\nContent-Length: 2\r\n\r\nok'
    const text = await ask([])
    expect(text).not.toMatch(/x-internal/i)
    expect(text).toContain('X-Shown: 1\r\n')
    expect(text).toMatch(/\r\nx-request-id: req_/)
    expect(text).toMatch(/\r\nconnection: close\r\n/i)
  })
})

describe('H4: the client’s address is the socket’s, unless a trusted hop says otherwise', () => {
  /** The same from an address of this machine that is a trusted proxy. */
  async function through(lines: string): Promise<void> {
    const socket = connect({ port: gate.port, host: '127.0.0.1', localAddress: '127.0.0.2' })
    socket.write(
      `GET /up/x HTTP/1.1\r\nHost: gw\r\n${gate.credentials}Connection: close\r\n${lines}\r\n`,
    )
    for await (const _ of socket);
  }

  test.each([
    ['one', 'X-Forwarded-For: 1.2.3.4'],
    [
      'three lines',
      'X-Forwarded-For: 1.1.1.1\r\nx-forwarded-for: 2.2.2.2\r\nX-FORWARDED-FOR: 3.3.3.3',
    ],
    ['a thousand hops', `X-Forwarded-For: ${'1.2.3.4,'.repeat(1000)}5.6.7.8`],
    ['Forwarded', 'Forwarded: for="[::1]:80"'],
    ['garbage', 'X-Forwarded-For: \xff,,;"'],
  ])('from anybody: %s', async (_, line) => {
    expect(await ask([line])).toMatch(/^HTTP\/1\.1 200 /)
    expect(fields().get('x-forwarded-for')).toEqual(['127.0.0.1'])
    expect(fields().has('forwarded')).toBe(false)
  })

  test.each([
    ['one hop', 'X-Forwarded-For: 198.51.100.7', '198.51.100.7'],
    ['two hops', 'X-Forwarded-For: 6.6.6.6, 198.51.100.7, 10.0.0.3', '198.51.100.7'],
    [
      'two lines',
      'X-Forwarded-For: 6.6.6.6, 198.51.100.7\r\nX-Forwarded-For: 10.0.0.3',
      '198.51.100.7',
    ],
    ['no hop', '', '127.0.0.2'],
    ['garbage', 'X-Forwarded-For: 198.51.100.7, what', '127.0.0.2'],
  ])('from a trusted proxy: %s', async (_, line, address) => {
    await through(line === '' ? '' : `${line}\r\nX-Forwarded-Proto: https\r\n`)
    expect(fields().get('x-forwarded-for')).toEqual([address])
    expect(fields().get('x-forwarded-proto')).toEqual([line === '' ? 'http' : 'https'])
  })
})

describe('H5: a Host that is not one clear name reaches nobody', () => {
  test.each([
    ['two', 'GET /up/x HTTP/1.1\r\nHost: a\r\nHost: b\r\n'],
    ['empty', 'GET /up/x HTTP/1.1\r\nHost:\r\n'],
    ['userinfo', 'GET /up/x HTTP/1.1\r\nHost: a@b\r\n'],
    ['a path', 'GET /up/x HTTP/1.1\r\nHost: a/../x\r\n'],
    ['another one in the target', 'GET http://evil/up/x HTTP/1.1\r\nHost: a\r\n'],
  ])('%s', async (_, head) => {
    expect(await send(`${head}${gate.credentials}\r\n`)).toMatch(/^HTTP\/1\.1 400 /)
    expect(got).toEqual([])
  })

  test('and the upstream’s is the configured one, whatever the client called', async () => {
    await send(
      `GET http://gw.example/up/x HTTP/1.1\r\nHost: gw.example\r\nConnection: close\r\n${gate.credentials}\r\n`,
    )
    expect(got[0]).toMatch(/^GET \/x HTTP\/1\.1\r\nhost: api\.internal\r\n/)
  })
})

test('H6: the method is the one on the wire', async () => {
  const lines = ['X-HTTP-Method-Override: DELETE', 'X-Method-Override: PUT', '_method: DELETE']
  await send(
    `POST /up/x?_method=DELETE HTTP/1.1\r\nHost: a\r\nConnection: close\r\n${gate.credentials}${lines.join('\r\n')}\r\nContent-Length: 0\r\n\r\n`,
  )
  expect(got[0]).toMatch(/^POST \/x\?_method=DELETE HTTP/)
  expect([...fields().keys()].filter((name) => name.includes('override'))).toEqual([])
})

describe('H7: no byte that ends a line comes out of a value', () => {
  test.each(['a\rb', 'a\nb: c', 'a\0b', 'a\x0bb', 'a\x7fb'])('of a request: %j', async (value) => {
    const text = await ask([`traceparent: ${value}`])
    if (/^HTTP\/1\.1 200 /.test(text)) expect(fields().get('traceparent') ?? []).toEqual([])
    else expect([text.slice(0, 13), got]).toEqual(['HTTP/1.1 400 ', []])
    expect(fields().has('b')).toBe(false)
  })

  test.each(['a\rSet-Cookie: x=1', 'a\0b', 'a\x0bb'])('of an answer: %j', async (value) => {
    answer = `HTTP/1.1 200 OK\r\nX-Own: ${value}\r\nContent-Length: 2\r\n\r\nok`
    const text = await ask([])
    expect(text).not.toMatch(/[\r\n]set-cookie/i)
    expect(text).not.toMatch(/[\0\x0b]/)
  })
})

test('H8: to the byte, what an answer with everything in it is to the client', async () => {
  answer = [
    'HTTP/1.1 299 Its Own Words',
    'Server: nginx/1.0',
    'X-Powered-By: PHP',
    'Connection: keep-alive',
    'Keep-Alive: timeout=5',
    'Proxy-Authenticate: Basic',
    'Alt-Svc: h3=":443"',
    'X-Request-Id: theirs',
    'Request-Id: theirs',
    'Postern-Mode: test',
    'X_Postern_Tenant: theirs',
    'Proxy-Status: postern; error=dns_error',
    'Proxy-Status: other; error=dns_error',
    'RateLimit: "theirs";r=1;t=1',
    'X-RateLimit-Remaining: 1',
    'Access-Control-Allow-Origin: *',
    'Strict-Transport-Security: max-age=1',
    'Set-Cookie: a=1',
    'Set-Cookie: b=2',
    'Vary: Accept',
    'Date: Thu, 01 Jan 2026 00:00:00 GMT',
    'Content-Length: 2',
    '',
    'ok',
  ].join('\r\n')
  const text = await ask([])
  expect(steady(text).split('\r\n')).toEqual([
    'HTTP/1.1 299 Its Own Words',
    'Proxy-Status: other; error=dns_error',
    'RateLimit: "theirs";r=1;t=1',
    'X-RateLimit-Remaining: 1',
    'Access-Control-Allow-Origin: *',
    'Strict-Transport-Security: max-age=1',
    'Set-Cookie: a=1',
    'Set-Cookie: b=2',
    'Vary: Accept',
    'date: <now>',
    'Content-Length: 2',
    'x-request-id: <request>',
    'request-id: <request>',
    'x-content-type-options: nosniff',
    'referrer-policy: no-referrer',
    'Connection: close',
    '',
    'ok',
  ])
})

describe('K10 K11: the key reaches no upstream', () => {
  const key = () => gate.headers['x-api-key'] ?? ''

  test.each([
    ['x-api-key', () => `x-api-key: ${key()}`],
    ['Authorization', () => `Authorization: Bearer ${key()}`],
    ['authorization in other letters', () => `aUTHORIZATION: bearer ${key()}`],
  ])('K11: sent as %s', async (_, line) => {
    const text = await send(
      `POST /up/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n${line()}\r\nx-tn: tenant_abc123\r\nContent-Length: 4\r\n\r\nbody`,
    )
    expect(text).toMatch(/^HTTP\/1\.1 200 /)
    const [, , secret = ''] = key().split('_').slice(-3)
    expect(secret.length).toBeGreaterThan(20)
    // Not in a header, the query, the body, nor inside the token.
    expect(got.join()).not.toContain(secret)
    const [token = ''] = fields().get('postern-identity') ?? []
    const claims = Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()
    expect(claims).not.toContain(secret)
    expect(fields().has('authorization')).toBe(false)
  })

  test.each(['api_key', 'apikey', 'key', 'access_token', 'x-api-key', 'q'])(
    'K10: a key in the query as %s is a 400; nothing is sent, and the log does not show it',
    async (name) => {
      const text = await send(
        `GET /up/x?${name}=${key()} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n${gate.credentials}\r\n`,
      )
      expect(text).toMatch(/^HTTP\/1\.1 400 /)
      expect(text).toContain('auth/key_in_url')
      expect(got).toEqual([])
      expect(await gate.logged()).not.toContain(key())
    },
  )
})

test('T10: a trailer is no header, here or upstream', async () => {
  const text = await send(
    `POST /up/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n${gate.credentials}Transfer-Encoding: chunked\r\n\r\n` +
      '3\r\nabc\r\n0\r\nx-tn: tenant_xyz789\r\npostern-tenant: tenant_xyz789\r\nx-sum: 1\r\n\r\n',
  )
  expect(text).toMatch(/^HTTP\/1\.1 200 /)
  expect(fields().get('postern-tenant')).toEqual(['tenant_abc123'])
  expect(got[0]).toMatch(/\r\n\r\n(?:abc|3\r\nabc\r\n0\r\n\r\n)$/)
})
