import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Borrowed, CounterTree, Lender } from '../../src/context.ts'
import { StoreDown } from '../../src/context.ts'
import { leasedCounter } from '../../src/limits/lease.ts'
import { memoryLender } from '../../src/limits/lend.ts'
import type { Clock } from '../suites/counter.suite.ts'
import { counterSuite, exactLimit, limit, treeOf } from '../suites/counter.suite.ts'
import { fullest, type Node, nodeOf, type Passed, refusedOf, turn, Wire, watched } from './nodes.ts'

const leasing = (clock: Clock) =>
  leasedCounter(memoryLender({ now: () => clock.ms }), { now: () => clock.ms })

counterSuite('leased from memory', leasing, { runs: 300 })
counterSuite('leased from memory', leasing, { runs: 100, counting: 'exact' })

const store = (clock: Clock) => watched(memoryLender({ now: () => clock.ms }))
const single = (quota: number, windowSeconds = 64): CounterTree =>
  treeOf({ key: 'one', limits: [limit(quota, windowSeconds)] })

/** Makes requests one after the other; answers how many were granted, and how many had to wait. */
async function take({ counter }: Node, tree: CounterTree, times: number) {
  let granted = 0
  let waited = 0
  for (let i = 0; i < times; i++) {
    const borrowed = counter.borrow(tree, 1)
    if (borrowed instanceof Promise) waited++
    if ((await borrowed).granted) granted++
    await turn()
  }
  return { granted, waited }
}

function now(borrowed: Borrowed | Promise<Borrowed>): Borrowed {
  if (borrowed instanceof Promise) throw new Error('it waits')
  return borrowed
}

/** A node that holds a loan of `tree`: its second request asked for one. */
async function warm(lender: Lender, clock: Clock, tree: CounterTree): Promise<Node> {
  const node = nodeOf(lender, clock)
  await take(node, tree, 2)
  return node
}

describe('whatever nodes do, and whatever becomes of their calls', () => {
  const node = fc.nat(2)
  const event = fc.oneof(
    {
      weight: 10,
      arbitrary: fc.record({
        do: fc.constant('borrow' as const),
        node,
        key: fc.nat(1),
        want: fc.constantFrom(1, 1, 1, 2, 3),
        times: fc.integer({ min: 1, max: 8 }),
      }),
    },
    {
      weight: 10,
      arbitrary: fc.record({ do: fc.constant('deliver' as const), node, at: fc.nat(5) }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        do: fc.constant('lose' as const),
        node,
        what: fc.constantFrom('answer' as const, 'call' as const),
      }),
    },
    {
      weight: 4,
      arbitrary: fc.record({
        do: fc.constant('step' as const),
        ms: fc.oneof(
          { weight: 9, arbitrary: fc.integer({ min: 0, max: 16 }) },
          { weight: 1, arbitrary: fc.constantFrom(31, 300, 984, 1000, 1016, 1031) },
        ),
      }),
    },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('sweep' as const), node }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant('crash' as const), node }) },
  )

  it('L2: no window holds more than the quota, at any counter of the tree', async () => {
    const property = fc.asyncProperty(
      fc.array(event, { minLength: 40, maxLength: 250, size: 'max' }),
      fc.integer({ min: 16, max: 60 }),
      fc.integer({ min: 12, max: 60 }),
      async (events, tenantQuota, keyQuota) => {
        const clock = { ms: 1_800_000_000_000 }
        const shared = memoryLender({ now: () => clock.ms })
        const tenant = { key: 'tenant', limits: [limit(tenantQuota, 1)] }
        const { shard } = treeOf()
        const trees = ['a', 'b'].map(
          (key): CounterTree => ({ shard, nodes: [tenant, { key, limits: [limit(keyQuota, 1)] }] }),
        )
        const passed: Passed[] = [[], []]
        const start = () => {
          const wire = new Wire(shared)
          return { wire, node: nodeOf(wire.lender, clock), dead: false }
        }
        const nodes = [start(), start(), start()]
        const pending: Promise<void>[] = []
        for (const one of events) {
          if (one.do === 'step') {
            clock.ms += one.ms
            continue
          }
          const at = nodes[one.node]!
          if (one.do === 'borrow') {
            for (let i = 0; i < one.times; i++) {
              const pass = (borrowed: Borrowed) => {
                if (borrowed.granted && !at.dead) {
                  passed[one.key]!.push({ at: clock.ms, units: one.want })
                }
              }
              const borrowed = at.node.counter.borrow(trees[one.key]!, one.want)
              if (borrowed instanceof Promise) pending.push(borrowed.then(pass, () => {}))
              else pass(borrowed)
            }
          } else if (one.do === 'deliver') await at.wire.deliver(one.at, 'nothing')
          else if (one.do === 'lose') await at.wire.deliver(0, one.what)
          else if (one.do === 'sweep') at.node.sweep()
          else {
            at.dead = true
            nodes[one.node] = start()
          }
        }
        for (const each of passed) expect(fullest(each, 1000)).toBeLessThanOrEqual(keyQuota)
        expect(fullest(passed.flat(), 1000)).toBeLessThanOrEqual(tenantQuota)
      },
    )
    await fc.assert(property, { numRuns: 100 })
  })

  it.each([1, 2, 4])(
    'Q14: over %i nodes, evenly spaced at 0.9 of the limit, one in a hundred is refused at most',
    async (count) => {
      for (const [quota, windowSeconds] of [
        [100, 10],
        [1000, 60],
        [10_000, 10],
        [300, 1],
      ] as const) {
        const clock = { ms: 1_800_000_000_000 }
        const shared = store(clock)
        const nodes = Array.from({ length: count }, () => nodeOf(shared, clock))
        const everyMs = (windowSeconds * 1000) / (quota * 0.9)
        const requests = Math.min(30_000, quota * 4)
        const refused = await refusedOf(
          requests,
          nodes,
          single(quota, windowSeconds),
          clock,
          everyMs,
        )
        expect(refused / requests, `${quota} in ${windowSeconds} s`).toBeLessThanOrEqual(0.01)
      }
    },
  )
})

