/** The vault over its rows, on both databases, with salts beside them and in a store of their own. */
import { randomBytes, randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Scope, Sql } from '../../src/context.ts'
import { createMasterRegistry, everyScope } from '../../src/db/master-keys.ts'
import { createSecretStore } from '../../src/db/secrets.ts'
import { createExpiry } from '../../src/vault/expiry.ts'
import { Keyring, type Masters } from '../../src/vault/masters.ts'
import { type SecretValues, secretsMax } from '../../src/vault/names.ts'
import { Vault } from '../../src/vault/vault.ts'
import { asOwner } from './made.ts'
import { pglite, production, type Stores } from './stores.ts'

type Setup = {
  readonly name: string
  readonly stores: Stores
  /** Where salts are. */
  readonly salts: Stores
  readonly saltSql: Sql | null
}

const masters: Masters = { current: 1, versions: new Map([[1, randomBytes(32)]]) }
const opened: Stores[] = []
async function setUp(): Promise<Setup[]> {
  const main = await production()
  const shred = await production()
  const embedded = await pglite()
  opened.push(main, shred, embedded)
  return [
    { name: 'PostgreSQL', stores: main, salts: main, saltSql: null },
    { name: 'PGlite', stores: embedded, salts: embedded, saltSql: null },
    { name: 'salts of their own', stores: main, salts: shred, saltSql: shred.tenantSql },
  ]
}
const setups = await setUp()
afterAll(() => Promise.all(opened.map((one) => one.close())))

const vaultOf = ({ stores, saltSql }: Setup, keys = masters) =>
  new Vault(
    createSecretStore(stores.tenantSql, saltSql),
    new Keyring(keys, createMasterRegistry(stores.gatewaySql)),
  )
const newScope = (more: Partial<Scope> = {}): Scope => ({
  ...{ platform: `plt_${randomUUID()}`, environment: 'live', tenant: 'acme' },
  ...more,
})
async function newSession({ stores }: Setup, scope: Scope): Promise<string> {
  const id = `ses_${randomUUID()}`
  const text = 'insert into sessions (id, user_id) values ($1, $2)'
  await stores.tenantSql.query(scope, { text, values: [id, 'user_1'] })
  return id
}
const values = (secrets: Record<string, string>) => new Map(Object.entries(secrets))
/** What was opened, by name. Fails where it was refused. */
function plain(found: SecretValues | { readonly code: string }): Record<string, string> {
  if ('code' in found) throw new Error(JSON.stringify(found))
  return Object.fromEntries(found)
}
const everySecret = (setup: Setup) =>
  asOwner(setup.stores, 'select * from public.secrets order by session_id, name')

