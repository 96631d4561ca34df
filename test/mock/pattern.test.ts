import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { readPattern } from '../../src/mock/pattern.ts'
import { Random } from '../../src/mock/random.ts'

const runs = { numRuns: Number(process.env.FUZZ_RUNS ?? 300) }

describe('a pattern that is not read here is not run', () => {
  test.each([
    ['look-ahead', '^(?=a)b$'],
    ['a look behind', '(?<!a)b'],
    ['a back reference', '^(a)\\1$'],
    ['a word boundary', '\\bword\\b'],
    ['a property', '\\p{L}'],
    ['a broken group', '(a'],
    ['a broken set', '[a'],
    ['a set backwards', '[z-a]'],
    ['nothing to repeat', '*a'],
    ['a repetition of a repetition', 'a**'],
    ['bounds backwards', 'a{3,1}'],
    ['a million states', '(?:a{1000}){1000}'],
    ['emptiness for ever', '(?:(?:(?:){99999}){99999}){99999}'],
    ['groups without end', `${'('.repeat(5000)}a${')'.repeat(5000)}`],
    ['a very long text', 'a'.repeat(1001)],
  ])('%s', (_, source) => {
    expect(readPattern(source)).toBeNull()
  })
})

describe('O5: a pattern that explodes elsewhere is linear here', () => {
  test.each(['^(a+)+$', '^(a|a)*$', '^(a|aa)+$', '^(.*a){12}$', '^([a-z]+)*\\d$'])(
    '%s',
    (source) => {
      const pattern = readPattern(source)
      expect(pattern?.test(`${'a'.repeat(3000)}!`)).toBe(false)
    },
  )
})

test.each([
  ['^[a-z]+$', 'abc', true],
  ['^[a-z]+$', 'abC', false],
  ['b', 'abc', true],
  ['^$', '', true],
  ['^.$', '😀', true],
  ['^.$', '\n', false],
  ['^[^\\d\\s]{2,3}$', 'ab', true],
  ['^[^\\d\\s]{2,3}$', 'a1', false],
  ['^(?:cus|usr)_(?<rest>\\w{4})$', 'usr_a_9Z', true],
  ['^a{0}$', '', true],
  ['^\\u0041\\x42\\t$', 'AB\t', true],
  ['^[\\w.-]+@[\\w-]+\\.com$', 'a.b@c-d.com', true],
  ['a|^b$|', 'zzz', true],
  ['^(a?){3}$', 'aaaa', false],
])('%s and %j: %s', (source, text, fits) => {
  expect(readPattern(source)?.test(text)).toBe(fits)
})

const atom = fc.constantFrom(
  'a',
  'b',
  '1',
  '-',
  '.',
  '[ab]',
  '[^a]',
  '\\d',
  '\\w',
  '(?:a|b)',
  '(ab|)',
  '^',
  '$',
)
const piece = fc
  .tuple(atom, fc.constantFrom('', '', '*', '+', '?', '{2}', '{1,3}', '{2,}', '+?'))
  .map(([one, times]) => (one === '^' || one === '$' ? one : one + times))
const source = fc.array(piece, { maxLength: 6 }).map((pieces) => pieces.join(''))

test('it agrees with the engine', () => {
  const text = fc.string({ unit: fc.constantFrom('a', 'b', '1', '-', '\n', 'é'), maxLength: 8 })
  fc.assert(
    fc.property(source, text, (pattern, one) => {
      expect(readPattern(pattern)?.test(one)).toBe(new RegExp(pattern, 'u').test(one))
    }),
    runs,
  )
})

test('what it makes, it matches, and the engine does too', () => {
  fc.assert(
    fc.property(source, fc.string(), (pattern, seed) => {
      const made = readPattern(pattern)?.make(new Random(seed), 0, 1000)
      if (typeof made === 'string') expect(made).toMatch(new RegExp(pattern, 'u'))
    }),
    runs,
  )
})
