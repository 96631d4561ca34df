import { describe, expect, test } from 'vitest'
import { type AuditFilter, createAuditStore } from '../../src/db/audit.ts'
import { createKeyStore } from '../../src/db/keys.ts'
import { createTenantStore } from '../../src/db/tenants.ts'
import { actingBy, create, newKey, newPlatform, row, setUp, someone } from './made.ts'

const setups = await setUp()

describe.each(setups)('%s', (_, { gatewaySql }) => {
  const audit = createAuditStore(gatewaySql)
  const keys = createKeyStore(gatewaySql)
  const tenants = createTenantStore(gatewaySql)

  test('what is written can be read and added to, and neither changed nor removed', async () => {
    const platform = newPlatform()
    await create(keys, platform)
    const before = await audit.list(platform, { order: 'asc', limit: 10 })
    expect(before.rows).toHaveLength(1)
    for (const text of [
      `update postern.audit_events set changes = '{}'`,
      'update postern.audit_events set at = now()',
      'delete from postern.audit_events',
      'truncate postern.audit_events',
      `insert into postern.audit_events (id, action, actor_kind, actor_id, resource_kind, resource_id)
         values ('${before.rows[0]!.id}', 'a', 'b', 'c', 'd', 'e')
         on conflict (platform, id) do update set action = excluded.action`,
      'select from postern.audit_events for update',
    ]) {
      const attempt = gatewaySql.query({ platform }, { text })
      await expect(attempt, text).rejects.toMatchObject({ code: '42501' })
    }
    expect(await audit.list(platform, { order: 'asc', limit: 10 })).toEqual(before)
  })

  test('a new key is told with all it may do, and its secret as dots', async () => {
    const platform = newPlatform()
    const key = newKey({ permissions: ['vec:read'], expiresAt: 4_000_000_000_000 })
    row(await keys.create(platform, key, someone))
    const { rows } = await audit.list(platform, { order: 'asc', limit: 10 })
    expect(rows[0]?.changes).toEqual({
      name: [null, key.name],
      environment: [null, 'live'],
      class: [null, 'secret'],
      prefix: [null, 'sk_live_'],
      secret: [null, `••••${key.secret.last4}`],
      tenants: [null, null],
      permissions: [null, ['vec:read']],
      restrictions: [null, key.restrictions],
      rate_limit: [null, null],
      metadata: [null, {}],
      expires_at: [null, '2096-10-02T07:06:40.000Z'],
    })
  })

  test('filters, pages, and an export that is the same', async () => {
    const [platform, other] = [newPlatform(), newPlatform()]
    await create(keys, other)
    const key = await create(keys, platform)
    for (let n = 0; n < 6; n++) {
      row(await tenants.create(platform, { id: `t${n}`, metadata: {} }, actingBy(key)))
    }
    row(await keys.revoke(platform, key.id, someone))
    const all: string[] = []
    for await (const { id } of audit.exportAll(platform)) all.push(id)
    expect(all).toHaveLength(8)

    const paged: string[] = []
    let after = null
    do {
      const page = await audit.list(platform, { order: 'desc', limit: 3, after })
      paged.push(...page.rows.map(({ id }) => id))
      after = page.next
    } while (after !== null)
    expect(paged).toEqual([...all].reverse())

    const { rows } = await audit.list(platform, { order: 'asc', limit: 100 })
    const middle = rows[3]!.at
    const filters: readonly [AuditFilter, expected: readonly string[]][] = [
      [{ actor: key.id }, all.slice(1, 7)],
      [{ actor: someone.actor.id }, [all[0]!, all[7]!]],
      [{ action: 'api_key.revoked' }, [all[7]!]],
      [{ resource: 't2' }, [all[3]!]],
      [{ resource: key.id, actor: key.id }, []],
      [{ since: middle, until: null }, rows.filter(({ at }) => at >= middle).map(({ id }) => id)],
      [{ until: middle }, rows.filter(({ at }) => at < middle).map(({ id }) => id)],
      [{ actor: "' or true --" }, []],
    ]
    for (const [filter, expected] of filters) {
      const found = await audit.list(platform, { ...filter, order: 'asc', limit: 100 })
      expect(found.rows.map(({ id }) => id)).toEqual(expected)
      const exported: string[] = []
      for await (const { id } of audit.exportAll(platform, filter)) exported.push(id)
      expect(exported).toEqual(expected)
    }
  })
})
