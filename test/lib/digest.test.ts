import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { digestsEqual, hmacSha256, sha256, sha256Name } from '../../src/lib/digest.ts'

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')
const bytes = (text: string) => new TextEncoder().encode(text)

describe('sha256', () => {
  test.each([
    ['', 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'],
    ['abc', 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad'],
  ])('of %j is the digest of FIPS 180-4', (text, digest) => {
    expect(hex(sha256(text))).toBe(digest)
  })

  test('reads text as UTF-8, and its name is the same digest', () => {
    const expected = createHash('sha256').update('acmé', 'utf8').digest('base64url')
    expect(sha256Name('acmé')).toBe(expected)
    expect(Buffer.from(sha256('acmé')).toString('base64url')).toBe(expected)
    expect(sha256Name('acmé')).toHaveLength(43)
  })
})

describe('hmacSha256', () => {
  // RFC 4231 4.3 and 4.7 (a secret longer than a block).
  test.each([
    [
      bytes('Jefe'),
      'what do ya want for nothing?',
      '5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843',
    ],
    [
      new Uint8Array(131).fill(0xaa),
      'Test Using Larger Than Block-Size Key - Hash Key First',
      '60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54',
    ],
  ])('agrees with RFC 4231 (%#)', (secret, data, digest) => {
    expect(hex(hmacSha256(secret, bytes(data)))).toBe(digest)
  })
})

describe('digestsEqual', () => {
  const digest = sha256('abc')
  test.each([
    ['the first bit', digest.with(0, digest[0]! ^ 1)],
    ['the last bit', digest.with(31, digest[31]! ^ 1)],
    ['a shorter one', digest.subarray(0, 31)],
    ['none at all', new Uint8Array()],
  ])('K2: refuses a digest that differs in %s', (_, other) => {
    expect(digestsEqual(digest, other)).toBe(false)
    expect(digestsEqual(other, digest)).toBe(false)
  })

  test('accepts the same digest in another array', () => {
    expect(digestsEqual(digest, new Uint8Array(digest))).toBe(true)
  })
})
