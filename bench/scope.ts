/**
 * What a scope costs a statement: a SELECT of 20 rows as a tenant, of the same SELECT unscoped, on
 * pools of 8 connections to the PostgreSQL at DATABASE_URL, in a database of its own that is dropped
 * at the end. Slices of all kinds are interleaved, and a ratio is the median over the rounds. Runs
 * alone:
 *
 *     node bench/scope.ts
 */
import pg from 'pg'
import type { Scope, Sql } from '../src/context.ts'
import { bindDb, encodeScope } from '../src/db/scope.ts'
import { extended } from '../src/runtime/flight.ts'
import { migrateDatabase } from '../src/runtime/node/migrations.ts'
import { createDatabase, type TestDatabase, withClient } from '../test/database.ts'
import { tenantSql } from '../test/sql.ts'

export type ScopeBench = {
  /** Statements per second, median of the rounds. */
  readonly perSecond: Readonly<Record<Kind, number>>
  /** Of the same SELECT by the same role, on connections whose scope was fixed when they began. */
  readonly ofFixedScope: Readonly<Record<Scoped, number>>
  /** Of the same rows with the tenant written into the SELECT, by a role that bypasses the policy. */
  readonly ofNoPolicy: Readonly<Record<Scoped, number>>
  /** Microseconds to make a handle. */
  readonly handleMicroseconds: number
}

/** `function`: hardened through postern_bind_scope; `setLocal`: hardened through SET LOCAL. */
type Scoped = 'plain' | 'setLocal' | 'function' | 'transaction'
type Kind = 'noPolicy' | 'fixedScope' | Scoped

const connections = 8
const callers = 32
const rows = 20
const tenants = 100
const scopes: readonly Scope[] = Array.from({ length: tenants }, (_, i) => ({
  platform: 'plt_bench',
  environment: 'live',
  tenant: `tenant_${i}`,
}))
const text = 'select id, plan, status, seats, created_at from subscriptions'
const order = 'order by id'

type Run = (scope: Scope) => Promise<{ readonly rows: readonly unknown[] }>

/** Runs the bench; about half a minute. Throws when DATABASE_URL is not set. */
export async function benchScope(rounds = 15, sliceMs = 250): Promise<ScopeBench> {
  const database = await createDatabase()
  const closing: (() => Promise<unknown>)[] = []
  try {
    const kinds = await openKinds(database, closing)
    const rates: Record<Kind, number[]> = {
      noPolicy: [],
      fixedScope: [],
      plain: [],
      setLocal: [],
      function: [],
      transaction: [],
    }
    for (let round = -1; round < rounds; round++) {
      for (const [kind, run] of kinds) {
        const rate = await slice(run, sliceMs)
        // The first round warms connections and plans up.
        if (round >= 0) rates[kind].push(rate)
      }
    }
    return summary(rates)
  } finally {
    await Promise.all(closing.map((close) => close()))
    await database.drop()
  }
}

