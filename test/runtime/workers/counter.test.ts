import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Borrowed, type Counter, StoreDown } from '../../../src/context.ts'
import { durableCounter } from '../../../src/runtime/workers/durable-counter.ts'
import { type Clock, counterSuite, limit, treeOf } from '../../suites/counter.suite.ts'
import { startWorker, type TestWorker } from '../../worker.ts'
import { type Answered, type Asked, read, write } from './counter-wire.ts'

const entry = `export { PosternCounter, default } from '@/test/runtime/workers/counter-worker.ts'`

let worker: TestWorker
beforeAll(async () => {
  worker = await startWorker({ hyperdrives: {}, secrets: {} }, '', entry)
})
afterAll(() => worker?.stop())

type Waiting = Asked & { resolve(answered: Answered): void; reject(error: unknown): void }

/** A counter whose calls of one turn travel together, and are made at once over there. */
function remote(clock: Clock): Counter {
  let waiting: Waiting[] = []
  async function send(): Promise<void> {
    const all = waiting
    waiting = []
    try {
      const body = write(all.map(({ ms, tree, want }) => ({ ms, tree, want })))
      const response = await fetch(worker.url, { method: 'POST', body })
      // What counter-worker.ts answers.
      const answers = read(await response.text()) as readonly Answered[]
      for (const [at, one] of all.entries()) one.resolve(answers[at]!)
    } catch (error) {
      for (const one of all) one.reject(error)
    }
  }
  return {
    async borrow(tree, want): Promise<Borrowed> {
      const answered = await new Promise<Answered>((resolve, reject) => {
        if (waiting.length === 0) setImmediate(send)
        waiting.push({ ms: clock.ms, tree, want, resolve, reject })
      })
      if ('borrowed' in answered) return answered.borrowed
      throw answered.name === 'RangeError'
        ? new RangeError(answered.why)
        : new StoreDown(answered.why)
    },
    async close() {},
  }
}

counterSuite('a Durable Object', remote, 10, 10)

describe('a Durable Object', () => {
  it('forgets what it counted when it is evicted: one more quota passes, and no more', async () => {
    const counter = remote({ ms: 1_800_000_000_000 })
    const tree = treeOf({ key: 'one', limits: [limit(3, 60)] })
    const take = async () => {
      const all = await Promise.all(Array.from({ length: 9 }, () => counter.borrow(tree, 1)))
      return all.filter(({ granted }) => granted).length
    }
    expect([await take(), await take()]).toEqual([3, 0])
    await worker.harness.getWorker().evictDurableObject('PosternCounter', { name: tree.shard })
    expect([await take(), await take()]).toEqual([3, 0])
  })
})

describe('durableCounter', () => {
  const tree = treeOf({ key: 'one', limits: [limit(3, 60)] })

  it('an object that fails is a store that is down', async () => {
    const borrow = () => Promise.reject(new Error('overloaded'))
    const counter = durableCounter({ getByName: () => ({ borrow }) })
    await expect(counter.borrow(tree, 1)).rejects.toThrow(StoreDown)
  })

  it('an object that does not answer is a store that is down, after the time allowed', async () => {
    const borrow = () => new Promise<never>(() => {})
    const counter = durableCounter({ getByName: () => ({ borrow }) }, 5)
    await expect(counter.borrow(tree, 1)).rejects.toThrow(StoreDown)
  })
})
