import { describe, expect, test } from 'vitest'
import { StoreDown } from '../../src/context.ts'
import { createMemory, type MemoryOptions } from '../../src/keys/memory.ts'
import type { TrustOptions } from '../../src/keys/trust.ts'
import { timeless } from './store.ts'

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

const down = () => Promise.reject(new StoreDown('no answer'))

type Setup = TrustOptions & Omit<MemoryOptions<string>, 'trust' | 'entriesMax'>
const nothing = { positiveTtlMs: 0, outageMs: 0, staleMs: 0 }

/** A memory and the time it lives in. `at` sets the clock. */
function setUp({ same, isBrief, ...options }: Setup = { positiveTtlMs: 100 }) {
  const { trust, time } = timeless(options)
  const memory = createMemory<string>({ entriesMax: 10, trust, same, isBrief })
  const at = (now: number) => {
    time.now = now
    return memory
  }
  return { memory, time, at }
}

describe('V2, V7: what was asked before a change is not remembered after it', () => {
  test.each<[what: string, forget: (memory: ReturnType<typeof setUp>['memory']) => void]>([
    ['everything was forgotten', (memory) => memory.forget()],
    ['something else was forgotten', (memory) => memory.forget((value) => value === 'other')],
    ['it was forgotten by its name', (memory) => memory.forgetName('a')],
  ])('%s', async (_, forget) => {
    const { asked, ask } = slowStore()
    const { memory } = setUp()
    const before = memory.learn('a', ask)
    forget(memory)
    // Who asks now asks anew, and gets the newer answer, whichever comes first.
    const after = memory.learn('a', ask)
    expect(asked).toHaveLength(2)
    asked[1]?.resolve('revoked')
    expect(await after).toBe('revoked')
    asked[0]?.resolve('good')
    await before
    expect(memory.get('a')).toBe('revoked')
  })

  test('nor does an older answer that comes late take the place of a newer one', async () => {
    const { asked, ask } = slowStore()
    const { memory, at } = setUp()
    const older = memory.relearn('a', ask)
    const newer = at(1).relearn('a', ask)
    asked[1]?.resolve('revoked')
    await newer
    asked[0]?.resolve('good')
    expect([await older, memory.get('a')]).toEqual(['revoked', 'revoked'])
  })

  test('nor is it there when the store goes down', async () => {
    const { asked, ask } = slowStore()
    const { memory } = setUp()
    await memory.learn('a', async () => 'good')
    const before = memory.relearn('a', ask)
    memory.forgetName('a')
    asked[0]?.resolve('good')
    await before
    await expect(memory.learn('a', down)).rejects.toThrow(StoreDown)
  })
})

describe('a memory that remembers', () => {
  test('asks once, however many wait, and then not until the answer is old', async () => {
    const { asked, ask } = slowStore()
    const { memory, at } = setUp()
    const both = [memory.learn('a', ask), memory.learn('a', ask)]
    expect(asked).toHaveLength(1)
    asked[0]?.resolve('x')
    expect(await Promise.all(both)).toEqual(['x', 'x'])
    expect([at(99).get('a'), at(100).get('a')]).toEqual(['x', undefined])
  })

  test('counts its age from the question, not from the answer', async () => {
    const { asked, ask } = slowStore()
    const { memory, at } = setUp()
    const answer = memory.learn('a', ask)
    at(90)
    asked[0]?.resolve('x')
    await answer
    expect([at(99).get('a'), at(100).get('a')]).toEqual(['x', undefined])
  })

  test('asks once a second for what may change unannounced', async () => {
    const { memory, at } = setUp({ isBrief: (value) => value === 'brief' })
    await memory.learn('a', async () => 'brief')
    await memory.learn('b', async () => 'long')
    const both = () => ['a', 'b'].map((name) => memory.get(name))
    expect([at(999) && both(), at(1000) && both()]).toEqual([
      ['brief', 'long'],
      [undefined, 'long'],
    ])
  })

  test('of two answers that are the same keeps the first, and of two others the second', async () => {
    const { trust } = timeless({ positiveTtlMs: 100 })
    const memory = createMemory<{ at: string }>({
      ...{ entriesMax: 10, trust, same: (held, found) => held.at === found.at },
    })
    const first = await memory.learn('a', async () => ({ at: 'x' }))
    expect(await memory.relearn('a', async () => ({ at: 'x' }))).toBe(first)
    expect(await memory.relearn('a', async () => ({ at: 'y' }))).toEqual({ at: 'y' })
  })

  test('forgets some and keeps the others', async () => {
    const { memory } = setUp()
    await memory.learn('a', async () => 'x')
    await memory.learn('b', async () => 'y')
    memory.forget((value) => value === 'x')
    expect(['a', 'b'].map((name) => memory.get(name))).toEqual([undefined, 'y'])
    memory.forgetName('b')
    expect(memory.size).toBe(0)
  })
})

