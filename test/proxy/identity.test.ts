import { createLocalJWKSet, type JSONWebKeySet, jwtVerify } from 'jose'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Platform, Principal } from '../../src/context.ts'
import { createIdentity, identityType } from '../../src/proxy/identity.ts'
import { epochMs } from '../../src/proxy/signing.ts'
import { platformOf, principalOf, upstreamOf } from './callers.ts'
import { decodePart } from './forge.ts'

const masterKey = new Uint8Array(32).fill(7)
const acme = platformOf('plt_acme')
const other = platformOf('plt_other')
const orders = upstreamOf('orders')
const caller = principalOf(acme)
const now = 1_800_000_000_400

const make = () => createIdentity({ masterKey })
const claimsOf = (token: string) => decodePart(token.split('.')[1])

/** As an upstream does it, with nothing but the published keys. */
async function verify(token: string, platform: Platform, audience: string, nowMs = now) {
  // A key set is readonly to us, and jose only reads it.
  const keys = createLocalJWKSet((await make().jwks(platform, nowMs)) as JSONWebKeySet)
  return jwtVerify(token, keys, {
    issuer: platform.issuer,
    audience,
    typ: identityType,
    algorithms: ['EdDSA'],
    maxTokenAge: 60,
    requiredClaims: ['exp', 'sub'],
    currentDate: new Date(nowMs),
  })
}

test.each([0, -1, 1.5, Number.NaN])('room for %d tokens is refused', (tokensMax) => {
  expect(() => createIdentity({ masterKey, tokensMax })).toThrow(/positive integer/)
})

describe('a token', () => {
  test('says who is calling, and nothing else: the wire format', async () => {
    const token = await make().tokenFor(acme, orders, caller, now)
    const [header, claims] = token.split('.', 2).map(decodePart)
    expect(header).toEqual({
      alg: 'EdDSA',
      typ: 'postern-identity+jwt',
      kid: (await make().jwks(acme, now)).keys[1]?.kid,
    })
    expect(claims).toEqual({
      iss: 'urn:postern:plt_acme',
      aud: 'orders',
      sub: 'key_1',
      platform: 'plt_acme',
      tenant: 'tenant_abc123',
      env: 'live',
      class: 'secret',
      permissions: ['vec:read', 'data:*'],
      iat: 1_800_000_000,
      exp: 1_800_000_060,
    })
    expect(token).not.toMatch(/k7Gh2Qm9x|wxyz/)
  })

  test('has no tenant where the platform has none', async () => {
    const token = await make().tokenFor(acme, orders, principalOf(acme, { tenant: null }), now)
    expect(claimsOf(token)).not.toHaveProperty('tenant')
  })

  test('is verified with the published keys', async () => {
    const token = await make().tokenFor(acme, orders, caller, now)
    const { payload } = await verify(token, acme, 'orders')
    expect(payload).toMatchObject({ sub: 'key_1', tenant: 'tenant_abc123' })
  })

  test('is no token of another platform, even with the same issuer', async () => {
    const token = await make().tokenFor(acme, orders, caller, now)
    await expect(verify(token, other, 'orders')).rejects.toThrow(/no applicable key/)
    const twin = { ...other, issuer: acme.issuer }
    await expect(verify(token, twin, 'orders')).rejects.toThrow(/no applicable key/)
  })

  test('J7: is refused by another upstream, and by one whose name only begins alike', async () => {
    const token = await make().tokenFor(acme, orders, caller, now)
    for (const audience of ['billing', 'order', 'orders2', 'urn:postern:plt_acme']) {
      await expect(verify(token, acme, audience)).rejects.toThrow(/"aud"/)
    }
  })

  test('is dead after a minute', async () => {
    const token = await make().tokenFor(acme, orders, caller, now)
    await verify(token, acme, 'orders', now + 59_000)
    await expect(verify(token, acme, 'orders', now + 60_000)).rejects.toThrow(/"exp"/)
  })

  test('is never made for a principal of another platform', async () => {
    const identity = make()
    for (const principal of [principalOf(other), principalOf({ id: '' })]) {
      await expect(identity.tokenFor(acme, orders, principal, now)).rejects.toThrow(/another/)
      // Nor does the failure stay: the next caller gets an answer of its own.
      await expect(identity.tokenFor(acme, orders, principal, now)).rejects.toThrow(/another/)
    }
  })

  test('is made with the next key in the next epoch', async () => {
    const identity = make()
    const kidOf = async (nowMs: number) =>
      decodePart((await identity.tokenFor(acme, orders, caller, nowMs)).split('.')[0]).kid
    const before = await kidOf(now)
    const after = await kidOf(now + epochMs)
    expect(after).not.toBe(before)
    const { keys } = await identity.jwks(acme, now)
    expect(keys.map(({ kid }) => kid).slice(1)).toEqual([before, after])
  })
})