describe.each(setups)('$name', (setup) => {
  const vault = vaultOf(setup)
  let scope: Scope
  let session: string
  beforeAll(async () => {
    scope = newScope()
    session = await newSession(setup, scope)
  })

  test('what was never set is not there, and neither is a session that never was', async () => {
    expect(await vault.of(scope).list(session)).toEqual([])
    expect(await vault.of(scope).list('ses_none')).toMatchObject({ code: 'resource/not_found' })
    expect(await vault.openSecrets(scope, session, ['A'])).toMatchObject({
      code: 'secret/not_found',
    })
    expect(await vault.of(scope).remove(session, 'A')).toMatchObject({ code: 'secret/not_found' })
    expect(await vault.of(scope).remove('ses_none', 'A')).toMatchObject({
      code: 'resource/not_found',
    })
    expect(await vault.set(scope, 'ses_none', values({ A: 'x' }))).toMatchObject({
      code: 'resource/not_found',
    })
    expect(await vault.of(scope).end('ses_none')).toMatchObject({ code: 'resource/not_found' })
  })

  test('secrets are set, overwritten, listed by name alone, opened, removed', async () => {
    expect(await vault.of(scope).set(session, { A: 'one', B: 'two' })).toBeNull()
    expect(await vault.of(scope).set(session, { B: 'three', C: 'four' })).toBeNull()
    const listed = await vault.of(scope).list(session)
    expect(listed).toEqual(['A', 'B', 'C'].map((name) => ({ name, createdAt: expect.any(Date) })))
    expect(plain(await vault.openSecrets(scope, session, ['C', 'B']))).toEqual({
      ...{ B: 'three', C: 'four' },
    })
    expect(await vault.of(scope).remove(session, 'B')).toBeNull()
    expect(await vault.of(scope).remove(session, 'B')).toMatchObject({ code: 'secret/not_found' })
    expect(await vault.openSecrets(scope, session, ['A', 'B'])).toMatchObject({
      code: 'secret/not_found',
    })
  })

  test('a refused body stores nothing of it', async () => {
    expect(await vault.of(scope).set(session, { D: 'x', PATH: 'y' })).toMatchObject({
      code: 'request/invalid',
    })
    expect(await vault.openSecrets(scope, session, ['D'])).toHaveProperty('code')
  })

  test('T15: nobody else sees them: not a tenant, an environment or a platform', async () => {
    const others = [
      newScope({ ...scope, tenant: 'other' }),
      newScope({ ...scope, environment: 'test' }),
      newScope(),
    ]
    for (const other of others) {
      expect(await vault.of(other).list(session)).toMatchObject({ code: 'resource/not_found' })
      expect(await vault.openSecrets(other, session, ['A'])).toHaveProperty('code')
      expect(await vault.of(other).set(session, { A: 'x' })).toHaveProperty('code')
      expect(await vault.of(other).remove(session, 'A')).toHaveProperty('code')
      expect(await vault.of(other).end(session)).toHaveProperty('code')
    }
    expect(plain(await vault.openSecrets(scope, session, ['A']))).toEqual({ A: 'one' })
  })

  test('a session has no more names than it may, however many write at once', async () => {
    const crowded = await newSession(setup, scope)
    const named = (from: number, count: number) =>
      Object.fromEntries(Array.from({ length: count }, (_, n) => [`N${from + n}`, 'x']))
    const answers = await Promise.all(
      [0, 40, 80, 120].map((from) => vault.of(scope).set(crowded, named(from, 40))),
    )
    expect(answers.filter((one) => one === null)).toHaveLength(2)
    expect(answers.find((one) => one !== null)).toMatchObject({
      ...{ code: 'request/invalid', errors: [{ code: 'too_many' }] },
    })
    const listed = await vault.of(scope).list(crowded)
    expect(listed).toHaveLength(80)
    // What is there already may be overwritten.
    expect(await vault.of(scope).set(crowded, named(160, secretsMax - 80))).toBeNull()
    expect(await vault.of(scope).set(crowded, named(160, 1))).toBeNull()
  })

  test('G6: of many who set one name at once, one is last and whole', async () => {
    const shared = await newSession(setup, scope)
    const sent = Array.from({ length: 20 }, (_, n) => `value ${n}`)
    const answers = await Promise.all(
      sent.map((value) => vault.of(scope).set(shared, { ONE: value, TWO: value })),
    )
    expect(answers.every((one) => one === null)).toBe(true)
    const { ONE, TWO } = plain(await vault.openSecrets(scope, shared, ['ONE', 'TWO']))
    expect(sent).toContain(ONE)
    expect(TWO).toBe(ONE)
  })

  test('X1: a key that has sealed as often as it may seals no more', async () => {
    const worn = await newSession(setup, scope)
    expect(await vault.of(scope).set(worn, { A: 'x' })).toBeNull()
    await asOwner(setup.stores, 'update public.sessions set seals = 2147483647 where id = $1', [
      worn,
    ])
    expect(await vault.of(scope).set(worn, { A: 'y' })).toBeNull()
    expect(await vault.of(scope).set(worn, { A: 'z' })).toMatchObject({ code: 'resource/conflict' })
    expect(plain(await vault.openSecrets(scope, worn, ['A']))).toEqual({ A: 'y' })
  })

  test('X3: rows swapped between names, sessions and tenants do not open', async () => {
    const neighbour = newScope({ ...scope, tenant: 'neighbour' })
    const [mine, mine2, theirs] = [
      await newSession(setup, scope),
      await newSession(setup, scope),
      await newSession(setup, neighbour),
    ]
    await vault.of(scope).set(mine, { A: 'mine a', B: 'mine b' })
    await vault.of(scope).set(mine2, { A: 'mine too' })
    await vault.of(neighbour).set(theirs, { A: 'theirs' })
    const rows = (await everySecret(setup)).filter(({ session_id: id }) =>
      [mine, mine2, theirs].includes(String(id)),
    )
    const put = (session: unknown, name: unknown, sealed: unknown) =>
      asOwner(
        setup.stores,
        'update public.secrets set sealed = $3 where session_id = $1 and name = $2',
        [session, name, sealed],
      )
    for (const into of rows) {
      for (const from of rows) {
        if (into === from) continue
        await put(into.session_id, into.name, from.sealed)
        const at = into.session_id === theirs ? neighbour : scope
        const found = await vault.openSecrets(at, String(into.session_id), [String(into.name)])
        expect(found).toMatchObject({ code: 'storage/unavailable' })
        expect(JSON.stringify(found)).toMatch(/decrypt_failed/)
        expect(JSON.stringify(found)).not.toMatch(/mine|theirs/)
      }
      await put(into.session_id, into.name, into.sealed)
    }
    // The salt of another session opens nothing either.
    const salts = 'update public.session_salts set salt = $2 where id = $1'
    await asOwner(setup.salts, salts, [mine, randomBytes(32)])
    expect(await vault.openSecrets(scope, mine, ['A'])).toMatchObject({
      code: 'storage/unavailable',
    })
  })

  test('X12: the end of a session destroys salt and secrets, and can be asked for again', async () => {
    const ending = await newSession(setup, scope)
    await vault.of(scope).set(ending, { A: 'x' })
    const salts = () =>
      asOwner(setup.salts, 'select salt from public.session_salts where id = $1', [ending])
    const [kept] = await salts()
    expect(kept).toBeDefined()
    const [before] = (await everySecret(setup)).filter(({ session_id: id }) => id === ending)
    expect(await vault.of(scope).end(ending)).toBeNull()
    expect(await salts()).toEqual([])
    expect((await everySecret(setup)).filter(({ session_id: id }) => id === ending)).toEqual([])
    expect(await vault.of(scope).end(ending)).toBeNull()
    expect(await vault.of(scope).set(ending, { A: 'y' })).toHaveProperty('code')
    expect(await vault.of(scope).list(ending)).toHaveProperty('code')
    // A backup of the row comes back, and of the session too: there is nothing to open it with.
    await asOwner(setup.stores, 'update public.sessions set ended_at = null where id = $1', [
      ending,
    ])
    await asOwner(
      setup.stores,
      'insert into public.secrets select * from jsonb_populate_record(null::public.secrets, $1)',
      [
        JSON.stringify({
          ...before,
          sealed: `\\x${Buffer.from(before!.sealed as Buffer).toString('hex')}`,
        }),
      ],
    )
    expect(await vault.openSecrets(scope, ending, ['A'])).toHaveProperty('code')
    // And no other salt is made for it, under which half of it would be lost for good.
    expect(await vault.of(scope).set(ending, { B: 'y' })).toMatchObject({
      code: 'storage/unavailable',
    })
  })

  test('X12: whoever ends a session and whoever writes to it never pass each other', async () => {
    for (let round = 0; round < 10; round++) {
      const racing = await newSession(setup, scope)
      await Promise.all([
        ...Array.from({ length: 4 }, (_, n) => vault.of(scope).set(racing, { [`N${n}`]: 'x' })),
        vault.of(scope).end(racing),
      ])
      const left = await asOwner(setup.salts, 'select id from public.session_salts where id = $1', [
        racing,
      ])
      expect(left).toEqual([])
      expect((await everySecret(setup)).filter(({ session_id: id }) => id === racing)).toEqual([])
    }
  })

  test('G10: another master key of the same version is refused, and changes nothing', async () => {
    const before = await everySecret(setup)
    const wrong = vaultOf(setup, { current: 1, versions: new Map([[1, randomBytes(32)]]) })
    expect(await wrong.set(scope, session, values({ A: 'x' }))).toMatchObject({
      code: 'gateway/misconfigured',
    })
    expect(await everySecret(setup)).toEqual(before)
  })
})

