import fc from 'fast-check'
import { parseList } from 'structured-headers'
import { describe, expect, it } from 'vitest'
import type { Borrowed } from '../../src/context.ts'
import { planHeaders, rateLimitHeaders } from '../../src/limits/headers.ts'
import { limit } from './platform.ts'

type Numbers = readonly (readonly [remaining: number, moreSeconds: number])[]

const borrowed = (states: Numbers, retryAfterSeconds?: number): Borrowed => {
  const all = states.map(([remaining, moreSeconds], node) => ({
    limit: limit(100, 60),
    node,
    remaining,
    moreSeconds,
    resetSeconds: 61,
  }))
  if (retryAfterSeconds === undefined) return { granted: true, states: all }
  return { granted: false, node: 0, limit: limit(100, 60), retryAfterSeconds, states: all }
}

const items = (value: string | undefined) =>
  parseList(value ?? '').map(([name, parameters]) => [name, Object.fromEntries(parameters)])

describe('RateLimit headers', () => {
  const plan = planHeaders(['tenant', 'key'], [limit(500, 60), limit(100, 1)])

  it('say policy and state in the draft’s syntax, character by character', () => {
    expect(
      rateLimitHeaders(
        plan,
        borrowed([
          [499, 60],
          [0, 1],
        ]),
      ),
    ).toEqual({
      'ratelimit-policy': '"tenant";q=500;w=60, "key";q=100;w=1',
      ratelimit: '"tenant";r=499;t=60, "key";r=0;t=1',
    })
  })

  it('are absent where nothing is limited', () => {
    expect(rateLimitHeaders(planHeaders([], []), borrowed([]))).toEqual({})
  })

  it('L16: on a refusal nothing is listed that comes back after Retry-After', () => {
    const headers = rateLimitHeaders(
      plan,
      borrowed(
        [
          [400, 50],
          [0, 1],
        ],
        1,
      ),
    )
    expect(headers.ratelimit).toBe('"key";r=0;t=1')
    const never = rateLimitHeaders(
      plan,
      borrowed(
        [
          [400, 50],
          [3, 1],
        ],
        Number.POSITIVE_INFINITY,
      ),
    )
    expect(items(never.ratelimit)).toHaveLength(2)
  })

  it('RFC 9651: any name and number parses back to what was said', () => {
    const name = fc.string({ unit: fc.constantFrom('a', '"', '\\', ' ', ';', ',', '=', '~') })
    const entry = fc.tuple(name, fc.nat(1_000_000_000), fc.nat(86_400))
    fc.assert(
      fc.property(fc.array(entry, { minLength: 1, maxLength: 6 }), (all) => {
        const names = all.map(([one]) => one)
        const some = planHeaders(
          names,
          all.map(() => limit(100, 60)),
        )
        const headers = rateLimitHeaders(some, borrowed(all.map(([, r, t]) => [r, t])))
        expect(items(headers.ratelimit)).toEqual(all.map(([one, r, t]) => [one, { r, t }]))
        expect(items(headers['ratelimit-policy'])).toEqual(
          names.map((one) => [one, { q: 100, w: 60 }]),
        )
      }),
    )
  })

  it('a name outside printable ASCII cannot break the header', () => {
    const some = planHeaders(['a\r\nset-cookie: x', 'grün'], [limit(1, 60), limit(1, 60)])
    expect(items(some.policy).map(([one]) => one)).toEqual(['a__set-cookie: x', 'gr_n'])
  })
})
