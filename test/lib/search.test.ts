import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createMask } from '../../src/lib/mask.ts'
import { type Found, QuickSearch, SteadySearch } from '../../src/lib/search.ts'

const bytesOf = (text: string) => new TextEncoder().encode(text)

/** Which bytes are of a pattern, and how many at the end may be; as slowly as can be. */
function plainly(patterns: readonly string[], text: string) {
  const covered = new Set<number>()
  let waiting = 0
  for (const pattern of patterns) {
    for (let at = 0; at < text.length; at++) {
      const rest = text.slice(at)
      if (rest.startsWith(pattern)) for (let i = 0; i < pattern.length; i++) covered.add(at + i)
      else if (pattern.startsWith(rest)) waiting = Math.max(waiting, rest.length)
    }
  }
  return { covered: [...covered].sort((a, b) => a - b), waiting }
}

const coveredBy = (found: readonly Found[]): number[] => {
  const covered = found.flatMap(({ ranges }) =>
    ranges.flatMap(([start, end]) => Array.from({ length: end - start }, (_, i) => start + i)),
  )
  return [...new Set(covered)].sort((a, b) => a - b)
}

test('both ways find what is there, the steady one in whatever pieces it reads', () => {
  const letters = (minLength: number, maxLength: number) =>
    fc.string({ unit: fc.constantFrom('a', 'b'), minLength, maxLength })
  const patterns = fc.array(letters(1, 7), { minLength: 1, maxLength: 4 })
  fc.assert(
    fc.property(patterns, letters(0, 50), fc.nat(50), (some, text, cut) => {
      const expected = plainly(some, text)
      const quick = new QuickSearch(some.map(bytesOf)).take(bytesOf(text), text.length)
      expect([coveredBy(quick === null ? [] : [quick]), quick?.waiting]).toEqual([
        ...[expected.covered, expected.waiting],
      ])
      const steady = new SteadySearch(some.map(bytesOf))
      const pieces = [text.slice(0, cut), text.slice(cut)]
      const first = steady.take(bytesOf(pieces[0] ?? ''), 0)
      const second = steady.take(bytesOf(pieces[1] ?? ''), pieces[0]?.length ?? 0)
      expect([coveredBy([first, second]), second.waiting]).toEqual([
        ...[expected.covered, expected.waiting],
      ])
    }),
    { numRuns: Number(process.env.FUZZ_RUNS ?? 2000) * 3 },
  )
})

test.each([
  ['a letter', 'a'.repeat(4096), 'a'.repeat(200_000)],
  ['all but the first of its letters', `b${'a'.repeat(4095)}`, 'a'.repeat(200_000)],
])('X11: a pattern made to keep it busy is given up on: %s', (_, pattern, text) => {
  expect(new QuickSearch([bytesOf(pattern)]).take(bytesOf(text), text.length)).toBeNull()
})

test('X11: what was given up on is covered all the same, also in small pieces', () => {
  const pattern = 'a'.repeat(4096)
  const text = `${'a'.repeat(9000)}-${'a'.repeat(100)}-${pattern}b`
  for (const size of [text.length, 1000, 7]) {
    const mask = createMask([bytesOf(pattern)])
    let out = ''
    for (let at = 0; at < text.length; at += size) {
      out += Buffer.from(mask.push(bytesOf(text.slice(at, at + size)))).toString()
    }
    out += Buffer.from(mask.end()).toString()
    const stars = (count: number) => '*'.repeat(count)
    expect(out === `${stars(9000)}-${'a'.repeat(100)}-${stars(4096)}b`).toBe(true)
  }
})
