import { expect, test } from 'vitest'
import { receiptWords } from '../../src/cli/receipt.ts'

const whole = {
  ...{ epoch: 812, nodes: 4, acknowledged: 4 },
  ...{ effectiveAt: '2026-11-25T12:00:03.250Z', maxStalenessMs: 0 },
}

test.each([
  [
    'a node has not answered',
    { acknowledged: 3, effectiveAt: '2026-11-25T12:01:03.000Z', maxStalenessMs: 60_000 },
    '3 of 4 nodes confirmed; certain from 12:01:03Z, epoch 812',
  ],
  [
    'the others could not be told',
    { epoch: null, nodes: 1, acknowledged: 1 },
    '1 of 1 node confirmed; certain from 12:00:03Z; the others could not be told',
  ],
  [
    'all have, and the record may have lost one',
    { effectiveAt: '2026-11-25T12:00:40.000Z', maxStalenessMs: 36_750 },
    '4 of 4 nodes confirmed; certain from 12:00:40Z, epoch 812',
  ],
  ['all have', {}, 'dead on 4 of 4 nodes since 12:00:03Z, epoch 812'],
  ['there is one', { nodes: 1, acknowledged: 1 }, 'dead on 1 of 1 node since 12:00:03Z, epoch 812'],
  [
    'nothing is remembered',
    { epoch: 1, nodes: null, acknowledged: 0 },
    'dead since 12:00:03Z: no node remembers it',
  ],
])('%s', (_, changes, said) => {
  expect(receiptWords({ ...whole, ...changes }, 'dead')).toBe(said)
})
