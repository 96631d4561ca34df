import { describe, expect, test } from 'vitest'
import { createAuditStore } from '../../src/db/audit.ts'
import { createKeyStore } from '../../src/db/keys.ts'
import { createRoot } from '../../src/db/root.ts'
import { createTenantStore } from '../../src/db/tenants.ts'
import { actingBy, create, newPlatform, row, setUp, someone } from './made.ts'

const setups = await setUp()

describe.each(setups)('%s', (_, { gatewaySql }) => {
  const tenants = createTenantStore(gatewaySql)
  const keys = createKeyStore(gatewaySql)
  const audit = createAuditStore(gatewaySql)
  const add = (platform: string, id: string, metadata = {}) =>
    tenants.create(platform, { id, metadata }, someone)
  const actions = async (platform: string) =>
    (await audit.list(platform, { order: 'asc', limit: 100 })).rows.map(({ action }) => action)

  test('G4: a tenant of another platform is as unknown as none at all', async () => {
    const [ours, theirs] = [newPlatform(), newPlatform()]
    const tenant = row(await add(theirs, 'acme', { plan: 'a' }))
    for (const id of ['acme', 'nobody']) {
      expect(await tenants.find(ours, id)).toBeNull()
      expect(await tenants.update(ours, id, 1, { metadata: {} }, someone)).toBeNull()
      expect(await tenants.setSuspended(ours, id, true, someone)).toBeNull()
    }
    expect((await tenants.list(ours, { order: 'asc', limit: 9 })).rows).toEqual([])
    expect(await tenants.find(theirs, 'acme')).toEqual(tenant)
    // The name is free here.
    row(await add(ours, 'acme'))
    expect(await actions(theirs)).toEqual(['tenant.created'])
  })

  test('an id is taken once, and one of another shape is refused', async () => {
    const platform = newPlatform()
    const made = await Promise.all(Array.from({ length: 20 }, () => add(platform, 'acme')))
    expect(made.filter((one) => one === 'conflict')).toHaveLength(19)
    for (const id of ['', 'a b', '-a', 'x'.repeat(64)]) {
      await expect(add(platform, id)).rejects.toMatchObject({ code: '23514' })
    }
    expect(await actions(platform)).toEqual(['tenant.created'])
  })

  test('metadata is replaced by whoever saw the latest version', async () => {
    const platform = newPlatform()
    await add(platform, 'acme', { a: 1 })
    const update = (version: number, metadata: Record<string, unknown>) =>
      tenants.update(platform, 'acme', version, { metadata }, someone)
    expect(row(await update(1, { b: 2 }))).toMatchObject({ version: 2, metadata: { b: 2 } })
    expect(await update(1, { c: 3 })).toBe('changed')
    const { rows } = await audit.list(platform, { order: 'desc', limit: 1 })
    expect(rows[0]).toMatchObject({
      action: 'tenant.updated',
      resource: { kind: 'tenant', id: 'acme' },
      changes: { metadata: [{ a: 1 }, { b: 2 }] },
    })
  })

  test('G6: of many that suspend one does; requests see it', async () => {
    const platform = newPlatform()
    await add(platform, 'acme')
    const suspend = (suspended: boolean) =>
      tenants.setSuspended(platform, 'acme', suspended, someone)
    const all = await Promise.all(Array.from({ length: 50 }, () => suspend(true)))
    expect(all.filter((one) => row(one).done)).toHaveLength(1)
    const { findTenant } = createRoot(gatewaySql)
    expect(await findTenant(platform, 'acme')).toEqual({ id: 'acme', suspended: true })
    const resumed = row(await suspend(false))
    expect(resumed).toMatchObject({ done: true, tenant: { suspendedAt: null, version: 3 } })
    expect(await findTenant(platform, 'acme')).toEqual({ id: 'acme', suspended: false })
    expect(await actions(platform)).toEqual([
      'tenant.created',
      'tenant.suspended',
      'tenant.resumed',
    ])
  })

  test('V9: a key that is revoked meanwhile changes no tenant', async () => {
    const platform = newPlatform()
    const key = await create(keys, platform)
    const acting = actingBy(key)
    row(await tenants.create(platform, { id: 'acme', metadata: {} }, acting))
    await keys.revoke(platform, key.id, someone)
    const attempts = [
      tenants.create(platform, { id: 'other', metadata: {} }, acting),
      tenants.update(platform, 'acme', 1, { metadata: { a: 1 } }, acting),
      tenants.setSuspended(platform, 'acme', true, acting),
    ]
    expect(await Promise.all(attempts)).toEqual(attempts.map(() => 'actor_gone'))
    expect(await tenants.find(platform, 'acme')).toMatchObject({ version: 1, suspendedAt: null })
  })

  test('pages hold every tenant once; suspended ones can be asked for', async () => {
    const platform = newPlatform()
    for (let n = 0; n < 9; n++) await add(platform, `t${n}`)
    await tenants.setSuspended(platform, 't4', true, someone)
    const ids: string[] = []
    let after = null
    do {
      const page = await tenants.list(platform, { order: 'desc', limit: 4, after })
      ids.push(...page.rows.map(({ id }) => id))
      after = page.next
    } while (after !== null)
    expect(ids).toEqual(['t8', 't7', 't6', 't5', 't4', 't3', 't2', 't1', 't0'])
    const listed = async (suspended: boolean) =>
      (await tenants.list(platform, { suspended, order: 'asc', limit: 20 })).rows
    expect((await listed(true)).map(({ id }) => id)).toEqual(['t4'])
    expect(await listed(false)).toHaveLength(8)
  })
})
