import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Principal } from '../../src/context.ts'
import { layAnswer, type RequestFacts, requestHeaders } from '../../src/proxy/headers.ts'
import { principalOf, targetOf, upstreamOf } from './call.ts'

const numRuns = Number(process.env.FUZZ_RUNS ?? 1000)

const facts: RequestFacts = {
  principal: principalOf(),
  requestId: 'req_1',
  clientAddress: '203.0.113.7',
  secure: true,
  host: 'api.example.com',
  hasBody: false,
  upgrade: false,
}
const target = targetOf('http://10.0.0.1:8080')

const flat = (lines: readonly string[]) =>
  lines.flatMap((line) => {
    const colon = line.indexOf(':')
    return [line.slice(0, colon), line.slice(colon + 1).trim()]
  })

function lined(list: readonly string[]): string[] {
  const lines: string[] = []
  for (let at = 0; at < list.length; at += 2) lines.push(`${list[at]}: ${list[at + 1]}`)
  return lines
}

/** Header lines as the upstream gets them, of header lines that a client sent. */
function forwarded(lines: readonly string[], more: Partial<RequestFacts> = {}, upstream = {}) {
  const sent = requestHeaders(
    flat(lines),
    { ...facts, ...more },
    upstreamOf(upstream),
    target,
    'jwt',
  )
  if (!Array.isArray(sent)) throw new Error(sent.code)
  return lined(sent)
}

const answered = (lines: readonly string[], gate: Record<string, string> = {}, ownsCors = false) =>
  lined(layAnswer(flat(lines), { gate, ownsCors }))

const ours = [
  'host: 10.0.0.1:8080',
  'via: 1.1 postern',
  'postern-identity: jwt',
  'postern-tenant: acme',
  'postern-environment: live',
  'postern-key-id: key_1',
  'postern-permissions: things:read things:write',
  'x-request-id: req_1',
  'x-forwarded-for: 203.0.113.7',
  'x-forwarded-proto: https',
  'x-forwarded-host: api.example.com',
  'x-forwarded-port: 443',
]

/** What the gateway alone may say, what one connection keeps, and what would change the request. */
const reserved = [
  ...['postern-identity', 'postern-tenant', 'postern-environment', 'postern-key-id'],
  ...['postern-permissions', 'postern-mode', 'postern-anything', 'x-postern-tenant'],
  ...['x-api-key', 'authorization', 'x-tn', 'x-request-id', 'request-id'],
  ...['x-forwarded-for', 'x-forwarded-proto', 'x-forwarded-host', 'x-forwarded-port'],
  ...['x-forwarded-prefix', 'x-forwarded-server', 'x-forwarded', 'forwarded', 'x-real-ip'],
  ...['x-client-ip', 'true-client-ip', 'x-cluster-client-ip', 'cf-connecting-ip'],
  ...['x-original-url', 'x-rewrite-url', 'x-http-method', 'x-http-method-override'],
  ...['x-method-override', 'x-middleware-subrequest', 'expect', 'host', 'content-length'],
  ...['transfer-encoding', 'connection', 'keep-alive', 'proxy-authenticate', 'proxy'],
  ...['proxy-authorization', 'proxy-connection', 'te', 'trailer', 'upgrade', 'http2-settings'],
  ...['sec-websocket-key', 'sec-websocket-version', 'sec-websocket-protocol'],
]

const capital = (name: string) => name.replace(/\b[a-z]/g, (letter) => letter.toUpperCase())

