import { expect, it } from 'vitest'
import { localSignal, uncachedSignal } from '../../src/runtime/local-signal.ts'
import { changeOf, signalSuite } from '../suites/signal.suite.ts'

signalSuite(
  'a process alone',
  async () => ({ open: async () => localSignal(), drop: async () => {} }),
  false,
)

it('where nothing is remembered, nobody is waited for and nobody is certain', async () => {
  const signal = uncachedSignal()
  expect(signal.silentMs()).toBe(Number.POSITIVE_INFINITY)
  const receipt = await signal.announce(changeOf(), 1000)
  expect(receipt).toMatchObject({ nodes: null, acknowledged: 0, maxStalenessMs: 0 })
})
