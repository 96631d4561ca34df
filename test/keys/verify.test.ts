import { describe, expect, test } from 'vitest'
import { type KeyRecord, type Platform, StoreDown } from '../../src/context.ts'
import { generateKey, storedDigest } from '../../src/keys/format.ts'
import { presets } from '../../src/keys/schemes.ts'
import type { TrustOptions } from '../../src/keys/trust.ts'
import { createVerifier, type VerifierOptions } from '../../src/keys/verify.ts'
import { sha256 } from '../../src/lib/digest.ts'
import { createStore, pepper1, pepper2, platformOf, recordOf, timeless, wireOf } from './store.ts'

const platform = platformOf()
const here = '203.0.113.7'

type Setup = Partial<VerifierOptions> &
  TrustOptions & { readonly store?: ReturnType<typeof createStore> }

/** A verifier on whose clocks it is the same time, the wall's and its own. */
function setUp({ store = createStore(), ...options }: Setup = {}) {
  const { trust, time } = timeless(options)
  const verifier = createVerifier({
    findKey: store.findKey,
    peppers: { current: 1, versions: new Map([[1, pepper1]]) },
    trust,
    ...options,
  })
  const verify = (key: string, now = time.now, at: Platform = platform, address = here) => {
    time.now = now
    return verifier.verify(key, at, now, address)
  }
  const codeOf = async (...args: Parameters<typeof verify>) => {
    const verdict = await verify(...args)
    return verdict.ok ? 'ok' : verdict.refusal.code
  }
  return { store, verifier, verify, codeOf, time }
}

/** A store that answers when told to. */
function createSlowStore() {
  const store = createStore()
  const waiting: (() => void)[] = []
  return {
    store,
    waiting,
    async findKey(digests: readonly Uint8Array[]) {
      await new Promise<void>((resolve) => waiting.push(resolve))
      return store.findKey(digests)
    },
    /** Answers what is asked, and what is asked because of that, until nobody asks. */
    async answerAll() {
      for (let idle = 0; idle < 20; idle++) {
        if (waiting.length > 0) idle = 0
        for (const answer of waiting.splice(0)) answer()
        await Promise.resolve()
      }
    },
  }
}

describe('what is refused', () => {
  test('K8: a wrong checksum is refused with no I/O, however often', () => {
    const { store, verify } = setUp()
    for (let round = 0; round < 10_000; round++) {
      const { key } = generateKey('sk_live_')
      const wrong = key.slice(0, -1) + (key.endsWith('0') ? '1' : '0')
      expect(verify(wrong)).toMatchObject({ ok: false, refusal: { code: 'auth/malformed_key' } })
    }
    expect(store.lookups).toBe(0)
  })

  test('K3: unknown, deleted, foreign and wrong-secret keys look alike, byte for byte', async () => {
    const { store, verify } = setUp()
    const known = store.issue()
    const foreign = store.issue({ platform: 'plt_two' })
    const deleted = store.issue()
    store.rows.delete(Buffer.from(storedDigest(deleted, pepper1)).toString('hex'))
    const shown = [
      generateKey('sk_live_').key,
      generateKey('sk_live_', known.slice(8, 17)).key,
      foreign,
      deleted,
      'th_live_whatever',
    ]
    const answers = new Set<string>()
    for (const key of shown) {
      for (const now of [0, 1]) {
        const verdict = await verify(key, now)
        answers.add(verdict.ok ? 'ok' : wireOf(verdict.refusal))
      }
    }
    expect(answers.size).toBe(1)
    expect([...answers][0]).toContain('auth/invalid_key')
  })

  test.each<[string, Partial<KeyRecord>, string]>([
    ['revoked', { revoked: true }, 'auth/key_revoked'],
    ['expired', { expiresAt: 5 }, 'auth/key_expired'],
    ['expired this very millisecond', { expiresAt: 10 }, 'auth/key_expired'],
    ['disabled', { disabled: true }, 'auth/key_disabled'],
    [
      'revoked, expired and disabled',
      { revoked: true, expiresAt: 5, disabled: true },
      'auth/key_revoked',
    ],
    ['expired and disabled', { expiresAt: 5, disabled: true }, 'auth/key_expired'],
  ])(
    'K3: a key that is %s is told so, once its whole secret matched and not before',
    async (_, changes, code) => {
      const { store, codeOf } = setUp()
      const key = store.issue(changes)
      const wrongSecret = generateKey('sk_live_', key.slice(8, 17)).key
      for (let round = 0; round < 2; round++) {
        expect(await codeOf(key, 10)).toBe(code)
        expect(await codeOf(wrongSecret, 10)).toBe('auth/invalid_key')
        expect(await codeOf(key, 10, platformOf('plt_two'))).toBe('auth/invalid_key')
      }
    },
  )

  test('expiry is checked at every use, from memory too', async () => {
    const { store, codeOf } = setUp()
    const key = store.issue({ expiresAt: 100 })
    expect([await codeOf(key, 0), await codeOf(key, 99), await codeOf(key, 100)]).toEqual([
      'ok',
      'ok',
      'auth/key_expired',
    ])
    expect(store.lookups).toBe(1)
  })

  test.each<[string, Partial<KeyRecord>]>([
    ['environment', { environment: 'test' }],
    ['class', { class: 'publishable' }],
  ])('K7: a record whose %s disagrees with the prefix is refused', async (_, changes) => {
    const { store, codeOf } = setUp()
    expect(await codeOf(store.issue(changes))).toBe('auth/invalid_key')
  })

  test('K4: a row planted with the SHA-256 of a known key does not make it work', async () => {
    const { store, codeOf } = setUp()
    const { key } = generateKey('sk_live_')
    store.put(sha256(key), recordOf())
    expect(await codeOf(key)).toBe('auth/invalid_key')
  })

  test('K2: a store that answers with another row is not believed', async () => {
    const { key } = generateKey('sk_live_')
    const other = generateKey('sk_live_').key
    for (const digest of [storedDigest(other, pepper1), new Uint8Array(31), new Uint8Array()]) {
      const { codeOf } = setUp({ findKey: async () => ({ record: recordOf(), digest }) })
      expect(await codeOf(key)).toBe('auth/invalid_key')
    }
    const rightDigest = storedDigest(key, pepper1)
    const wrongVersion = { record: recordOf({ pepperVersion: 9 }), digest: rightDigest }
    expect(await setUp({ findKey: async () => wrongVersion }).codeOf(key)).toBe('auth/invalid_key')
  })
})

