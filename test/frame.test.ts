import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Frame, inspectFrame, inspectJoined } from '../src/frame.ts'
import type { Refusal } from '../src/problem.ts'

const numRuns = Number(process.env.FUZZ_RUNS ?? 2000)

type Given = { method?: string; target?: string; httpVersion?: string }

/** Inspects a request to `gw` with further header lines, `name: value`. */
function inspect(lines: readonly string[] = [], given: Given = {}): Frame | Refusal {
  return inspectLines(['Host: gw', ...lines], given)
}

function inspectLines(lines: readonly string[], given: Given = {}): Frame | Refusal {
  const rawHeaders = lines.flatMap((line) => {
    const colon = line.indexOf(':')
    return [line.slice(0, colon), line.slice(colon + 1).trim()]
  })
  return inspectFrame({ method: 'GET', target: '/', httpVersion: '1.1', rawHeaders, ...given })
}

const malformed = { code: 'request/malformed', headers: { connection: 'close' } }

describe('duplicates', () => {
  const names = [
    'x-api-key',
    'authorization',
    'x-tn',
    'host',
    'content-length',
    'content-type',
    'origin',
    'referer',
    'idempotency-key',
    'traceparent',
    'transfer-encoding',
    'expect',
    'upgrade',
  ]
  test.each(names)('T1 F5: %s twice is refused, in any spelling and with any value', (name) => {
    const spellings = [name, name.toUpperCase(), name[0]?.toUpperCase() + name.slice(1)]
    for (const first of spellings) {
      for (const second of spellings) {
        const lines = name === 'host' ? [] : ['Host: gw']
        expect(
          inspectLines([...lines, `${first}: 1`, 'Accept: */*', `${second}: 1`]),
        ).toMatchObject({
          code: 'request/duplicate_header',
          param: name,
        })
      }
    }
  })

  test('a duplicate that leaves the end of the message in doubt ends the connection', () => {
    const close = { headers: { connection: 'close' } }
    expect(inspect(['Host: gw'])).toMatchObject(close)
    expect(inspect(['Content-Length: 1', 'Content-Length: 1'])).toMatchObject(close)
    expect(inspect(['x-tn: a', 'x-tn: b'])).not.toMatchObject(close)
  })

  test.each([
    'x_tn',
    'x.tn',
    'X_TN',
    'X.Api_Key',
    'x_api_key',
    'content_length',
    'Transfer_Encoding',
  ])('T7: %s, which some server reads as the real one, is refused alone and beside it', (name) => {
    const real = name.toLowerCase().replace(/[_.]/g, '-')
    expect(inspect([`${name}: a`])).toMatchObject(malformed)
    expect(inspect([`${real}: 1`, `${name}: a`])).toMatchObject(malformed)
    expect(inspect([`${name}: a`, `${real}: 1`])).toMatchObject(malformed)
  })

  test('headers that may come twice may come twice', () => {
    const lines = [
      'Accept: a',
      'accept: b',
      'Cookie: a',
      'X-Forwarded-For: 1.2.3.4',
      'x-forwarded-for: b',
    ]
    expect(inspect(lines)).toMatchObject({ target: '/' })
  })

  test('R28: a header named __proto__ is a header like any other', () => {
    expect(inspect(['__proto__: x', '__proto__: x', 'constructor: y'])).toMatchObject({
      target: '/',
    })
  })
})

describe('size', () => {
  test('R19 T12: more than 100 lines are a 431, wherever the tenant stands', () => {
    const filler = Array.from({ length: 99 }, (_, index) => `x-${index}: a`)
    expect(inspect(filler)).toMatchObject({ target: '/' })
    expect(inspect([...filler, 'x-tn: a'])).toMatchObject({ code: 'request/headers_too_large' })
  })

  test('R19: more than 16 KiB are a 431', () => {
    expect(inspect([`x: ${'a'.repeat(16_300)}`])).toMatchObject({ target: '/' })
    expect(inspect([`x: ${'a'.repeat(16_384)}`])).toMatchObject({
      code: 'request/headers_too_large',
    })
  })
})

