/**
 * D21, F1, F2: backends are terminated at random while several tenants read and write. `pg` must
 * answer each call with the tenant's own rows or with a clean error: no foreign row, no row written
 * to another tenant, nothing uncaught and nothing that never ends. Bounded by count, not by time.
 */
import { asc, eq } from 'drizzle-orm'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { StoreDown } from '../../src/context.ts'
import { subscriptions } from '../../src/db/schema.ts'
import { bindDb } from '../../src/db/scope.ts'
import { clusterUrl, createDatabase, type TestDatabase, withClient } from '../database.ts'
import { startPgBouncer } from '../servers.ts'
import { scopeOf, tenantSql } from '../sql.ts'

const tenants = ['a', 'b', 'c', 'd', 'e'].map((tenant) => scopeOf(tenant))
const callers = 24
const callsEach = 100
const killsMin = 30
const { id, plan } = subscriptions

let database: TestDatabase
beforeAll(async () => {
  database = await createDatabase()
})
afterAll(() => database.drop())

test.each([
  ['directly', false],
  ['through a pooler', true],
])(
  'D21: backends killed under load, %s: no foreign row, nothing uncaught, nothing hung',
  async (_, pooler) => {
    const uncaught: unknown[] = []
    const note = (error: unknown) => uncaught.push(error)
    process.on('uncaughtException', note)
    process.on('unhandledRejection', note)
    const bouncer = pooler ? await startPgBouncer(clusterUrl(), 8) : null
    const url = new URL(database.tenantUrl)
    if (bouncer !== null) url.port = String(bouncer.port)
    // More clients than sessions behind a pooler: it passes each session on between transactions.
    const sql = tenantSql(database, { connection: url.href, max: pooler ? callers : 8, pooler })
    await withClient(database.ownerUrl, (client) => client.query('delete from subscriptions'))
    for (const scope of tenants) {
      const rows = [1, 2, 3].map((n) => ({ id: `${scope.tenant}${n}`, plan: scope.tenant }))
      await bindDb(sql, scope).insert(subscriptions).values(rows)
    }
    const tally = { rows: 0, reads: 0, writes: 0, refused: 0, foreign: 0, kills: 0 }
    const other: unknown[] = []

    const look = (tenant: string, rows: readonly { id: string; tenant: string }[]) => {
      tally.rows += rows.length
      tally.foreign += rows.filter((row) => row.tenant !== tenant || row.id[0] !== tenant).length
    }
    const call = async (turn: number) => {
      const scope = tenants[turn % tenants.length] ?? scopeOf('a')
      const { tenant } = scope
      const db = bindDb(sql, scope)
      const shown = { id, tenant: subscriptions.tenant }
      if (turn % 4 === 0) {
        look(tenant, await db.update(subscriptions).set({ plan: tenant }).returning(shown))
        tally.writes += 1
      } else if (turn % 4 === 1) {
        await db.transaction(async (tx) => {
          look(tenant, await tx.select(shown).from(subscriptions))
          look(tenant, await tx.update(subscriptions).set({ plan: tenant }).returning(shown))
          look(tenant, await tx.select(shown).from(subscriptions).where(eq(plan, tenant)))
        })
        tally.writes += 1
      } else {
        look(tenant, await db.select(shown).from(subscriptions).orderBy(asc(id)))
        tally.reads += 1
      }
    }
    let running = callers
    const caller = async (_: unknown, n: number) => {
      // On, until there have been enough kills too.
      for (let i = 0; i < callsEach || tally.kills < killsMin; i++) {
        await call(n + i).catch((error: unknown) => {
          if (error instanceof StoreDown) tally.refused += 1
          else other.push(error)
        })
      }
      running -= 1
    }
    const killer = withClient(database.ownerUrl, async (client) => {
      while (running > 0) {
        const { rowCount } = await client.query(`
        select pg_terminate_backend(pid, 1000) from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid() and application_name = 'postern'
        order by random() limit 2`)
        tally.kills += rowCount ?? 0
      }
    })
    await Promise.all([...Array.from({ length: callers }, caller), killer])
    await sql.close()
    await bouncer?.stop()

    expect(tally.foreign).toBe(0)
    expect(other).toEqual([])
    expect(tally.kills).toBeGreaterThanOrEqual(killsMin)
    expect(tally.refused).toBeGreaterThan(0)
    expect(tally.reads + tally.writes).toBeGreaterThanOrEqual(500)
    // What is stored is what each tenant wrote for itself.
    const stored = await withClient(database.ownerUrl, (client) =>
      client.query(
        `select tenant, plan, count(*)::int as n from subscriptions group by 1, 2 order by 1`,
      ),
    )
    expect(stored.rows).toEqual(tenants.map(({ tenant }) => ({ tenant, plan: tenant, n: 3 })))
    process.off('uncaughtException', note)
    process.off('unhandledRejection', note)
    expect(uncaught).toEqual([])
  },
)