describe('a good key', () => {
  test('is looked up once and then answered without a promise', async () => {
    const { store, verify } = setUp()
    const key = store.issue()
    const first = verify(key)
    expect(first).toBeInstanceOf(Promise)
    expect(await first).toMatchObject({ ok: true, record: { id: 'key_1' } })
    expect(verify(key, 9999)).toMatchObject({ ok: true, record: { id: 'key_1' } })
    expect(store.lookups).toBe(1)
  })

  test('comes as a record that nobody can change for the others', async () => {
    const { store, verify } = setUp()
    const verdict = await verify(store.issue({ permissions: ['vec:read'], tenants: ['a'] }))
    if (!verdict.ok) throw new Error('refused')
    const { record } = verdict
    for (const part of [verdict, record, record.permissions, record.tenants, record.restrictions]) {
      expect(Object.isFrozen(part)).toBe(true)
    }
  })

  test('K6: two keys that differ in case only both work, each as itself', async () => {
    const scheme = {
      ...presets.azotte,
      adopted: [{ prefix: 'old-', class: 'secret', environment: 'live' } as const],
    }
    const { store, verify } = setUp()
    const at = platformOf('plt_one', scheme)
    for (const [key, id] of [
      ['old-abcdefghijklmnop', 'key_a'],
      ['old-Abcdefghijklmnop', 'key_b'],
    ]) {
      store.put(storedDigest(key!, pepper1), recordOf({ id: id!, prefix: 'old-', ref: '' }))
    }
    const ids = ['old-abcdefghijklmnop', 'old-Abcdefghijklmnop'].map(async (key) => {
      const verdict = await verify(key, 0, at)
      return verdict.ok ? verdict.record.id : null
    })
    expect(await Promise.all(ids)).toEqual(['key_a', 'key_b'])
  })

  test('a try on the wrong host does not spoil it on the right one, nor the reverse', async () => {
    const { store, codeOf } = setUp()
    const key = store.issue()
    expect(await codeOf(key, 0, platformOf('plt_two'))).toBe('auth/invalid_key')
    expect(await codeOf(key, 0)).toBe('ok')
    expect(await codeOf(key, 0, platformOf('plt_two'))).toBe('auth/invalid_key')
    expect(store.lookups).toBe(1)
  })

  test('a change in the store is seen once the stated delay has passed, or at once after forget', async () => {
    const { store, codeOf, verifier } = setUp({ positiveTtlMs: 1000 })
    const key = store.issue()
    const revoke = () => store.put(storedDigest(key, pepper1), recordOf({ revoked: true }))
    expect(await codeOf(key, 0)).toBe('ok')
    revoke()
    expect([await codeOf(key, 999), await codeOf(key, 1000)]).toEqual(['ok', 'auth/key_revoked'])
    store.put(storedDigest(key, pepper1), recordOf())
    verifier.forget()
    expect(await codeOf(key, 1000)).toBe('ok')
  })

  test('a deleted key is unknown once the stated delay has passed', async () => {
    const { store, codeOf } = setUp({ positiveTtlMs: 1000, negativeTtlMs: 50 })
    const key = store.issue()
    expect(await codeOf(key, 0)).toBe('ok')
    store.rows.clear()
    expect(await codeOf(key, 1000)).toBe('auth/invalid_key')
  })

  test('an answer that was under way when everything was forgotten is not kept', async () => {
    const slow = createSlowStore()
    const { codeOf, verifier } = setUp({ findKey: slow.findKey })
    const key = slow.store.issue()
    const first = codeOf(key)
    verifier.forget()
    await slow.answerAll()
    expect(await first).toBe('ok')
    expect(verifier.sizes()).toEqual({ known: 0, unknown: 0, lookups: 0 })
  })
})

