import { describe, expect, test } from 'vitest'
import type { Restrictions } from '../../src/context.ts'
import {
  checkRestrictions,
  endpointsAllow,
  restrictionFaults,
} from '../../src/keys/restrictions.ts'
import { headersOf } from './store.ts'

type Shown = {
  headers?: Record<string, string>
  clientAddress?: string
  method?: string
  path?: string
}

const none: Restrictions = { ips: null, origins: null, referrers: null, endpoints: null }

function check(rules: Partial<Restrictions>, shown: Shown = {}) {
  const { headers = {}, clientAddress = '10.0.0.5', method = 'GET', path = '/v1/things' } = shown
  return checkRestrictions(
    { ...none, ...rules },
    { method, path, clientAddress, headers: headersOf(headers) },
  )
}
const codeOf = (...args: Parameters<typeof check>) => check(...args)?.code ?? 'ok'

test('a key without restrictions is held to none', () => {
  expect(codeOf({}, { clientAddress: '', headers: { origin: 'null' } })).toBe('ok')
})

describe('ips', () => {
  test.each([
    [[], '10.0.0.5'],
    [['10.0.0.0/8'], '11.0.0.5'],
    [['10.0.0.0/8'], '::ffff:11.0.0.5'],
    [['10.0.0.0/8'], ''],
    [['10.0.0.0/8'], 'unix:'],
    [['10.0.0.0/8'], '10.0.0.256'],
    [['10.0.0.0/8'], '012.0.0.5'],
    [['0.0.0.0/0'], '2001:db8::1'],
    [['2001:db8::/32'], '10.0.0.5'],
  ])('C7: %j refuses %j', (ips, clientAddress) => {
    expect(codeOf({ ips }, { clientAddress })).toBe('auth/ip_not_allowed')
  })

  test.each([
    '10.0.0.256/8',
    '10.0.0.0/33',
    '010.0.0.0/8',
    '10.0.0.5/08',
    'fe80::1%eth0',
    '',
    '*',
    'localhost',
  ])('C7: a stored rule %j denies, whatever stands beside it, and the log says why', (rule) => {
    const refusal = check({ ips: ['10.0.0.0/8', rule] })
    expect(refusal).toMatchObject({ code: 'auth/ip_not_allowed', cause: expect.any(String) })
  })

  test.each([
    [['10.0.0.0/8'], '::ffff:10.0.0.5'],
    [['192.0.2.1', '10.0.0.5'], '10.0.0.5'],
    [['2001:0DB8::1'], '2001:db8:0:0::1'],
    [['0.0.0.0/0', '::/0'], '2001:db8::1'],
  ])('C7: %j allows %j', (ips, clientAddress) => {
    expect(codeOf({ ips }, { clientAddress })).toBe('ok')
  })
})

describe('origins', () => {
  const origins = ['https://good.com', 'https://xn--bcher-kva.example:8443']
  test.each([
    'https://good.com.evil.com',
    'https://evilgood.com',
    'https://sub.good.com',
    'http://good.com',
    'https://good.com:444',
    'https://good.com:443',
    'https://good.com/',
    'HTTPS://GOOD.COM',
    'https://good.com.',
    'null',
    '',
    'https://good.com,https://evil.com',
    'https://good.com, https://good.com',
    'https://b\u00fccher.example:8443',
  ])('C2: Origin %j is refused', (origin) => {
    expect(codeOf({ origins }, { headers: { origin } })).toBe('auth/origin_not_allowed')
    const referer = 'https://good.com/page'
    expect(codeOf({ origins }, { headers: { origin, referer } })).toBe('auth/origin_not_allowed')
  })

  test.each(origins)('C2: Origin %s is allowed', (origin) => {
    expect(codeOf({ origins }, { headers: { origin } })).toBe('ok')
  })

  test.each([
    'https://evil.com/?https://good.com',
    'https://evil.com/https://good.com',
    'https://good.com@evil.com/',
    'https://evil.com#https://good.com',
    'https://good.com.evil.com/',
    'http://good.com/',
    'https://good.com:444/',
    'blob:https://good.com/1',
    'javascript:https://good.com',
    'good.com',
    '//good.com',
    ' https://good.com/',
    'https://',
    '',
  ])('C3: without an Origin, Referer %j is refused', (referer) => {
    expect(codeOf({ origins }, { headers: { referer } })).toBe('auth/origin_not_allowed')
  })

  test('C3: without an Origin, the origin of Referer counts; without both, nothing does', () => {
    expect(codeOf({ origins }, { headers: { referer: 'https://good.com/a?b#c' } })).toBe('ok')
    expect(codeOf({ origins }, {})).toBe('auth/origin_not_allowed')
    expect(codeOf({ origins: [] }, { headers: { origin: 'https://good.com' } })).toBe(
      'auth/origin_not_allowed',
    )
  })

  test('referrers hold Referer where both lists are given, and Origin where they are alone', () => {
    const both = { origins: ['https://a.com'], referrers: ['https://b.com'] }
    expect(codeOf(both, { headers: { origin: 'https://a.com' } })).toBe('ok')
    expect(codeOf(both, { headers: { origin: 'https://b.com' } })).toBe('auth/origin_not_allowed')
    expect(codeOf(both, { headers: { referer: 'https://b.com/x' } })).toBe('ok')
    expect(codeOf(both, { headers: { referer: 'https://a.com/x' } })).toBe(
      'auth/origin_not_allowed',
    )
    const alone = { referrers: ['https://b.com'] }
    expect(codeOf(alone, { headers: { origin: 'https://b.com' } })).toBe('ok')
    expect(codeOf(alone, { headers: { origin: 'https://a.com' } })).toBe('auth/origin_not_allowed')
  })

  test.each([
    '*',
    'null',
    'good.com',
    'https://good.com/',
    'https://*.good.com',
    'HTTPS://good.com',
    'https://good.com:443',
    'ftp://good.com',
    '',
  ])('C2: a stored rule %j denies everything', (rule) => {
    const shown = { headers: { origin: 'https://good.com' } }
    expect(codeOf({ origins: ['https://good.com', rule] }, shown)).toBe('auth/origin_not_allowed')
    expect(codeOf({ origins: [rule] }, { headers: { origin: rule } })).toBe(
      'auth/origin_not_allowed',
    )
  })
})

