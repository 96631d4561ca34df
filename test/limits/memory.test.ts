import { describe, expect, it } from 'vitest'
import { StoreDown } from '../../src/context.ts'
import { memoryCounter } from '../../src/limits/memory.ts'
import { counterSuite, limit, treeOf } from '../suites/counter.suite.ts'

counterSuite('memory', (clock) => memoryCounter({ now: () => clock.ms }), { runs: 300 })

describe('memory', () => {
  const tree = (key: string, quota = 2) => ({
    shard: 'plt_memory:test',
    nodes: [{ key, limits: [limit(quota, 60)] }],
  })

  it('answers without an await', () => {
    expect(memoryCounter().borrow(treeOf(), 1)).not.toBeInstanceOf(Promise)
  })

  it('L1: refuses a new count when full rather than forget one that still matters', async () => {
    const clock = { ms: 0 }
    const counter = memoryCounter({ now: () => clock.ms, countersMax: 2 })
    const [a, b, c] = [tree('a'), tree('b'), tree('c')]
    for (const one of [a, a, b]) expect(counter.borrow(one, 1)).toMatchObject({ granted: true })
    await expect(counter.borrow(c, 1)).rejects.toThrow(StoreDown)
    expect(counter.borrow(a, 1)).toMatchObject({ granted: false })
    clock.ms += 61_000
    expect(counter.borrow(c, 1)).toMatchObject({ granted: true })
  })

  it('stays bounded while callers come and go, and counts on for one that comes back', () => {
    const clock = { ms: 0 }
    const counter = memoryCounter({ now: () => clock.ms, countersMax: 500 })
    const regular = tree('regular', 1000)
    for (let i = 0; i < 20_000; i++) {
      clock.ms += 200
      expect(counter.borrow(tree(`caller-${i}`), 1)).toMatchObject({ granted: true })
      if (i % 5 === 0) expect(counter.borrow(regular, 1)).toMatchObject({ granted: true })
    }
    // One a second for longer than a window: 60 or 61 are held, and this one.
    const borrowed = counter.borrow(regular, 1)
    if (borrowed instanceof Promise) throw new Error('not synchronous')
    expect([938, 939, 940]).toContain(borrowed.states[0]?.remaining)
  })

  it('notes what another store granted, at each counter as far as it has room', () => {
    const counter = memoryCounter({ now: () => 0 })
    const [a, b] = [tree('noted', 9).nodes[0]!, tree('full', 2).nodes[0]!]
    const both = { shard: 'plt_memory:test', nodes: [a, b] }
    for (let i = 0; i < 4; i++) counter.note(both, 1)
    expect(counter.borrow({ ...both, nodes: [a] }, 1)).toMatchObject({ states: [{ remaining: 4 }] })
    expect(counter.borrow({ ...both, nodes: [b] }, 1)).toMatchObject({ granted: false })
  })

  it('L17: the same node in two trees is one count, however often trees are built anew', () => {
    const counter = memoryCounter({ now: () => 0 })
    const granted = [tree('x'), tree('x'), tree('x')].map((one) => counter.borrow(one, 1))
    expect(granted).toMatchObject([{ granted: true }, { granted: true }, { granted: false }])
  })
})
