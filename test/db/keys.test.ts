import { randomBytes } from 'node:crypto'
import { setImmediate } from 'node:timers/promises'
import type pg from 'pg'
import { describe, expect, test } from 'vitest'
import { createAuditStore } from '../../src/db/audit.ts'
import { createKeyStore, type KeyStatus, type NewKey } from '../../src/db/keys.ts'
import { withClient } from '../database.ts'
import {
  actingBy,
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
const parallel = Array.from({ length: 100 })

describe.each(setups)('%s', (_, stores) => {
  const keys = createKeyStore(stores.gatewaySql)
  const audit = createAuditStore(stores.gatewaySql)
  const eventsOf = async (platform: string, resource: string | null = null) =>
    (await audit.list(platform, { resource, order: 'asc', limit: 1000 })).rows

  test('a key comes back as it was stored, and never with a digest', async () => {
    const platform = newPlatform()
    const key = newKey({
      class: 'publishable',
      tenants: ['tenant_a', 'Tenant_A'],
      permissions: ['vec:read', '*'],
      restrictions: {
        ips: ['10.0.0.0/8'],
        origins: ['https://a.example'],
        referrers: null,
        endpoints: [],
      },
      limits: [{ name: 'custom', quota: 5, windowSeconds: 60, onStoreDown: 'deny' }],
      metadata: { team: 'search', ключ: [1, null, { a: 'b' }] },
      expiresAt: 4_000_000_000_123,
    })
    const made = row(await keys.create(platform, key, someone))
    const { secret, ...rest } = key
    expect(made).toMatchObject({
      ...rest,
      platform,
      last4: secret.last4,
      status: 'never_used',
      version: 1,
      createdBy: someone.actor,
      disabledAt: null,
      revokedAt: null,
      lastUsedAt: null,
    })
    expect(made.secrets).toEqual([
      {
        id: expect.stringMatching(/^sec_/),
        last4: secret.last4,
        createdAt: expect.any(Number),
        firstUsedAt: null,
        lastUsedAt: null,
        lastUsedFrom: null,
        expiresAt: null,
        supersededBy: null,
        overlapSeconds: null,
        overlapFrom: null,
        quietSeconds: null,
        state: 'current',
      },
    ])
    expect(await keys.find(platform, key.id)).toEqual(made)
    const digest = Buffer.from(secret.digest)
    for (const text of ['hex', 'base64', 'base64url'] as const) {
      expect(JSON.stringify([made, await eventsOf(platform)])).not.toContain(digest.toString(text))
    }
  })

  test("G4: an id of another platform is as unknown as a random one, and that platform's is untouched", async () => {
    const [ours, theirs] = [newPlatform(), newPlatform()]
    const key = await create(keys, theirs)
    for (const id of [key.id, 'key_random']) {
      expect(await keys.find(ours, id)).toBeNull()
      expect(await keys.update(ours, id, 1, { name: 'x' }, someone)).toBeNull()
      expect(await keys.revoke(ours, id, someone)).toBeNull()
      expect(await keys.setDisabled(ours, id, true, someone)).toBeNull()
      expect(await keys.rotate(ours, id, rotation(), someone)).toBeNull()
    }
    expect((await keys.list(ours, { order: 'desc', limit: 10 })).rows).toEqual([])
    expect(await eventsOf(ours)).toEqual([])
    expect(await keys.find(theirs, key.id)).toEqual(key)
  })

  describe('K15: what is taken is a conflict, and nothing of it stays', () => {
    const taken: readonly [string, (key: NewKey) => Partial<NewKey>, elsewhere: boolean][] = [
      ['the id', ({ id }) => ({ id }), false],
      ['the ref', ({ ref }) => ({ ref }), false],
      ['the secret', ({ secret }) => ({ secret }), false],
      ['the secret, on another platform', ({ secret }) => ({ secret }), true],
    ]
    test.each(taken)('%s', async (_, same, elsewhere) => {
      const platform = newPlatform()
      const key = newKey()
      await keys.create(elsewhere ? newPlatform() : platform, key, someone)
      const before = await eventsOf(platform)
      expect(await keys.create(platform, newKey(same(key)), someone)).toBe('conflict')
      expect(await eventsOf(platform)).toEqual(before)
      const { rows } = await keys.list(platform, { order: 'asc', limit: 10 })
      expect(rows.map(({ id }) => id)).toEqual(elsewhere ? [] : [key.id])
    })

    test('of 100 with one secret, one is stored', async () => {
      const platform = newPlatform()
      const secret = newSecret()
      const made = await Promise.all(
        parallel.map(() => keys.create(platform, newKey({ secret }), someone)),
      )
      expect(made.filter((one) => one !== 'conflict')).toHaveLength(1)
      expect(await eventsOf(platform)).toHaveLength(1)
    })
  })

  describe('update', () => {
    test('changes what is named, leaves the rest, and says what it was', async () => {
      const platform = newPlatform()
      const key = await create(keys, platform, { metadata: { a: 1 }, expiresAt: 4_000_000_000_000 })
      const changes = {
        name: 'renamed',
        tenants: ['t1'],
        limits: [{ name: 'custom', quota: 9, windowSeconds: 60, onStoreDown: 'local' }],
        expiresAt: null,
      } as const
      const after = row(await keys.update(platform, key.id, 1, changes, someone))
      expect(after).toMatchObject({ ...key, ...changes, version: 2, updatedAt: after.updatedAt })
      expect(after.updatedAt).toBeGreaterThanOrEqual(key.updatedAt)
      const [, event] = await eventsOf(platform, key.id)
      expect(event).toEqual({
        id: expect.stringMatching(/^evt_/),
        at: expect.any(Number),
        action: 'api_key.updated',
        actor: someone.actor,
        address: someone.address,
        requestId: someone.requestId,
        resource: { kind: 'api_key', id: key.id },
        changes: {
          name: ['a key', 'renamed'],
          tenants: [null, ['t1']],
          rate_limit: [null, [{ quota: 9, window_seconds: 60 }]],
          expires_at: ['2096-10-02T07:06:40.000Z', null],
        },
      })
    })

    test('with nothing new changes nothing, not even the version', async () => {
      const platform = newPlatform()
      const key = await create(keys, platform, { metadata: { b: { d: 1, c: 2 }, a: 1 } })
      const same = { name: key.name, metadata: { a: 1, b: { c: 2, d: 1 } } }
      expect(await keys.update(platform, key.id, 1, same, someone)).toEqual(key)
      expect(await eventsOf(platform)).toHaveLength(1)
    })

    test('G5: of 100 that saw the same version one wins, the others are told', async () => {
      const platform = newPlatform()
      const { id } = await create(keys, platform)
      const answers = await Promise.all(
        parallel.map((_, n) => keys.update(platform, id, 1, { name: `n${n}` }, someone)),
      )
      expect(answers.filter((answer) => answer === 'changed')).toHaveLength(99)
      const { name } = row(answers.find((answer) => answer !== 'changed') ?? null)
      expect(await keys.find(platform, id)).toMatchObject({ name, version: 2 })
      expect(await eventsOf(platform, id)).toHaveLength(2)
    })

    test('G11: an unrelated change leaves the secret as it is', async () => {
      const platform = newPlatform()
      const key = await create(keys, platform)
      const secret = () =>
        asOwner(stores, 'select * from postern.api_key_secrets where key_id = $1', [key.id])
      const before = await secret()
      for (let version = 1; version <= 10; version++) {
        row(await keys.update(platform, key.id, version, { metadata: { version } }, someone))
      }
      expect(await secret()).toEqual(before)
    })

    test('a value that the database refuses changes nothing and leaves no event', async () => {
      const platform = newPlatform()
      const { id } = await create(keys, platform)
      const broken = keys.update(platform, id, 1, { metadata: { a: '\0' } }, someone)
      await expect(broken).rejects.toMatchObject({ name: 'DatabaseFault' })
      expect(await keys.find(platform, id)).toMatchObject({ version: 1, metadata: {} })
      expect(await eventsOf(platform, id)).toHaveLength(1)
    })
  })

  test('G6: of 100 that revoke or disable, one does; a revoked key stays as it is', async () => {
    const platform = newPlatform()
    const { id } = await create(keys, platform)
    const disabled = await Promise.all(
      parallel.map(() => keys.setDisabled(platform, id, true, someone)),
    )
    expect(disabled.filter((one) => row(one).done)).toHaveLength(1)
    expect(row(disabled[0] ?? null).key).toMatchObject({ status: 'disabled', version: 2 })
    expect(row(await keys.setDisabled(platform, id, false, someone)).key.disabledAt).toBeNull()
    const revoked = await Promise.all(parallel.map(() => keys.revoke(platform, id, someone)))
    expect(revoked.filter((one) => row(one).done)).toHaveLength(1)
    const last = await keys.find(platform, id)
    expect(last).toMatchObject({ status: 'revoked', version: 4 })
    expect(await keys.update(platform, id, 4, { name: 'x' }, someone)).toBe('revoked')
    expect(await keys.setDisabled(platform, id, true, someone)).toBe('revoked')
    expect(await keys.rotate(platform, id, rotation(), someone)).toBe('revoked')
    expect(await keys.find(platform, id)).toEqual(last)
    expect((await eventsOf(platform, id)).map(({ action }) => action)).toEqual([
      'api_key.created',
      'api_key.disabled',
      'api_key.enabled',
      'api_key.revoked',
    ])
  })

  test('V8: of 100 that rotate the secret they saw, one does; of 100 that do not mind, two stay good', async () => {
    const platform = newPlatform()
    const key = await create(keys, platform)
    const ifSecret = key.secrets[0]?.id ?? ''
    const seen = await Promise.all(
      parallel.map(() => keys.rotate(platform, key.id, rotation({ ifSecret }), someone)),
    )
    expect(seen.filter((one) => one === 'changed')).toHaveLength(99)
    await Promise.all(parallel.map(() => keys.rotate(platform, key.id, rotation(), someone)))
    const good = await asOwner(
      stores,
      `select 1 from postern.api_key_secrets
       where key_id = $1 and (expires_at is null or expires_at > now())`,
      [key.id],
    )
    expect(good).toHaveLength(2)
    const after = await keys.find(platform, key.id)
    expect(after?.version).toBe(102)
    expect(after?.secrets).toHaveLength(10)
    expect(after?.secrets.slice(0, 3).map(({ state }) => state)).toEqual([
      'current',
      'overlapping',
      'ended',
    ])
  })

  describe('V9: who acts must stand when it happens', () => {
    type Fall = (platform: string, id: string) => Promise<unknown>
    const falls: readonly [string, Fall][] = [
      ['revoked', (platform, id) => keys.revoke(platform, id, someone)],
      ['disabled', (platform, id) => keys.setDisabled(platform, id, true, someone)],
      [
        'expired',
        (platform, id) => keys.update(platform, id, 1, { expiresAt: Date.now() - 1000 }, someone),
      ],
      [
        'rotated away from its secret',
        (platform, id) => keys.rotate(platform, id, rotation({ overlapSeconds: 0 }), someone),
      ],
    ]
    test.each(falls)('a key that was %s changes nothing', async (_, fall) => {
      const platform = newPlatform()
      const [actor, target] = [await create(keys, platform), await create(keys, platform)]
      const acting = actingBy(actor)
      row(await keys.create(platform, newKey(), acting))
      await fall(platform, actor.id)
      const before = await eventsOf(platform)
      const attempts = [
        keys.create(platform, newKey(), acting),
        keys.update(platform, target.id, 1, { name: 'x' }, acting),
        keys.revoke(platform, target.id, acting),
        keys.setDisabled(platform, target.id, true, acting),
        keys.rotate(platform, target.id, rotation(), acting),
        keys.importMany(platform, [newKey()], acting),
      ]
      expect(await Promise.all(attempts)).toEqual(attempts.map(() => 'actor_gone'))
      expect(await keys.find(platform, target.id)).toEqual(target)
      expect(await eventsOf(platform)).toEqual(before)
    })

    test('a key of another platform, one without its secret, and one with a foreign secret do not', async () => {
      const platform = newPlatform()
      const [mine, other] = [await create(keys, platform), await create(keys, newPlatform())]
      const strangers = [
        actingBy(other),
        { ...actingBy(mine), secretId: null },
        { ...actingBy(mine), secretId: other.secrets[0]?.id ?? '' },
      ]
      for (const stranger of strangers) {
        expect(await keys.create(platform, newKey(), stranger)).toBe('actor_gone')
      }
    })

    test('an operator acts on every platform, until it is revoked; other keys do not pass for one', async () => {
      const platform = newPlatform()
      const operator = await create(keys, 'plt_operator')
      const as = (key: typeof operator) => {
        const { id } = key
        return { ...actingBy(key), actor: { kind: 'operator', id } } as const
      }
      const made = row(await keys.create(platform, newKey(), as(operator)))
      expect(made.createdBy).toEqual({ kind: 'operator', id: operator.id })
      expect(await keys.revoke(platform, made.id, as(made))).toBe('actor_gone')
      expect(row(await keys.rotate(platform, made.id, rotation(), as(operator))).version).toBe(2)
      row(await keys.revoke('plt_operator', operator.id, someone))
      expect(await keys.revoke(platform, made.id, as(operator))).toBe('actor_gone')
    })

    test('keys that change themselves and each other at once neither wait for ever nor break', async () => {
      const platform = newPlatform()
      const [one, two] = [await create(keys, platform), await create(keys, platform)]
      const answers = await Promise.all(
        parallel.map((_, n) => {
          const [actor, target] = n % 2 === 0 ? [one, two] : [two, one]
          return n % 5 === 0
            ? keys.setDisabled(platform, actor.id, false, actingBy(actor))
            : keys.rotate(platform, target.id, rotation({ overlapSeconds: 9 }), actingBy(actor))
        }),
      )
      // The acting secrets are rotated out in between, which is an answer too.
      for (const answer of answers) expect(answer).not.toBeNull()
    })

    test('a key revoked while it mints: what was minted after the revocation is nothing', async () => {
      const platform = newPlatform()
      const actor = await create(keys, platform)
      const minting = parallel.map(() => keys.create(platform, newKey(), actingBy(actor)))
      const [made] = await Promise.all([
        Promise.all(minting),
        keys.revoke(platform, actor.id, someone),
      ])
      expect(await keys.create(platform, newKey(), actingBy(actor))).toBe('actor_gone')
      const events = await eventsOf(platform)
      const end = events.findIndex(({ action }) => action === 'api_key.revoked')
      expect(events.slice(end + 1)).toEqual([])
      expect(made.filter((one) => one !== 'actor_gone')).toHaveLength(end - 1)
    })
  })

  describe('list', () => {
    test('pages hold every key once, in either order, whatever is made in between', async () => {
      const platform = newPlatform()
      // An import has one instant for all of them.
      await keys.importMany(
        platform,
        Array.from({ length: 25 }, () => newKey()),
        someone,
      )
      for (let n = 0; n < 5; n++) await create(keys, platform)
      for (const order of ['asc', 'desc'] as const) {
        const ids: string[] = []
        let page = await keys.list(platform, { order, limit: 7 })
        ids.push(...page.rows.map(({ id }) => id))
        while (page.next !== null) {
          if (order === 'desc') await create(keys, platform)
          page = await keys.list(platform, { order, limit: 7, after: page.next })
          ids.push(...page.rows.map(({ id }) => id))
        }
        expect([ids.length, new Set(ids).size]).toEqual([30, 30])
      }
      const all = await keys.list(platform, { order: 'asc', limit: 100 })
      const made = all.rows.map(({ createdAt }) => createdAt)
      expect(made).toEqual([...made].sort((a, b) => a - b))
      expect(all.next).toBeNull()
    })

    test('a page that is exactly full says that there is no more', async () => {
      const platform = newPlatform()
      for (let n = 0; n < 3; n++) await create(keys, platform)
      expect((await keys.list(platform, { order: 'asc', limit: 3 })).next).toBeNull()
      expect((await keys.list(platform, { order: 'asc', limit: 2 })).next).not.toBeNull()
    })

    test('filters', async () => {
      const platform = newPlatform()
      const a = await create(keys, platform, { name: 'a', environment: 'test' })
      const b = await create(keys, platform, { name: 'b', class: 'publishable', tenants: ['t1'] })
      const c = await create(keys, platform, { name: 'A', tenants: ['t2'] })
      const ids = async (filter: object) =>
        (await keys.list(platform, { ...filter, order: 'asc', limit: 10 })).rows.map(({ id }) => id)
      expect(await ids({ environment: 'test' })).toEqual([a.id])
      expect(await ids({ class: 'publishable' })).toEqual([b.id])
      expect(await ids({ name: 'A' })).toEqual([c.id])
      expect(await ids({ tenant: 't1' })).toEqual([a.id, b.id])
      expect(await ids({ tenant: 't1', class: 'secret', name: null })).toEqual([a.id])
      expect(await ids({ name: "' or true --" })).toEqual([])
    })

    test('every status is told, and is a filter', async () => {
      const platform = newPlatform()
      const hour = 3_600_000
      const made = {
        never_used: await create(keys, platform),
        active: await create(keys, platform),
        expires_soon: await create(keys, platform, { expiresAt: Date.now() + hour }),
        expired: await create(keys, platform, { expiresAt: Date.now() - hour }),
        rotating: await create(keys, platform),
        disabled: await create(keys, platform),
        revoked: await create(keys, platform),
      } satisfies Record<KeyStatus, unknown>
      await keys.rotate(platform, made.rotating.id, rotation(), someone)
      await keys.setDisabled(platform, made.disabled.id, true, someone)
      await keys.revoke(platform, made.revoked.id, someone)
      await asOwner(stores, 'update postern.api_keys set last_used_at = now() where id = $1', [
        made.active.id,
      ])
      for (const [status, { id }] of Object.entries(made)) {
        expect(await keys.find(platform, id)).toMatchObject({ status })
        const which = { status: status as KeyStatus, order: 'asc', limit: 10 } as const
        expect((await keys.list(platform, which)).rows.map((one) => one.id)).toEqual([id])
      }
    })
  })

  describe('moving', () => {
    test('keys that clash are left out, in whatever part; the others are whole', async () => {
      const [platform, elsewhere] = [newPlatform(), newPlatform()]
      const foreign = newKey()
      await keys.create(elsewhere, foreign, someone)
      const many = Array.from({ length: 1300 }, () => newKey({ ref: '' }))
      const twin = many[3]!
      many[10] = newKey({ id: twin.id })
      many[600] = newKey({ secret: foreign.secret })
      many[1200] = newKey({ secret: twin.secret })
      many[1201] = newKey({ ref: 'taken' })
      many[1202] = newKey({ ref: 'taken' })
      const answers = await keys.importMany(platform, many, someone)
      if (answers === 'actor_gone') throw new Error(answers)
      expect(answers.map(({ id }) => id)).toEqual(many.map(({ id }) => id))
      const clashes = answers.flatMap(({ outcome }, n) => (outcome === 'conflict' ? [n] : []))
      expect(clashes).toEqual([10, 600, 1200, 1202])
      const ids: string[] = []
      for await (const { key, secrets } of keys.exportAll(platform)) {
        ids.push(key.id)
        expect(secrets).toHaveLength(1)
      }
      expect(ids).toHaveLength(1296)
      expect(await asOwner(stores, orphans, [platform])).toEqual([])
      const events = await asOwner(
        stores,
        `select count(*)::int as events from postern.audit_events
         where platform = $1 and action = 'api_key.imported'`,
        [platform],
      )
      expect(events).toEqual([{ events: 1296 }])
    })

    test('what is exported can be imported elsewhere, and works by its digest', async () => {
      const [from, to] = [newPlatform(), newPlatform()]
      const original = newKey({
        metadata: { a: 1 },
        restrictions: { ips: ['::1/128'], origins: null, referrers: null, endpoints: null },
      })
      row(await keys.create(from, original, someone))
      row(await keys.rotate(from, original.id, rotation(), someone))
      const moved: NewKey[] = []
      for await (const { key, secrets } of keys.exportAll(from)) {
        expect(secrets).toHaveLength(2)
        expect(Buffer.from(secrets[1]!.digest).equals(original.secret.digest)).toBe(true)
        // A digest is unique in the whole deployment; another deployment would take it as it is.
        moved.push({ ...key, secret: { ...secrets[0]!, digest: randomBytes(32) } })
      }
      expect(await keys.importMany(to, moved, someone)).toEqual([
        { id: original.id, outcome: 'imported' },
      ])
      expect(await keys.find(to, original.id)).toMatchObject({
        metadata: { a: 1 },
        restrictions: original.restrictions,
      })
    })

    test('nothing is imported by nothing', async () => {
      expect(await keys.importMany(newPlatform(), [], someone)).toEqual([])
    })
  })
})

const orphans = `
  select k.id from postern.api_keys k where k.platform = $1 and not exists (
    select from postern.api_key_secrets s where s.platform = k.platform and s.key_id = k.id)`

describe('V9: on PostgreSQL, where two changes can be under way at once', () => {
  const [, stores] = setups.find(([name]) => name === 'PostgreSQL')!
  const keys = createKeyStore(stores.gatewaySql)
  const owner = { connectionString: String(stores.owner) }

  /** Resolves once somebody waits for a row that `client` holds. */
  async function someoneWaits(client: pg.Client): Promise<void> {
    const text = `select from pg_locks
      where not granted and pg_backend_pid() = any (pg_blocking_pids(pid))`
    while ((await client.query(text)).rowCount === 0) await setImmediate()
  }

  test.each(['api_key', 'operator'] as const)(
    'what a key of kind %s does while it is being revoked waits, and then is not done',
    async (kind) => {
      const platform = newPlatform()
      const actor = await create(keys, kind === 'operator' ? 'plt_operator' : platform)
      const acting = { ...actingBy(actor), actor: { kind, id: actor.id } }
      await withClient(owner, async (client) => {
        await client.query('begin')
        await client.query('update postern.api_keys set revoked_at = now() where id = $1', [
          actor.id,
        ])
        const minting = keys.create(platform, newKey(), acting)
        await someoneWaits(client)
        await client.query('commit')
        expect(await minting).toBe('actor_gone')
      })
    },
  )

  test('a revocation waits for what the key is doing, and comes after it', async () => {
    const platform = newPlatform()
    const actor = await create(keys, platform)
    await withClient(owner, async (client) => {
      await client.query('begin')
      // As a change that is under way holds its actor.
      await client.query('select from postern.api_keys where id = $1 for share', [actor.id])
      const revoking = keys.revoke(platform, actor.id, someone)
      row(await keys.create(platform, newKey(), actingBy(actor)))
      await someoneWaits(client)
      await client.query('commit')
      expect(row(await revoking).done).toBe(true)
    })
  })
})
