import { describe, expect, test } from 'vitest'
import { sha256 } from '../../src/lib/digest.ts'
import { createDigestSet } from '../../src/lib/digest-set.ts'

const digest = (name: string | number) => sha256(String(name))

test.each([0, 7, -8, Number.NaN])('refuses a bound of %s', (bound) => {
  expect(() => createDigestSet(bound)).toThrow('entriesMax')
})

describe('a digest set', () => {
  test('tells digests apart that differ in their last bit alone', () => {
    const set = createDigestSet(64)
    const one = digest('a')
    set.add(one, 100)
    expect(set.has(one, 0)).toBe(true)
    expect(set.has(one.with(31, one[31]! ^ 1), 0)).toBe(false)
  })

  test('does not hold the digest of zeros when it is empty', () => {
    expect(createDigestSet(8).has(new Uint8Array(32), 0)).toBe(false)
  })

  test('forgets what has expired, at the very millisecond, and takes it again', () => {
    const set = createDigestSet(8)
    set.add(digest('a'), 100)
    expect([set.has(digest('a'), 99), set.has(digest('a'), 100)]).toEqual([true, false])
    set.add(digest('a'), 200)
    expect([set.has(digest('a'), 199), set.size]).toEqual([true, 1])
  })

  test('makes room by what expires soonest', () => {
    const set = createDigestSet(8)
    for (let name = 0; name < 8; name++) set.add(digest(name), name === 3 ? 50 : 100)
    set.add(digest('new'), 100)
    const held = [...Array(8).keys()].filter((name) => set.has(digest(name), 0))
    expect(held).toEqual([0, 1, 2, 4, 5, 6, 7])
    expect([set.has(digest('new'), 0), set.size]).toEqual([true, 8])
  })

  test('K9: holds its bound and no more after a flood, the newest among it', () => {
    const set = createDigestSet(1000)
    for (let name = 0; name < 20_000; name++) set.add(digest(name), 100 + name)
    expect(set.size).toBe(1000)
    expect(set.has(digest(19_999), 0)).toBe(true)
    expect(set.has(digest(0), 0)).toBe(false)
  })

  test('is empty after clear', () => {
    const set = createDigestSet(8)
    set.add(digest('a'), 100)
    set.clear()
    expect([set.has(digest('a'), 0), set.size]).toEqual([false, 0])
  })
})
