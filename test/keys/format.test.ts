import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { KeyPrefix, Scheme } from '../../src/context.ts'
import {
  generateKey,
  keyPattern,
  parseKey,
  storedDigest,
  wrapDigest,
} from '../../src/keys/format.ts'
import { presets } from '../../src/keys/schemes.ts'
import { sha256 } from '../../src/lib/digest.ts'
import { digits, fuzzRuns, pepper1, pepper2, shortened, withCheck } from './store.ts'

const good = withCheck(`sk_live_k7Gh2Qm9x_${'a'.repeat(32)}`)
const codeOf = (key: string, scheme: Scheme = presets.azotte) => {
  const parsed = parseKey(key, scheme)
  return parsed.ok ? 'ok' : parsed.refusal.code
}

/** Pairs of a key and the code that it is answered with. */
const cases = (table: readonly (readonly [string, string])[]) =>
  shortened(table.map(([text]) => text)).map((row, at) => ({ ...row, code: table[at]![1] }))

describe('a generated key', () => {
  test('has the shape that was promised, and its checksum is the CRC-32 of zip', () => {
    const { key, ref, last4 } = generateKey('sk_live_')
    expect(key).toMatch(/^sk_live_[0-9A-Za-z]{9}_[0-9A-Za-z]{38}$/)
    expect(key).toBe(withCheck(key.slice(0, -6)))
    expect(key.slice(8, 17)).toBe(ref)
    expect(key.slice(-4)).toBe(last4)
  })

  test.each(
    Object.values(presets).flatMap((preset) => preset.prefixes.map((p) => [p, preset] as const)),
  )('is read back under $prefix', (prefix, preset) => {
    const { key, ref, last4 } = generateKey(prefix.prefix)
    expect(parseKey(key, preset)).toEqual({ ok: true, prefix, ref, last4, adopted: false })
  })

  test('K1: no two of 20 000 are alike, and their characters are evenly drawn', () => {
    const keys = Array.from({ length: 20_000 }, () => generateKey('sk_live_'))
    expect(new Set(keys.map(({ key }) => key)).size).toBe(keys.length)
    expect(new Set(keys.map(({ ref }) => ref)).size).toBe(keys.length)
    const drawn = keys.map(({ key, ref }) => ref + key.slice(18, -6)).join('')
    const counts = new Map<string, number>()
    for (const digit of drawn) counts.set(digit, (counts.get(digit) ?? 0) + 1)
    expect([...counts.keys()].toSorted()).toEqual([...digits].toSorted())
    const expected = drawn.length / digits.length
    const chiSquare = [...counts.values()].reduce(
      (sum, n) => sum + (n - expected) ** 2 / expected,
      0,
    )
    // 61 degrees of freedom: an even draw exceeds this once in 10^9 runs. Bytes modulo 62 without
    // rejection come out near 9 000.
    expect(chiSquare).toBeLessThan(153)
  })

  test('keeps the ref it is given, under another secret', () => {
    const first = generateKey('sk_live_')
    const second = generateKey('sk_live_', first.ref)
    expect(second.ref).toBe(first.ref)
    expect(second.key.slice(18, 50)).not.toBe(first.key.slice(18, 50))
  })

  test('does not match the pattern of another vendor that shares the prefix', () => {
    for (let round = 0; round < 1000; round++) {
      expect(generateKey('sk_live_').key).not.toMatch(/sk_live_[0-9a-zA-Z]{10,}/)
    }
  })
})