describe('what the upstream gets', () => {
  test.each(reserved)('H1 H3 H6 T7: nothing of %s, in four spellings and twice', (name) => {
    const spellings = [
      [name, capital(name)],
      [name.toUpperCase()],
      [name.replaceAll('-', '_')],
      [capital(name).replaceAll('-', '.')],
    ]
    for (const spelling of spellings) {
      expect(forwarded(spelling.map((spelt) => `${spelt}: evil`))).toEqual(ours)
    }
  })

  test('H1: a fact that there is none of is absent, whatever the client says', () => {
    const principal = principalOf({ tenant: null, permissions: [] })
    const lines = forwarded(['Postern-Tenant: evil', 'POSTERN_PERMISSIONS: *'], { principal })
    expect(lines.join('\n')).not.toMatch(/tenant|permissions|evil/i)
    expect(lines).toHaveLength(ours.length - 2)
  })

  test('H1: each request has its own token and its own caller, whatever was sent before', () => {
    const other = principalOf({
      tenant: 'beta',
      credential: { ...facts.principal.credential, id: 'key_2' },
    })
    const told = (principal: Principal, token: string) => {
      const list = requestHeaders([], { ...facts, principal }, upstreamOf(), target, token)
      return Array.isArray(list) ? lined(list).slice(2, 6) : []
    }
    const says = (token: string, tenant: string, key: string) => [
      `postern-identity: ${token}`,
      `postern-tenant: ${tenant}`,
      'postern-environment: live',
      `postern-key-id: ${key}`,
    ]
    for (const token of ['one', 'one', 'two']) {
      expect(told(facts.principal, token)).toEqual(says(token, 'acme', 'key_1'))
      expect(told(other, `${token}!`)).toEqual(says(`${token}!`, 'beta', 'key_2'))
    }
    expect(() => told(other, 'a\nb')).toThrow('postern-identity')
    expect(() => told(other, 'a\nb')).toThrow('postern-identity')
  })

  test('H1 T7: no reserved name gets through in any spelling', () => {
    const spelling = fc
      .constantFrom(...reserved)
      .chain((name) =>
        fc.tuple(
          ...[...name].map((letter) =>
            letter === '-'
              ? fc.constantFrom('-', '_', '.', '!', '~')
              : fc.constantFrom(letter, letter.toUpperCase()),
          ),
        ),
      )
      .map((letters) => letters.join(''))
    fc.assert(
      fc.property(fc.array(spelling, { maxLength: 8 }), (names) => {
        const lines = forwarded(names.map((name) => `${name}: evil`))
        expect(lines).toEqual(ours)
      }),
      { numRuns },
    )
  })

  test('K11: the key reaches no upstream, unless Authorization is the upstream’s own', () => {
    const lines = ['X-Api-Key: sk_live_secret', 'Authorization: Bearer sk_live_secret']
    expect(forwarded(lines).join()).not.toContain('sk_live_secret')
    const kept = forwarded(
      ['x-api-key: sk_live_secret', 'Authorization: Basic Z2l0', 'authorizatio.n: x'],
      {},
      { keepAuthorization: true },
    )
    expect(kept).toContain('Authorization: Basic Z2l0')
    expect(kept.join()).not.toContain('sk_live_secret')
  })

  test('everything else stays, in its order, case and bytes, and as often as it came', () => {
    const lines = [
      'ACCEPT: text/html;q=0.9 ,  */*',
      'cookie: a=1',
      'X-Custom_Name: 1',
      'cookie: b=2',
      'Content-Type: application/x-git-upload-pack-request',
      'X-Custom_Name: 0',
      'x-latin: caf\xe9\t!',
      'x-empty:',
      '__proto__: x',
      'constructor: y',
      'Git-Protocol: version=2',
      'Range: bytes=0-1',
    ]
    const passed = forwarded(lines).slice(1, 1 + lines.length)
    expect(passed).toEqual(lines.map((line) => (line.endsWith(':') ? `${line} ` : line)))
  })

  test('repeated fields keep their order among all others', () => {
    const line = fc.tuple(
      fc.constantFrom('cookie', 'Cookie', 'x-a', 'X-A', 'x-b', 'accept', 'postern-tenant'),
      fc.string({ unit: fc.constantFrom('a', 'b', ',', '=') }),
    )
    fc.assert(
      fc.property(fc.array(line), (pairs) => {
        const sent = requestHeaders(pairs.flat(), facts, upstreamOf(), target, 'jwt')
        const expected = pairs.filter(([name]) => name !== 'postern-tenant').flat()
        expect(sent).toEqual(flat(ours).toSpliced(2, 0, ...expected))
      }),
      { numRuns },
    )
  })

  test.each([
    ['Connection: x-tn, postern-tenant, x-request-id', []],
    ['Connection: keep-alive, x-drop', ['X-Drop: 1', 'x-drop: 2']],
    ['CONNECTION: close,,X-DROP ,', ['x-drop: 1']],
    ['Connection: Upgrade, HTTP2-Settings', ['Upgrade: h2c', 'HTTP2-Settings: AAMAAABk']],
  ])('H2 T11: %s takes away what it names, but nothing of ours', (connection, named) => {
    expect(forwarded([connection, ...named])).toEqual(ours)
    expect(forwarded([...named, 'x-stays: 1', connection])).toEqual(
      ours.toSpliced(1, 0, 'x-stays: 1'),
    )
  })

  test('H2: two Connection fields are both read, also behind a usual one', () => {
    const lines = [
      'x-a: 1',
      'connection: keep-alive',
      'connection: x-a',
      'connection: x-b',
      'x-b: 1',
    ]
    expect(forwarded(lines)).toEqual(ours)
  })

  test('what every hop reads cannot be named away', () => {
    const lines = [
      'Connection: via, content-length, te, x',
      'Via: 1.0 a',
      'Content-Length: 3',
      'TE: trailers',
    ]
    const sent = forwarded(lines, { hasBody: true })
    expect(sent).toContain('via: 1.0 a, 1.1 postern')
    expect(sent).toContain('Content-Length: 3')
    expect(sent).toContain('te: trailers')
  })

  test.each([
    ['te: trailers', true],
    ['TE: gzip, Trailers', true],
    ['TE: gzip', false],
    ['TE: trailers;q=0', false],
    ['TE: nottrailers', false],
  ])('H3: %s', (line, kept) => {
    expect(forwarded([line])).toEqual(kept ? ours.toSpliced(1, 0, 'te: trailers') : ours)
  })

  test('H10: a length goes with a body only', () => {
    expect(forwarded(['Content-Length: 3'], { hasBody: true })[1]).toBe('Content-Length: 3')
    expect(forwarded(['Content-Length: 3', 'Transfer-Encoding: chunked'])).toEqual(ours)
    expect(forwarded(['content_length: 3'], { hasBody: true })).toEqual(ours)
  })

  test('R23: Sec-WebSocket fields pass with a handshake only, the rest of it never', () => {
    const lines = [
      'Connection: Upgrade',
      'Upgrade: websocket',
      'Sec-WebSocket-Key: a',
      'sec_websocket_key: b',
    ]
    expect(forwarded(lines)).toEqual(ours)
    expect(forwarded(lines, { upgrade: true })).toEqual(
      ours.toSpliced(1, 0, 'Sec-WebSocket-Key: a'),
    )
  })

  test.each([['a\r\nx-evil: 1'], ['a\nb'], ['a\0b'], ['a\x7fb'], ['snow \u2603']])(
    'H7: a value with %j never gets out',
    (value) => {
      expect(
        requestHeaders(['x-a', value, 'via', value], facts, upstreamOf(), target, 'jwt'),
      ).toEqual(flat(ours))
      const bad: Partial<RequestFacts>[] = [
        { principal: principalOf({ tenant: value }) },
        { principal: principalOf({ permissions: [value] }) },
        { clientAddress: value },
        { requestId: value },
        { host: value },
      ]
      for (const more of bad) {
        expect(() => forwarded([], more)).toThrow('is not fit for a header')
      }
      expect(() => requestHeaders([], facts, upstreamOf(), target, value)).toThrow(
        'postern-identity',
      )
    },
  )

  test.each(['', 'a b', 'a:b', 'a\r\nb', 'caf\xe9', 'a\u212a'])(
    'H7: nor does a field named %j',
    (name) => {
      expect(requestHeaders([name, '1'], facts, upstreamOf(), target, 'jwt')).toEqual(flat(ours))
    },
  )

  test('H5: Host is the upstream’s own or the target’s, never the client’s', () => {
    expect(forwarded(['Host: api.example.com'])[0]).toBe('host: 10.0.0.1:8080')
    expect(forwarded(['Host: x'], {}, { host: 'git.internal' })[0]).toBe('host: git.internal')
  })

  test.each([
    ['api.example.com', 'API.example.com:8443', true, 'api.example.com:8443', '8443'],
    ['api.example.com', 'api.example.com', false, 'api.example.com', '80'],
    ['api.example.com', 'api.example.com:', true, 'api.example.com', '443'],
    ['[::1]', '[::1]:80', false, '[::1]:80', '80'],
    ['[::1]', '[::1]', true, '[::1]', '443'],
  ])('H4: Host %s, sent as %s', (host, sent, secure, forwardedHost, port) => {
    const lines = forwarded([`host: ${sent}`], { host, secure })
    expect(lines).toContain(`x-forwarded-host: ${forwardedHost}`)
    expect(lines).toContain(`x-forwarded-port: ${port}`)
    expect(lines).toContain(`x-forwarded-proto: ${secure ? 'https' : 'http'}`)
  })

  test('a client without a Host has no forwarded one', () => {
    expect(forwarded([], { host: '' }).join()).not.toMatch(/forwarded-(?:host|port)/)
  })
})

