/** X3, X4: bytes open where they were sealed, and nowhere else. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { checkValue, newSalt, type Place, SessionKey } from '../../src/vault/seal.ts'

const master = new Uint8Array(32).fill(1)
const salt = new Uint8Array(32).fill(2)
const place: Place = {
  scope: { platform: 'plt_a', environment: 'live', tenant: 'acme' },
  session: 'ses_1',
  keyVersion: 1,
}
const sealed = new SessionKey(master, salt, place).seal('NAME', 'value')

type Opening = {
  readonly master: Uint8Array
  readonly salt: Uint8Array
  readonly place: Place
  readonly name: string
}
const here: Opening = { master, salt, place, name: 'NAME' }
const open = ({ master: key, salt: own, place: at, name }: Opening, bytes = sealed) =>
  new SessionKey(key, own, at).open(name, bytes)
const inScope = (scope: Partial<Place['scope']>): Opening => ({
  ...here,
  place: { ...place, scope: { ...place.scope, ...scope } },
})

describe('X3: a secret does not open', () => {
  test.each<[string, Opening]>([
    ['in another tenant', inScope({ tenant: 'Acme' })],
    ['in another environment', inScope({ environment: 'test' })],
    ['on another platform', inScope({ platform: 'plt_b' })],
    ['in another session', { ...here, place: { ...place, session: 'ses_2' } }],
    ['under another version', { ...here, place: { ...place, keyVersion: 2 } }],
    ['under another name', { ...here, name: 'NAMES' }],
    ['under a name of another case', { ...here, name: 'name' }],
    ['with another master key', { ...here, master: new Uint8Array(32).fill(9) }],
    ['X12: with another salt', { ...here, salt: newSalt() }],
    ['X4: where two parts run together alike', { ...inScope({ tenant: 'acmeses' }), name: 'NAME' }],
  ])('%s', (_, opening) => {
    expect(open(here)).toBe('value')
    expect(open(opening)).toBeNull()
  })

  test('X3: any two rows of any places, swapped', () => {
    const word = fc.string({
      unit: fc.constantFrom('a', 'b', '_', '1'),
      minLength: 1,
      maxLength: 3,
    })
    const anywhere = fc.record({
      platform: word,
      environment: fc.constantFrom('test' as const, 'live' as const),
      tenant: word,
      session: word,
      keyVersion: fc.integer({ min: 1, max: 12 }),
      name: word,
    })
    fc.assert(
      fc.property(anywhere, anywhere, (one, other) => {
        const at = ({ session, keyVersion, name, ...scope }: typeof one): Opening => ({
          ...{ master, salt, name },
          place: { scope, session, keyVersion },
        })
        const from = at(one)
        const bytes = new SessionKey(master, salt, from.place).seal(from.name, 'moved')
        const same = JSON.stringify(one) === JSON.stringify(other)
        expect(open(at(other), bytes)).toBe(same ? 'moved' : null)
      }),
    )
  })
})

test('any text comes back as it was', () => {
  const key = new SessionKey(master, salt, place)
  for (const value of ['x', '\ufeffmark', '🔑', '\n', 'é'.repeat(8000), ' spaces ']) {
    expect(key.open('NAME', key.seal('NAME', value))).toBe(value)
  }
})

test('X1: the same value under the same name is never the same bytes', () => {
  const key = new SessionKey(master, salt, place)
  const seals = Array.from({ length: 100 }, () => Buffer.from(key.seal('A', 'b')).toString('hex'))
  expect(new Set(seals).size).toBe(100)
})

test.each([0, 16, 31, 33, 64])('a master key or a salt of %i bytes throws', (length) => {
  expect(() => new SessionKey(new Uint8Array(length), salt, place)).toThrow(RangeError)
  expect(() => new SessionKey(master, new Uint8Array(length), place)).toThrow(RangeError)
})

test('X7: a key shows nothing of itself', () => {
  const key = new SessionKey(master, salt, place)
  expect(JSON.stringify(key)).toBe('{}')
})

test('a check value tells keys and versions apart, and is no key', () => {
  const check = checkValue(master, 1)
  expect(check).toHaveLength(32)
  expect(checkValue(master, 1)).toEqual(check)
  expect(checkValue(master, 2)).not.toEqual(check)
  expect(checkValue(salt, 1)).not.toEqual(check)
  expect(Buffer.from(check)).not.toEqual(Buffer.from(master))
})
