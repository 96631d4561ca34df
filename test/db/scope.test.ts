import { inspect } from 'node:util'
import { and, asc, count, eq, sql as raw, TransactionRollbackError } from 'drizzle-orm'
import type { NodePgDatabase } from 'drizzle-orm/node-postgres'
import { union } from 'drizzle-orm/pg-core'
import { afterAll, beforeAll, beforeEach, describe, expect, expectTypeOf, test } from 'vitest'
import { type Sql, StoreDown } from '../../src/context.ts'
import { DatabaseFault, HandleMisuse } from '../../src/db/fault.ts'
import type * as schema from '../../src/db/schema.ts'
import { subscriptions } from '../../src/db/schema.ts'
import { bindDb, encodeScope, type TenantDb } from '../../src/db/scope.ts'
import { type Place, places, scopeOf } from '../sql.ts'

const { id, plan, seats } = subscriptions
// What a handle is when a handler looks past its type.
const whole = (handle: unknown) => handle as NodePgDatabase<typeof schema>

describe('encodeScope', () => {
  test.each([
    { platform: '', environment: 'test', tenant: 'a' },
    { platform: 'plt_', environment: 'test', tenant: 'a' },
    { platform: `plt_x'`, environment: 'test', tenant: 'a' },
    { platform: 'plt_x/live', environment: 'test', tenant: 'a' },
    { platform: 'plt_x', environment: 'prod', tenant: 'a' },
    { platform: 'plt_x', environment: 'test', tenant: '' },
    { platform: 'plt_x', environment: 'test', tenant: 'a/b' },
    { platform: 'plt_x', environment: 'test', tenant: 'a\n' },
    { platform: 'plt_x', environment: 'test', tenant: `a'--` },
    { platform: 'plt_x', environment: 'test', tenant: '_a' },
    { platform: 'plt_x', environment: 'test', tenant: 'a'.repeat(64) },
  ])('T16: %o is refused', (scope) => {
    // What a caller without types could pass.
    expect(() => encodeScope(scope as never)).toThrow(HandleMisuse)
  })

  test('two scopes are never one string', () => {
    expect(encodeScope({ platform: 'plt_x', environment: 'live', tenant: 'A-b_9' })).toBe(
      'plt_x/live/A-b_9',
    )
    expect(encodeScope({ platform: 'plt_x' })).toBe('plt_x')
    expect(encodeScope(null)).toBe('')
  })
})

test('T14: a handle has no door for raw statements, and cannot be bound to another scope', () => {
  expectTypeOf<TenantDb>().not.toHaveProperty('execute')
  expectTypeOf<TenantDb>().not.toHaveProperty('refreshMaterializedView')
  expectTypeOf<TenantDb>().not.toHaveProperty('$client')
  expectTypeOf<TenantDb>().not.toHaveProperty('_')
})

