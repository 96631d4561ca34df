import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isSecretName, readSecrets, secretsMax, valueBytesMax } from '../../src/vault/names.ts'

const canary = 'sk-canary-8f2b1c'
/** The locations and codes of a refusal; fails where there is none. */
function flaws(body: unknown): readonly string[] {
  const read = readSecrets(body)
  if (!('code' in read)) throw new Error('it was not refused')
  expect(read.code).toBe('request/invalid')
  expect(JSON.stringify(read)).not.toContain(canary)
  return (read.errors ?? []).map(({ location, code }) => `${location} ${code}`)
}

describe('what is no secrets is refused', () => {
  test.each<[string, unknown, string[]]>([
    ['nothing', undefined, ['body invalid_type']],
    ['null', null, ['body invalid_type']],
    ['text', canary, ['body invalid_type']],
    ['a list', [canary], ['body invalid_type']],
    ['an empty object', {}, ['body too_small']],
    ['a number', { A: 1 }, ['body.A invalid_type']],
    ['null as a value', { A: null }, ['body.A invalid_type']],
    ['a nested object', { A: { B: canary } }, ['body.A invalid_type']],
    ['an empty value', { A: '' }, ['body.A too_small']],
    ['NUL in a value', { A: `${canary}\0` }, ['body.A invalid_value']],
    ['half a surrogate pair', { A: `${canary}\ud800` }, ['body.A invalid_value']],
    ['a value too long', { A: canary.padEnd(valueBytesMax + 1, 'x') }, ['body.A too_big']],
    ['a value too long in bytes', { A: 'é'.repeat(valueBytesMax / 2 + 1) }, ['body.A too_big']],
    ['an empty name', { '': canary }, ['body invalid_name']],
    ['a name that starts with a digit', { '1A': canary }, ['body invalid_name']],
    ['a name with a dash', { 'A-B': canary }, ['body invalid_name']],
    ['a name with a line', { 'A\nB': canary }, ['body invalid_name']],
    ['a name that ends with a line', { 'A\n': canary }, ['body invalid_name']],
    ['a name in other letters', { Ä: canary }, ['body invalid_name']],
    ['a name too long', { ['A'.repeat(129)]: canary }, ['body invalid_name']],
    ['PATH', { PATH: canary }, ['body.PATH reserved_name']],
    ['path', { path: canary }, ['body.path reserved_name']],
    ['LD_PRELOAD', { LD_PRELOAD: canary }, ['body.LD_PRELOAD reserved_name']],
    [
      'DYLD_INSERT_LIBRARIES',
      { DYLD_INSERT_LIBRARIES: canary },
      ['body.DYLD_INSERT_LIBRARIES reserved_name'],
    ],
    ['NODE_OPTIONS', { NODE_OPTIONS: canary }, ['body.NODE_OPTIONS reserved_name']],
    ['our own', { POSTERN_MASTER_KEY: canary }, ['body.POSTERN_MASTER_KEY reserved_name']],
    ['X7: name and value swapped', { [canary]: 'NAME' }, ['body invalid_name']],
    [
      'everything at once',
      { A: 1, PATH: 'x', 'B-': 'x', C: canary },
      [...['body.A invalid_type', 'body.PATH reserved_name', 'body invalid_name']],
    ],
  ])('%s', (_, body, expected) => {
    expect(flaws(body)).toEqual(expected)
  })

  test('one name more than a session may have', () => {
    const many = Object.fromEntries(
      Array.from({ length: secretsMax + 1 }, (_, n) => [`A${n}`, 'x']),
    )
    expect(flaws(many)).toEqual(['body too_big'])
  })
})

test('what may be is read as it stands', () => {
  const body = {
    OPENAI_API_KEY: 'sk-1',
    _x: ' ',
    constructor: 'G7: a name like another',
    toString: 'x',
    MAXIMUM: 'x'.repeat(valueBytesMax),
    WIDE: 'é'.repeat(valueBytesMax / 2),
    ['N'.repeat(128)]: 'x',
  }
  const read = readSecrets(body)
  expect('code' in read ? read : Object.fromEntries(read)).toEqual(body)
})

test('G7: nothing that is read reaches a prototype', () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string(), fc.string()), (body) => {
      readSecrets(body)
      expect(Object.keys(Object.prototype)).toEqual([])
    }),
  )
})

test.each(['', '1', 'a b', 'PATH', 'Ld_X', 'a'.repeat(129), 'a\n'])('%j is no name', (name) => {
  expect(isSecretName(name)).toBe(false)
})
