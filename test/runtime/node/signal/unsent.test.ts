import { describe, expect, it } from 'vitest'
import type { Change } from '../../../../src/context.ts'
import { changesMax } from '../../../../src/runtime/node/signal/channel.ts'
import { Unsent } from '../../../../src/runtime/node/signal/unsent.ts'

const change = (id: number): Change => ({ kind: 'key', platform: 'plt_a', id: `key_${id}` })
const of = (...ids: number[]): Unsent => {
  const unsent = new Unsent()
  for (const id of ids) unsent.add(change(id))
  return unsent
}
const changesOf = (unsent: Unsent) => JSON.parse(unsent.entry('n', false) ?? '{}').changes
const many = Array.from({ length: changesMax + 1 }, (_, id) => id)

describe('what is not sent yet', () => {
  it('nothing is no entry', () => {
    expect(of().entry('n', true)).toBeNull()
  })

  it('more than an entry names is everything, and stays so', () => {
    const unsent = of(...many)
    expect(changesOf(unsent)).toBeNull()
    unsent.add(change(1))
    unsent.addAll(of(1))
    expect(changesOf(unsent)).toBeNull()
  })

  it('everything taken in is everything', () => {
    const unsent = of(1)
    unsent.addAll(of(...many))
    expect(changesOf(unsent)).toBeNull()
  })

  it('names each change once', () => {
    const unsent = of(1, 2, 1)
    unsent.addAll(of(2, 3))
    expect(changesOf(unsent)).toEqual([change(1), change(2), change(3)])
    expect(changesOf(of(...many.slice(1)))).toHaveLength(changesMax)
  })

  it('says by whom and whether that one waits', () => {
    expect(JSON.parse(of(1).entry('n', true) ?? '')).toMatchObject({ by: 'n', waits: true })
  })
})