async function openKinds(
  database: TestDatabase,
  closing: (() => Promise<unknown>)[],
): Promise<[Kind, Run][]> {
  await withClient(database.ownerUrl, async (owner) => {
    await owner.query(`
      insert into subscriptions (platform, environment, tenant, id, plan)
      select 'plt_bench', e, 'tenant_' || t, 'sub_' || n, 'pro'
      from unnest(array['test', 'live']) e, generate_series(0, ${tenants - 1}) t,
        generate_series(1, ${rows}) n`)
    await owner.query('vacuum analyze subscriptions')
    // A database where it could not be revoked, for `plain`; the others do not use it.
    const login = new URL(database.tenantUrl).username
    await owner.query(`grant execute on function set_config(text, text, boolean) to ${login}`)
  })
  const scoped = async (ddl: string, scope: 'plain' | 'hardened'): Promise<Sql> => {
    await withClient(database.ownerUrl, (owner) => owner.query(ddl))
    const sql = tenantSql(database, { max: connections, scope })
    // A connection learns once what the database has: all of them now.
    await Promise.all(
      scopes.slice(0, connections).map((one) => sql.query(one, { text: 'select pg_sleep(0.2)' })),
    )
    closing.push(() => sql.close())
    return sql
  }
  const pool = (connectionString: string): pg.Pool => {
    const made = new pg.Pool({
      connectionString,
      max: connections,
      connectionTimeoutMillis: 20_000,
    })
    closing.push(() => made.end())
    return made
  }
  const run =
    (sql: Sql): Run =>
    (scope) =>
      sql.query(scope, { text: `${text} ${order}`, rowMode: 'array' })
  const fixedUrl = new URL(database.tenantUrl)
  fixedUrl.searchParams.set('options', `-c app.scope=${encodeScope(scopes[7] ?? null)}`)
  const fixed = pool(fixedUrl.href)
  const free = pool(database.ownerUrl)
  const setLocal = await scoped(
    'drop function if exists public.postern_bind_scope(text)',
    'hardened',
  )
  // The one that ships, and not a copy: the migration makes it again.
  await migrateDatabase(database.ownerUrl)
  const byFunction = await scoped('select 1', 'hardened')
  const plain = await scoped('select 1', 'plain')
  const where = `${text} where platform = $1 and environment = $2 and tenant = $3 ${order}`
  return [
    [
      'noPolicy',
      ({ platform, environment, tenant }) =>
        free.query({ text: where, values: [platform, environment, tenant], rowMode: 'array' }),
    ],
    ['fixedScope', () => fixed.query(extended({ text: `${text} ${order}`, rowMode: 'array' }))],
    ['plain', run(plain)],
    ['setLocal', run(setLocal)],
    ['function', run(byFunction)],
    ['transaction', (scope) => transact(byFunction, scope)],
  ]
}

async function transact(sql: Sql, scope: Scope) {
  const tx = await sql.begin(scope)
  const result = await tx.query({ text: `${text} ${order}`, rowMode: 'array' })
  await tx.end('commit')
  return result
}

/** Statements per second with all callers busy for a while. Each answer must be a tenant's rows. */
async function slice(run: Run, sliceMs: number): Promise<number> {
  let done = 0
  const start = performance.now()
  const caller = async (_: unknown, n: number) => {
    while (performance.now() - start < sliceMs) {
      const scope = scopes[(done * 7 + n) % tenants]
      if (scope === undefined) return
      const answer = await run(scope)
      if (answer.rows.length !== rows) throw new Error(`${answer.rows.length} rows`)
      done += 1
    }
  }
  await Promise.all(Array.from({ length: callers }, caller))
  return (done / (performance.now() - start)) * 1000
}

function summary(rates: Record<Kind, number[]>): ScopeBench {
  const of = (kind: Kind, base: Kind) =>
    Number(median(rates[kind].map((rate, i) => rate / (rates[base][i] ?? 0))).toFixed(3))
  const all = (base: Kind) => ({
    plain: of('plain', base),
    setLocal: of('setLocal', base),
    function: of('function', base),
    transaction: of('transaction', base),
  })
  const rate = (kind: Kind) => Math.round(median(rates[kind]))
  return {
    perSecond: {
      noPolicy: rate('noPolicy'),
      fixedScope: rate('fixedScope'),
      plain: rate('plain'),
      setLocal: rate('setLocal'),
      function: rate('function'),
      transaction: rate('transaction'),
    },
    ofFixedScope: all('fixedScope'),
    ofNoPolicy: all('noPolicy'),
    handleMicroseconds: handleCost(),
  }
}

function handleCost(): number {
  const nobody: Sql = {
    query: () => Promise.reject(new Error('not asked')),
    begin: () => Promise.reject(new Error('not asked')),
    close: () => Promise.resolve(),
  }
  const scope = scopes[0]
  if (scope === undefined) return 0
  const count = 200_000
  const best = Array.from({ length: 5 }, () => {
    const start = performance.now()
    for (let i = 0; i < count; i++) bindDb(nobody, scope).select
    return ((performance.now() - start) / count) * 1000
  })
  return Number(median(best).toFixed(2))
}

const median = (list: readonly number[]) => list.toSorted((x, y) => x - y)[list.length >> 1] ?? 0

if (import.meta.main) console.log(JSON.stringify(await benchScope(), null, 2))
