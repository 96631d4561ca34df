import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { lengthPrefixed } from '../../src/lib/parts.ts'

const hex = (parts: readonly string[]) => Buffer.from(lengthPrefixed(parts)).toString('hex')

describe('lengthPrefixed', () => {
  test.each([
    [
      [
        ['a|b', 'c'],
        ['a', 'b|c'],
      ],
    ],
    [
      [
        ['ab', 'c'],
        ['a', 'bc'],
      ],
    ],
    [
      [
        ['', 'a'],
        ['a', ''],
      ],
    ],
    [[['a'], ['a', '']]],
    [[[], ['']]],
    [[['\0\0\0\x01a'], ['', 'a']]],
    [[['é'], ['e\u0301']]],
  ])('X4: %j are not the same bytes', ([one, other]) => {
    expect(hex(one!)).not.toBe(hex(other!))
  })

  test('each part is its length in four bytes, and its UTF-8', () => {
    expect(hex(['a', '', 'é'])).toBe('0000000161' + '00000000' + '00000002c3a9')
  })

  test('X4: what UTF-8 would write alike is refused', () => {
    expect(() => lengthPrefixed(['\ud800'])).toThrow(RangeError)
  })

  test('X4: different lists are different bytes, the same list the same', () => {
    const lists = fc.array(fc.string({ unit: 'binary', maxLength: 6 }), { maxLength: 5 })
    fc.assert(
      fc.property(lists, lists, (one, other) => {
        expect(hex(one) === hex(other)).toBe(JSON.stringify(one) === JSON.stringify(other))
      }),
    )
  })

  test('X4: moving the border between two parts is another list', () => {
    const cut = fc.string({ unit: 'grapheme-ascii', minLength: 2, maxLength: 12 })
    fc.assert(
      fc.property(cut, fc.nat(), fc.nat(), (text, a, b) => {
        const [one, other] = [a % (text.length + 1), b % (text.length + 1)]
        fc.pre(one !== other)
        const at = (place: number) => hex([text.slice(0, place), text.slice(place)])
        expect(at(one)).not.toBe(at(other))
      }),
    )
  })
})