describe.each(places)('$name', ({ start }) => {
  let place: Place
  let sql: Sql
  const a = scopeOf('a')
  const b = scopeOf('b')
  // A request has a handle of its own.
  const db = () => bindDb(sql, a)

  beforeAll(async () => {
    place = await start()
    sql = place.open({ max: 3 })
  })
  afterAll(async () => {
    await sql.close()
    await place.drop()
  })
  beforeEach(async () => {
    for (const scope of [a, b]) {
      await bindDb(sql, scope).delete(subscriptions)
      await bindDb(sql, scope)
        .insert(subscriptions)
        .values([
          { id: `${scope.tenant}1`, plan: 'pro' },
          { id: `${scope.tenant}2`, plan: 'free' },
        ])
    }
  })
  const idsOf = async (scope: typeof a) =>
    (await bindDb(sql, scope).select({ id }).from(subscriptions).orderBy(asc(id))).map(
      (row) => row.id,
    )

  test('every kind of statement sees one tenant and writes one tenant', async () => {
    const both = await db().select().from(subscriptions).orderBy(asc(id))
    expect(both.map((row) => [row.tenant, row.id])).toEqual([
      ['a', 'a1'],
      ['a', 'a2'],
    ])
    expect(both[0]?.createdAt).toBeInstanceOf(Date)
    expect(await db().$count(subscriptions)).toBe(2)
    expect(await db().select({ n: count() }).from(subscriptions)).toEqual([{ n: 2 }])
    expect(
      await db().query.subscriptions.findMany({ columns: { id: true }, where: eq(plan, 'pro') }),
    ).toEqual([{ id: 'a1' }])
    const free = db()
      .$with('free')
      .as(db().select().from(subscriptions).where(eq(plan, 'free')))
    expect(await db().with(free).select({ id: free.id }).from(free)).toEqual([{ id: 'a2' }])
    const halves = union(
      db().select({ id }).from(subscriptions).where(eq(plan, 'pro')),
      db().select({ id }).from(subscriptions).where(eq(plan, 'free')),
    )
    expect((await halves).map((row) => row.id).toSorted()).toEqual(['a1', 'a2'])
    expect(await db().update(subscriptions).set({ seats: 9 }).returning({ id })).toHaveLength(2)
    expect(await db().delete(subscriptions).where(eq(id, 'b1')).returning({ id })).toEqual([])
    const again = { id: 'b1', plan: 'pro' }
    await db()
      .insert(subscriptions)
      .values(again)
      .onConflictDoUpdate({
        target: [subscriptions.platform, subscriptions.environment, subscriptions.tenant, id],
        set: { plan: 'stolen' },
      })
    expect(
      await bindDb(sql, b).select({ plan, seats }).from(subscriptions).where(eq(id, 'b1')),
    ).toEqual([{ plan: 'pro', seats: 1 }])
  })

  test('D19: a prepared query of drizzle goes from tenant to tenant', async () => {
    for (let i = 0; i < 14; i++) {
      const scope = i % 2 === 0 ? a : b
      const prepared = bindDb(sql, scope)
        .select({ id })
        .from(subscriptions)
        .where(eq(plan, raw.placeholder('plan')))
        .prepare('by_plan')
      expect(await prepared.execute({ plan: 'pro' })).toEqual([{ id: `${scope.tenant}1` }])
    }
  })

  test('400 handles of mixed tenants at once', async () => {
    const scopes = Array.from({ length: 400 }, (_, i) => (i % 3 === 0 ? b : a))
    const seen = await Promise.all(scopes.map(idsOf))
    expect(seen).toEqual(scopes.map(({ tenant }) => [`${tenant}1`, `${tenant}2`]))
  })

  test('a transaction commits, with the isolation that was asked for', async () => {
    const level = await db().transaction(
      async (tx) => {
        await tx.insert(subscriptions).values({ id: 'a3', plan: 'pro' })
        expect(await tx.$count(subscriptions)).toBe(3)
        const setting = raw<string>`current_setting('transaction_isolation')`
        const [row] = await tx.select({ setting }).from(subscriptions).limit(1)
        return row?.setting
      },
      { isolationLevel: 'repeatable read', accessMode: 'read write', deferrable: false },
    )
    expect(level).toBe('repeatable read')
    expect(await idsOf(a)).toEqual(['a1', 'a2', 'a3'])
    const readOnly = db().transaction((tx) => tx.delete(subscriptions), { accessMode: 'read only' })
    await expect(readOnly).rejects.toMatchObject({ code: '25006' })
    expect(await idsOf(b)).toEqual(['b1', 'b2'])
  })

  test('a transaction that throws is rolled back and rethrows, `rollback()` too', async () => {
    const mine = new Error('mine')
    const thrown = db().transaction(async (tx) => {
      await tx.delete(subscriptions)
      throw mine
    })
    await expect(thrown).rejects.toBe(mine)
    const undone = db().transaction(async (tx) => {
      await tx.delete(subscriptions)
      tx.rollback()
    })
    await expect(undone).rejects.toBeInstanceOf(TransactionRollbackError)
    expect(await idsOf(a)).toEqual(['a1', 'a2'])
  })

  test('a nested transaction is a savepoint: its failure leaves the outer one whole', async () => {
    await db().transaction(async (tx) => {
      await tx.insert(subscriptions).values({ id: 'a3', plan: 'pro' })
      const inner = tx.transaction(async (nested) => {
        await nested.insert(subscriptions).values({ id: 'a4', plan: 'pro' })
        await nested.transaction((deep) =>
          deep.insert(subscriptions).values({ id: 'a5', plan: 'p' }),
        )
        await nested.insert(subscriptions).values({ id: 'a1', plan: 'twice' })
      })
      await expect(inner).rejects.toMatchObject({ code: '23505' })
      await tx.transaction((nested) => nested.insert(subscriptions).values({ id: 'a6', plan: 'p' }))
      expect(await tx.select({ id }).from(subscriptions).where(eq(id, 'b1'))).toEqual([])
    })
    expect(await idsOf(a)).toEqual(['a1', 'a2', 'a3', 'a6'])
  })

  test('D24: the handle refuses while its own transaction is open, and works again afterwards', async () => {
    const outer = db()
    await outer.transaction(async (tx) => {
      const refused = outer.select({ id }).from(subscriptions)
      await expect(refused).rejects.toThrow('use the `tx`')
      await expect(outer.transaction(async () => 1)).rejects.toBeInstanceOf(HandleMisuse)
      await expect(outer.$count(subscriptions)).rejects.toBeInstanceOf(HandleMisuse)
      expect(await tx.$count(subscriptions)).toBe(2)
    })
    expect(await outer.$count(subscriptions)).toBe(2)
    await expect(outer.transaction(async () => Promise.reject(new Error('mine')))).rejects.toThrow(
      'mine',
    )
    expect(await outer.$count(subscriptions)).toBe(2)
  })

  test('F1: a statement of a finished transaction rejects', async () => {
    let kept: Parameters<Parameters<TenantDb['transaction']>[0]>[0] | undefined
    await db().transaction(async (tx) => {
      kept = tx
    })
    const late = kept?.select({ id }).from(subscriptions)
    await expect(late).rejects.toBeInstanceOf(HandleMisuse)
    await expect(kept?.transaction(async () => 1)).rejects.toBeInstanceOf(HandleMisuse)
  })

  test('the first error is the one that comes out, also when the rollback cannot be sent', async () => {
    const first = new Error('first')
    const broken: Sql = {
      ...sql,
      begin: async (scope, begin) => {
        const tx = await sql.begin(scope, begin)
        const end = async () => {
          await tx.end('rollback')
          throw new StoreDown('gone')
        }
        return { query: (statement) => tx.query(statement), end }
      },
    }
    await expect(bindDb(broken, a).transaction(() => Promise.reject(first))).rejects.toBe(first)
    await expect(bindDb(broken, a).transaction(async () => 1)).rejects.toBeInstanceOf(StoreDown)
  })

  test.each([
    "set app.scope = 'plt_t/test/b'",
    "SET LOCAL app.scope = 'plt_t/test/b'",
    ' \n reset all',
    '/* select */ set role postgres',
    '-- select\nset role postgres',
    'explain select * from subscriptions',
    'EXPLAIN (ANALYZE) select 1',
    'copy subscriptions to stdout',
    'do $$ begin end $$',
    'call nothing()',
    'begin',
    'commit',
    'rollback',
    'savepoint sp1',
    'prepare p as select 1',
    'execute p',
    'listen x',
    'discard all',
    'declare c cursor for select 1',
    'create temp table t (n int)',
    'truncate subscriptions',
    'lock table subscriptions',
    'table subscriptions',
    'show app.scope',
    'vacuum',
    'selectx',
    '',
    'select 1\0',
  ])('D6, D13, D16: %j is refused before it is sent, in a transaction too', async (text) => {
    const unsent: Sql = { ...sql, query: () => Promise.reject(new Error('it was sent')) }
    // The door that the type leaves out.
    const open = whole(bindDb(unsent, a))
    await expect(open.execute(text)).rejects.toBeInstanceOf(HandleMisuse)
    await db().transaction(async (tx) => {
      await expect(whole(tx).execute(text)).rejects.toBeInstanceOf(HandleMisuse)
      expect(await tx.$count(subscriptions)).toBe(2)
    })
  })

  test('F9: no error carries a parameter, a value or a statement, however it is shown', async () => {
    const secret = 'CANARY_5up3r'
    const attempts = [
      () => db().insert(subscriptions).values({ id: 'a1', plan: secret }),
      () =>
        db()
          .select()
          .from(subscriptions)
          .where(eq(seats, raw`${secret}::int`)),
      () =>
        db()
          .select({ n: raw`${raw.raw(secret)}` })
          .from(subscriptions),
      () =>
        db()
          .select()
          .from(subscriptions)
          .where(and(eq(plan, secret), raw`1/0 = 1`)),
      () => db().query.subscriptions.findMany({ where: eq(id, `${secret}\0`) }),
      () => db().update(subscriptions).set({ environment: secret }),
      () => db().transaction((tx) => tx.insert(subscriptions).values({ id: 'a1', plan: secret })),
      () =>
        db()
          .select({ id })
          .from(subscriptions)
          .where(eq(plan, raw`${secret}::json`))
          .prepare('x')
          .execute(),
      () => whole(db()).execute(raw`select ${secret}::int`),
    ]
    for (const attempt of attempts) {
      const thrown: unknown = await attempt().catch((error: unknown) => error)
      expect(thrown).toBeInstanceOf(DatabaseFault)
      const shown = inspect(thrown, { depth: null, showHidden: true }) + JSON.stringify(thrown)
      expect(shown.toLowerCase()).not.toContain(secret.toLowerCase())
      expect(shown).not.toContain('params:')
    }
  })
})