describe('V5: a key that is made after it was tried', () => {
  test('is known as soon as that is heard, also when it was tried a moment before', async () => {
    const slow = createSlowStore()
    const { codeOf, verifier } = setUp({ findKey: slow.findKey })
    const { key } = generateKey('sk_live_')
    const early = codeOf(key)
    await slow.answerAll()
    const late = codeOf(generateKey('sk_live_').key)
    const tried = slow.store.issue()
    const between = codeOf(tried)
    // Its row is made while the store is still about to say that there is none.
    slow.store.rows.clear()
    verifier.forget('key_1')
    await slow.answerAll()
    expect(await Promise.all([early, late, between])).toEqual(Array(3).fill('auth/invalid_key'))
    expect(verifier.sizes().unknown).toBe(0)
    slow.store.put(storedDigest(tried, pepper1), recordOf())
    const again = codeOf(tried)
    await slow.answerAll()
    expect(await again).toBe('ok')
  })

  test('nothing unknown is remembered where that is told to', async () => {
    const { store, codeOf } = setUp({ negativeTtlMs: 0 })
    const { key } = generateKey('sk_live_')
    expect([await codeOf(key), await codeOf(key), store.lookups]).toEqual([
      ...['auth/invalid_key', 'auth/invalid_key', 2],
    ])
  })
})

describe('what may be gone by', () => {
  test('V1, V3: while the channel is silent each request asks, and a revocation is seen at once', async () => {
    const { store, codeOf, time } = setUp()
    const key = store.issue()
    expect([await codeOf(key, 0), await codeOf(key, 1), store.lookups]).toEqual(['ok', 'ok', 1])
    time.silentSince = 2
    expect([await codeOf(key, 3), await codeOf(key, 4), store.lookups]).toEqual(['ok', 'ok', 3])
    store.put(storedDigest(key, pepper1), recordOf({ revoked: true }))
    expect(await codeOf(key, 5)).toBe('auth/key_revoked')
  })

  test('V4: cut from the store too, a known key passes for a minute, then is a 503 and never a 401', async () => {
    const store = createStore()
    const key = store.issue()
    let isDown = false
    const { codeOf, time } = setUp({
      async findKey(digests) {
        if (isDown) throw new StoreDown('no answer')
        return store.findKey(digests)
      },
    })
    expect(await codeOf(key, 0)).toBe('ok')
    isDown = true
    time.silentSince = 1000
    expect([await codeOf(key, 60_999), await codeOf(key, 61_000)]).toEqual([
      ...['ok', 'auth/unavailable'],
    ])
    expect(await codeOf(generateKey('sk_live_').key, 2000)).toBe('auth/unavailable')
  })

  test('Q16: a wall clock that jumps changes no age, and ends a key when it says so', async () => {
    const { trust, time } = timeless()
    const { store, verifier } = setUp({ trust })
    const key = store.issue({ expiresAt: 7_000_000 })
    const codeAt = async (wall: number) => {
      const verdict = await verifier.verify(key, platform, wall, here)
      return verdict.ok ? 'ok' : verdict.refusal.code
    }
    expect([await codeAt(0), await codeAt(3_600_000), store.lookups]).toEqual(['ok', 'ok', 1])
    time.now = 60_000
    expect([await codeAt(-3_600_000), store.lookups]).toEqual(['ok', 2])
    expect(await codeAt(7_000_000)).toBe('auth/key_expired')
  })

  test('V8: a secret whose place was taken is asked for once a second, for its end is not announced', async () => {
    const { store, codeOf } = setUp()
    const key = store.issue({ replaced: true })
    expect([await codeOf(key, 0), await codeOf(key, 999), store.lookups]).toEqual(['ok', 'ok', 1])
    store.put(storedDigest(key, pepper1), recordOf({ replaced: true, expiresAt: 1500 }))
    expect([await codeOf(key, 1000), await codeOf(key, 1500)]).toEqual(['ok', 'auth/key_expired'])
  })
})

