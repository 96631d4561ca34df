import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { createKeyRings, epochMs, type KeyRing } from '../../src/proxy/signing.ts'
import { platformOf } from './callers.ts'
import { publicX, signingKey } from './forge.ts'

const master = new Uint8Array(32).fill(7)
const acme = platformOf('plt_acme')
const day = 24 * 60 * 60 * 1000
/** The middle of epoch 1000. */
const now = 1000 * epochMs + 15 * day

const made = async (given = master, platform = acme, nowMs = now): Promise<KeyRing> =>
  createKeyRings(given)(platform, nowMs)
const kids = (ring: KeyRing) => ring.published.keys.map(({ kid }) => kid)

test.each([0, 16, 31, 33, 64])('a master key of %d bytes is refused', (length) => {
  expect(() => createKeyRings(new Uint8Array(length))).toThrow(/32 bytes/)
})

describe('the keys of a platform', () => {
  test('are what another implementation of HKDF and Ed25519 makes of the same words', async () => {
    const { published } = await made()
    expect(published.keys.map(({ x }) => x)).toEqual(
      [999, 1000, 1001].map((epoch) => publicX(signingKey(master, 'plt_acme', epoch))),
    )
    // Pinned: with other words, every upstream meets keys that it does not know.
    expect(published.keys[1]).toEqual({
      kty: 'OKP',
      crv: 'Ed25519',
      x: 'ar9DPvHlzEcElcPAMGZYnUlr1DAessJ5NmR2Sj94esg',
      kid: '2dO2-m3U7ESedkXHaIxwnabqMZr4MnP4g8cKa9AAG3M',
      use: 'sig',
      alg: 'EdDSA',
    })
  })

  test('are named by their RFC 7638 thumbprint', async () => {
    const ring = await made()
    for (const { crv, kty, x, kid } of ring.published.keys) {
      const digest = createHash('sha256').update(JSON.stringify({ crv, kty, x }))
      expect(kid).toBe(digest.digest('base64url'))
    }
    expect(ring.kid).toBe(kids(ring)[1])
  })

  test('are published without their private half, and the signing one cannot be exported', async () => {
    const { published, privateKey } = await made()
    for (const each of published.keys) {
      expect(Object.keys(each).sort()).toEqual(['alg', 'crv', 'kid', 'kty', 'use', 'x'])
    }
    expect(privateKey.extractable).toBe(false)
    expect(privateKey.usages).toEqual(['sign'])
  })

  test('differ from those of every other platform, master key and epoch', async () => {
    const rings = await Promise.all([
      made(),
      made(master, platformOf('plt_other')),
      made(new Uint8Array(32).fill(8)),
      made(master, acme, now + 3 * epochMs),
      // X4: put together without their lengths, these are plt_acme in epoch 999, and in epoch 1000.
      made(master, { ...acme, id: 'plt_acme9' }, 99 * epochMs),
      made(master, { ...acme, id: 'plt_acme100' }, 0),
    ])
    const all = rings.flatMap(kids)
    expect(new Set(all).size).toBe(3 * rings.length)
  })

  test('stay the same when whoever gave the master key wipes it', async () => {
    const given = new Uint8Array(master)
    const ringOf = createKeyRings(given)
    given.fill(0)
    expect(kids(await ringOf(acme, now))).toEqual(kids(await made()))
  })
})

describe('rotation', () => {
  test('what signs has been published for 30 days, and will be for 30 more', async () => {
    const before = await made(master, acme, now - epochMs)
    const current = await made()
    const after = await made(master, acme, now + epochMs)
    expect(kids(before)[2]).toBe(current.kid)
    expect(kids(after)[0]).toBe(current.kid)
    expect(before.kid).not.toBe(current.kid)
  })

  test('a set that was fetched a day before or after names the key of the moment', async () => {
    const edge = 1000 * epochMs
    for (const at of [edge - 1, edge, edge + 1]) {
      const { kid } = await made(master, acme, at)
      expect(kids(await made(master, acme, at - day))).toContain(kid)
      expect(kids(await made(master, acme, at + day))).toContain(kid)
    }
  })
})

describe('memory', () => {
  test('the first callers of an epoch share one making; later ones wait for nothing', async () => {
    const ringOf = createKeyRings(master)
    const first = ringOf(acme, now)
    expect(first).toBeInstanceOf(Promise)
    expect(ringOf(acme, now)).toBe(first)
    const ring = await first
    expect(ringOf(acme, now + day)).toBe(ring)
  })

  test('the next epoch is made once it has begun', async () => {
    const ringOf = createKeyRings(master)
    const ring = await ringOf(acme, now)
    const next = await ringOf(acme, now + epochMs)
    expect([ring.epoch, next.epoch]).toEqual([1000, 1001])
    expect(ringOf(acme, now + epochMs)).toBe(next)
  })
})
