import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Scheme } from '../../src/context.ts'
import { principalOf, readCredential } from '../../src/keys/authenticate.ts'
import { parseKey } from '../../src/keys/format.ts'
import { presets } from '../../src/keys/schemes.ts'
import { problems, renderProblem } from '../../src/problem.ts'
import { fuzzRuns, headersOf, recordOf, shortened, wireOf, withCheck } from './store.ts'

const key = withCheck(`sk_live_k7Gh2Qm9x_${'a'.repeat(32)}`)
const other = withCheck(`sk_live_k7Gh2Qm9x_${'b'.repeat(32)}`)

function codeOf(
  fields: Record<string, string>,
  search = '',
  scheme: Scheme = presets.azotte,
): string {
  const reading = readCredential(headersOf(fields), scheme, search)
  return reading.ok ? 'ok' : reading.refusal.code
}

describe('readCredential', () => {
  test.each([
    [{}, 'auth/missing_key'],
    [{ 'x-api-key': '' }, 'auth/missing_key'],
    [{ authorization: '' }, 'auth/missing_key'],
    [{ cookie: `key=${key}` }, 'auth/missing_key'],
  ])('%j: %s', (fields, code) => {
    expect(codeOf(fields)).toBe(code)
  })

  test.each(
    shortened([
      'Bearer',
      'Bearer ',
      key,
      `Token ${key}`,
      `Basic ${key}`,
      `Bearer  ${key}`,
      `Bearer\t${key}`,
      `Bearer\u00a0${key}`,
      `Bearer ${key} trailing`,
      `Bearer ${key} `,
      ` Bearer ${key}`,
      `Bearer "${key}"`,
      `Bearer ${key};`,
      `Bearer =${key}`,
      `Bearer ${key}é`,
      `Bearer ${key}\0`,
      `Bearer:${key}`,
      `BearerX ${key}`,
      `\u212aearer ${key}`,
      `Bearer ${'a'.repeat(513)}`,
    ]),
  )('K13: Authorization $name is a 401 that says invalid_request', ({ text: authorization }) => {
    const reading = readCredential(headersOf({ authorization }), presets.azotte, '')
    if (reading.ok) throw new Error('accepted')
    expect(reading.refusal.code).toBe('auth/malformed_key')
    expect(wireOf(reading.refusal)).toContain('error=\\"invalid_request\\"')
    expect(wireOf(reading.refusal)).not.toContain(key)
  })

  test.each(
    shortened([`${key} `, ` ${key}`, `Bearer ${key}`, `"${key}"`, `${key}é`, 'a'.repeat(513), '=']),
  )('K13: x-api-key $name is a 401', ({ text }) => {
    expect(codeOf({ 'x-api-key': text })).toBe('auth/malformed_key')
  })

  test.each([
    [{ authorization: `Bearer ${key}`, 'x-api-key': other }],
    [{ authorization: `Bearer ${key}`, 'x-api-key': key }],
    [{ authorization: '', 'x-api-key': key }],
    [{ authorization: 'Basic YTpi', 'x-api-key': key }],
    [{ authorization: `Bearer ${key}, Bearer ${other}` }],
    [{ authorization: `Basic x, Bearer ${key}` }],
    [{ 'x-api-key': `${key}, ${other}` }],
    [{ 'x-api-key': `${key}, ${key}` }],
    [{ 'x-api-key': `${key},` }],
  ])('K12: two credentials are a 400: %j', (fields) => {
    expect(codeOf(fields)).toBe('auth/ambiguous_credentials')
  })

  test.each([
    [{ 'x-api-key': key }],
    [{ authorization: `Bearer ${key}` }],
    [{ authorization: `bearer ${key}` }],
    [{ authorization: `BEARER ${key}` }],
  ])('accepts %j', (fields) => {
    const reading = readCredential(headersOf(fields), presets.azotte, '')
    expect(reading).toEqual({ ok: true, key })
  })

  test('K7: does not judge the shape of the scheme: any token of up to 512 characters goes on', () => {
    for (const value of ['a', 'a'.repeat(512), 'old.key~with-all_of+these/==']) {
      expect(readCredential(headersOf({ 'x-api-key': value }), presets.azotte, '')).toEqual({
        ok: true,
        key: value,
      })
    }
  })

  test('a header that the platform does not take is not read', () => {
    const narrow: Scheme = { ...presets.azotte, headers: ['x-api-key'] }
    expect(codeOf({ authorization: `Bearer ${key}` }, '', narrow)).toBe('auth/missing_key')
    expect(codeOf({ authorization: 'Basic YTpi', 'x-api-key': key }, '', narrow)).toBe('ok')
  })

  test('RFC 6750 3.1: without a credential the challenge names no error', () => {
    const reading = readCredential(headersOf({}), presets.azotte, '')
    if (reading.ok) throw new Error('accepted')
    const { headers } = renderProblem(reading.refusal, {
      requestId: 'req_1',
      instance: null,
      vocabulary: 'slash',
      docsBase: '',
      ownDocs: true,
    })
    expect(headers['www-authenticate']).toBe('Bearer realm="postern"')
  })
})