describe('a memory whose channel is silent', () => {
  test('asks each time, once for all who ask at the same time, and is certain again after it', async () => {
    const { asked, ask } = slowStore()
    const { memory, time, at } = setUp()
    await memory.learn('a', async () => 'x')
    time.silentSince = 1
    expect(at(2).get('a')).toBeUndefined()
    const both = [memory.learn('a', ask), memory.learn('a', ask)]
    expect(asked).toHaveLength(1)
    asked[0]?.resolve('y')
    expect(await Promise.all(both)).toEqual(['y', 'y'])
    expect(memory.get('a')).toBeUndefined()
    time.silentSince = null
    expect(at(3).get('a')).toBe('y')
  })

  test('V4: cut from the store too, gives the last answer for staleMs, and then none', async () => {
    const { memory, time, at } = setUp({ positiveTtlMs: 100, outageMs: 1000, staleMs: 50 })
    await memory.learn('a', async () => 'x')
    time.silentSince = 80
    // Read at 0, certain until 80: as good as read at 80.
    expect(await at(129).learn('a', down)).toBe('x')
    await expect(at(130).learn('a', down)).rejects.toThrow(StoreDown)
    expect(memory.get('a')).toBeUndefined()
  })

  test('V4: an answer that was read in the silence counts from its reading', async () => {
    const { memory, time, at } = setUp({ positiveTtlMs: 100, outageMs: 1000, staleMs: 50 })
    time.silentSince = -1000
    time.now = 10
    await memory.learn('a', async () => 'x')
    expect(await at(59).learn('a', down)).toBe('x')
    await expect(at(60).learn('a', down)).rejects.toThrow(StoreDown)
  })

  test('is no better off than with a channel: what was read too long ago is given in neither case', async () => {
    const { memory, time, at } = setUp({ positiveTtlMs: 100, outageMs: 1000, staleMs: 500 })
    await memory.learn('a', async () => 'x')
    time.silentSince = 1099
    expect(await at(1099).learn('a', down)).toBe('x')
    await expect(at(1100).learn('a', down)).rejects.toThrow(StoreDown)
  })
})

describe('Q5: a store that is down, with a channel that is certain', () => {
  test('the last answer is given for outageMs past its time, and asked for once a second', async () => {
    const { memory, at } = setUp({ positiveTtlMs: 100, outageMs: 5000, staleMs: 50 })
    await memory.learn('a', async () => 'x')
    expect(at(100).get('a')).toBeUndefined()
    expect(await memory.learn('a', down)).toBe('x')
    expect([at(1099).get('a'), at(1100).get('a')]).toEqual(['x', undefined])
    expect(await at(5099).learn('a', down)).toBe('x')
    await expect(at(5100).learn('a', down)).rejects.toThrow(StoreDown)
  })

  test('an answer held for a second is not given once it must not be', async () => {
    const { memory, time, at } = setUp({ positiveTtlMs: 100, outageMs: 5000, staleMs: 50 })
    await memory.learn('a', async () => 'x')
    expect(await at(200).learn('a', down)).toBe('x')
    time.silentSince = 201
    expect([at(250).get('a'), at(251).get('a')]).toEqual(['x', undefined])
  })

  test('what breaks otherwise is no store that is down', async () => {
    const { memory, at } = setUp()
    await memory.learn('a', async () => 'x')
    const broken = at(100).learn('a', () => Promise.reject(new TypeError('a bug')))
    await expect(broken).rejects.toThrow('a bug')
  })
})

describe('C1: a memory of no time at all', () => {
  test('asks for everyone: no answer that was asked for earlier is shared', async () => {
    const { asked, ask } = slowStore()
    const { memory } = setUp(nothing)
    const both = [memory.learn('a', ask), memory.learn('a', ask)]
    expect(asked).toHaveLength(2)
    asked[1]?.resolve('after')
    asked[0]?.resolve('before')
    expect(await Promise.all(both)).toEqual(['before', 'after'])
    expect([memory.get('a'), memory.knows('a'), memory.size]).toEqual([undefined, false, 0])
  })

  test('gives nothing when the store is down, not even a moment later', async () => {
    const { memory } = setUp(nothing)
    await memory.learn('a', async () => 'x')
    await expect(memory.learn('a', down)).rejects.toThrow(StoreDown)
  })

  test('where stale answers are allowed, gives the last one only while the store is down', async () => {
    const { memory, at } = setUp({ ...nothing, staleMs: 100 })
    await memory.learn('a', async () => 'x')
    expect(at(1).get('a')).toBeUndefined()
    expect(await at(99).learn('a', down)).toBe('x')
    await expect(at(100).learn('a', down)).rejects.toThrow(StoreDown)
  })
})

describe('a memory that is told to ask again', () => {
  test('asks though it knows, and though the question is out, and gives the new answer', async () => {
    const { asked, ask } = slowStore()
    const { memory, at } = setUp()
    const old = memory.learn('a', ask)
    const anew = at(50).relearn('a', ask)
    expect(asked).toHaveLength(2)
    asked[0]?.resolve('old')
    await old
    expect(at(60).get('a')).toBe('old')
    asked[1]?.resolve('new')
    expect([await anew, at(149).get('a'), at(150).get('a')]).toEqual(['new', 'new', undefined])
  })

  test('never gives the last answer for a new one', async () => {
    const { memory, at } = setUp()
    await memory.learn('a', async () => 'x')
    await expect(at(50).relearn('a', down)).rejects.toThrow(StoreDown)
    expect(memory.get('a')).toBe('x')
  })
})