describe('Via', () => {
  test('the client’s is added to, in one field', () => {
    const lines = forwarded(['Via: 1.0 fred, 1.1 p (Apache, 1.1)', 'via: HTTP/2 cdn'])
    expect(lines.filter((line) => /^via/i.test(line))).toEqual([
      'via: 1.0 fred, 1.1 p (Apache, 1.1), HTTP/2 cdn, 1.1 postern',
    ])
  })

  const times = (count: number, entry: string) => Array(count).fill(entry).join(', ')

  test.each([
    [times(8, '1.1 postern')],
    [times(8, 'HTTP/1.1 \t Postern (edge, one)')],
    [`1.0 a, ${times(8, '1.1 postern')}, 1.1 b`],
  ])('a request that has been here eight times runs in a circle: %s', (via) => {
    const refusal = requestHeaders(['via', via], facts, upstreamOf(), target, 'jwt')
    expect(refusal).toMatchObject({
      code: 'upstream/unreachable',
      headers: { 'proxy-status': 'postern; error=proxy_loop_detected' },
    })
  })

  test('eight lines are as much as one, and Connection cannot name them away', () => {
    const lines = Array(8).fill('Via: 1.1 postern')
    expect(() => forwarded([...lines, 'Connection: via'])).toThrow('upstream/unreachable')
  })

  test.each([
    times(7, '1.1 postern'),
    times(8, '1.1 postern-edge'),
    times(8, '1.1 my.postern'),
    times(8, '1.1 a (postern)'),
  ])('no circle: %s', (via) => {
    expect(forwarded([`via: ${via}`])).toContain(`via: ${via}, 1.1 postern`)
  })
})

