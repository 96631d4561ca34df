/**
 * Where a tenant's test world is kept: rows of one table, seen through the tenant's own handle, so no
 * other tenant's world can be met (threats O5). The handle's scope is the test environment's; whoever
 * binds it sees to that.
 *
 * It is bounded: past a thousand rows the oldest go, and what was not written for a time is as if it
 * were not there, and is removed when a collection begins anew.
 */
import { and, desc, eq, gt, isNotNull, lt, notInArray, type SQL, sql } from 'drizzle-orm'
import type { World, WorldThing } from '../context.ts'
import { testWorld } from './schema.ts'
import type { TenantDb } from './scope.ts'

const rowsMax = 1000
const { id, collection, thing, data, createdAt, expiresAt } = testWorld
const live = gt(expiresAt, sql`now()`)

/** A world of the handle's tenant that forgets a thing so many seconds after it was last written. */
export function createWorld(db: TenantDb, ttlSeconds: number): World {
  const until = () => sql`now() + make_interval(secs => ${ttlSeconds})`
  const rowOf = (name: string, { id: own, data: fields }: WorldThing) => ({
    id: rowId(name, own),
    collection: name,
    thing: own,
    data: fields,
    expiresAt: until(),
  })
  const at = (name: string, own: string): SQL | undefined => and(eq(id, rowId(name, own)), live)

  async function insert(name: string, things: readonly WorldThing[]): Promise<number> {
    if (things.length === 0) return 0
    const added = await db
      .insert(testWorld)
      .values(things.map((one) => rowOf(name, one)))
      .onConflictDoUpdate({
        target: [testWorld.platform, testWorld.environment, testWorld.tenant, id],
        set: { data: sql`excluded.data`, createdAt: sql`now()`, expiresAt: until() },
        setWhere: lt(expiresAt, sql`now()`),
      })
      .returning({ id })
    return added.length
  }

  return {
    async begin(name, things) {
      const begun = await db
        .insert(testWorld)
        .values({ id: rowId(name, null), collection: name, thing: null, expiresAt: until() })
        .onConflictDoUpdate({
          target: [testWorld.platform, testWorld.environment, testWorld.tenant, id],
          set: { createdAt: sql`now()`, expiresAt: until() },
          setWhere: lt(expiresAt, sql`now()`),
        })
        .returning({ id })
      if (begun.length === 0) return
      await db.delete(testWorld).where(lt(expiresAt, sql`now()`))
      await insert(name, things)
    },
    async get(name, own) {
      const [found] = await db.select({ data }).from(testWorld).where(at(name, own))
      return found === undefined ? null : { id: own, data: found.data }
    },
    async list(name, { where, offset, limit }) {
      const fits =
        Object.keys(where).length > 0 ? sql`${data} @> ${JSON.stringify(where)}::jsonb` : undefined
      const chosen = and(eq(collection, name), isNotNull(thing), live, fits)
      const rows = await db
        .select({ thing, data })
        .from(testWorld)
        .where(chosen)
        .orderBy(desc(createdAt), desc(id))
        .limit(limit)
        .offset(offset)
      const total = await db.$count(testWorld, chosen)
      return { things: rows.map((row) => ({ id: row.thing ?? '', data: row.data })), total }
    },
    async add(name, one) {
      if ((await insert(name, [one])) === 0) return false
      const newest = db
        .select({ id })
        .from(testWorld)
        .orderBy(desc(createdAt), desc(id))
        .limit(rowsMax)
      await db.delete(testWorld).where(notInArray(id, newest))
      return true
    },
    async put(name, { id: own, data: fields }) {
      await db
        .update(testWorld)
        .set({ data: fields, expiresAt: until() })
        .where(eq(id, rowId(name, own)))
    },
    async delete(name, own) {
      await db.delete(testWorld).where(eq(id, rowId(name, own)))
    },
    async reset() {
      await db.delete(testWorld)
    },
  }
}

/** A path holds no space, so no two rows share an id. */
const rowId = (name: string, own: string | null): string => (own === null ? name : `${name} ${own}`)