test('X12: with a store of its own there is no salt in the other, whose backup opens nothing', async () => {
  const setup = setups[2]!
  const scope = newScope()
  const session = await newSession(setup, scope)
  await vaultOf(setup).set(scope, session, values({ A: 'x' }))
  const text = 'select id from public.session_salts where id = $1'
  expect(await asOwner(setup.stores, text, [session])).toEqual([])
  expect(await asOwner(setup.salts, text, [session])).toHaveLength(1)
  // Salts from before it stay where they are, and go with their session.
  const older = await newSession(setup, scope)
  const without = vaultOf({ ...setup, saltSql: null })
  await without.set(scope, older, values({ A: 'older' }))
  expect(plain(await vaultOf(setup).openSecrets(scope, older, ['A']))).toEqual({ A: 'older' })
  expect(await vaultOf(setup).set(scope, older, values({ B: 'newer' }))).toBeNull()
  expect(plain(await without.openSecrets(scope, older, ['A', 'B']))).toMatchObject({ B: 'newer' })
  // Without the store, nothing is made that would hide what is in it.
  expect(await without.set(scope, session, values({ B: 'x' }))).toMatchObject({
    code: 'storage/unavailable',
  })
  await vaultOf(setup).of(scope).end(older)
  expect(await asOwner(setup.stores, text, [older])).toEqual([])
})

