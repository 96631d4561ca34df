import { randomUUID } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { createAuditStore } from '../../src/db/audit.ts'
import { createKeyStore, type Rotation, type StoredKey } from '../../src/db/keys.ts'
import { createRoot } from '../../src/db/root.ts'
import { createUsageStore } from '../../src/db/usage.ts'
import {
  asOwner,
  create,
  newKey,
  newPlatform,
  newSecret,
  rotation,
  row,
  setUp,
  someone,
} from './made.ts'

const setups = await setUp()
const secondsOf = (at: number | null | undefined) => Math.round(((at ?? 0) - Date.now()) / 1000)

describe.each(setups)('%s', (_, stores) => {
  const keys = createKeyStore(stores.gatewaySql)
  const usage = createUsageStore(stores.gatewaySql)
  const audit = createAuditStore(stores.gatewaySql)

  /** A key that has been rotated once. */
  async function rotated(platform: string, more: Partial<Rotation> = {}) {
    const { id } = await create(keys, platform)
    const key = row(await keys.rotate(platform, id, rotation(more), someone))
    return { id, key, newer: key.secrets[0]!, older: key.secrets[1]! }
  }

  async function use(platform: string, keyId: string, secretId: string, at = Date.now()) {
    const entry = {
      ...{ keyId, secretId, day: '2026-11-25', requests: 1, errors: 0, bytesIn: 0, bytesOut: 0 },
      ...{ firstUsedAt: at, lastUsedAt: at, lastAddress: '192.0.2.1', lastOrigin: null },
    }
    return usage.addUsage(platform, { id: randomUUID(), entries: [entry] })
  }

  /** Moves what has happened to a key's secrets into the past. */
  const age = (id: string, seconds: number) =>
    asOwner(
      stores,
      `update postern.api_key_secrets set first_used_at = first_used_at - make_interval(secs => $2),
         last_used_at = last_used_at - make_interval(secs => $2),
         created_at = created_at - make_interval(secs => $2),
         expires_at = expires_at - make_interval(secs => $2) where key_id = $1`,
      [id, seconds],
    )
  const secretsOf = async (platform: string, id: string) =>
    (await keys.find(platform, id))?.secrets ?? []

  test('the key stays the same one; both secrets say how they stand', async () => {
    const platform = newPlatform()
    const secret = newSecret()
    const { key, newer, older } = await rotated(platform, { secret, quietSeconds: 60 })
    expect(key).toMatchObject({ version: 2, status: 'rotating', last4: secret.last4 })
    expect(newer).toMatchObject({ state: 'current', supersededBy: null, overlapFrom: null })
    expect(older).toMatchObject({
      state: 'overlapping',
      supersededBy: newer.id,
      overlapSeconds: 3600,
      overlapFrom: 'first_use',
      quietSeconds: 60,
      expiresAt: null,
    })
    const { rows } = await audit.list(platform, { order: 'desc', limit: 1 })
    expect(rows[0]).toMatchObject({
      action: 'api_key.rotated',
      changes: {
        secret: [`••••${older.last4}`, `••••${secret.last4}`],
        overlap_seconds: [null, 3600],
      },
    })
  })

  test('V8: with an overlap of none, or from now, the old secret has its end at once', async () => {
    const platform = newPlatform()
    const none = await rotated(platform, { overlapSeconds: 0 })
    expect(none.older.state).toBe('ended')
    expect(none.key.status).not.toBe('rotating')
    const timed = await rotated(platform, { overlapSeconds: 900, from: 'now' })
    expect(timed.older.state).toBe('overlapping')
    expect(secondsOf(timed.older.expiresAt)).toBeGreaterThan(800)
    expect(secondsOf(timed.older.expiresAt)).toBeLessThanOrEqual(900)
  })

  test('V8: rotated twice, two secrets are good and the oldest is not', async () => {
    const platform = newPlatform()
    const { id } = await rotated(platform)
    const { secrets } = row(await keys.rotate(platform, id, rotation(), someone))
    expect(secrets.map(({ state }) => state)).toEqual(['current', 'overlapping', 'ended'])
  })

  test('the overlap begins with the first use of the new secret, and does not begin again', async () => {
    const platform = newPlatform()
    const { id, newer, older } = await rotated(platform)
    await use(platform, id, older.id)
    expect((await secretsOf(platform, id))[1]).toMatchObject({
      expiresAt: null,
      state: 'overlapping',
    })
    await use(platform, id, newer.id)
    const [first, second] = await secretsOf(platform, id)
    expect(first).toMatchObject({ lastUsedFrom: '192.0.2.1', firstUsedAt: first?.lastUsedAt })
    expect(secondsOf(second?.expiresAt)).toBeGreaterThan(3500)
    await age(id, 1000)
    await use(platform, id, newer.id)
    expect(secondsOf((await secretsOf(platform, id))[1]?.expiresAt)).toBeLessThanOrEqual(2600)
    await age(id, 3000)
    expect((await secretsOf(platform, id))[1]?.state).toBe('ended')
  })

  test('a key that is rotated by a taken secret keeps the one it has', async () => {
    const platform = newPlatform()
    const taken = newKey()
    row(await keys.create(newPlatform(), taken, someone))
    const key = await create(keys, platform)
    const same = rotation({ secret: taken.secret })
    expect(await keys.rotate(platform, key.id, same, someone)).toBe('conflict')
    expect(await keys.find(platform, key.id)).toEqual(key)
  })

  test('V8: the lookup says which secret has been replaced, and that it ends once the other is used', async () => {
    const platform = newPlatform()
    const root = createRoot(stores.gatewaySql)
    const [older, newer] = [newSecret(), newSecret()]
    const { id } = await create(keys, platform, { secret: older })
    const read = async ({ digest }: typeof older) => (await root.findKey([digest]))?.record
    expect(await read(older)).toMatchObject({ replaced: false })
    row(await keys.rotate(platform, id, rotation({ secret: newer, overlapSeconds: 60 }), someone))
    expect(await read(older)).toMatchObject({ replaced: true, expiresAt: null })
    const shown = await read(newer)
    expect(shown).toMatchObject({ replaced: false })
    await use(platform, id, shown?.secretId ?? '')
    expect(secondsOf((await read(older))?.expiresAt)).toBeGreaterThan(30)
  })

  describe('settleRotations', () => {
    const quiet = { quietSeconds: 600, overlapSeconds: 86_400 }

    test('ends the old secret once it has been silent for as long as was asked', async () => {
      const platform = newPlatform()
      const { id, newer, older } = await rotated(platform, quiet)
      await use(platform, id, newer.id)
      await use(platform, id, older.id)
      expect(await keys.settleRotations(platform)).toEqual([])
      await age(id, 601)
      expect(await keys.settleRotations(newPlatform())).toEqual([])
      const settled = await Promise.all([1, 2, 3].map(() => keys.settleRotations(platform)))
      expect(settled.flat()).toEqual([id])
      expect((await secretsOf(platform, id)).map(({ state }) => state)).toEqual([
        'current',
        'ended',
      ])
      const { rows } = await audit.list(platform, { order: 'desc', limit: 1 })
      expect(rows[0]).toMatchObject({
        action: 'api_key.updated',
        actor: { kind: 'system', id: 'rotation' },
        resource: { id },
        changes: { secret: [`••••${older.last4}`, null] },
      })
    })

    const still: readonly [string, Partial<Rotation>, 'newer' | 'older' | 'none'][] = [
      ['the new secret was never used', quiet, 'none'],
      ['only the old one was used', quiet, 'older'],
      ['nobody asked for it', { ...quiet, quietSeconds: null }, 'newer'],
      ['it was not silent for long enough', { ...quiet, quietSeconds: 7000 }, 'newer'],
    ]
    test.each(still)('does not while %s', async (_, asked, used) => {
      const platform = newPlatform()
      const made = await rotated(platform, asked)
      if (used !== 'none') await use(platform, made.id, made[used].id)
      await age(made.id, 1000)
      expect(await keys.settleRotations(platform)).toEqual([])
      expect((await secretsOf(platform, made.id))[1]?.state).toBe('overlapping')
    })

    test('V2: does nothing to a key that is revoked', async () => {
      const platform = newPlatform()
      const { id, newer } = await rotated(platform, quiet)
      await use(platform, id, newer.id)
      await age(id, 1000)
      await keys.revoke(platform, id, someone)
      const revoked = await keys.find(platform, id)
      expect(await keys.settleRotations(platform)).toEqual([])
      expect(await keys.find(platform, id)).toEqual(revoked)
    })

    test('does not while the old one is still used', async () => {
      const platform = newPlatform()
      const { id, newer, older } = await rotated(platform, quiet)
      await use(platform, id, newer.id)
      await age(id, 1000)
      await use(platform, id, older.id)
      expect(await keys.settleRotations(platform)).toEqual([])
    })
  })

  test('rotationDue names each key once, by the age its environment allows, and no dead one', async () => {
    const platform = newPlatform()
    const day = 86_400
    const allowed = { live: 90 * day, test: 180 * day }
    const made: Record<string, StoredKey> = {}
    for (const [name, days, more] of [
      ['young', 89, {}],
      ['due', 91, {}],
      ['test', 91, { environment: 'test' }],
      ['old test', 181, { environment: 'test' }],
      ['revoked', 91, {}],
      ['rotated', 91, {}],
    ] as const) {
      made[name] = await create(keys, platform, more)
      await age(made[name].id, days * day)
    }
    await keys.revoke(platform, made.revoked!.id, someone)
    await keys.rotate(platform, made.rotated!.id, rotation(), someone)
    const due = (await Promise.all([1, 2, 3].map(() => keys.rotationDue(platform, allowed)))).flat()
    expect(due.map(({ keyId }) => keyId).sort()).toEqual(
      [made.due!.id, made['old test']!.id].sort(),
    )
    const one = due.find(({ keyId }) => keyId === made.due!.id)
    expect(one).toMatchObject({ environment: 'live', secretId: made.due!.secrets[0]!.id })
    expect(secondsOf(one?.since)).toBeLessThanOrEqual(-91 * day)
    const action = 'api_key.rotation_due'
    const { rows } = await audit.list(platform, { action, order: 'asc', limit: 10 })
    expect(rows.map(({ resource }) => resource.id).sort()).toEqual(
      due.map(({ keyId }) => keyId).sort(),
    )
    // The next secret has an age of its own.
    await keys.rotate(platform, made.due!.id, rotation(), someone)
    await age(made.due!.id, 91 * day)
    const again = await keys.rotationDue(platform, allowed)
    expect(again.map(({ keyId }) => keyId)).toEqual([made.due!.id])
  })
})