describe('endpoints', () => {
  test.each([
    ['/v1/prod', 'GET', '/v1/prod-backup'],
    ['/v1/prod', 'GET', '/v1/prod1'],
    ['/v1/prod', 'GET', '/v1/prod/x'],
    ['/v1/prod', 'GET', '/v1/prod/'],
    ['/v1/prod', 'GET', '/V1/prod'],
    ['/v1/prod/**', 'GET', '/v1/prod-backup'],
    ['/v1/prod/**', 'GET', '/v1'],
    ['/v1/*', 'GET', '/v1'],
    ['/v1/*', 'GET', '/v1/'],
    ['/v1/*', 'GET', '/v1/a/b'],
    ['/v1/:id', 'GET', '/v1/a/b'],
    ['GET /v1/prod', 'POST', '/v1/prod'],
    ['POST /v1/prod', 'HEAD', '/v1/prod'],
    ['get /v1/prod', 'GET', '/v1/prod'],
    ['/v1/pro*', 'GET', '/v1/prod'],
    ['/v1/**/x', 'GET', '/v1/a/x'],
    ['v1/prod', 'GET', '/v1/prod'],
    ['', 'GET', '/'],
    ['GET  /v1/prod', 'GET', '/v1/prod'],
  ])('P13: %j refuses %s %s', (rule, method, path) => {
    expect(codeOf({ endpoints: [rule] }, { method, path })).toBe('auth/endpoint_not_allowed')
  })

  test.each([
    ['/v1/prod', 'DELETE', '/v1/prod'],
    ['* /v1/prod', 'DELETE', '/v1/prod'],
    ['GET /v1/prod', 'HEAD', '/v1/prod'],
    ['/v1/*/items', 'GET', '/v1/a/items'],
    ['/v1/:id/items', 'GET', '/v1/a/items'],
    ['/v1/prod/**', 'GET', '/v1/prod'],
    ['/v1/prod/**', 'GET', '/v1/prod/a/b'],
    ['/**', 'GET', '/'],
    ['/', 'GET', '/'],
  ])('P13: %j allows %s %s', (rule, method, path) => {
    expect(codeOf({ endpoints: [rule] }, { method, path })).toBe('ok')
  })

  test('an empty list allows nothing, and a rule that cannot be read denies all', () => {
    expect(codeOf({ endpoints: [] })).toBe('auth/endpoint_not_allowed')
    expect(codeOf({ endpoints: ['/**', '/v1/pro*'] })).toBe('auth/endpoint_not_allowed')
  })

  test.each([[null], [[]], [['GET /v1/*']], [['POST /v1/*']], [['/**', '/v1/pro*']]])(
    'asked alone, %j says the same',
    (endpoints) => {
      const call = { method: 'GET', path: '/v1/a' }
      expect(endpointsAllow(endpoints, call)).toBe(codeOf({ endpoints }, call) === 'ok')
    },
  )
})

test('every restriction must pass', () => {
  const rules = { ips: ['10.0.0.0/8'], origins: ['https://a.com'], endpoints: ['/v1/**'] }
  const shown = { headers: { origin: 'https://a.com' } }
  expect(codeOf(rules, shown)).toBe('ok')
  expect(codeOf(rules, { ...shown, clientAddress: '192.0.2.1' })).toBe('auth/ip_not_allowed')
  expect(codeOf(rules, {})).toBe('auth/origin_not_allowed')
  expect(codeOf(rules, { ...shown, path: '/v2' })).toBe('auth/endpoint_not_allowed')
})

test('restrictionFaults names the lists that hold an unreadable rule', () => {
  expect(restrictionFaults(none)).toEqual([])
  expect(
    restrictionFaults({
      ips: ['x'],
      origins: ['https://a.com'],
      referrers: ['*'],
      endpoints: ['x'],
    }),
  ).toEqual(['ips', 'referrers', 'endpoints'])
})