describe('a key in the URL', () => {
  test.each([
    '?api_key=x',
    '?apikey=x',
    '?API-Key=x',
    '?x-api-key=x',
    '?access_token=x',
    '?a=1&api_key=x',
    '?%61pi_key=x',
    '?api_key[]=x',
    `?key=${key}`,
    `?token=${key}`,
    '?key=sk_live_typo',
    '?token=Bearer%20sk_live_typo',
    `?anything=${key}`,
    `?q=1&q=${key}`,
    `?q=${encodeURIComponent(key).replaceAll('_', '%5F')}`,
  ])('K10: %s is refused, with a good key in the header too, and not repeated', (search) => {
    expect(codeOf({}, search)).toBe('auth/key_in_url')
    const reading = readCredential(headersOf({ 'x-api-key': key }), presets.azotte, search)
    if (reading.ok) throw new Error('accepted')
    expect(reading.refusal.code).toBe('auth/key_in_url')
    expect(wireOf(reading.refusal)).not.toContain('sk_live_')
  })

  test.each([
    '',
    '?',
    '?api_key',
    '?api_key=',
    '?key=name',
    '?token=abc',
    '?monkey=sk_live_x',
    `?prefix=${key.slice(0, 17)}`,
    `?q=${withCheck(`op_live_k7Gh2Qm9x_${'a'.repeat(32)}`)}`,
    '?%',
    '?%ff%fe=%00',
  ])('%s goes on', (search) => {
    expect(codeOf({ 'x-api-key': key }, search)).toBe('ok')
  })
})

describe('whatever bytes arrive', () => {
  const latin1 = fc.string({
    unit: fc.integer({ min: 0, max: 255 }).map((n) => String.fromCharCode(n)),
    maxLength: 90,
  })
  const anyText = fc.oneof(
    latin1,
    fc.string({ unit: 'binary', maxLength: 90 }),
    fc.string({ maxLength: 600 }),
  )
  const start = fc.constantFrom('', 'Bearer ', 'bearer ', 'Basic ', 'Bearer sk_live_', key)
  const value = fc.tuple(start, anyText).map((parts) => parts.join(''))

  test('K14: Authorization and x-api-key give a key to look at, a 400 or a 401, and never throw', () => {
    fc.assert(
      fc.property(fc.constantFrom('authorization', 'x-api-key'), value, (name, text) => {
        const reading = readCredential(headersOf({ [name]: text }), presets.azotte, '')
        if (!reading.ok) {
          expect([400, 401]).toContain(problems[reading.refusal.code].status)
          return
        }
        expect(reading.key).toMatch(/^[\x21-\x7e]{1,512}$/)
        const parsed = parseKey(reading.key, presets.azotte)
        if (!parsed.ok) expect(problems[parsed.refusal.code].status).toBe(401)
        else expect(reading.key).toBe(key)
      }),
      { numRuns: fuzzRuns },
    )
  })

  test('K10, K14: a query gives nothing, or a 400, and never throws', () => {
    fc.assert(
      fc.property(value, fc.constantFrom('?', '?a=', '?key='), (text, name) => {
        expect(['ok', 'auth/key_in_url']).toContain(codeOf({ 'x-api-key': key }, name + text))
      }),
      { numRuns: fuzzRuns },
    )
  })
})

describe('principalOf', () => {
  test('says who is calling and nothing that could be used to call', () => {
    const record = recordOf({ permissions: ['vec:read'] })
    const principal = principalOf(record, 'tenant_a')
    expect(principal).toEqual({
      platform: 'plt_one',
      environment: 'live',
      tenant: 'tenant_a',
      class: 'secret',
      permissions: ['vec:read'],
      credential: {
        kind: 'api_key',
        id: 'key_1',
        secretId: record.secretId,
        prefix: 'sk_live_',
        ref: 'k7Gh2Qm9x',
        last4: 'wxyz',
      },
    })
    expect([principal, principal.credential].every(Object.isFrozen)).toBe(true)
  })
})
