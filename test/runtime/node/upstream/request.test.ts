import { describe, expect, test } from 'vitest'
import {
  type HeadOptions,
  isUnsized,
  requestHead,
} from '../../../../src/runtime/node/upstream/request.ts'

const get: HeadOptions = {
  method: 'GET',
  path: '/a?b=c',
  headers: ['host', 'up.test', 'X-Own', 'caf\u00e9'],
  hasBody: false,
  upgrade: false,
  wholeBytes: null,
  isLast: false,
}

describe('H7: what would end a line early is not written', () => {
  test.each<[string, Partial<HeadOptions>]>([
    ['a method with a blank', { method: 'GET /' }],
    ['a method with a line break', { method: 'GET\r\n' }],
    ['a path with a blank', { path: '/a b' }],
    ['a path with a line break', { path: '/a\r\nX: y' }],
    ['a path with a line feed beyond latin-1', { path: '/a\u010a' }],
    ['a path with NUL', { path: '/\0' }],
    ['a host with a line break', { headers: ['host', 'up.test\r\nX: y'] }],
    ['a host with a line feed beyond latin-1', { headers: ['host', 'up\u010atest'] }],
  ])('%s', (_, options) => {
    expect(() => requestHead({ ...get, ...options })).toThrow('cannot be written')
  })
})

const lines = (options: Partial<HeadOptions>) => requestHead({ ...get, ...options }).split('\r\n')
const head = (connection: string[], ...rest: string[]) => [
  ...['GET /a?b=c HTTP/1.1', 'host: up.test', ...connection, 'X-Own: caf\u00e9'],
  ...[...rest, '', ''],
]
const kept = ['connection: keep-alive']

test.each<[string, Partial<HeadOptions>, string[]]>([
  ['a GET', {}, head(kept)],
  ['the last one', { isLast: true }, head(['connection: close'])],
  ['a WebSocket', { upgrade: true }, head(['connection: upgrade', 'upgrade: websocket'])],
  ['a body without a length', { hasBody: true }, head(kept, 'transfer-encoding: chunked')],
  ['one that is whole', { hasBody: true, wholeBytes: 3 }, head(kept, 'content-length: 3')],
  [
    'a body with a length',
    { hasBody: true, headers: ['host', 'up.test', 'Content-Length', '3', 'X-Own', 'caf\u00e9'] },
    head(kept, 'content-length: 3'),
  ],
])('%s', (_, options, expected) => {
  expect(lines(options)).toEqual(expected)
})

test.each(['POST', 'PUT', 'PATCH'])('RFC 9110 8.6: a %s without a body says so', (method) => {
  expect(lines({ method })).toContain('content-length: 0')
})

test.each(['GET', 'HEAD', 'DELETE', 'OPTIONS'])('a %s without a body does not', (method) => {
  expect(lines({ method }).join()).not.toMatch(/content-length|transfer-encoding/)
})

test.each([
  [false, [], false],
  [true, [], true],
  [true, ['Content-Length', '3'], false],
  [true, ['content-length', '3'], false],
  [true, ['Content-Lenght', '3'], true],
])('a body: %s, fields %j: unsized is %s', (hasBody, headers, unsized) => {
  expect(isUnsized({ hasBody, headers: ['host', 'a', ...headers] })).toBe(unsized)
})
