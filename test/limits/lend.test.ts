import { expect, it } from 'vitest'
import { StoreDown } from '../../src/context.ts'
import { memoryLender } from '../../src/limits/lend.ts'
import { ask, lenderSuite } from '../suites/lender.suite.ts'

lenderSuite('memory', (clock) => memoryLender({ now: () => clock.ms }), 500)

it('L1: refuses a new count when full rather than forget one that still matters', async () => {
  const clock = { ms: 0 }
  const lender = memoryLender({ now: () => clock.ms, countersMax: 1 })
  await lender.lend('a', [ask({ need: 1 })])
  await expect(lender.lend('b', [ask({ need: 1 })])).rejects.toThrow(StoreDown)
  clock.ms += 1100
  expect(await lender.lend('b', [ask({ need: 1 })])).toMatchObject({ refusing: -1 })
})