describe('memory', () => {
  test('callers who come first share one signing; later ones wait for nothing', async () => {
    const identity = make()
    const first = identity.tokenFor(acme, orders, caller, now)
    expect(first).toBeInstanceOf(Promise)
    expect(identity.tokenFor(acme, orders, caller, now)).toBe(first)
    const token = await first
    expect(identity.tokenFor(acme, orders, caller, now + 5000)).toBe(token)
  })

  test('every tenant, environment, key and upstream gets a token of its own', async () => {
    const identity = make()
    const billing = upstreamOf('billing')
    const principals = [
      caller,
      principalOf(acme, { tenant: 'tenant_xyz789' }),
      principalOf(acme, { tenant: null }),
      principalOf(acme, { environment: 'test' }),
      principalOf(acme, { class: 'publishable' }),
      principalOf(acme, { permissions: [] }),
      principalOf(acme, { credential: { ...caller.credential, id: 'key_2' } }),
    ]
    const ask = () =>
      Promise.all(
        principals.flatMap((each) => [
          identity.tokenFor(acme, orders, each, now),
          identity.tokenFor(acme, billing, each, now),
        ]),
      )
    const tokens = await ask()
    expect(new Set(tokens).size).toBe(2 * principals.length)
    expect(await ask()).toEqual(tokens)
    for (const [index, token] of tokens.entries()) {
      const { tenant } = principals[Math.floor(index / 2)]!
      expect(claimsOf(token).tenant ?? null).toBe(tenant)
      expect(claimsOf(token).aud).toBe(index % 2 === 0 ? 'orders' : 'billing')
    }
  })

  test('is bounded: what nobody asks for is forgotten, what is asked for stays', async () => {
    const identity = createIdentity({ masterKey, tokensMax: 4 })
    const idle = principalOf(acme, { tenant: 'idle' })
    const held = await identity.tokenFor(acme, orders, caller, now)
    const forgotten = await identity.tokenFor(acme, orders, idle, now)
    for (let index = 0; index < 20; index += 1) {
      await identity.tokenFor(acme, orders, principalOf(acme, { tenant: `t${index}` }), now)
      expect(identity.tokenFor(acme, orders, caller, now)).toBe(held)
    }
    const again = identity.tokenFor(acme, orders, idle, now + 1000)
    expect(again).toBeInstanceOf(Promise)
    expect(await again).not.toBe(forgotten)
  })
})

describe('renewal', () => {
  const unhandled: unknown[] = []
  const note = (reason: unknown) => void unhandled.push(reason)
  beforeEach(() => void process.on('unhandledRejection', note))
  afterEach(() => {
    process.off('unhandledRejection', note)
    expect(unhandled.splice(0)).toEqual([])
  })

  /** Issued at the full second before `now`: so much is left of the token `leftMs` before its end. */
  const at = (leftMs: number) => 1_800_000_060_000 - leftMs

  /** A principal that cannot be signed for while `broken`. */
  function fragile() {
    const state = { broken: false }
    const principal: Principal = {
      ...caller,
      get permissions() {
        if (state.broken) throw new Error('broken')
        return caller.permissions
      },
    }
    return { state, principal }
  }

  test('between 30 and 15 seconds the held one goes out while the next is made, once', async () => {
    const identity = make()
    const first = await identity.tokenFor(acme, orders, caller, now)
    expect(identity.tokenFor(acme, orders, caller, at(30_000))).toBe(first)
    expect(identity.tokenFor(acme, orders, caller, at(29_999))).toBe(first)
    expect(identity.tokenFor(acme, orders, caller, at(15_000))).toBe(first)
    // Less than 15 seconds: the signing that is under way is waited for.
    const waited = identity.tokenFor(acme, orders, caller, at(14_999))
    expect(waited).toBeInstanceOf(Promise)
    expect(identity.tokenFor(acme, orders, caller, at(14_999))).toBe(waited)
    const second = await waited
    expect(claimsOf(second).iat).toBe(Math.floor(at(29_999) / 1000))
    expect(identity.tokenFor(acme, orders, caller, at(14_000))).toBe(second)
  })

  test('an expired token is never answered', async () => {
    const identity = make()
    const first = await identity.tokenFor(acme, orders, caller, now)
    const second = await identity.tokenFor(acme, orders, caller, at(-1))
    expect(second).not.toBe(first)
  })

  test('nor is one from the future, when the clock was set back', async () => {
    const identity = make()
    await identity.tokenFor(acme, orders, caller, now)
    const past = now - 3_600_000
    const token = await identity.tokenFor(acme, orders, caller, past)
    expect(claimsOf(token).iat).toBe(Math.floor(past / 1000))
  })

  test('one that fails is tried again, and told only to who cannot do without', async () => {
    const identity = make()
    const { state, principal } = fragile()
    const first = await identity.tokenFor(acme, orders, principal, now)
    state.broken = true
    for (const leftMs of [29_000, 20_000, 15_000]) {
      expect(await identity.tokenFor(acme, orders, principal, at(leftMs))).toBe(first)
      // A turn of the event loop: rejections that nobody handles are reported by then.
      await new Promise((resolve) => setImmediate(resolve))
    }
    await expect(
      (async () => identity.tokenFor(acme, orders, principal, at(14_000)))(),
    ).rejects.toThrow('broken')
    state.broken = false
    const second = await identity.tokenFor(acme, orders, principal, at(14_000))
    expect(claimsOf(second).iat).toBe(Math.floor(at(14_000) / 1000))
  })
})
