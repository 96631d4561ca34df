import { describe, expect, it } from 'vitest'
import {
  quotaMax,
  subWindowMs,
  validateCost,
  validateLimit,
  windowSecondsMax,
} from '../../src/limits/window.ts'

describe('a limit is validated before it is ever counted', () => {
  const wrong: readonly unknown[] = [
    ...[0, -1, -0, 0.5, 1.5, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY],
    ...[quotaMax + 1, Number.MAX_SAFE_INTEGER, '10', '', null, undefined, true, [], {}, 10n],
  ]

  it.each(wrong)('L12: a quota of %s is refused', (quota) => {
    expect(validateLimit(quota, 60)).toMatch(/^quota must be/)
  })

  it.each([...wrong, windowSecondsMax + 1])('L12: a window of %s is refused', (seconds) => {
    expect(validateLimit(100, seconds)).toMatch(/^window must be/)
  })

  it.each(wrong)('L12: a cost of %s is refused', (cost) => {
    expect(validateCost(cost)).toMatch(/^cost must be/)
  })

  it('the bounds themselves are fine', () => {
    expect(validateLimit(1, 1)).toBeNull()
    expect(validateLimit(quotaMax, windowSecondsMax)).toBeNull()
    expect(validateCost(quotaMax)).toBeNull()
  })

  it('a sub-window is a whole number of microseconds for every window', () => {
    for (let seconds = 1; seconds <= windowSecondsMax; seconds += 7) {
      expect(subWindowMs(seconds) * 64).toBe(seconds * 1000)
      expect(Number.isInteger(subWindowMs(seconds) * 1000)).toBe(true)
    }
  })
})