describe('the body', () => {
  const refused: [threat: string, code: string, lines: string[], given?: Given][] = [
    ['R1', 'request/malformed', ['Content-Length: 4', 'Transfer-Encoding: chunked']],
    ['R1', 'request/malformed', ['Transfer-Encoding: chunked', 'Content-Length: 0']],
    ['R2', 'request/malformed', ['Content-Length: 3, 3']],
    ['R2', 'request/malformed', ['Content-Length: +3']],
    ['R2', 'request/malformed', ['Content-Length: -1']],
    ['R2', 'request/malformed', ['Content-Length: 0x3']],
    ['R2', 'request/malformed', ['Content-Length:']],
    ['R2', 'request/malformed', ['Content-Length: 12345678901234567890']],
    ['R3', 'request/malformed', ['Content-Length: 003']],
    ['R3', 'request/malformed', ['Content-Length: 00']],
    ['R4', 'request/transfer_coding', ['Transfer-Encoding: xchunked']],
    ['R4', 'request/transfer_coding', ['Transfer-Encoding: chunked, identity']],
    ['R4', 'request/transfer_coding', ['Transfer-Encoding: identity']],
    ['R4', 'request/transfer_coding', ['Transfer-Encoding:']],
    ['R5', 'request/transfer_coding', ['Transfer-Encoding: gzip, chunked']],
    ['R6', 'request/malformed', ['Transfer-Encoding: chunked'], { httpVersion: '1.0' }],
    ['R23', 'request/malformed', ['Upgrade: websocket', 'Content-Length: 3']],
    ['R23', 'request/malformed', ['Upgrade: websocket', 'Transfer-Encoding: chunked']],
    ['H9', 'request/expectation_failed', ['Expect: foo']],
    ['H9', 'request/expectation_failed', ['Expect: 100-continue, foo']],
    ['H9', 'request/expectation_failed', ['Expect:']],
  ]
  test.each(refused)('%s: %s, and the connection ends: %j', (_threat, code, lines, given) => {
    expect(inspect(lines, given)).toMatchObject({ code, headers: { connection: 'close' } })
  })

  test.each([
    [[], 0],
    [['Content-Length: 0'], 0],
    [['Content-Length: 3'], 3],
    [['Transfer-Encoding: Chunked'], null],
    [['Expect: 100-Continue', 'Content-Length: 3'], 3],
    [['Upgrade: h2c', 'Content-Length: 3'], 3],
    [['Upgrade: websocket'], 0],
  ])('%j announces %j bytes', (lines, bodyBytes) => {
    expect(inspect(lines)).toMatchObject({ bodyBytes })
  })
})

describe('the request line', () => {
  test.each(['0.9', '2.0', '1.2', '', '1.1.1'])('R11: HTTP/%s is refused', (httpVersion) => {
    expect(inspect([], { httpVersion })).toMatchObject(malformed)
  })

  test.each(['TRACE', 'CONNECT'])('R12: %s is a 405 with Allow', (method) => {
    const refusal = inspect([], { method })
    expect(refusal).toMatchObject({ code: 'route/method_not_allowed' })
    expect(refusal).toHaveProperty('headers.allow', expect.not.stringContaining(method))
  })

  test.each([
    'http://evil/abs',
    'http://gw:81/abs',
    'http://gw@evil/abs',
    'http://u@gw/abs',
    'http:///abs',
    'ftp://gw/abs',
    'http:/gw/abs',
    'gw/abs',
    '*',
    'gw:80',
    '',
    '?x',
    '\\abs',
  ])('H5: the target %j is refused', (target) => {
    expect(inspect([], { target })).toMatchObject(malformed)
  })

  test.each([
    ['http://gw/abs?x=1', '/abs?x=1'],
    ['HTTP://GW/abs', '/abs'],
    ['https://gw', '/'],
    ['http://gw?x', '/?x'],
    ['//evil/x', '//evil/x'],
  ])('%s is the path %s', (target, path) => {
    expect(inspect([], { target })).toMatchObject({ target: path, host: 'gw' })
  })
})

