import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { StoreDown, type UsageBatch } from '../../../src/context.ts'
import { createIsolateUse } from '../../../src/runtime/workers/use.ts'
import { outcomeOf } from '../../usage/outcome.ts'

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date'] })
})
afterEach(() => {
  vi.useRealTimers()
})

type Asked = { readonly batch: UsageBatch } & PromiseWithResolvers<void>

/** An isolate whose writes are answered by hand. */
function setUp() {
  const warned: string[] = []
  const asked: Asked[] = []
  const work: Promise<unknown>[] = []
  const use = createIsolateUse((message) => warned.push(message))
  const addUsage = (_: string, batch: UsageBatch) => {
    const held = Promise.withResolvers<void>()
    asked.push({ batch, ...held })
    return held.promise
  }
  return {
    warned,
    asked,
    work,
    note: (secret: string | null) =>
      use.note(outcomeOf(secret), addUsage, (one) => {
        one.catch(() => undefined)
        work.push(one)
      }),
    requests: () => asked.map(({ batch }) => batch.entries.map(({ requests }) => requests)),
  }
}
const turn = () => new Promise((resolve) => setImmediate(resolve))

describe('one request writes for all', () => {
  test('that come while it does, and then another may', async () => {
    const { note, asked, work, requests } = setUp()
    note(null)
    expect(work).toHaveLength(0)
    for (const secret of ['sec_1', 'sec_1', 'sec_2', 'sec_1']) note(secret)
    expect([work.length, requests()]).toEqual([1, [[1]]])
    asked[0]?.resolve()
    await turn()
    expect(requests()).toEqual([[1], [2, 1]])
    asked[1]?.resolve()
    await work[0]
    note('sec_1')
    expect([work.length, asked.length]).toEqual([2, 3])
  })

  test('Q10: one that is cut off is replaced, and its batch is sent again as it was', async () => {
    const { note, asked, work } = setUp()
    note('sec_1')
    vi.setSystemTime(Date.now() + 9999)
    note('sec_1')
    expect(work).toHaveLength(1)
    vi.setSystemTime(Date.now() + 1)
    note('sec_1')
    expect(work).toHaveLength(2)
    expect(asked[1]?.batch).toEqual(asked[0]?.batch)
    asked[1]?.resolve()
    await turn()
    expect(asked[2]?.batch.entries).toMatchObject([{ requests: 2 }])
    // The first was only slow. It is no longer its turn, and what is on its way now is not its own.
    asked[0]?.resolve()
    await work[0]
    asked[2]?.reject(new StoreDown('gone'))
    await expect(work[1]).rejects.toThrow('gone')
    note('sec_1')
    expect(asked[3]?.batch).toEqual(asked[2]?.batch)
  })

  test('Q10: what could not be written is tried again with the next, as it was', async () => {
    const { note, asked, work } = setUp()
    note('sec_1')
    asked[0]?.reject(new StoreDown('away'))
    await expect(work[0]).rejects.toThrow('away')
    note('sec_2')
    expect(asked[1]?.batch).toEqual(asked[0]?.batch)
    asked[1]?.resolve()
    await turn()
    expect(asked[2]?.batch.entries).toMatchObject([{ secretId: 'sec_2', requests: 1 }])
  })
})

test('what waits is bounded, and what is not counted is told', () => {
  const { note, warned } = setUp()
  for (let n = 0; n < 10_001; n++) note(`sec_${n}`)
  expect(warned).toEqual(['usage was dropped: a request is not counted'])
})
