import { describe, expect, test } from 'vitest'
import { StoreDown } from '../../src/context.ts'
import { createMemory } from '../../src/keys/memory.ts'

/** A store that answers when it is told to. */
function slowStore() {
  const asked: PromiseWithResolvers<string>[] = []
  const ask = () => {
    const flight = Promise.withResolvers<string>()
    asked.push(flight)
    return flight.promise
  }
  return { asked, ask }
}

describe('a memory that remembers', () => {
  test('asks once, however many wait, and then not until the answer is old', async () => {
    const { asked, ask } = slowStore()
    const memory = createMemory<string>({ entriesMax: 10, ttlMs: 100, staleMs: 0 })
    const both = [memory.learn('a', 0, ask), memory.learn('a', 0, ask)]
    expect(asked).toHaveLength(1)
    asked[0]?.resolve('x')
    expect(await Promise.all(both)).toEqual(['x', 'x'])
    expect([memory.get('a', 99), memory.get('a', 100)]).toEqual(['x', undefined])
  })
})

test('an answer that is the same as the last one is that one, and another is not', async () => {
  const memory = createMemory<{ at: string }>(
    { entriesMax: 10, ttlMs: 100, staleMs: 100 },
    (held, found) => held.at === found.at,
  )
  const first = await memory.learn('a', 0, async () => ({ at: 'x' }))
  expect(await memory.learn('a', 100, async () => ({ at: 'x' }))).toBe(first)
  expect(await memory.learn('a', 200, async () => ({ at: 'y' }))).toEqual({ at: 'y' })
})

describe('a memory that forgets some', () => {
  test('keeps the others, and nothing that was under way', async () => {
    const { asked, ask } = slowStore()
    const memory = createMemory<string>({ entriesMax: 10, ttlMs: 100, staleMs: 0 })
    await memory.learn('a', 0, async () => 'x')
    await memory.learn('b', 0, async () => 'y')
    const late = memory.learn('c', 0, ask)
    memory.forget((value) => value === 'x')
    asked[0]?.resolve('asked before the change')
    await late
    expect(['a', 'b', 'c'].map((name) => memory.get(name, 1))).toEqual([undefined, 'y', undefined])
  })
})

describe('C1: a memory of no time at all', () => {
  test('asks for everyone: no answer that was asked for earlier is shared', async () => {
    const { asked, ask } = slowStore()
    const memory = createMemory<string>({ entriesMax: 10, ttlMs: 0, staleMs: 0 })
    const both = [memory.learn('a', 0, ask), memory.learn('a', 0, ask)]
    expect(asked).toHaveLength(2)
    asked[1]?.resolve('after')
    asked[0]?.resolve('before')
    expect(await Promise.all(both)).toEqual(['before', 'after'])
    expect([memory.get('a', 0), memory.knows('a', 0), memory.size]).toEqual([undefined, false, 0])
  })

  test('gives nothing when the store is down, not even a moment later', async () => {
    const memory = createMemory<string>({ entriesMax: 10, ttlMs: 0, staleMs: 0 })
    await memory.learn('a', 0, async () => 'x')
    const down = () => Promise.reject(new StoreDown('down'))
    await expect(memory.learn('a', 0, down)).rejects.toThrow(StoreDown)
  })

  test('where stale answers are allowed, gives the last one only while the store is down', async () => {
    const memory = createMemory<string>({ entriesMax: 10, ttlMs: 0, staleMs: 100 })
    await memory.learn('a', 0, async () => 'x')
    expect(memory.get('a', 1)).toBeUndefined()
    const down = () => Promise.reject(new StoreDown('down'))
    expect(await memory.learn('a', 99, down)).toBe('x')
    await expect(memory.learn('a', 100, down)).rejects.toThrow(StoreDown)
  })
})

describe('a memory that is told to ask again', () => {
  test('asks though it knows, and though the question is out, and gives the new answer', async () => {
    const { asked, ask } = slowStore()
    const memory = createMemory<string>({ entriesMax: 10, ttlMs: 100, staleMs: 0 })
    const old = memory.learn('a', 0, ask)
    const anew = memory.relearn('a', 50, ask)
    expect(asked).toHaveLength(2)
    asked[0]?.resolve('old')
    await old
    expect(memory.get('a', 60)).toBe('old')
    asked[1]?.resolve('new')
    expect([await anew, memory.get('a', 149), memory.get('a', 150)]).toEqual([
      'new',
      'new',
      undefined,
    ])
  })

  test('never gives the last answer for a new one', async () => {
    const memory = createMemory<string>({ entriesMax: 10, ttlMs: 100, staleMs: 1000 })
    await memory.learn('a', 0, async () => 'x')
    const down = async () => {
      throw new StoreDown('no answer')
    }
    await expect(memory.relearn('a', 50, down)).rejects.toThrow(StoreDown)
    expect(memory.get('a', 50)).toBe('x')
  })
})
