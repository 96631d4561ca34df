import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Lender, type Lent, StoreDown } from '../../../src/context.ts'
import { leasedCounter } from '../../../src/limits/lease.ts'
import { durableLender } from '../../../src/runtime/workers/durable-lender.ts'
import { type Clock, counterSuite, exactLimit, treeOf } from '../../suites/counter.suite.ts'
import { ask, lenderSuite } from '../../suites/lender.suite.ts'
import { startWorker, type TestWorker } from '../../worker.ts'
import { type Answered, type Asked, read, write } from './counter-wire.ts'

const entry = `export { PosternCounter, default } from '@/test/runtime/workers/counter-worker.ts'`

let worker: TestWorker
beforeAll(async () => {
  worker = await startWorker({ hyperdrives: {}, secrets: {} }, '', entry)
})
afterAll(() => worker?.stop())

type Waiting = Asked & { resolve(answered: Answered): void; reject(error: unknown): void }

/** A lender whose calls of one turn travel together, and are made at once over there. */
function remote(clock: Clock): Lender {
  let waiting: Waiting[] = []
  async function send(): Promise<void> {
    const all = waiting
    waiting = []
    try {
      const body = write(all.map(({ ms, shard, asks }) => ({ ms, shard, asks })))
      const response = await fetch(worker.url, { method: 'POST', body })
      // What counter-worker.ts answers.
      const answers = read(await response.text()) as readonly Answered[]
      for (const [at, one] of all.entries()) one.resolve(answers[at]!)
    } catch (error) {
      for (const one of all) one.reject(error)
    }
  }
  return {
    async lend(shard, asks): Promise<Lent> {
      const answered = await new Promise<Answered>((resolve, reject) => {
        if (waiting.length === 0) setImmediate(send)
        waiting.push({ ms: clock.ms, shard, asks, resolve, reject })
      })
      if ('lent' in answered) return answered.lent
      throw new StoreDown(answered.why)
    },
    async close() {},
  }
}

const leasing = (clock: Clock) => leasedCounter(remote(clock), { now: () => clock.ms })
lenderSuite('a Durable Object', remote, 20)
counterSuite('a Durable Object', leasing, { runs: 10, floodMs: 10 })

describe('a Durable Object', () => {
  it('forgets what it counted when it is evicted: one more quota passes, and no more', async () => {
    const counter = leasing({ ms: 1_800_000_000_000 })
    const tree = treeOf({ key: 'one', limits: [exactLimit(3, 60)] })
    const take = async () => {
      const all = await Promise.all(Array.from({ length: 9 }, () => counter.borrow(tree, 1)))
      return all.filter(({ granted }) => granted).length
    }
    expect([await take(), await take()]).toEqual([3, 0])
    await worker.harness.getWorker().evictDurableObject('PosternCounter', { name: tree.shard })
    expect([await take(), await take()]).toEqual([3, 0])
  })
})

describe('durableLender', () => {
  it('an object that fails is a store that is down', async () => {
    const lend = () => Promise.reject(new Error('overloaded'))
    const lender = durableLender({ getByName: () => ({ lend }) })
    await expect(lender.lend('a', [ask({ need: 1 })])).rejects.toThrow(StoreDown)
  })

  it('an object that does not answer is a store that is down, after the time allowed', async () => {
    const lend = () => new Promise<never>(() => {})
    const lender = durableLender({ getByName: () => ({ lend }) }, 5)
    await expect(lender.lend('a', [ask({ need: 1 })])).rejects.toThrow(StoreDown)
  })
})
