import { expect, test } from 'vitest'
import { pathText, quote, renderErrors } from '../../src/config/report.ts'

test.each([
  [[], ''],
  [['platforms', 0, 'slug'], 'platforms[0].slug'],
  [['a b', 'c.d', 1], '["a b"]["c.d"][1]'],
  [['x'.repeat(80)], `["${'x'.repeat(39)}…"]`],
])('the path %j is written %s', (path, text) => {
  expect(pathText(path)).toBe(text)
})

test('quoted text is short and has nothing unprintable in it', () => {
  expect(quote('a"b')).toBe('"a\\"b"')
  expect(quote('é\u001b[31m\u202e\u2028')).toBe('"é\\u001b[31m\\u{202e}\\u{2028}"')
  expect(quote('x'.repeat(100))).toHaveLength(42)
})

test('an error is one line, whatever it is about', () => {
  const error = {
    file: 'a.yaml',
    line: 2,
    column: 3,
    path: 'b',
    message: 'is\nwrong',
    fix: 'mend it',
  }
  expect(renderErrors([error])).toBe('a.yaml:2:3 b: is\\u{a}wrong; mend it')
  expect(renderErrors([{ ...error, line: 0, column: 0, path: '', fix: undefined }])).toBe(
    'a.yaml is\\u{a}wrong',
  )
  expect(renderErrors([])).toBe('')
})
