/** Against published vectors, WebCrypto, and whatever bends a bit. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { hkdfSha256, openBytes, sealBytes, sealedOverheadBytes } from '../../src/lib/aead.ts'

const bytes = (hex: string) => new Uint8Array(Buffer.from(hex, 'hex'))
const hex = (found: Uint8Array | null) =>
  found === null ? null : Buffer.from(found).toString('hex')
const key = bytes('feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308')
const associated = new TextEncoder().encode('where it stands')

describe('X6: HKDF-SHA-256', () => {
  // RFC 5869 appendix A.1 to A.3, the first 32 bytes of OKM: T(1).
  test.each([
    [
      'A.1',
      '0b'.repeat(22),
      '000102030405060708090a0b0c',
      'f0f1f2f3f4f5f6f7f8f9',
      '3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf',
    ],
    [
      'A.2',
      Array.from({ length: 80 }, (_, i) => i.toString(16).padStart(2, '0')).join(''),
      Array.from({ length: 80 }, (_, i) => (0x60 + i).toString(16)).join(''),
      Array.from({ length: 80 }, (_, i) => (0xb0 + i).toString(16)).join(''),
      'b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c',
    ],
    [
      'A.3',
      '0b'.repeat(22),
      '',
      '',
      '8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d',
    ],
  ])('RFC 5869 %s', (_, secret, salt, info, okm) => {
    expect(hex(hkdfSha256(bytes(secret), bytes(salt), bytes(info)))).toBe(okm)
  })

  test('as WebCrypto does it', async () => {
    const part = fc.uint8Array({ minLength: 0, maxLength: 200 })
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ minLength: 1, maxLength: 64 }),
        part,
        part,
        async (...all) => {
          const [secret, salt, info] = all.map((one) => Uint8Array.from(one))
          const material = await crypto.subtle.importKey('raw', secret!, 'HKDF', false, [
            'deriveBits',
          ])
          const options = { name: 'HKDF', hash: 'SHA-256', salt: salt!, info: info! }
          const expected = await crypto.subtle.deriveBits(options, material, 256)
          expect(hex(hkdfSha256(...all))).toBe(hex(new Uint8Array(expected)))
        },
      ),
      { numRuns: 50 },
    )
  })
})

/** The GCM specification that NIST took (McGrew and Viega), appendix B: the cases with a 256-bit key. */
const vectors: readonly [
  name: string,
  key: string,
  iv: string,
  plain: string,
  associated: string,
  cipher: string,
  tag: string,
][] = [
  [
    ...(['13', '00'.repeat(32), '00'.repeat(12), '', '', ''] as const),
    '530f8afbc74536b9a963b4f1c4cb738b',
  ],
  [
    ...(['14', '00'.repeat(32), '00'.repeat(12), '00'.repeat(16), ''] as const),
    'cea7403d4d606b6e074ec5d3baf39d18',
    'd0d1c8a799996bf0265b98b5d48ab919',
  ],
  [
    ...(['15', Buffer.from(key).toString('hex'), 'cafebabefacedbaddecaf888'] as const),
    'd9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255',
    '',
    '522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad',
    'b094dac5d93471bdec1a502270e3cc6c',
  ],
  [
    ...(['16', Buffer.from(key).toString('hex'), 'cafebabefacedbaddecaf888'] as const),
    'd9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39',
    'feedfacedeadbeeffeedfacedeadbeefabaddad2',
    '522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662',
    '76fc6ece0f4e1768cddf8853bb2d551b',
  ],
]

describe('X6: AES-256-GCM', () => {
  test.each(vectors)('opens test case %s', (_, secret, iv, plain, aad, cipher, tag) => {
    expect(hex(openBytes(bytes(secret), bytes(iv + cipher + tag), bytes(aad)))).toBe(plain)
  })

  test.each(vectors)(
    'X2: refuses test case %s with any bit turned',
    (...[, secret, iv, , aad, cipher, tag]) => {
      const sealed = bytes(iv + cipher + tag)
      for (let bit = 0; bit < sealed.length * 8; bit++) {
        const bent = Uint8Array.from(sealed)
        bent[bit >> 3]! ^= 1 << (bit & 7)
        expect(openBytes(bytes(secret), bent, bytes(aad))).toBeNull()
      }
    },
  )

  test('WebCrypto opens what is sealed', async () => {
    const imported = await crypto.subtle.importKey('raw', key, 'AES-GCM', false, ['decrypt'])
    for (const length of [0, 1, 15, 16, 17, 1024, 16_384]) {
      const plain = crypto.getRandomValues(new Uint8Array(length))
      const sealed = Uint8Array.from(sealBytes(key, plain, associated))
      expect(sealed.length).toBe(length + sealedOverheadBytes)
      const options = { name: 'AES-GCM', iv: sealed.subarray(0, 12), additionalData: associated }
      const opened = await crypto.subtle.decrypt(options, imported, sealed.subarray(12))
      expect(hex(new Uint8Array(opened))).toBe(hex(plain))
      expect(hex(openBytes(key, sealed, associated))).toBe(hex(plain))
    }
  })

  test.each([0, 4, 8, 12, 13, 14, 15])('X2: a tag of %i bytes is refused', (length) => {
    for (const plain of ['', 'x', 'a longer text than one block of the cipher']) {
      const sealed = sealBytes(key, new TextEncoder().encode(plain), associated)
      expect(openBytes(key, sealed.subarray(0, sealed.length - 16 + length), associated)).toBeNull()
    }
  })

  test('X2: nothing, a nonce alone and a tag alone are refused', () => {
    for (const length of [0, 1, 12, 16, 27]) {
      expect(openBytes(key, new Uint8Array(length), associated)).toBeNull()
    }
  })

  test('another key, and other associated data, open nothing', () => {
    const sealed = sealBytes(key, bytes('00'), associated)
    expect(openBytes(bytes('00'.repeat(32)), sealed, associated)).toBeNull()
    expect(openBytes(key, sealed, new Uint8Array())).toBeNull()
    expect(openBytes(key, sealed, associated.subarray(1))).toBeNull()
  })

  test.each([0, 16, 24, 31, 33])('a key of %i bytes throws', (length) => {
    expect(() => sealBytes(new Uint8Array(length), bytes('00'), associated)).toThrow(RangeError)
  })

  // The bench counts a million of them.
  test('X1: a hundred thousand seals under one key have as many nonces', () => {
    const one = bytes('00')
    const seen = new Set<string>()
    for (let n = 0; n < 100_000; n++) {
      seen.add(Buffer.from(sealBytes(key, one, associated).buffer, 0, 12).toString('latin1'))
    }
    expect(seen.size).toBe(100_000)
  })
})