describe('what the client gets', () => {
  const gate = {
    'x-request-id': 'req_1',
    'request-id': 'req_1',
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'no-referrer',
    'postern-mode': 'test',
  }
  const laid = lined(Object.entries(gate).flat())

  test.each([
    ...['Connection: keep-alive', 'Keep-Alive: timeout=5', 'Proxy-Connection: x', 'TE: x'],
    ...['Proxy-Authenticate: Basic', 'Transfer-Encoding: chunked', 'Upgrade: h2c'],
    ...['Server: Apache/2.4', 'X-Powered-By: PHP/5', 'server: x', 'Alt-Svc: h3=":443"'],
    ...['Postern-Mode: live', 'postern_mode: live', 'X-Postern-Tenant: evil', 'Request-Id: evil'],
    ...['X-Request-ID: evil', 'X_REQUEST_ID: evil', 'request.id: evil'],
    ...['Proxy-Status: postern; error=dns_error', 'proxy-status: cdn, Postern ;error=x'],
  ])('H3 H8: nothing of %s', (line) => {
    expect(answered([line, line], gate)).toEqual(laid)
  })

  test('everything else stays, in its order, case and bytes, and as often as it came', () => {
    const lines = [
      'Date: Tue, 25 Nov 2026 10:00:00 GMT',
      'Set-Cookie: a=1; Path=/',
      'content-encoding: gzip',
      'Set-Cookie: b=2',
      'VARY: Accept-Encoding',
      'Trailer: X-Sum',
      'ETag: "x"',
      'Content-Length: 3',
      'Retry-After: 7',
      'Via: 1.1 varnish',
      'RateLimit: "a";r=1;t=2',
      'X-RateLimit-Remaining: 5',
      'Access-Control-Allow-Origin: *',
      'proxy-status: cdn; error=http_response_timeout',
      '__proto__: x',
    ]
    expect(answered(lines)).toEqual(lines)
  })

  test.each([
    'X-Content-Type-Options',
    'referrer-policy',
    'Strict-Transport-Security',
    'Retry-After',
  ])('the upstream’s own %s stays, and the gate’s is a default', (name) => {
    const given = { [name.toLowerCase()]: 'gate' }
    expect(answered([`${name}: upstream`], given)).toEqual([`${name}: upstream`])
    expect(answered([], given)).toEqual([`${name.toLowerCase()}: gate`])
    expect(answered([`Connection: ${name}`, `${name}: upstream`], given)).toEqual([
      `${name.toLowerCase()}: gate`,
    ])
  })

  test('H2: what the answer’s Connection names stays between the upstream and us', () => {
    const lines = ['X-Internal: 1', 'Connection: X-Internal, close', 'x-internal: 2', 'etag: "x"']
    expect(answered(lines, gate)).toEqual(['etag: "x"', ...laid])
    expect(answered(['Connection: postern-mode, x-request-id'], gate)).toEqual(laid)
  })

  test('H8: the upstream’s limits are not shown beside our own', () => {
    const own = { ratelimit: '"key";r=9;t=1', 'ratelimit-policy': '"key";q=10;w=60' }
    const lines = [
      'RateLimit: x',
      'ratelimit-policy: x',
      'RateLimit-Reset: 1',
      'X-RateLimit-Limit: 1',
    ]
    expect(answered(lines, own)).toEqual(lined(Object.entries(own).flat()))
  })

  test('H8: what the upstream says of CORS is dropped where the gateway owns it', () => {
    const lines = ['Access-Control-Allow-Origin: *', 'access-control-allow-credentials: true']
    const own = { 'access-control-allow-origin': 'https://app.example.com' }
    expect(answered(lines, own, true)).toEqual([
      'access-control-allow-origin: https://app.example.com',
      'vary: Origin',
    ])
    expect(answered([...lines, 'access_control_allow_origin: *'], {}, true)).toEqual([
      'vary: Origin',
    ])
  })

  test.each([
    [[], ['vary: Origin']],
    [['Vary: Accept'], ['Vary: Accept', 'vary: Origin']],
    [['Vary: Accept, origin'], ['Vary: Accept, origin']],
    [
      ['Vary: Accept', 'vary: ORIGIN'],
      ['Vary: Accept', 'vary: ORIGIN'],
    ],
    [['Vary: *'], ['Vary: *']],
    [['Vary: Origin-Agent'], ['Vary: Origin-Agent', 'vary: Origin']],
    [['Connection: vary', 'Vary: Origin'], ['vary: Origin']],
  ])('C6: %j of an upstream becomes %j', (lines, expected) => {
    expect(answered(lines, {}, true)).toEqual(expected)
    expect(answered(lines, { vary: 'Origin' })).toEqual(expected)
  })

  test('a gate that varies by more is not covered by half', () => {
    const wanted = { vary: 'Origin, Access-Control-Request-Method' }
    expect(answered(['vary: Origin'], wanted)).toEqual(['vary: Origin', `vary: ${wanted.vary}`])
  })

  test('R25: a length beside a transfer coding is not passed on', () => {
    for (const lines of [
      ['Content-Length: 3', 'Transfer-Encoding: chunked', 'etag: 1'],
      ['Transfer-Encoding: chunked', 'content-length: 3', 'etag: 1'],
    ]) {
      expect(answered(lines)).toEqual(['etag: 1'])
    }
  })

  test('H7: a value with a line break never gets out, nor does a name that is none', () => {
    const raw = ['x-a', 'a\r\nset-cookie: x', 'x b', '1', 'vary', 'a\nb', 'x-c', '1']
    expect(layAnswer(raw, { gate: {}, ownsCors: false })).toEqual(['x-c', '1'])
  })

  test('H1 H8: whatever an upstream answers, the gate’s own is said once and by the gate', () => {
    const name = fc
      .constantFrom(...Object.keys(gate), 'etag', 'x-custom', 'ratelimit', 'connection')
      .map((text) => (text.length % 2 === 0 ? capital(text) : text.toUpperCase()))
    const line = fc.tuple(name, fc.constantFrom('a', 'etag', 'x-request-id, etag'))
    fc.assert(
      fc.property(fc.array(line), (pairs) => {
        const list = layAnswer(pairs.flat(), { gate, ownsCors: false })
        for (const key of ['x-request-id', 'request-id', 'postern-mode'] as const) {
          const said = list.filter((_, at) => at % 2 === 1 && list[at - 1]?.toLowerCase() === key)
          expect(said).toEqual([gate[key]])
        }
      }),
      { numRuns },
    )
  })
})
