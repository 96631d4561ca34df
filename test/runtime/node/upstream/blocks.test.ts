import { expect, test } from 'vitest'
import { takeBlock } from '../../../../src/runtime/node/upstream/blocks.ts'

const bytes = Buffer.from('abcdef')

test('a block is nobody else’s until it is released, and never after an error', () => {
  const first = takeBlock()
  const held = first.fill(bytes, 1, 4)
  expect(held.toString()).toBe('bcd')
  const second = takeBlock()
  expect(second).not.toBe(first)
  second.fill(bytes, 0, 6)
  expect(held.toString()).toBe('bcd')
  first.release(new Error('the client has gone'))
  const others = Array.from({ length: 100 }, takeBlock)
  expect(others).not.toContain(first)
  second.release()
  expect(takeBlock()).toBe(second)
})

test('what it copies is a copy', () => {
  const own = Buffer.from(bytes)
  const held = takeBlock().fill(own, 0, 6)
  own.fill(0)
  expect(held.toString()).toBe('abcdef')
})