describe('parseKey', () => {
  test.each(
    cases([
      ['', 'auth/invalid_key'],
      ['sk_live', 'auth/invalid_key'],
      ['sk_prod_k7Gh2Qm9x', 'auth/invalid_key'],
      [`SK_LIVE_${good.slice(8)}`, 'auth/invalid_key'],
      ['sk_live_', 'auth/malformed_key'],
      ['sk_live_k7Gh2Qm9x', 'auth/malformed_key'],
      [good.slice(0, -1), 'auth/malformed_key'],
      [`${good}0`, 'auth/malformed_key'],
      [` ${good}`, 'auth/invalid_key'],
      [`${good} `, 'auth/malformed_key'],
      [`${good}\0`, 'auth/malformed_key'],
      [good.replace('k7Gh2Qm9x_', 'k7Gh2Qm9x-'), 'auth/malformed_key'],
      [withCheck(`sk_live_k7Gh2Qm9xa${'a'.repeat(32)}`), 'auth/malformed_key'],
      [withCheck(`sk_live_k7Gh2Qm9_a${'a'.repeat(32)}`), 'auth/malformed_key'],
      [withCheck(`sk_live_k7Gh2Qm9x_${'a'.repeat(31)}`), 'auth/malformed_key'],
      [withCheck(`sk_live_k7Gh2Qm9x_${'a'.repeat(31)}-`), 'auth/malformed_key'],
      [`${good.slice(0, 20)}\u0430${good.slice(21)}`, 'auth/malformed_key'],
      [`${good.slice(0, 20)}\uff41${good.slice(21)}`, 'auth/malformed_key'],
      [`sk_live_${'a'.repeat(100_000)}`, 'auth/malformed_key'],
    ]),
  )('K8: refuses $name with $code', ({ text: key, code }) => {
    expect(codeOf(key)).toBe(code)
  })

  test('K6, K8: any one character changed, or its case swapped, is refused', () => {
    for (let at = 8; at < good.length; at++) {
      const letter = good[at]!
      const swapped = letter === letter.toLowerCase() ? letter.toUpperCase() : letter.toLowerCase()
      const others = [swapped, ...digits].filter((other) => other !== letter)
      for (const other of others) {
        expect(codeOf(good.slice(0, at) + other + good.slice(at + 1))).toBe('auth/malformed_key')
      }
    }
  })

  test('K8: two neighbours that changed places are refused', () => {
    const { key } = generateKey('sk_live_')
    for (let at = 8; at < key.length - 1; at++) {
      const [a, b] = [key[at]!, key[at + 1]!]
      if (a !== b) expect(codeOf(key.slice(0, at) + b + a + key.slice(at + 2))).not.toBe('ok')
    }
  })

  test('K7: a body that was issued under one prefix is refused under another', () => {
    const { key } = generateKey('pk_live_')
    expect(codeOf(key.replace('pk_live_', 'sk_live_'))).toBe('auth/malformed_key')
    expect(codeOf(key.replace('pk_live_', 'pk_dev_'))).toBe('auth/malformed_key')
  })

  test('K8: no random string after a prefix is taken for a key, and none throws', () => {
    const text = fc.string({ unit: 'binary', maxLength: 80 })
    fc.assert(
      fc.property(fc.constantFrom('', 'sk_live_', 'sk_live_k7Gh2Qm9x_'), text, (prefix, rest) => {
        expect(codeOf(prefix + rest)).not.toBe('ok')
      }),
      { numRuns: fuzzRuns },
    )
  })

  test('K3: a refusal says nothing of what was shown', () => {
    expect(JSON.stringify(parseKey(`${good.slice(0, -1)}!`, presets.azotte))).not.toContain('aaaa')
  })
})

describe('an adopted key', () => {
  const adopt = (...prefixes: string[]): Scheme => ({
    ...presets.azotte,
    adopted: prefixes.map(
      (prefix): KeyPrefix => ({ prefix, class: 'secret', environment: 'live' }),
    ),
  })

  test.each(
    cases([
      ['old-', 'auth/malformed_key'],
      [`old-${'x'.repeat(15)}`, 'auth/malformed_key'],
      [`old-${'x'.repeat(15)},`, 'auth/malformed_key'],
      [`old-${'x'.repeat(15)} `, 'auth/malformed_key'],
      [`old-${'x'.repeat(15)}é`, 'auth/malformed_key'],
      [`old-${'x'.repeat(509)}`, 'auth/malformed_key'],
      [`new-${'x'.repeat(32)}`, 'auth/invalid_key'],
      [`old-${'x'.repeat(508)}`, 'ok'],
      [`old-${'x'.repeat(12)}.-_=`, 'ok'],
    ]),
  )('$name: $code', ({ text: key, code }) => {
    expect(codeOf(key, adopt('old-'))).toBe(code)
  })

  test('has no ref and skips the checksum', () => {
    expect(parseKey('old-0123456789abcdef', adopt('old-'))).toMatchObject({
      ok: true,
      ref: '',
      last4: 'cdef',
      adopted: true,
    })
  })

  test('may share a prefix with issued keys: a right checksum tells them apart', () => {
    const scheme = adopt('sk_live_')
    expect(parseKey(good, scheme)).toMatchObject({ adopted: false, ref: 'k7Gh2Qm9x' })
    expect(parseKey('sk_live_51H8xYzAbCdEfGhIjKl', scheme)).toMatchObject({
      adopted: true,
      ref: '',
    })
  })

  test('K8: a shorter adopted prefix does not take over the typos of issued keys', () => {
    expect(codeOf(`${good.slice(0, -1)}0`, adopt('sk_'))).toBe('auth/malformed_key')
    expect(codeOf('sk_51H8xYzAbCdEfGhIjKl', adopt('sk_'))).toBe('ok')
  })
})

describe('keyPattern', () => {
  const pattern = new RegExp(keyPattern('sk_live_'), 'g')

  test('finds every generated key in a text, and nothing longer or shorter', () => {
    for (let round = 0; round < 1000; round++) {
      const { key } = generateKey('sk_live_')
      expect(`KEY="${key}"\n`.match(pattern)).toEqual([key])
      expect([`${key}a`, `a${key}`, key.slice(0, -1)].join('\n').match(pattern)).toBeNull()
    }
  })

  test('takes a prefix literally', () => {
    expect(keyPattern('a.b-')).toMatch(/^\\ba\\\.b\\-\[/)
  })
})

describe('storedDigest', () => {
  test('K4: is the HMAC of the digest: neither the key, nor its SHA-256, nor without the pepper', () => {
    const stored = storedDigest(good, pepper1)
    expect(stored).toHaveLength(32)
    expect(stored).toEqual(wrapDigest(sha256(good), pepper1))
    expect(stored).not.toEqual(sha256(good))
    expect(stored).not.toEqual(storedDigest(good, pepper2))
  })
})