describe('Host', () => {
  test.each([
    '',
    ' ',
    'a@b',
    'a/../x',
    'a b',
    'a,b',
    'a:b',
    'a:',
    'a:99999',
    'a:123456',
    ':80',
    'a\\b',
    'a#b',
    'a?b',
    'ä.example',
    'a%41',
    '::1',
    '[::1',
    '[::1]x',
    '[zz]',
    '[0:0:0:0:0:0:0:1]',
    '0x7f.1',
    '127.1',
    '1.2.3.4.5',
    '256.1.1.1',
    '01.2.3.4',
    'a.1',
    'a'.repeat(300),
  ])('H5: %j is refused', (host) => {
    expect(inspectLines([`Host: ${host}`])).toMatchObject(malformed)
  })

  test('H5: none is refused on HTTP/1.1, and is nobody on HTTP/1.0', () => {
    expect(inspectLines([])).toMatchObject(malformed)
    expect(inspectLines([], { httpVersion: '1.0' })).toMatchObject({ host: '' })
    expect(inspectLines(['Host:'], { httpVersion: '1.0' })).toMatchObject(malformed)
  })

  test.each([
    ['gw', 'gw'],
    ['API.Example.COM', 'api.example.com'],
    ['api.example.com:8787', 'api.example.com'],
    ['a_b.example', 'a_b.example'],
    ['localhost:65535', 'localhost'],
    ['127.0.0.1:8787', '127.0.0.1'],
    ['[::1]:8787', '[::1]'],
    ['[2001:DB8::1]', '[2001:db8::1]'],
    ['xn--bcher-kva.example', 'xn--bcher-kva.example'],
  ])('%s is the host %s', (host, name) => {
    expect(inspectLines([`Host: ${host}`])).toMatchObject({ host: name })
  })

  test('every host that is accepted makes a URL with that very host', () => {
    const texts = fc.oneof(
      fc.domain(),
      fc.ipV4Extended(),
      fc.ipV6().map((address) => `[${address}]`),
      fc.string({
        unit: fc.constantFrom(...'a1.-_x:0n[]@/%') as fc.Arbitrary<string>,
        maxLength: 12,
      }),
    )
    fc.assert(
      fc.property(texts, (host) => {
        const frame = inspectLines([`Host: ${host}`])
        if ('code' in frame) return
        expect(new URL(`http://${host}/`).hostname).toBe(frame.host)
      }),
      { numRuns },
    )
  })
})

test('any header lines are answered with a frame or a refusal', () => {
  const names = fc.constantFrom(
    'Host',
    'x-tn',
    'X_TN',
    'Content-Length',
    'transfer-encoding',
    'Expect',
  )
  const values = fc.oneof(fc.constantFrom('gw', '3', 'chunked', '100-continue'), fc.string())
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.oneof(names, fc.string()), values), { maxLength: 8 }),
      fc.string(),
      (lines, target) => {
        const rawHeaders = lines.flat()
        const frame = inspectFrame({ method: 'GET', target, httpVersion: '1.1', rawHeaders })
        if ('code' in frame) return
        expect(frame.target.startsWith('/')).toBe(true)
        expect(frame.host).not.toBe('')
      },
    ),
    { numRuns },
  )
})

describe('inspectJoined', () => {
  test.each(['x-api-key', 'authorization', 'x-tn', 'origin', 'content-type', 'traceparent'])(
    'T1: %s that was sent twice is still seen',
    (name) => {
      const headers = new Headers([
        [name, 'a'],
        [name, 'b'],
      ])
      expect(inspectJoined(headers)).toMatchObject({
        code: 'request/duplicate_header',
        param: name,
      })
    },
  )

  test('T7: a lookalike is refused', () => {
    expect(inspectJoined(new Headers({ x_tn: 'a' }))).toMatchObject({ code: 'request/malformed' })
  })

  test('R19: more than 100 headers are a 431', () => {
    const headers = new Headers(Array.from({ length: 101 }, (_, index) => [`x-${index}`, 'a']))
    expect(inspectJoined(headers)).toMatchObject({ code: 'request/headers_too_large' })
  })

  test('a plain request passes', () => {
    const headers = { 'x-tn': 'a', 'content-type': 'application/json', accept: 'a, b' }
    expect(inspectJoined(new Headers(headers))).toBeNull()
  })
})