describe('V9: what the store says now', () => {
  test('is asked whatever is remembered, and is not remembered', async () => {
    const { store, codeOf, verifier } = setUp({ positiveTtlMs: 1000 })
    const key = store.issue()
    const codeNow = async () => {
      const verdict = await verifier.verifyNow(key, platform, 0, here)
      return verdict.ok ? 'ok' : verdict.refusal.code
    }
    expect(await codeNow()).toBe('ok')
    expect(verifier.sizes().known).toBe(0)
    expect(await codeOf(key)).toBe('ok')
    store.put(storedDigest(key, pepper1), recordOf({ revoked: true }))
    expect([await codeOf(key), await codeNow()]).toEqual(['ok', 'auth/key_revoked'])
  })

  test('refuses a typo and a key that it knows not to exist with no I/O', async () => {
    const { store, verifier } = setUp()
    const { key } = generateKey('sk_live_')
    for (const shown of [`${key}x`, key, key]) {
      expect((await verifier.verifyNow(shown, platform, 0, here)).ok).toBe(false)
    }
    expect(store.lookups).toBe(1)
  })

  test('waits its turn: a flood of one address is held up, not let through', async () => {
    const slow = createSlowStore()
    const options = { findKey: slow.findKey, lookupsPerAddress: 1, waitingPerAddress: 1 }
    const { verifier } = setUp(options)
    const key = slow.store.issue()
    const verdicts = [1, 2, 3].map(() => verifier.verifyNow(key, platform, 0, here))
    await slow.answerAll()
    const codes = (await Promise.all(verdicts)).map((one) => (one.ok ? 'ok' : one.refusal.code))
    expect(codes).toEqual(['ok', 'ok', 'auth/too_many_failures'])
    expect(verifier.sizes().lookups).toBe(0)
  })
})

test('V7: forgetting one key forgets all its secrets, and no other key', async () => {
  const { store, codeOf, verifier } = setUp({ positiveTtlMs: 1000 })
  const mine = [store.issue({ id: 'key_1' }), store.issue({ id: 'key_1' })]
  const other = store.issue({ id: 'key_2' })
  for (const key of [...mine, other]) {
    await codeOf(key)
    store.put(storedDigest(key, pepper1), recordOf({ revoked: true }))
  }
  verifier.forget('key_1')
  expect(await Promise.all([...mine, other].map((key) => codeOf(key)))).toEqual([
    ...['auth/key_revoked', 'auth/key_revoked', 'ok'],
  ])
})

