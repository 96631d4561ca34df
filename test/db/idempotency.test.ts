import { createHash, randomUUID } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { createIdempotencyStore, type IdempotencyScope } from '../../src/db/idempotency.ts'
import { asOwner, newPlatform, setUp } from './made.ts'

const setups = await setUp()
const digest = createHash('sha256').update('a body').digest()
const other = createHash('sha256').update('another body').digest()
const answered = { status: 201, body: '{"a":1}', sealed: new Uint8Array([1, 2, 3]) }

describe.each(setups)('%s', (_, stores) => {
  const store = createIdempotencyStore(stores.gatewaySql)
  const newScope = (): IdempotencyScope => ({
    platform: newPlatform(),
    credential: 'key_1',
    method: 'POST',
    path: '/v1/api-keys',
  })
  const fresh = async (scope: IdempotencyScope, key: string) => {
    const begun = await store.begin(scope, key, digest)
    if (begun.state !== 'fresh') throw new Error(begun.state)
    return begun.claim
  }
  const age = (scope: IdempotencyScope, interval: string) =>
    asOwner(
      stores,
      `update postern.idempotency_keys set created_at = created_at - $2::interval,
         expires_at = expires_at - $2::interval where platform = $1`,
      [scope.platform, interval],
    )

  test('G13: of 100 at once one is fresh, the others are told that it is under way', async () => {
    const scope = newScope()
    const begun = await Promise.all(
      Array.from({ length: 100 }, () => store.begin(scope, 'k', digest)),
    )
    expect(begun.filter(({ state }) => state === 'fresh')).toHaveLength(1)
    expect(begun.filter(({ state }) => state === 'in_progress')).toHaveLength(99)
  })

  test('G13: what was answered is answered again; another body is a mismatch', async () => {
    const scope = newScope()
    const claim = await fresh(scope, 'k')
    expect(await store.begin(scope, 'k', other)).toEqual({ state: 'mismatch' })
    expect(await store.finish(scope, 'k', claim, answered)).toBe(true)
    const again = await store.begin(scope, 'k', digest)
    expect(again).toMatchObject({ state: 'done', status: 201, body: '{"a":1}' })
    expect(again.state === 'done' && [...(again.sealed ?? [])]).toEqual([1, 2, 3])
    expect(await store.begin(scope, 'k', other)).toEqual({ state: 'mismatch' })
    expect(await store.finish(scope, 'k', claim, { ...answered, status: 500 })).toBe(false)
    await store.forget(scope, 'k', claim)
    expect(await store.begin(scope, 'k', digest)).toMatchObject({ state: 'done', status: 201 })
  })

  test('G13: platform, credential, method, path and key each make it another', async () => {
    const scope = newScope()
    await fresh(scope, 'k')
    for (const change of [
      { platform: newPlatform() },
      { credential: 'key_2' },
      { method: 'PUT' },
      { path: '/v1/tenants' },
    ]) {
      await fresh({ ...scope, ...change }, 'k')
    }
    await fresh(scope, 'K')
    // Parts that join to the same text are still different parts.
    await fresh({ ...scope, credential: 'a', method: 'bc' }, 'k')
    await fresh({ ...scope, credential: 'ab', method: 'c' }, 'k')
  })

  test('what was given up is free again, and only by whoever has it', async () => {
    const scope = newScope()
    const claim = await fresh(scope, 'k')
    await store.forget(scope, 'k', 'clm_somebody')
    expect(await store.begin(scope, 'k', digest)).toEqual({ state: 'in_progress' })
    await store.forget(scope, 'k', claim)
    await fresh(scope, 'k')
  })

  test('a process that died is waited for a minute; then its claim is worth nothing', async () => {
    const scope = newScope()
    const dead = await fresh(scope, 'k')
    await age(scope, '50 seconds')
    expect(await store.begin(scope, 'k', digest)).toEqual({ state: 'in_progress' })
    await age(scope, '20 seconds')
    expect(await store.begin(scope, 'k', other)).toEqual({ state: 'mismatch' })
    const next = await fresh(scope, 'k')
    expect(await store.finish(scope, 'k', dead, answered)).toBe(false)
    await store.forget(scope, 'k', dead)
    expect(await store.finish(scope, 'k', next, answered)).toBe(true)
  })

  test('the sealed body is told for ten minutes, the rest for 24 hours', async () => {
    const scope = newScope()
    await store.finish(scope, 'k', await fresh(scope, 'k'), answered)
    await age(scope, '11 minutes')
    const plain = { state: 'done', status: 201, body: answered.body, sealed: null }
    expect(await store.begin(scope, 'k', digest)).toEqual(plain)
    expect(await store.sweep(scope.platform)).toBe(0)
    const text = 'select sealed from postern.idempotency_keys where platform = $1'
    expect(await asOwner(stores, text, [scope.platform])).toEqual([{ sealed: null }])
    expect(await store.begin(scope, 'k', digest)).toEqual(plain)
    await age(scope, '24 hours')
    await fresh(scope, 'k')
    await age(scope, '25 hours')
    expect(await store.sweep(newPlatform())).toBe(0)
    expect(await store.sweep(scope.platform)).toBe(1)
  })

  test('the key itself is not stored: the seal is made from it', async () => {
    const scope = newScope()
    const key = randomUUID()
    await store.finish(scope, key, await fresh(scope, key), answered)
    const rows = await asOwner(stores, 'select i::text as row from postern.idempotency_keys i')
    expect(JSON.stringify(rows)).not.toContain(key)
  })
})
