import { randomUUID } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import type { UsageEntry } from '../../src/context.ts'
import { createKeyStore, type StoredKey } from '../../src/db/keys.ts'
import { createUsageStore } from '../../src/db/usage.ts'
import { asOwner, create, newPlatform, setUp, someone } from './made.ts'

const setups = await setUp()
const noon = Date.UTC(2026, 10, 20, 12)

describe.each(setups)('%s', (_, stores) => {
  const keys = createKeyStore(stores.gatewaySql)
  const { addUsage, usageOf } = createUsageStore(stores.gatewaySql)

  const entry = (key: StoredKey, more: Partial<UsageEntry> = {}): UsageEntry => ({
    ...{ keyId: key.id, secretId: key.secrets[0]?.id ?? '', day: '2026-11-20' },
    ...{ requests: 3, errors: 1, bytesIn: 10, bytesOut: 2_000_000_000_000 },
    ...{ firstUsedAt: noon, lastUsedAt: noon, lastAddress: '192.0.2.1', lastOrigin: null },
    ...more,
  })
  const add = (platform: string, ...entries: UsageEntry[]) =>
    addUsage(platform, { id: randomUUID(), entries })
  const month = (platform: string, key: StoredKey) =>
    usageOf(platform, key.id, '2026-11-01', '2026-11-30')
  const rowsOf = (key: StoredKey) =>
    asOwner(
      stores,
      `select to_jsonb(k) as key, (select jsonb_agg(s) from postern.api_key_secrets s where s.key_id = k.id) as secrets,
         (select jsonb_agg(u) from postern.usage_days u where u.key_id = k.id) as days
       from postern.api_keys k where k.id = $1`,
      [key.id],
    )

  test('days add up, over batches and over secrets, and the latest use is the last', async () => {
    const platform = newPlatform()
    const key = await create(keys, platform)
    const later = {
      lastUsedAt: noon + 60_000,
      lastAddress: '2001:db8::1',
      lastOrigin: 'https://a.example',
    }
    const counted = await add(
      platform,
      entry(key),
      entry(key, { secretId: 'sec_other', ...later }),
      entry(key, { day: '2026-11-21', requests: 1, errors: 0 }),
    )
    expect(counted).toBe(3)
    // Late, and from before.
    await add(platform, entry(key, { lastUsedAt: noon - 60_000, firstUsedAt: noon - 60_000 }))
    expect(await month(platform, key)).toEqual([
      {
        ...{ day: '2026-11-20', environment: 'live', billable: true },
        ...{ requests: 9, errors: 3, bytesIn: 30, bytesOut: 6_000_000_000_000 },
        ...later,
      },
      expect.objectContaining({ day: '2026-11-21', requests: 1, errors: 0 }),
    ])
    expect(await usageOf(platform, key.id, '2026-11-21', '2026-11-21')).toHaveLength(1)
    const after = await keys.find(platform, key.id)
    expect(after).toMatchObject({ lastUsedAt: noon + 60_000, status: 'active', version: 1 })
    expect(after?.secrets[0]).toMatchObject({
      firstUsedAt: noon - 60_000,
      lastUsedAt: noon,
      lastUsedFrom: '192.0.2.1',
    })
  })

  test('what the test environment does is never billable', async () => {
    const platform = newPlatform()
    const key = await create(keys, platform, { environment: 'test' })
    await add(platform, entry(key))
    expect(await month(platform, key)).toMatchObject([{ environment: 'test', billable: false }])
  })

  test('Q10: a batch that is sent again, also at once, counts once', async () => {
    const platform = newPlatform()
    const key = await create(keys, platform)
    const batch = { id: randomUUID(), entries: [entry(key)] }
    const counted = await Promise.all(Array.from({ length: 20 }, () => addUsage(platform, batch)))
    expect(counted.filter((one) => one === 1)).toHaveLength(1)
    expect(counted.filter((one) => one === 0)).toHaveLength(19)
    expect(await month(platform, key)).toMatchObject([{ requests: 3 }])
    // The id is the platform's own.
    expect(await addUsage(newPlatform(), batch)).toBe(0)
  })

  test('batches of several writers with many keys each add up', async () => {
    const platform = newPlatform()
    const made = await Promise.all(Array.from({ length: 10 }, () => create(keys, platform)))
    await Promise.all(
      Array.from({ length: 20 }, (_, n) =>
        add(platform, ...(n % 2 === 0 ? made : [...made].reverse()).map((key) => entry(key))),
      ),
    )
    for (const key of made) {
      expect(await month(platform, key)).toMatchObject([{ requests: 60, errors: 20 }])
    }
  })

  test('V2: a late flush changes nothing of a revoked key, nor of one that is revoked meanwhile', async () => {
    const platform = newPlatform()
    const [dead, alive] = [await create(keys, platform), await create(keys, platform)]
    await add(platform, entry(dead))
    await keys.revoke(platform, dead.id, someone)
    const before = await rowsOf(dead)
    expect(await add(platform, entry(dead), entry(alive))).toBe(1)
    expect(await rowsOf(dead)).toEqual(before)
    const racing = await create(keys, platform)
    const flushes = Array.from({ length: 20 }, () => add(platform, entry(racing)))
    const [counted] = await Promise.all([
      Promise.all(flushes),
      keys.revoke(platform, racing.id, someone),
    ])
    const requests = 3 * counted.reduce((sum, one) => sum + one, 0)
    const days = await month(platform, racing)
    expect(days[0]?.requests ?? 0).toBe(requests)
    expect((await keys.find(platform, racing.id))?.status).toBe('revoked')
  })

  test('G4: keys that are unknown or of another platform do not count, and none appears', async () => {
    const [ours, theirs] = [newPlatform(), newPlatform()]
    const key = await create(keys, theirs)
    await add(theirs, entry(key))
    const before = await rowsOf(key)
    expect(await add(ours, entry(key), entry({ ...key, id: 'key_random' }))).toBe(0)
    expect(await rowsOf(key)).toEqual(before)
    expect(await month(ours, key)).toEqual([])
    expect(await add(ours)).toBe(0)
  })

  test('a clock that runs ahead does not put a use into the future', async () => {
    const platform = newPlatform()
    const key = await create(keys, platform)
    const ahead = Date.now() + 86_400_000
    await add(platform, entry(key, { lastUsedAt: ahead, firstUsedAt: ahead }))
    const after = await keys.find(platform, key.id)
    const [day] = await month(platform, key)
    for (const at of [after?.lastUsedAt, after?.secrets[0]?.firstUsedAt, day?.lastUsedAt]) {
      expect(at).toBeLessThan(ahead - 80_000_000)
    }
  })

  test('V2: whatever statement it is, rows only grow, and only those of keys that live', async () => {
    const platform = newPlatform()
    const [key, dead] = [await create(keys, platform), await create(keys, platform)]
    await add(platform, entry(key), entry(dead))
    await keys.revoke(platform, dead.id, someone)
    const before = [...(await rowsOf(key)), ...(await rowsOf(dead))]
    const insertion = (id: string, environment = 'live') => `insert into postern.usage_days
      (key_id, day, environment, billable, last_used_at)
      values ('${id}', '2026-11-29', '${environment}', ${environment === 'live'}, now())`
    const set = (what: string, id = key.id) =>
      `update postern.usage_days set ${what} where key_id = '${id}'`
    const statements: readonly [string, code: string][] = [
      [set('requests = requests - 1'), '23514'],
      [set('errors = 0'), '23514'],
      [set('bytes_out = 5'), '23514'],
      [set('bytes_in = 0'), '23514'],
      [set(`last_used_at = '2020-01-01'`), '23514'],
      [set(`day = '2026-11-19'`), '23514'],
      [set(`environment = 'test', billable = false`), '23514'],
      [set('billable = false'), '23514'],
      [set(`key_id = '${dead.id}', day = '2026-11-28'`), '23514'],
      [set('requests = requests + 1', dead.id), '23514'],
      [insertion(dead.id), '23514'],
      [insertion(key.id, 'test'), '23514'],
      [insertion('key_random'), '23503'],
      [`delete from postern.usage_days where key_id = '${key.id}'`, '42501'],
    ]
    for (const [text, code] of statements) {
      const attempt = stores.gatewaySql.query({ platform }, { text })
      await expect(attempt, text).rejects.toMatchObject({ code })
    }
    await expect(add(platform, entry(key, { requests: -1 }))).rejects.toMatchObject({
      code: '23514',
    })
    expect([...(await rowsOf(key)), ...(await rowsOf(dead))]).toEqual(before)
  })

  test('batches are remembered for a day, and not for ever', async () => {
    const platform = newPlatform()
    const key = await create(keys, platform)
    await add(platform, entry(key))
    await asOwner(
      stores,
      `update postern.usage_batches set created_at = now() - interval '25 hours' where platform = $1`,
      [platform],
    )
    await add(platform, entry(key))
    const text = 'select 1 from postern.usage_batches where platform = $1'
    expect(await asOwner(stores, text, [platform])).toHaveLength(1)
  })
})