describe('peppers', () => {
  const both = {
    current: 2,
    versions: new Map([
      [1, pepper1],
      [2, pepper2],
    ]),
  }

  test('a current version that is not there is refused at once', () => {
    const peppers = { current: 3, versions: both.versions }
    expect(() => setUp({ peppers })).toThrow('peppers.current')
  })

  test('K5: a key under an older pepper works and is written anew under the current one', async () => {
    const work: Promise<unknown>[] = []
    const store = createStore()
    const key = store.issue()
    const { codeOf } = setUp({
      store,
      peppers: both,
      defer: (promise) => work.push(promise),
      rehash: async (record, from, to, version) => {
        expect(from).toEqual(storedDigest(key, pepper1))
        store.rows.clear()
        store.put(to, { ...record, pepperVersion: version })
      },
    })
    expect(await codeOf(key)).toBe('ok')
    await Promise.all(work)
    expect(store.lookups).toBe(1)
    const onlyNew = { current: 2, versions: new Map([[2, pepper2]]) }
    expect(await setUp({ store, peppers: onlyNew }).codeOf(key)).toBe('ok')
    expect(work).toHaveLength(1)
  })

  test('K5: once the old pepper is gone, a key that was not used since is unknown', async () => {
    const store = createStore()
    const key = store.issue()
    const peppers = { current: 2, versions: new Map([[2, pepper2]]) }
    expect(await setUp({ store, peppers }).codeOf(key)).toBe('auth/invalid_key')
  })

  test('a key under the current pepper is not written, and a failed write hurts nobody', async () => {
    const work: Promise<unknown>[] = []
    const store = createStore()
    const fresh = store.issue({ pepperVersion: 2 }, pepper2)
    const old = store.issue()
    const { codeOf } = setUp({
      store,
      peppers: both,
      defer: (promise) => work.push(promise),
      rehash: async () => {
        throw new StoreDown('gone')
      },
    })
    expect([await codeOf(fresh), work.length]).toEqual(['ok', 0])
    expect([await codeOf(old), work.length]).toEqual(['ok', 1])
    await Promise.all(work)
  })
})

describe('unknown keys', () => {
  test('are looked up once, and again when the stated time has passed', async () => {
    const { store, verify, codeOf } = setUp({ negativeTtlMs: 1000 })
    const { key } = generateKey('sk_live_')
    await codeOf(key, 0)
    expect(verify(key, 999)).not.toBeInstanceOf(Promise)
    expect(store.lookups).toBe(1)
    await codeOf(key, 1000)
    expect(store.lookups).toBe(2)
  })

  test('K9: fill what is set aside for them and no more, and push out no good key', async () => {
    const { store, verify, codeOf, verifier } = setUp({ unknownMax: 800, knownMax: 10 })
    const key = store.issue()
    await codeOf(key)
    for (let sent = 0; sent < 20_000; sent++) await verify(generateKey('sk_live_').key)
    expect(verifier.sizes()).toEqual({ known: 1, unknown: 800, lookups: 0 })
    expect(verify(key)).not.toBeInstanceOf(Promise)
  })

  test('good keys too are held to their bound', async () => {
    const { store, codeOf, verifier } = setUp({ knownMax: 10 })
    for (let issued = 0; issued < 50; issued++) await codeOf(store.issue())
    expect(verifier.sizes().known).toBe(10)
  })
})

describe('a flood', () => {
  test('one key asked by many is looked up once', async () => {
    const slow = createSlowStore()
    const { verify } = setUp({ findKey: slow.findKey })
    const key = slow.store.issue()
    const verdicts = Array.from({ length: 100 }, () => verify(key))
    await slow.answerAll()
    expect((await Promise.all(verdicts)).every((verdict) => verdict.ok)).toBe(true)
    expect(slow.store.lookups).toBe(1)
  })

  test('unknown keys of one address are looked up a few at once, wait in line, then get a 429', async () => {
    const slow = createSlowStore()
    const { codeOf, verifier } = setUp({
      findKey: slow.findKey,
      lookupsPerAddress: 2,
      waitingPerAddress: 3,
    })
    const verdicts = Array.from({ length: 8 }, () => codeOf(generateKey('sk_live_').key))
    expect(slow.waiting).toHaveLength(2)
    expect(verifier.sizes().lookups).toBe(5)
    await slow.answerAll()
    const codes = await Promise.all(verdicts)
    expect(codes.filter((code) => code === 'auth/invalid_key')).toHaveLength(5)
    expect(codes.filter((code) => code === 'auth/too_many_failures')).toHaveLength(3)
    expect(verifier.sizes().lookups).toBe(0)
  })

  test('the 429 says when to come back, and is not remembered against the key', async () => {
    const slow = createSlowStore()
    const { verify, codeOf } = setUp({
      findKey: slow.findKey,
      lookupsPerAddress: 1,
      waitingPerAddress: 0,
    })
    const key = slow.store.issue()
    const first = codeOf(generateKey('sk_live_').key)
    expect(await verify(key)).toMatchObject({ refusal: { headers: { 'retry-after': '1' } } })
    await slow.answerAll()
    const again = codeOf(key)
    await slow.answerAll()
    expect([await first, await again]).toEqual(['auth/invalid_key', 'ok'])
  })

  test('C9: addresses of one IPv6 /64 wait in one line, another client does not', async () => {
    const slow = createSlowStore()
    const { codeOf } = setUp({
      findKey: slow.findKey,
      lookupsPerAddress: 1,
      waitingPerAddress: 0,
    })
    const from = (address: string) => codeOf(generateKey('sk_live_').key, 0, platform, address)
    const verdicts = ['2001:db8::1', '2001:db8::2', '2001:db8:0:1::1', here, `::ffff:${here}`].map(
      from,
    )
    await slow.answerAll()
    expect(await Promise.all(verdicts)).toEqual([
      'auth/invalid_key',
      'auth/too_many_failures',
      'auth/invalid_key',
      'auth/invalid_key',
      'auth/too_many_failures',
    ])
  })

  test('a known key never waits for it, not even to be looked up again', async () => {
    const slow = createSlowStore()
    const { verify, codeOf } = setUp({
      findKey: slow.findKey,
      positiveTtlMs: 1000,
      lookupsPerAddress: 1,
      waitingPerAddress: 0,
    })
    const key = slow.store.issue()
    const first = codeOf(key)
    await slow.answerAll()
    expect(await first).toBe('ok')
    const flood = codeOf(generateKey('sk_live_').key, 500)
    expect(verify(key, 500)).toMatchObject({ ok: true })
    const renewed = codeOf(key, 1000)
    expect(slow.waiting).toHaveLength(2)
    await slow.answerAll()
    expect([await flood, await renewed]).toEqual(['auth/invalid_key', 'ok'])
  })

  test('from very many addresses it ends at a bound for all, with a 503', async () => {
    const slow = createSlowStore()
    const { codeOf } = setUp({ findKey: slow.findKey, lookupsMax: 3 })
    const verdicts = Array.from({ length: 5 }, (_, host) =>
      codeOf(generateKey('sk_live_').key, 0, platform, `10.0.0.${host}`),
    )
    await slow.answerAll()
    expect((await Promise.all(verdicts)).toSorted()).toEqual([
      ...Array(3).fill('auth/invalid_key'),
      ...Array(2).fill('gateway/overloaded'),
    ])
  })
})

