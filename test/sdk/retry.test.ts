import { describe, expect, test } from 'vitest'
import { connectionError, errorOf } from '../../sdk/typescript/src/errors.ts'
import { mayRetry, retryAfterOf, waitMs } from '../../sdk/typescript/src/retry.ts'
import { refusalBody } from './server.ts'

const answered = (status: number, code = 'some/code', retryAfterMs: number | null = null) =>
  errorOf(new Response(null, { status }), JSON.stringify(refusalBody(status, code)), retryAfterMs)

describe('is the same request worth another try?', () => {
  test.each([
    [400, false],
    [401, false],
    [403, false],
    [404, false],
    [409, false],
    [412, false],
    [422, false],
    [501, false],
    [408, true],
    [429, true],
    [500, true],
    [502, true],
    [503, true],
    [504, true],
  ])('%i: %s', (status, worth) => {
    expect(mayRetry(answered(status), true)).toBe(worth)
  })

  test('409 while the first one is still under way, even where twice is not once', () => {
    expect(mayRetry(answered(409, 'idempotency/in_progress'), false)).toBe(true)
  })

  test('where twice is not once, only what says that nothing was done', () => {
    expect(mayRetry(answered(503), false)).toBe(false)
    expect(mayRetry(connectionError('failed', ''), false)).toBe(false)
    expect(mayRetry(answered(429), false)).toBe(true)
    expect(mayRetry(connectionError('failed', ''), true)).toBe(true)
  })

  test('a server that asks for longer than a minute is not asked again', () => {
    expect(mayRetry(answered(429, 'quota/exceeded', 60_001), true)).toBe(false)
    expect(mayRetry(answered(429, 'rate_limit/exceeded', 60_000), true)).toBe(true)
  })
})

test.each([
  [0, null, 0, 0],
  [0, null, 1, 500],
  [1, null, 1, 1000],
  [3, null, 0.5, 2000],
  [9, null, 1, 8000],
  [0, 3000, 0, 3000],
  [0, 3000, 1, 3125],
])('try %i, Retry-After %s, random %s: %i ms', (attempt, asked, random, ms) => {
  expect(waitMs(attempt, asked, random)).toBe(ms)
})

const now = Date.parse('2026-11-25T10:00:00Z')
test.each<[string | null, string | null, number | null]>([
  [null, null, null],
  ['', null, null],
  ['soon', null, null],
  ['-1', null, null],
  ['1e9', null, null],
  ['0', null, 0],
  ['2', null, 2000],
  ['0.5', null, 500],
  ['Wed, 25 Nov 2026 10:00:03 GMT', null, 3000],
  ['Wed, 25 Nov 2026 09:00:00 GMT', null, 0],
  // The server's clock is an hour behind ours.
  ['Wed, 25 Nov 2026 09:00:03 GMT', 'Wed, 25 Nov 2026 09:00:00 GMT', 3000],
])('Retry-After: %s, Date: %s', (value, date, ms) => {
  const headers = new Headers()
  if (value !== null) headers.set('retry-after', value)
  if (date !== null) headers.set('date', date)
  expect(retryAfterOf(headers, now)).toBe(ms)
})
