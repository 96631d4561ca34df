import pg from 'pg'
import { afterAll, describe, expect, test } from 'vitest'
import type { RoleKind } from '../../src/db/policies.ts'
import { createDatabase, withClient } from '../database.ts'
import { openPglite, openPostgres, type Target } from '../isolation/surface.ts'

const [ours, theirs] = ['plt_p/test/a', 'plt_p/test/b']
const targets: readonly [string, Target][] = [
  ['PostgreSQL', await openPostgres()],
  ['PGlite', await openPglite()],
]
for (const [, target] of targets) {
  for (const [scope, count] of [
    [ours, 1],
    [theirs, 20],
  ] as const) {
    await target.as(
      'tenant',
      scope,
      (client) =>
        client.query(
          `insert into subscriptions (plan, seats) select 'secret of ' || $1, 42 from generate_series(1, $2)`,
          [scope, count],
        ),
      'keep',
    )
  }
  await withClient(target.owner, (client) => client.query('analyze'))
}
afterAll(async () => {
  for (const [, target] of targets) await target.close()
})

/** The SQLSTATE of a statement that is refused, or the rows of one that is not. */
async function ask(target: Target, kind: RoleKind, text: string): Promise<unknown> {
  try {
    return (await target.as(kind, ours, (client) => client.query(text))).rows
  } catch (error) {
    if (error instanceof pg.DatabaseError) return error.code
    throw error
  }
}

const forbidden = '42501'
const b = `'plt_p/test/b'`

/** What SQL that was injected into a statement may try, to become somebody else. */
const escapes: readonly [string, RegExp][] = [
  [
    `with s as materialized (select set_config('app.scope', ${b}, true)) select plan from s, subscriptions`,
    /42501/,
  ],
  [`select set_config('role', 'postern_gateway', true)`, /42501/],
  [`update pg_settings set setting = ${b} where name = 'app.scope'`, /42501/],
  [
    `with s as materialized (select postern_bind_scope(${b})) select plan from s, subscriptions`,
    /42501/,
  ],
  [`select query_to_xml($$select set_config('app.scope', ${b}, true)$$, true, true, '')`, /42501/],
  [`select query_to_xml($$set local app.scope = ${b}$$, true, true, '')`, /0A000|42P11/],
  [`select * from ts_stat($$set local app.scope = ${b}$$)`, /0A000|42P11/],
  [
    `create function pg_temp.f() returns int language sql set app.scope = ${b} as 'select 1'`,
    /42501/,
  ],
  [
    `create function public.f() returns int language sql set app.scope = ${b} as 'select 1'`,
    /42501/,
  ],
  ['create temporary table t (id int)', /42501/],
  ['create table public.t (id int)', /42501/],
  [
    'create trigger t before insert on subscriptions execute function suppress_redundant_updates_trigger()',
    /42501/,
  ],
  ['create policy p on subscriptions using (true)', /42501/],
  ['alter table subscriptions disable row level security', /42501/],
  ['drop policy tenant_scope on subscriptions', /42501/],
  [`alter role postern_tenant set app.scope = ${b}`, /42501/],
  ['alter role postern_tenant bypassrls', /42501/],
  [`copy subscriptions to program 'cat'`, /42501/],
  [`copy subscriptions to '/tmp/postern-stolen'`, /42501/],
  [`select pg_read_file('PG_VERSION')`, /42501/],
]

describe.each(targets)('%s', (_, target) => {
  test.each(escapes)('D7, D25: %s', async (text, says) => {
    expect(await ask(target, 'tenant', text)).toMatch(says)
  })

  test('D7: the function that binds a scope is no way back to it either', async () => {
    const rebound = target.as('tenant', ours, async (client) => {
      await client.query('savepoint s')
      await client.query('select postern_bind_scope($1)', [theirs]).catch(() => undefined)
      await client.query('rollback to savepoint s')
      return client.query('select distinct tenant from subscriptions')
    })
    expect((await rebound).rows).toEqual([{ tenant: 'a' }])
  })

  test('D12: a function that raises on what it sees sees no foreign row', async () => {
    const divides = `select 1 / (case when plan like '%/b' then 0 else 1 end) as one from subscriptions`
    expect(await ask(target, 'tenant', divides)).toEqual([{ one: 1 }])
  })

  test('D16: COPY goes out filtered and does not come in', async () => {
    const copied = await target.as('tenant', ours, (c) => c.query('copy subscriptions to stdout'))
    expect(copied.rowCount).toBe(1)
    expect(await ask(target, 'tenant', 'copy subscriptions from stdin')).toBe('0A000')
  })

  test('D17: an id tells nothing of how many there are', async () => {
    const made = await target.as('tenant', theirs, (c) => c.query('select id from subscriptions'))
    const ids = made.rows.map(({ id }) => String(id))
    for (const id of ids) expect(id).toMatch(/^sub_[0-9a-f]{32}$/)
    expect(new Set(ids.map((id) => id.slice(0, 12))).size).toBe(ids.length)
  })

  test('D23: the statistics of scoped tables are not shown', async () => {
    for (const kind of ['tenant', 'gateway'] as const) {
      const text = `select tablename from pg_stats where schemaname in ('public', 'postern')`
      expect(await ask(target, kind, text)).toEqual([])
      expect(await ask(target, kind, 'select * from pg_statistic')).toBe(forbidden)
    }
  })

  test('the gateway role reaches no tenant table, and deletes nothing', async () => {
    expect(await ask(target, 'gateway', 'select * from subscriptions')).toBe(forbidden)
    expect(await ask(target, 'gateway', 'delete from postern.api_keys')).toBe(forbidden)
  })

  test('the scope is read once per statement, however many rows: the plan shows one InitPlan', async () => {
    const plan = await target.as('tenant', theirs, (client) =>
      client.query<{ 'QUERY PLAN': string }>('explain (costs off) select plan from subscriptions'),
    )
    const text = plan.rows.map((row) => row['QUERY PLAN']).join('\n')
    expect([...new Set(text.match(/InitPlan \d+/g))]).toEqual(['InitPlan 1'])
    expect(text).not.toMatch(/Filter:.*scope_/)
  })
})

test("D18: a role does not see the other role's statements", async () => {
  const [, postgres] = targets[0]!
  const seen = await postgres.as('gateway', 'plt_p', async (gateway) => {
    await gateway.query(`select 'canary of the gateway'`)
    const { rows } = await gateway.query<{ pid: number }>('select pg_backend_pid() as pid')
    return postgres.as('tenant', ours, (tenant) =>
      tenant.query('select query from pg_stat_activity where pid = $1', [rows[0]!.pid]),
    )
  })
  expect(seen.rows).toEqual([{ query: '<insufficient privilege>' }])
})

test('D7: where the scope cannot be hardened, the same SQL crosses, which is why it is said', async () => {
  const database = await createDatabase({ plainOwner: true })
  const crossed = await withClient(database.tenantUrl, async (client) => {
    await client.query('begin')
    await client.query(`set local app.scope = '${ours}'`)
    return client.query(`select set_config('app.scope', $1, true) as scope`, [theirs])
  })
  expect(crossed.rows).toEqual([{ scope: theirs }])
  expect(database.migrated.warnings.join()).toContain('scope: plain')
  await database.drop()
})
