import { describe, expect, it } from 'vitest'
import {
  leaseMs,
  readAnswer,
  readEntry,
  registryMs,
} from '../../../../src/runtime/node/signal/channel.ts'

const change = { kind: 'key', platform: 'plt_a', id: 'key_1' }
const entry = { by: 'n1', waits: true, changes: [change] }
const answer = { epoch: 7, youngMs: 0, nodes: 2, gone: 0, goneMs: 0, heards: [6], entries: ['x'] }

describe('an entry', () => {
  it.each([
    '',
    'null',
    '7',
    '[]',
    '{}',
    '{"by":',
    JSON.stringify({ ...entry, by: 1 }),
    JSON.stringify({ ...entry, waits: 'yes' }),
    JSON.stringify({ ...entry, changes: {} }),
    JSON.stringify({ ...entry, changes: undefined }),
    JSON.stringify({ ...entry, changes: [null] }),
    JSON.stringify({ ...entry, changes: [{ ...change, kind: 'route' }] }),
    JSON.stringify({ ...entry, changes: [change, { ...change, id: 3 }] }),
  ])('L15: %s is none', (text) => {
    expect(readEntry(text)).toBeNull()
  })

  it.each([[entry], [{ ...entry, changes: null }], [{ ...entry, changes: [], later: 1 }]])(
    '%j is one',
    (value) => {
      expect(readEntry(JSON.stringify(value))).toEqual(value)
    },
  )
})

describe('an answer', () => {
  it.each([
    null,
    'OK',
    {},
    { ...answer, epoch: -1 },
    { ...answer, epoch: '7' },
    { ...answer, epoch: 1e300 },
    { ...answer, youngMs: null },
    { ...answer, gone: undefined },
    { ...answer, goneMs: -1 },
    { ...answer, heards: [1, 'x'] },
    { ...answer, entries: [1] },
    { ...answer, entries: undefined },
  ])('L15: %j is none', (value) => {
    expect(() => readAnswer(value)).toThrow('another shape')
  })

  it.each([[answer], [{ ...answer, entries: null }]])('%j is one', (value) => {
    expect(readAnswer(value)).toEqual(value)
  })
})

it('a node stops trusting its memory before the store stops waiting for it', () => {
  expect(leaseMs).toBeLessThan(registryMs)
})
