import { describe, expect, test } from 'vitest'
import type { Target } from '../../src/context.ts'
import { Balancers, createBalancer } from '../../src/proxy/balance.ts'
import { targetOf, upstreamOf } from './call.ts'

const a = targetOf('http://a.example')
const b = targetOf('http://b.example')
const c = targetOf('http://c.example')

const balancerOf = (targets: readonly Target[], failures = 2, openMs = 1000) =>
  createBalancer(upstreamOf({ targets, breaker: { failures, openMs }, connectMs: 1, headersMs: 1 }))

describe('no target is given', () => {
  test('when there is none, when all were tried, and when all are unwell', () => {
    expect(balancerOf([]).pick(0, null)).toBeNull()
    expect(balancerOf([a, b]).pick(0, [b, a])).toBeNull()
    const balancer = balancerOf([a, b])
    balancer.mark(a, false)
    balancer.mark(b, false)
    expect(balancer.pick(0, null)).toBeNull()
    balancer.mark(b, true)
    expect(balancer.pick(0, null)).toBe(b)
  })

  test('and what is said of a stranger changes nothing', () => {
    const balancer = balancerOf([a])
    balancer.mark(b, false)
    balancer.failed(b, 0)
    balancer.succeeded(b)
    balancer.released(b)
    expect(balancer.states(0)).toEqual([
      { origin: a.origin, well: true, breaker: 'closed', failures: 0 },
    ])
  })
})

describe('turns', () => {
  const names = (balancer: ReturnType<typeof balancerOf>, count: number) =>
    Array.from({ length: count }, () => balancer.pick(0, null)?.origin.charAt(7)).join('')

  test('weights are kept exactly in each cycle, and the heavy one’s turns are spread', () => {
    const balancer = balancerOf([{ ...a, weight: 5 }, b, c])
    expect(names(balancer, 7)).toBe('aabacaa')
    expect(names(balancer, 7)).toBe('aabacaa')
  })

  test.each([[[1, 1]], [[3, 2]], [[7, 1, 4]], [[1, 100]]])(
    'weights %j over ten cycles',
    (weights) => {
      const targets = weights.map((weight, at) =>
        targetOf(`http://${'abc'.charAt(at)}.example`, weight),
      )
      const cycle = weights.reduce((sum, weight) => sum + weight)
      const balancer = balancerOf(targets)
      for (let round = 0; round < 10; round++) {
        const drawn = names(balancer, cycle)
        const counts = weights.map((_, at) => drawn.split('abc'.charAt(at)).length - 1)
        expect(counts).toEqual(weights)
      }
    },
  )

  test('a target that is named twice has both its shares, and one breaker', () => {
    const balancer = balancerOf([a, { ...a }, b])
    expect(names(balancer, 6).split('a')).toHaveLength(5)
    expect(balancer.states(0)).toHaveLength(2)
  })

  test('those that were tried are passed over, and the rest keep their shares', () => {
    const balancer = balancerOf([a, b, c])
    expect(names(balancer, 3)).toBe('abc')
    expect(balancer.pick(0, [a])).toBe(b)
    expect(balancer.pick(0, [{ ...c }, b])).toBe(a)
    const drawn = names(balancer, 30)
    for (const name of 'abc') expect(drawn.split(name).length - 1).toBeGreaterThanOrEqual(9)
  })
})

describe('the breaker', () => {
  test('opens after failures in a row, is tried once, and closes on an answer', () => {
    const balancer = balancerOf([a])
    const state = (now: number) => balancer.states(now)[0]?.breaker
    balancer.failed(a, 0)
    balancer.succeeded(a)
    balancer.failed(a, 10)
    expect(balancer.pick(10, null)).toBe(a) // a success between: not in a row
    balancer.failed(a, 20)
    expect(state(20)).toBe('open')
    expect(balancer.pick(20, null)).toBeNull()
    expect(balancer.pick(1019, null)).toBeNull()
    expect(state(1020)).toBe('half_open')
    expect(balancer.pick(1020, null)).toBe(a)
    expect(balancer.pick(1020, null)).toBeNull() // one trial at a time
    balancer.failed(a, 1100)
    expect(balancer.pick(2099, null)).toBeNull()
    expect(balancer.pick(2100, null)).toBe(a)
    balancer.succeeded(a)
    expect(state(2100)).toBe('closed')
    expect([balancer.pick(2100, null), balancer.pick(2100, null)]).toEqual([a, a])
  })

  test('a trial that says nothing gives way to another, and one never heard of runs out', () => {
    const balancer = balancerOf([a], 1)
    balancer.failed(a, 0)
    expect(balancer.pick(1000, null)).toBe(a)
    balancer.released(a)
    expect(balancer.pick(1000, null)).toBe(a)
    expect(balancer.pick(1999, null)).toBeNull()
    expect(balancer.pick(2000, null)).toBe(a)
  })

  test('a trial is waited for as long as its request may take', () => {
    const balancer = createBalancer(
      upstreamOf({
        targets: [a],
        breaker: { failures: 1, openMs: 10 },
        connectMs: 100,
        headersMs: 900,
      }),
    )
    balancer.failed(a, 0)
    expect(balancer.pick(10, null)).toBe(a)
    expect(balancer.pick(1009, null)).toBeNull()
    expect(balancer.pick(1010, null)).toBe(a)
  })

  test('one target’s breaker leaves the others their turns', () => {
    const balancer = balancerOf([a, b], 1)
    balancer.failed(a, 0)
    expect([1, 2, 3].map((now) => balancer.pick(now, null))).toEqual([b, b, b])
    balancer.mark(b, false)
    expect(balancer.pick(4, null)).toBeNull()
  })
})

describe('a change of configuration', () => {
  const health = { path: '/', intervalMs: 1, timeoutMs: 1, healthyAfter: 1, unhealthyAfter: 1 }
  const before = upstreamOf({ targets: [a, b], health })
  const same = structuredClone(before)

  test('keeps the balancer of an upstream that it does not touch, and its targets’ state', () => {
    const balancers = new Balancers()
    const first = balancers.adopt([{ id: 'plt_one', upstreams: [before] }]).get(before)
    first?.mark(a, false)
    const upstream = { ...same, idleMs: 5, retries: 3 }
    const second = balancers.adopt([{ id: 'plt_one', upstreams: [upstream] }]).get(upstream)
    expect(second).toBe(first)
    second?.mark(same.targets[1] ?? b, false)
    expect(second?.pick(0, null)).toBeNull()
  })

  test.each([
    ['another platform', 'plt_two', same],
    ['another name', 'plt_one', { ...same, name: 'other' }],
    ['other targets', 'plt_one', { ...same, targets: [a] }],
    ['another breaker', 'plt_one', { ...same, breaker: { failures: 9, openMs: 9 } }],
    [
      'no active check, which could leave a target unwell for ever',
      'plt_one',
      { ...same, health: null },
    ],
  ])('starts afresh with %s', (_, id, upstream) => {
    const balancers = new Balancers()
    const first = balancers.adopt([{ id: 'plt_one', upstreams: [before] }]).get(before)
    const second = balancers.adopt([{ id, upstreams: [upstream] }]).get(upstream)
    expect(second).toBeDefined()
    expect(second).not.toBe(first)
  })

  test('lets go of what is no longer configured', () => {
    const balancers = new Balancers()
    const platforms = [{ id: 'plt_one', upstreams: [before] }]
    const first = balancers.adopt(platforms).get(before)
    balancers.adopt([])
    expect(balancers.adopt(platforms).get(before)).not.toBe(first)
  })
})