describe('a node that leases', () => {
  it('asks for a thousand requests of a sub-window a handful of times, and two of them wait', async () => {
    const clock = { ms: 1_800_000_000_000 }
    const shared = store(clock)
    const taken = await take(nodeOf(shared, clock), single(1_000_000), 1000)
    expect(taken).toEqual({ granted: 1000, waited: 2 })
    expect(shared.calls.length).toBeLessThanOrEqual(7)
  })

  it('goes on without waiting from one sub-window to the next', async () => {
    const clock = { ms: 1_800_000_000_000 }
    const shared = store(clock)
    const node = nodeOf(shared, clock)
    const tree = single(1_000_000)
    let waited = 0
    for (let i = 0; i < 200; i++) {
      waited += (await take(node, tree, 10)).waited
      clock.ms += 100
    }
    expect(waited).toBeLessThanOrEqual(2)
    // 20 sub-windows of a second, and the beginning.
    expect(shared.calls.length).toBeLessThanOrEqual(60)
  })

  it('L1: of 5 000 at once over 4 nodes on a quota of 100, exactly 100 are granted', async () => {
    const clock = { ms: 1_800_000_000_000 }
    const shared = memoryLender({ now: () => clock.ms })
    const nodes = Array.from({ length: 4 }, () => nodeOf(shared, clock))
    const tenant = { key: 'tenant', limits: [limit(500, 64)] }
    const tree = treeOf(tenant, { key: 'key', limits: [limit(100, 64)] })
    const all = await Promise.all(
      Array.from({ length: 5000 }, async (_, n) => nodes[n % 4]!.counter.borrow(tree, 1)),
    )
    expect(all.filter(({ granted }) => granted)).toHaveLength(100)
  })

  it('counts a rarely used key exactly: a call for each request, and nothing is lent', async () => {
    const clock = { ms: 1_800_000_000_000 }
    const shared = store(clock)
    const node = nodeOf(shared, clock)
    const tree = single(1000)
    for (let i = 0; i < 10; i++) {
      await take(node, tree, 1)
      clock.ms += 2001
    }
    expect(shared.calls.flat().map(({ need, extra }) => [need, extra])).toEqual(
      Array.from({ length: 10 }, () => [1, 0]),
    )
  })

  it('never lends where a limit is exact: each request is a call', async () => {
    const clock = { ms: 1_800_000_000_000 }
    const shared = store(clock)
    const exact = treeOf(
      { key: 'one', limits: [limit(1000, 64)] },
      { key: 'two', limits: [exactLimit(1000, 64)] },
    )
    expect(await take(nodeOf(shared, clock), exact, 20)).toEqual({ granted: 20, waited: 20 })
    expect(shared.calls.flat().every(({ need, extra }) => need === 1 && extra === 0)).toBe(true)
  })

  it('L16: counts down what is left as it spends, and never below what the store knows', async () => {
    const clock = { ms: 1_800_000_000_000 }
    const tree = single(10_000)
    const node = await warm(store(clock), clock, tree)
    for (let left = 9997; left > 9990; left--) {
      const borrowed = now(node.counter.borrow(tree, 1))
      expect(borrowed.states).toMatchObject([
        { remaining: left, moreSeconds: 65, resetSeconds: 66 },
      ])
      await turn()
    }
  })

  it('spends what it holds while the store is down, until it ends, and then is down too', async () => {
    const clock = { ms: 1_800_000_000_000 }
    const lender = memoryLender({ now: () => clock.ms })
    let down = false
    const failing: Lender = {
      lend: (shard, asks) =>
        down ? Promise.reject(new StoreDown('gone')) : lender.lend(shard, asks),
      close: () => lender.close(),
    }
    const tree = single(10_000)
    const node = await warm(failing, clock, tree)
    down = true
    expect(now(node.counter.borrow(tree, 1)).granted).toBe(true)
    clock.ms += 2000
    await expect(node.counter.borrow(tree, 1)).rejects.toThrow(StoreDown)
    down = false
    expect((await node.counter.borrow(tree, 1)).granted).toBe(true)
  })

  it('gives back what has ended with its next call, and what nobody uses by itself', async () => {
    const clock = { ms: 1_800_000_000_000 }
    const shared = store(clock)
    const tree = single(10_000)
    const node = await warm(shared, clock, tree)
    const used = async () =>
      (await nodeOf(shared, clock).counter.borrow(tree, 10_001)).states[0]!.remaining
    expect(await used()).toBeLessThan(9998)
    clock.ms += 2000
    await take(node, tree, 1)
    expect(await used()).toBe(9997)
    await take(node, tree, 1)
    expect(await used()).toBeLessThan(9996)
    clock.ms += 1000
    node.sweep()
    await turn()
    expect(await used()).toBe(9996)
  })

  it('counts the time of a loan from when it asked, however late the answer comes', async () => {
    const start = 1_800_000_000_000
    const clock = { ms: start }
    const lender = memoryLender({ now: () => clock.ms })
    const slow: Lender = {
      async lend(shard, asks) {
        const answer = await lender.lend(shard, asks)
        clock.ms += 600
        return answer
      },
      close: () => lender.close(),
    }
    const tree = single(10_000)
    const node = await warm(slow, clock, tree)
    expect(clock.ms).toBe(start + 1200)
    // Asked for in the first sub-window of a second, and so good until the end of the second.
    clock.ms = start + 1999
    expect(node.counter.borrow(tree, 1)).not.toBeInstanceOf(Promise)
    clock.ms = start + 2000
    expect(node.counter.borrow(tree, 1)).toBeInstanceOf(Promise)
  })

  it('a refusal looks again at what has come meanwhile, and asks for the rest', async () => {
    const clock = { ms: 1_800_000_000_000 }
    const shared = memoryLender({ now: () => clock.ms })
    const wire = new Wire(shared)
    const { counter } = nodeOf(wire.lender, clock)
    const alone = single(16)
    const both = { ...alone, nodes: [{ key: 'tenant', limits: [limit(9, 64)] }, ...alone.nodes] }
    const first = counter.borrow(alone, 1)
    await wire.deliver(0, 'nothing')
    const second = counter.borrow(alone, 1)
    const third = counter.borrow(both, 1)
    await wire.deliver(0, 'nothing')
    // Somebody else takes all that the store has left, but for what the second call has lent.
    const other = nodeOf(shared, clock)
    expect((await other.counter.borrow(alone, 13)).granted).toBe(true)
    await wire.deliver(0, 'nothing')
    await wire.deliver(0, 'nothing')
    const all = await Promise.all([first, second, third])
    expect(all.map(({ granted }) => granted)).toEqual([true, true, true])
    expect((await other.counter.borrow(alone, 1)).granted).toBe(false)
  })

  it('gives back what it holds when it is closed', async () => {
    const clock = { ms: 1_800_000_000_000 }
    const shared = store(clock)
    const tree = single(10_000)
    const node = await warm(shared, clock, tree)
    await node.counter.close()
    const other = nodeOf(shared, clock)
    expect((await other.counter.borrow(tree, 1)).states[0]!.remaining).toBe(9997)
  })

  it('a loan is not spent under a quota that has been lowered below what is used', async () => {
    const clock = { ms: 1_800_000_000_000 }
    const shared = store(clock)
    const tree = single(10_000)
    const node = await warm(shared, clock, tree)
    const lowered = { shard: tree.shard, nodes: [{ key: 'one', limits: [limit(2, 64)] }] }
    expect((await node.counter.borrow(lowered, 1)).granted).toBe(false)
  })

  it('L4: a flood at the limit asks the store a few times in a quarter of a second, not each time', async () => {
    const clock = { ms: 1_800_000_000_000 }
    const shared = store(clock)
    const tree = single(5)
    const node = nodeOf(shared, clock)
    await take(node, tree, 6)
    const before = shared.calls.length
    const { granted } = await take(node, tree, 200)
    expect([granted, shared.calls.length - before]).toEqual([0, 0])
    clock.ms += 250
    await take(node, tree, 200)
    expect(shared.calls.length - before).toBe(1)
    // What is remembered ages like what the store would say.
    clock.ms += 100
    expect(now(node.counter.borrow(tree, 1))).toMatchObject({
      granted: false,
      retryAfterSeconds: 65,
    })
  })

  it('remembers a bounded number of loans, and loses no unit of one it forgets', async () => {
    const clock = { ms: 1_800_000_000_000 }
    const shared = store(clock)
    const counter = leasedCounter(shared, { now: () => clock.ms, loansMax: 10 })
    const trees = Array.from({ length: 100 }, () => single(20))
    let granted = 0
    for (let round = 0; round < 30; round++) {
      for (const tree of trees) if ((await counter.borrow(tree, 1)).granted) granted++
      await turn()
    }
    expect(granted).toBe(2000)
  })
})