test.each(setups)(
  'X12: what sessions held that are past their time is destroyed: $name',
  async (setup) => {
    const { stores, saltSql } = setup
    const platform = `plt_${randomUUID()}`
    const scopes = ['acme', 'globex'].flatMap((tenant) =>
      (['live', 'test'] as const).map((environment) => newScope({ platform, environment, tenant })),
    )
    const text = 'insert into postern.tenants (id) values ($1), ($2)'
    await stores.gatewaySql.query({ platform }, { text, values: ['acme', 'globex'] })
    const vault = vaultOf(setup)
    const sessions = await Promise.all(
      scopes.map(async (scope) => {
        const [past, future] = [await newSession(setup, scope), await newSession(setup, scope)]
        for (const id of [past, future]) await vault.set(scope, id, values({ KEY: 'v' }))
        const text = `update sessions set expires_at = now() + $2::interval where id = $1`
        const at = (id: string, from: string) =>
          stores.tenantSql.query(scope, { text, values: [id, from] })
        await at(past, '-1 s')
        await at(future, '1 h')
        return { scope, past, future }
      }),
    )
    const told: string[] = []
    const store = createSecretStore(stores.tenantSql, saltSql)
    const round = createExpiry({
      store: {
        expired: store.expired,
        // One tenant cannot be reached: the others are not kept waiting.
        end: (scope, id) =>
          scope.tenant === 'acme' && told.length === 0
            ? Promise.reject(new Error('away'))
            : store.end(scope, id),
      },
      scopes: () => everyScope(stores.gatewaySql, [platform]),
      onEnded: (_, id) => told.push(id),
    })
    await expect(round()).rejects.toThrow('away')
    expect(told).toHaveLength(2)
    await round()
    expect(told.toSorted()).toEqual(sessions.map(({ past }) => past).toSorted())
    await round()
    expect(told).toHaveLength(4)
    for (const { scope, past, future } of sessions) {
      const salts = (id: string) =>
        (saltSql ?? stores.tenantSql).query(scope, {
          ...{ text: 'select id from session_salts where id = $1', values: [id] },
        })
      const { rows } = await stores.tenantSql.query<{ ended: boolean; secrets: number }>(scope, {
        text: `select ended_at = expires_at as ended,
        (select count(*)::int from secrets where session_id = $1) as secrets
        from sessions where id = $1`,
        values: [past],
      })
      expect([rows, (await salts(past)).rows]).toEqual([[{ ended: true, secrets: 0 }], []])
      expect((await salts(future)).rows).toHaveLength(1)
      expect(plain(await vault.openSecrets(scope, future, ['KEY']))).toEqual({ KEY: 'v' })
    }
  },
)
