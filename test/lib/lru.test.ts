import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createLru } from '../../src/lib/lru.ts'

test.each([0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY])('refuses a bound of %s', (bound) => {
  expect(() => createLru(bound)).toThrow('entriesMax')
})

describe('an LRU map', () => {
  test('forgets what has expired, at the very millisecond', () => {
    const lru = createLru<string>(2)
    lru.set('a', 'A', 100)
    expect(lru.get('a', 99)).toBe('A')
    expect(lru.get('a', 100)).toBeUndefined()
    expect(lru.size).toBe(0)
  })

  test('drops the least recently used entry, where a read is a use', () => {
    const lru = createLru<string>(2)
    lru.set('a', 'A', 9)
    lru.set('b', 'B', 9)
    lru.get('a', 0)
    lru.set('c', 'C', 9)
    expect(lru.get('b', 0)).toBeUndefined()
    expect([lru.get('a', 0), lru.get('c', 0)]).toEqual(['A', 'C'])
  })

  test('replaces an entry without dropping another', () => {
    const lru = createLru<string>(2)
    lru.set('a', 'A', 9)
    lru.set('b', 'B', 9)
    lru.set('a', 'a', 5)
    expect([lru.get('a', 0), lru.get('b', 0), lru.get('a', 5)]).toEqual(['a', 'B', undefined])
  })

  test.each(['a', 'b', 'c'])('keeps its order when %s, of three, is deleted', (gone) => {
    const lru = createLru<string>(3)
    for (const name of ['a', 'b', 'c']) lru.set(name, name, 9)
    lru.delete(gone)
    const rest = ['a', 'b', 'c'].filter((name) => name !== gone)
    for (const name of ['d', 'e', 'f']) lru.set(name, name, 9)
    expect(rest.map((name) => lru.get(name, 0))).toEqual([undefined, undefined])
    expect(['d', 'e', 'f'].map((name) => lru.get(name, 0))).toEqual(['d', 'e', 'f'])
    expect(lru.size).toBe(3)
  })

  test('takes names of Object.prototype like any other', () => {
    const lru = createLru<number>(4)
    for (const name of ['__proto__', 'constructor', 'toString']) {
      expect(lru.get(name, 0)).toBeUndefined()
      lru.set(name, 1, 9)
      expect(lru.get(name, 0)).toBe(1)
    }
  })

  test('starts anew after clear', () => {
    const lru = createLru<number>(2)
    lru.set('a', 1, 9)
    lru.clear()
    expect([lru.size, lru.get('a', 0)]).toEqual([0, undefined])
    lru.set('b', 2, 9)
    lru.set('c', 3, 9)
    lru.set('d', 4, 9)
    expect([lru.size, lru.get('b', 0), lru.get('d', 0)]).toEqual([2, undefined, 4])
  })

  test('K9: does what a plain list does, whatever the order of calls, and never holds more', () => {
    const call = fc.tuple(fc.constantFrom('get', 'set', 'delete'), fc.nat(7), fc.nat(20))
    const calls = fc.array(call, { minLength: 30, maxLength: 60 })
    fc.assert(fc.property(fc.integer({ min: 1, max: 4 }), calls, run), { numRuns: 1000 })
  })
})

test('deleteWhere drops what is so, and the rest stays in its order of use', () => {
  const lru = createLru<number>(3)
  for (const n of [1, 2, 3]) lru.set(String(n), n, 100)
  lru.deleteWhere((value) => value === 2)
  expect([lru.get('1', 0), lru.get('2', 0), lru.size]).toEqual([1, undefined, 2])
  lru.set('4', 4, 100)
  lru.set('5', 5, 100)
  expect([lru.get('3', 0), lru.get('1', 0)]).toEqual([undefined, 1])
  lru.deleteWhere(() => true)
  lru.set('6', 6, 100)
  expect([lru.get('6', 0), lru.size]).toEqual([6, 1])
})

/** Holds the map to a list that is kept in order of use. */
function run(bound: number, calls: readonly (readonly [string, number, number])[]): void {
  const lru = createLru<number>(bound)
  let list: { name: string; value: number; expiresAt: number }[] = []
  for (const [now, [what, which, ttl]] of calls.entries()) {
    const name = String(which)
    const held = list.find((entry) => entry.name === name)
    if (what === 'get') {
      const live = held !== undefined && now < held.expiresAt ? held : undefined
      expect(lru.get(name, now)).toBe(live?.value)
      list = list.filter((entry) => entry !== held)
      if (live) list.push(live)
    } else {
      list = list.filter((entry) => entry !== held)
      if (what === 'delete') lru.delete(name)
      else {
        lru.set(name, now, now + ttl)
        if (held === undefined && list.length === bound) list.shift()
        list.push({ name, value: now, expiresAt: now + ttl })
      }
    }
    expect(lru.size).toBe(list.length)
    expect(lru.size).toBeLessThanOrEqual(bound)
  }
}
