import { asc, eq } from 'drizzle-orm'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Sql, StoreDown } from '../../src/context.ts'
import { discarding } from '../../src/db/discard.ts'
import { DatabaseFault, HandleMisuse } from '../../src/db/fault.ts'
import { subscriptions } from '../../src/db/schema.ts'
import { bindDb } from '../../src/db/scope.ts'
import { type Place, places, scopeOf } from '../sql.ts'

const { id, plan } = subscriptions

describe.each(places)('$name', ({ start }) => {
  let place: Place
  let sql: Sql
  const scope = scopeOf('a')

  beforeAll(async () => {
    place = await start()
    sql = place.open({ max: 3 })
    await bindDb(sql, scope)
      .insert(subscriptions)
      .values([{ id: 'sub_1', plan: 'pro' }])
  })
  afterAll(async () => {
    await sql.close()
    await place.drop()
  })
  const idsOf = async (from: Sql) =>
    (await bindDb(from, scope).select({ id }).from(subscriptions).orderBy(asc(id))).map(
      (row) => row.id,
    )
  const started = (timeoutMs = 5000) => {
    const trial = discarding(sql, timeoutMs)
    return { ...trial, db: bindDb(trial.sql, scope) }
  }

  test('what was written is seen by what follows, and gone when it ends', async () => {
    const { db, end, sql: inside } = started()
    await db.insert(subscriptions).values({ id: 'sub_2', plan: 'free' })
    await db.update(subscriptions).set({ plan: 'team' }).where(eq(id, 'sub_1'))
    await db.transaction(async (tx) => {
      await tx.insert(subscriptions).values({ id: 'sub_3', plan: 'free' })
    })
    expect(await idsOf(inside)).toEqual(['sub_1', 'sub_2', 'sub_3'])
    await end()
    expect(await idsOf(sql)).toEqual(['sub_1'])
    const [kept] = await bindDb(sql, scope).select({ plan }).from(subscriptions)
    expect(kept).toEqual({ plan: 'pro' })
  })

  test('a statement that fails says so, and leaves the others standing', async () => {
    const { db, end, sql: inside } = started()
    await db.insert(subscriptions).values({ id: 'sub_2', plan: 'free' })
    const again = db.insert(subscriptions).values({ id: 'sub_2', plan: 'free' })
    await expect(again).rejects.toMatchObject({ code: '23505' })
    expect(await idsOf(inside)).toEqual(['sub_1', 'sub_2'])
    await end()
  })

  test('a transaction that is rolled back or fails leaves what was before it', async () => {
    const { db, end, sql: inside } = started()
    await db.insert(subscriptions).values({ id: 'sub_2', plan: 'free' })
    const failed = db.transaction(async (tx) => {
      await tx.insert(subscriptions).values({ id: 'sub_3', plan: 'free' })
      throw new Error('changed my mind')
    })
    await expect(failed).rejects.toThrow('changed my mind')
    const swallowed = db.transaction(async (tx) => {
      await tx.insert(subscriptions).values({ id: 'sub_4', plan: 'free' })
      await tx
        .insert(subscriptions)
        .values({ id: 'sub_4', plan: 'free' })
        .catch(() => undefined)
    })
    await expect(swallowed).rejects.toThrow(DatabaseFault)
    expect(await idsOf(inside)).toEqual(['sub_1', 'sub_2'])
    await end()
  })

  test('statements at the same time wait for each other and for a transaction', async () => {
    const { db, end, sql: inside } = started()
    const all = Array.from({ length: 10 }, (_, n) =>
      db.insert(subscriptions).values({ id: `sub_n${n}`, plan: 'free' }),
    )
    await Promise.all(all)
    expect(await idsOf(inside)).toHaveLength(11)
    await end()
    expect(await idsOf(sql)).toEqual(['sub_1'])
  })

  test('after its end it answers nothing, and ending twice or unused is no harm', async () => {
    const { db, end } = started()
    await end()
    await expect(db.select().from(subscriptions)).rejects.toThrow(HandleMisuse)
    const used = started()
    await used.db.select().from(subscriptions)
    await Promise.all([used.end(), used.end()])
    await expect(used.db.select().from(subscriptions)).rejects.toThrow(HandleMisuse)
  })

  test('past its time it is a store that is down, and what it held is let go', async () => {
    const { db, end } = started(50)
    await db.update(subscriptions).set({ plan: 'held' }).where(eq(id, 'sub_1'))
    const late = async () => {
      for (;;) await db.select().from(subscriptions)
    }
    await expect(late()).rejects.toThrow(StoreDown)
    await end()
    await bindDb(sql, scope).update(subscriptions).set({ plan: 'pro' }).where(eq(id, 'sub_1'))
    expect(await idsOf(sql)).toEqual(['sub_1'])
  })

  test('it sees nothing of another tenant, and changes nothing there', async () => {
    // Before and after: embedded, all share one session, so nobody else is served in between.
    const other = bindDb(sql, scopeOf('b'))
    await other.insert(subscriptions).values({ id: 'sub_2', plan: 'theirs' })
    const { db, end } = started()
    await db.insert(subscriptions).values({ id: 'sub_2', plan: 'free' })
    await db.update(subscriptions).set({ plan: 'mine' })
    const seen = await db.select({ id, plan }).from(subscriptions).orderBy(asc(id))
    expect(seen).toEqual([
      { id: 'sub_1', plan: 'mine' },
      { id: 'sub_2', plan: 'mine' },
    ])
    await end()
    expect(await other.select({ plan }).from(subscriptions)).toEqual([{ plan: 'theirs' }])
  })
})
