import { describe, expect, test } from 'vitest'
import {
  foreignSeen,
  mostInWindow,
  quantileMs,
  recoveryMs,
  type Seen,
  uncaughtLines,
  wrongAnswers,
} from './oracles.ts'

const seen = (changes: Partial<Seen> = {}): Seen => ({
  ...{
    stream: 'rows',
    node: 0,
    sentMs: 0,
    endedMs: 1,
    status: 200,
    code: '',
    quota: 0,
    foreign: false,
  },
  ...changes,
})
const at = (sentMs: number, endedMs = sentMs): Seen => seen({ sentMs, endedMs })

describe('the most in a window', () => {
  test('two full fixed windows that meet are twice the quota', () => {
    const edge = [...Array(50).keys()].flatMap((n) => [at(950 + n), at(1000 + n)])
    expect(mostInWindow(edge, 1000)).toBe(100)
  })

  test('what may have been counted outside is not held against anybody', () => {
    // Sent in the window and answered after it: counted perhaps then.
    expect(mostInWindow([at(0, 1), at(5, 2000)], 1000)).toBe(1)
    expect(mostInWindow([at(0, 1), at(5, 1000)], 1000)).toBe(2)
    expect(mostInWindow([at(0), at(1001)], 1000)).toBe(1)
  })

  test('who was refused does not count', () => {
    expect(mostInWindow([at(0), seen({ status: 429 }), seen({ status: 503 })], 1000)).toBe(1)
    expect(mostInWindow([], 1000)).toBe(0)
  })
})

describe('wrong answers', () => {
  test.each([
    ['a 500, whatever is allowed', seen({ status: 500, code: 'internal/error' })],
    ['a 401', seen({ status: 401, code: 'auth/invalid_key' })],
    ['a 503 that the row does not name', seen({ status: 503, code: 'auth/unavailable' })],
    ['a connection that broke', seen({ status: 0, code: 'ECONNRESET' })],
    ['a 429 of somebody without a limit', seen({ status: 429, code: 'rate_limit/exceeded' })],
    ['a 404 of somebody who asked for a row of theirs', seen({ status: 404, code: 'x' })],
  ])('%s', (_, one) => {
    expect(wrongAnswers([one, one, seen()], ['503 storage/unavailable'])).toEqual({
      [`${one.status} ${one.code} of rows`]: 2,
    })
  })

  test('none are what was meant', () => {
    const limited = seen({ stream: 'limited', status: 429, code: 'rate_limit/exceeded' })
    const foreign = seen({ stream: 'foreign-a', status: 404, code: 'resource/not_found' })
    const told = seen({ status: 503, code: 'storage/unavailable' })
    expect(wrongAnswers([limited, foreign, told], ['503 storage/unavailable'])).toEqual({})
  })
})

test('what is foreign is counted', () => {
  expect(foreignSeen([seen(), seen({ foreign: true })])).toBe(1)
})

test('recovery ends with the last failure', () => {
  const failed = (sentMs: number) => seen({ sentMs, status: 503, code: 'auth/unavailable' })
  expect(recoveryMs([failed(50), at(100), failed(130), at(200)], 100)).toBe(30)
  expect(recoveryMs([failed(50), at(100)], 100)).toBe(0)
})

test('quantiles', () => {
  const times = [...Array(100).keys()].map((ms) => at(0, ms))
  expect([quantileMs(times, 0.5), quantileMs(times, 0.99), quantileMs(times, 1)]).toEqual([
    50, 99, 99,
  ])
  expect(quantileMs([], 0.99)).toBe(0)
})

test('uncaught errors are found among the lines', () => {
  const log = [
    '{"level":"warn","cause":"the connection is lost"}',
    'Uncaught Error: boom',
    '    at Socket.on (node:net:12:3)',
    '{"status":500,"code":"internal/error"}',
    '{"cause":"[UnhandledPromiseRejection]"}',
  ]
  expect(uncaughtLines(log.join('\n'))).toEqual(log.slice(1))
})
