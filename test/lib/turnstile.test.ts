import { expect, test } from 'vitest'
import { createTurnstile } from '../../src/lib/turnstile.ts'

const small = { insideMax: 2, waitingMax: 1, totalMax: 100 }

test('lets the first ones in at once, one wait, and refuses the rest of that name alone', () => {
  const turnstile = createTurnstile(small)
  expect([turnstile.enter('a'), turnstile.enter('a')]).toEqual([undefined, undefined])
  expect(turnstile.enter('a')).toBeInstanceOf(Promise)
  expect(turnstile.enter('a')).toBe('full')
  expect(turnstile.enter('b')).toBeUndefined()
  expect(turnstile.size).toBe(4)
})

test('a place that is left goes to who waited first, and never to a newcomer', async () => {
  const turnstile = createTurnstile({ ...small, insideMax: 1, waitingMax: 2 })
  const order: string[] = []
  expect(turnstile.enter('a')).toBeUndefined()
  const first = Promise.resolve(turnstile.enter('a')).then(() => order.push('first'))
  const second = Promise.resolve(turnstile.enter('a')).then(() => order.push('second'))
  turnstile.leave('a')
  expect(turnstile.enter('a')).toBeInstanceOf(Promise)
  await first
  expect(order).toEqual(['first'])
  turnstile.leave('a')
  await second
  expect(order).toEqual(['first', 'second'])
})

test('counts all names together', () => {
  const turnstile = createTurnstile({ ...small, totalMax: 2 })
  expect(turnstile.enter('a')).toBeUndefined()
  expect(turnstile.enter('b')).toBeUndefined()
  expect(turnstile.enter('c')).toBe('overfull')
  turnstile.leave('a')
  expect(turnstile.enter('c')).toBeUndefined()
})

test('is as it was when everybody has left', () => {
  const turnstile = createTurnstile(small)
  for (let round = 0; round < 3; round++) {
    expect(turnstile.enter('a')).toBeUndefined()
    expect(turnstile.enter('a')).toBeUndefined()
    turnstile.leave('a')
    turnstile.leave('a')
    expect(turnstile.size).toBe(0)
  }
  expect(() => turnstile.leave('a')).toThrow('not entered')
})
