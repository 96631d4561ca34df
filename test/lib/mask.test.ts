import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createMask, maskedMin, patternsOf } from '../../src/lib/mask.ts'

const bytesOf = (text: string) => new TextEncoder().encode(text)
const textOf = (bytes: Uint8Array) => Buffer.from(bytes).toString('latin1')

/** What comes out of a mask of these patterns when the text is cut at these places. */
function through(patterns: readonly Uint8Array[], text: string, cuts: readonly number[]): string {
  const mask = createMask(patterns)
  const bytes = bytesOf(text)
  const places = [0, ...cuts.toSorted((a, b) => a - b), bytes.length]
  let out = ''
  for (let i = 1; i < places.length; i++) {
    out += textOf(mask.push(bytes.subarray(places[i - 1]!, places[i]!)))
  }
  return out + textOf(mask.end())
}

const secret = 'sk-9f+/ü"x'

describe('patternsOf', () => {
  const forms: readonly (readonly [string, string])[] = [
    ['as it is', secret],
    ['in JSON', JSON.stringify({ key: secret })],
    ['URL-encoded', `?q=${encodeURIComponent(secret)}`],
    [
      'URL-encoded in lower case',
      encodeURIComponent(secret).replace(/%../g, (c) => c.toLowerCase()),
    ],
    ['in a form', new URLSearchParams({ q: `${secret} b` }).toString()],
    ...[0, 1, 2, 3, 4].flatMap((before) =>
      (['base64', 'base64url'] as const).map((alphabet): readonly [string, string] => [
        `in ${alphabet} behind ${before} bytes`,
        Buffer.from(`${'-'.repeat(before)}${secret}-and more`).toString(alphabet),
      ]),
    ),
  ]

  test.each(forms)('X11: a value is covered %s', (_, text) => {
    const out = through(patternsOf(secret), text, [])
    expect(bytesOf(text)).toHaveLength(out.length)
    expect(out).toContain('*'.repeat(maskedMin))
    // At both ends of base64 a character can hold bits of a neighbour, and less than a byte of ours.
    const [before = '', after = ''] = out.split(/\*+/)
    expect(text.length - before.length - after.length).toBeGreaterThan(secret.length - 2)
  })

  test('a value too short to be told from the rest is not looked for', () => {
    expect(patternsOf('abc')).toEqual([])
    expect(through(patternsOf('abc'), 'abcabc', [2])).toBe('abcabc')
  })
})

describe('createMask', () => {
  test.each([
    ['nothing to cover', ['SECRET'], 'SECRE SECRe', 'SECRE SECRe'],
    ['twice and side by side', ['SECRET'], 'aSECRETSECRETb', 'a************b'],
    ['one inside another', ['SECRET', 'ECRE'], 'xSECRETECREx', 'x**********x'],
    ['one that runs into another', ['ABCD', 'CDEF'], 'xABCDEFx', 'x******x'],
    ['one that could have run into another', ['ABCD', 'CDEF'], 'xABCDEx', 'x****Ex'],
    ['a pattern that repeats itself', ['aab'], 'aaaab', 'aa***'],
  ])('%s, however it is cut', (_, patterns, text, expected) => {
    for (let a = 0; a <= text.length; a++) {
      for (let b = a; b <= text.length; b++) {
        expect(through(patterns.map(bytesOf), text, [a, b])).toBe(expected)
      }
    }
  })

  test('where a stream is cut makes no difference', () => {
    const letters = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), maxLength: 60 })
    const pattern = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), minLength: 1, maxLength: 6 })
    fc.assert(
      fc.property(
        fc.array(pattern, { minLength: 1, maxLength: 4 }),
        letters,
        fc.array(fc.nat(60), { maxLength: 8 }),
        (patterns, text, cuts) => {
          const whole = through(patterns.map(bytesOf), text, [])
          const within = cuts.filter((cut) => cut <= text.length)
          expect(through(patterns.map(bytesOf), text, within)).toBe(whole)
          expect(whole).toHaveLength(text.length)
          for (const one of patterns) expect(whole).not.toContain(one)
        },
      ),
      { numRuns: Number(process.env.FUZZ_RUNS ?? 2000) * 5 },
    )
  })

  test('what cannot be the beginning of a pattern does not wait, and is not copied', () => {
    const mask = createMask([bytesOf('SECRET')])
    const event = bytesOf('data: tick\n\n')
    expect(mask.push(event)).toBe(event)
    expect(textOf(mask.push(bytesOf('data: SEC')))).toBe('data: ')
    expect(textOf(mask.push(bytesOf('OND')))).toBe('SECOND')
    expect(mask.end()).toHaveLength(0)
  })

  test('the piece that came in stays as it was', () => {
    const piece = bytesOf('xSECRETx')
    createMask([bytesOf('SECRET')]).push(piece)
    expect(textOf(piece)).toBe('xSECRETx')
    const buffer = Buffer.from('xSECRETx')
    createMask([bytesOf('SECRET')]).push(buffer)
    expect(buffer.toString()).toBe('xSECRETx')
  })

  test('what waits is kept though the memory of its piece is used again', () => {
    const mask = createMask([bytesOf('SECRET')])
    const lent = Buffer.from('a SEC')
    expect(textOf(mask.push(lent))).toBe('a ')
    lent.fill('x')
    expect(textOf(mask.push(Buffer.from('OND')))).toBe('SECOND')
  })
})
