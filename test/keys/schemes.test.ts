import { describe, expect, test } from 'vitest'
import type { KeyPrefix, Scheme } from '../../src/context.ts'
import { findPrefix, presets, schemeFaults } from '../../src/keys/schemes.ts'

const secret = (prefix: string): KeyPrefix => ({ prefix, class: 'secret', environment: 'live' })
const scheme = (changes: Partial<Scheme>): Scheme => ({ ...presets.azotte, ...changes })

test('the five presets say what their sources say', () => {
  const table = Object.entries(presets).map(([name, preset]) => [
    name,
    preset.tenancy,
    preset.headers[0],
    preset.prefixes.map((entry) => `${entry.prefix} ${entry.class} ${entry.environment}`),
  ])
  expect(table).toEqual([
    [
      'azotte',
      'required',
      'x-api-key',
      [
        'pk_dev_ publishable test',
        'sk_dev_ secret test',
        'pk_live_ publishable live',
        'sk_live_ secret live',
      ],
    ],
    ['theazo', 'implied', 'authorization', ['th_test_ secret test', 'th_live_ secret live']],
    [
      'tenzro',
      'implied',
      'authorization',
      ['dev_ secret test', 'prod_ secret live', 'client_ publishable live'],
    ],
    ['generic', 'implied', 'authorization', ['sk_test_ secret test', 'sk_live_ secret live']],
    ['operator', 'none', 'authorization', ['op_live_ secret live']],
  ])
})

test.each(Object.entries(presets))(
  '%s is sound, named, frozen, and takes both headers',
  (name, preset) => {
    expect(preset.name).toBe(name)
    expect(schemeFaults(preset)).toEqual([])
    expect(preset.headers.toSorted()).toEqual(['authorization', 'x-api-key'])
    expect([preset, preset.prefixes, preset.prefixes[0]].every(Object.isFrozen)).toBe(true)
  },
)

describe('findPrefix', () => {
  const prefixes = [secret('sk_'), secret('sk_live_'), secret('sk_live_eu_')]
  test.each([
    ['sk_live_eu_x', 'sk_live_eu_'],
    ['sk_live_x', 'sk_live_'],
    ['sk_x', 'sk_'],
    ['SK_live_x', undefined],
    ['xsk_live_', undefined],
    ['sk', undefined],
    ['', undefined],
  ])('K7: %j starts with %s, the longest that fits', (text, prefix) => {
    expect(findPrefix(text, prefixes)?.prefix).toBe(prefix)
    expect(findPrefix(text, prefixes.toReversed())?.prefix).toBe(prefix)
  })
})

describe('schemeFaults', () => {
  test.each([
    [{ prefixes: [] }, 'at least one'],
    [{ prefixes: [secret('')] }, 'prefix ""'],
    [{ prefixes: [secret('sk_live')] }, '"sk_live"'],
    [{ prefixes: [secret('SK_live_')] }, '"SK_live_"'],
    [{ prefixes: [secret('sk__live_')] }, '"sk__live_"'],
    [{ prefixes: [secret('9_')] }, '"9_"'],
    [{ prefixes: [secret(`${'a'.repeat(32)}_`)] }, 'lower-case words'],
    [{ prefixes: [secret('sk_'), secret('sk_')] }, '"sk_" is listed twice'],
    [{ adopted: [secret('old,')] }, 'adopted prefix "old,"'],
    [{ adopted: [secret('')] }, 'adopted prefix ""'],
    [{ adopted: [secret('old-'), secret('old-')] }, '"old-" is listed twice'],
    [
      { adopted: [{ ...secret('sk_live_'), environment: 'test' as const }] },
      'issued and adopted with different meanings',
    ],
  ])('refuses %j', (changes, fault) => {
    expect(schemeFaults(scheme(changes))).toEqual([expect.stringContaining(fault)])
  })

  test('a prefix may go on as it was adopted, and one may begin like another', () => {
    const prefixes = [secret('sk_'), secret('sk_live_')]
    expect(schemeFaults(scheme({ prefixes, adopted: [secret('sk_live_')] }))).toEqual([])
  })
})
