import { describe, expect, test } from 'vitest'
import { createTrust } from '../../src/keys/trust.ts'

const times = { positiveTtlMs: 100, outageMs: 1000, staleMs: 50 }

describe('what was read at 0', () => {
  test.each<[now: number, silentMs: number, unasked: boolean, unanswered: boolean]>([
    [1100, 0, false, false],
    [1100, 1, false, false],
    [1099, 0, false, true],
    [1099, 49, false, true],
    [1099, 50, false, false],
    [100, 0, false, true],
    [99, 1, false, true],
    [99, 50, false, false],
    // Nobody has ever heard of it, so no receipt counts on it.
    [0, Number.POSITIVE_INFINITY, false, false],
    [49, Number.POSITIVE_INFINITY, false, false],
    [99, 0, true, true],
  ])('at %d, silent for %d: unasked %s, unanswered %s', (now, silentMs, unasked, unanswered) => {
    const trust = createTrust({ ...times, silentMs: () => silentMs })
    expect([trust.unasked(0, now), trust.unanswered(0, now), trust.certain()]).toEqual([
      ...[unasked, unanswered, silentMs === 0],
    ])
  })

  test('on a runtime that remembers nothing, is not gone by for a moment', () => {
    const none = { positiveTtlMs: 0, outageMs: 0, staleMs: 0 }
    const trust = createTrust({ ...none, silentMs: () => Number.POSITIVE_INFINITY })
    expect([trust.unasked(0, 0), trust.unanswered(0, 0), trust.lifeMs]).toEqual([false, false, 0])
  })
})

test('Q16: ages are measured on a clock that no one can set', () => {
  const { now } = createTrust()
  const [before, wall] = [now(), Date.now()]
  const real = Date.now
  Date.now = () => wall + 3_600_000
  try {
    expect(now() - before).toBeLessThan(1_000_000)
  } finally {
    Date.now = real
  }
})
