import { expect, test } from 'vitest'
import { startSweeper } from '../../../src/runtime/node/sweeper.ts'

test('a round that fails is told, and the next one begins as usual', async () => {
  const told: string[] = []
  let rounds = 0
  const third = Promise.withResolvers<void>()
  const sweeper = startSweeper({
    firstMs: 1,
    everyMs: 1,
    log: { warn: (message) => void told.push(message) },
    async sweep() {
      rounds += 1
      if (rounds === 3) third.resolve()
      if (rounds === 1) throw new Error('the database is away')
    },
  })
  await third.promise
  await sweeper.close()
  const swept = rounds
  expect(told).toEqual(['sweeping failed: it is tried again'])
  await new Promise((resolve) => setImmediate(resolve))
  expect(rounds).toBe(swept)
})