describe('the store is down', () => {
  const down = async () => {
    throw new StoreDown('no answer')
  }

  test('a key that is not in memory gets a 503, never a 401, and is asked for again', async () => {
    const store = createStore()
    const key = store.issue()
    let findKey: VerifierOptions['findKey'] = down
    const { codeOf, verifier } = setUp({ store, findKey: (digests) => findKey(digests) })
    expect(await codeOf(key)).toBe('auth/unavailable')
    expect(verifier.sizes()).toEqual({ known: 0, unknown: 0, lookups: 0 })
    findKey = store.findKey
    expect(await codeOf(key)).toBe('ok')
  })

  test('a known key is honoured for outageMs past its time, and asked for once a second', async () => {
    const store = createStore()
    const key = store.issue()
    let asked = 0
    const { codeOf } = setUp({
      store,
      findKey: (digests) => (asked++ === 0 ? store.findKey(digests) : down()),
      ...{ positiveTtlMs: 1000, outageMs: 5000, staleMs: 0 },
    })
    expect(await codeOf(key, 0)).toBe('ok')
    expect([await codeOf(key, 1000), await codeOf(key, 1999), asked]).toEqual(['ok', 'ok', 2])
    expect([await codeOf(key, 2000), asked]).toEqual(['ok', 3])
    expect([await codeOf(key, 5999), asked]).toEqual(['ok', 4])
    expect([await codeOf(key, 6000), asked]).toEqual(['auth/unavailable', 5])
  })

  test('with outageMs 0 nothing is honoured past its time', async () => {
    const store = createStore()
    const key = store.issue()
    let asked = 0
    const { codeOf } = setUp({
      findKey: (digests) => (asked++ === 0 ? store.findKey(digests) : down()),
      ...{ positiveTtlMs: 1000, outageMs: 0, staleMs: 0 },
    })
    expect([await codeOf(key, 999), await codeOf(key, 1998), await codeOf(key, 1999)]).toEqual([
      'ok',
      'ok',
      'auth/unavailable',
    ])
  })

  test('what breaks otherwise is thrown, is nobody’s fault, and frees its place', async () => {
    const { verify, verifier } = setUp({
      findKey: () => {
        throw new TypeError('a bug')
      },
    })
    await expect(verify(generateKey('sk_live_').key)).rejects.toThrow('a bug')
    expect(verifier.sizes()).toEqual({ known: 0, unknown: 0, lookups: 0 })
  })
})
