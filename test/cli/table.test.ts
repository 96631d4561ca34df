import { expect, test } from 'vitest'
import { relative, table } from '../../src/cli/table.ts'
import { json, jsonLine, plain } from '../../src/cli/terminal.ts'

test('a name from elsewhere moves no cursor and turns no text around', () => {
  const hostile = 'a\u001b[2Jb\u009b31mc\u202ed\re\tf'
  const shown = 'a\\u001b[2Jb\\u009b31mc\\u202ed\\u000de\\u0009f'
  expect(plain(hostile)).toBe(shown)
  expect(table([['NAME', (row: string) => row]], [`${hostile}\nx`])).toBe(`NAME\n${shown} x\n`)
  expect(json({ name: 'a\u009b' })).toBe('{\n  "name": "a\\u009b"\n}')
  expect(JSON.parse(jsonLine({ name: 'a\u009b\u007f' }))).toEqual({ name: 'a\u009b\u007f' })
})

test('columns are as wide as what stands in them, and nothing trails', () => {
  const rows = [
    ['key_1', 'a'],
    ['k', 'longer'],
  ] as const
  const columns = [
    ['ID', ([id]: (typeof rows)[number]) => id],
    ['NAME', ([, name]: (typeof rows)[number]) => name],
  ] as const
  expect(table(columns, rows)).toBe('ID     NAME\nkey_1  a\nk      longer\n')
  expect(table(columns, [])).toBe('ID  NAME\n')
})

const now = Date.parse('2026-11-25T10:00:00Z')
test.each([
  [null, '-'],
  ['2026-11-25T10:00:00Z', 'now'],
  ['2026-11-25T09:59:30Z', '30 s ago'],
  ['2026-11-25T09:00:00Z', '1 h ago'],
  ['2026-11-22T09:00:00Z', '3 d ago'],
  ['2026-11-25T10:05:00Z', 'in 5 min'],
  ['2027-02-23T10:00:00Z', 'in 90 d'],
])('%s is %s', (time, said) => {
  expect(relative(time, now)).toBe(said)
})
