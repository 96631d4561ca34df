import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { jsonDepthMax, parseJson } from '../../src/lib/json.ts'

const refused: readonly [string, string, RegExp][] = [
  ['nothing', '', /not JSON/],
  ['half an object', '{"a":', /not JSON/],
  ['D22: an escaped NUL', '{"a":"x\\u0000"}', /NUL/],
  ['D22: an escaped NUL in a name', '{"a\\u0000":1}', /NUL/],
  ['D22: half of a surrogate pair', '{"a":"\\ud800"}', /surrogate/],
  ['D22: the other half', '["\\udc00x"]', /surrogate/],
  ['a raw control character', '{"a":"\u0001"}', /not JSON/],
  ['G7: __proto__ as a name', '{"__proto__":{"x":1}}', /__proto__/],
  ['G7: __proto__ with an escape', '{"__pr\\u006fto__":{}}', /__proto__/],
  ['G8: a name that stands twice', '{"permissions":[],"permissions":["*"]}', /twice/],
  ['G8: a name that stands twice, once with an escape', '{"a":1,"\\u0061":2}', /twice/],
  ['G8: a number that becomes Infinity', '[1e400]', /out of range/],
  ['G8: 100 000 brackets', '['.repeat(100_000), /nested/],
  ['G8: 100 000 objects', '{"a":'.repeat(100_000), /nested/],
  [
    'one deeper than allowed',
    `${'['.repeat(jsonDepthMax + 1)}${']'.repeat(jsonDepthMax + 1)}`,
    /nested/,
  ],
]

describe('parseJson', () => {
  test.each(refused)('refuses %s', (_, text, reason) => {
    const verdict = parseJson(text)
    expect(verdict.ok ? 'accepted' : verdict.reason).toMatch(reason)
  })

  test('accepts what is as deep as allowed', () => {
    expect(parseJson('['.repeat(jsonDepthMax) + ']'.repeat(jsonDepthMax)).ok).toBe(true)
  })

  test('one name in two objects is not twice', () => {
    expect(parseJson('[{"a":1},{"a":{"a":2}}]')).toEqual({
      ok: true,
      value: [{ a: 1 }, { a: { a: 2 } }],
    })
  })

  test('a string value before a colon-like string is not a name', () => {
    expect(parseJson('["a",":"]')).toEqual({ ok: true, value: ['a', ':'] })
  })

  test('reads what JSON.parse reads, and a refusal never repeats the text', () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 4 }), (text) => {
        const verdict = parseJson(text)
        if (verdict.ok) expect(verdict.value).toEqual(JSON.parse(text))
        else expect(verdict.reason).not.toContain(text.length > 6 ? text : '\u0000')
      }),
    )
  })

  test('never throws, whatever the text', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => typeof parseJson(text).ok === 'boolean'),
    )
  })
})
