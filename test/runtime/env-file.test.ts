import {
  chmodSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeEach, describe, expect, test } from 'vitest'
import { readEnvFile, writeEnvFile } from '../../src/runtime/node/env-file.ts'

let folder: string
let file: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'postern-env-'))
  file = join(folder, '.env.local')
  return () => rmSync(folder, { recursive: true, force: true })
})

const text = () => readFileSync(file, 'utf8')

describe('reading', () => {
  test('no file is no entries', () => {
    expect(readEnvFile(file)).toEqual(new Map())
  })

  const lines: readonly [string, string, [string, string][]][] = [
    ['a comment', '# A=1', []],
    ['a name in lower case', 'a=1', []],
    ['no value', 'A=', [['A', '']]],
    ['spaces around', '  A= 1 ', [['A', '1']]],
    ['export', 'export A=1', [['A', '1']]],
    ['double quotes', 'A="1 2"', [['A', '1 2']]],
    ['single quotes', "A='1'", [['A', '1']]],
    ['quotes that do not match', `A="1'`, [['A', `"1'`]]],
    ['an equals sign in the value', 'A=b=c', [['A', 'b=c']]],
    [
      'a line ending of Windows',
      'A=1\r\nB=2\r\n',
      [
        ['A', '1'],
        ['B', '2'],
      ],
    ],
    ['the last of two, as a shell reads it', 'A=1\nA=2', [['A', '2']]],
  ]
  test.each(lines)('%s', (_, written, entries) => {
    writeFileSync(file, written)
    expect([...readEnvFile(file)]).toEqual(entries)
  })
})

describe('writing', () => {
  test('other lines keep their words and their order, and a name keeps its place', () => {
    writeFileSync(file, '# mine\nA=1\n\nexport B="old"\nC=3')
    writeEnvFile(
      file,
      new Map([
        ['B', 'new'],
        ['D', '4'],
      ]),
    )
    expect(text()).toBe('# mine\nA=1\n\nB=new\nC=3\nD=4\n')
  })

  test('a name that stands twice has one value afterwards', () => {
    writeFileSync(file, 'A=1\nA=2\n')
    writeEnvFile(file, new Map([['A', '3']]))
    expect(text()).toBe('A=3\nA=3\n')
  })

  test('it is for its owner alone, also where it was not', () => {
    writeEnvFile(file, new Map([['A', '1']]))
    expect(statSync(file).mode & 0o777).toBe(0o600)
    chmodSync(file, 0o644)
    writeEnvFile(file, new Map([['A', '1']]))
    expect(statSync(file).mode & 0o777).toBe(0o600)
  })

  test('where nothing changes it is not touched, and nothing is left beside it', () => {
    writeEnvFile(file, new Map([['A', '1']]))
    const { ino } = statSync(file)
    writeEnvFile(file, new Map([['A', '1']]))
    expect(statSync(file).ino).toBe(ino)
    expect(readdirSync(folder)).toEqual(['.env.local'])
  })
})
