import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { inspect } from 'node:util'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type Sql, StoreDown } from '../../../src/context.ts'
import { DatabaseFault, HandleMisuse } from '../../../src/db/fault.ts'
import { migrateDatabase } from '../../../src/runtime/node/migrations.ts'
import { createDatabase, type TestDatabase, withClient } from '../../database.ts'
import { type Place, places, scopeOf, tenantSql } from '../../sql.ts'

const a = scopeOf('a')
const b = scopeOf('b')
const aLive = scopeOf('a', 'live')
const insert = `insert into subscriptions (id, plan) values ($1, $2) returning tenant, environment`
const all = 'select id, tenant, environment from subscriptions order by id'
const fault = (code: string) => expect.objectContaining({ name: 'DatabaseFault', code })

describe.each(places)('$name', ({ start, real, hard }) => {
  let place: Place
  let sql: Sql
  // One connection: whatever a flight leaves behind, the next one meets.
  let one: Sql

  beforeAll(async () => {
    place = await start()
    sql = place.open()
    one = place.open({ max: 1 })
  })

  afterAll(async () => {
    await Promise.all([sql.close(), one.close()])
    await place.drop()
  })

  beforeEach(async () => {
    for (const scope of [a, b, aLive]) {
      await one.query(scope, { text: 'delete from subscriptions' })
      const values = [`${scope.tenant}_${scope.environment}`, 'pro']
      const { rows } = await one.query(scope, { text: insert, values })
      expect(rows).toEqual([{ tenant: scope.tenant, environment: scope.environment }])
    }
  })

  const ids = async (by: Sql, scope: typeof a | null) =>
    (await by.query<{ id: string }>(scope, { text: all })).rows.map(({ id }) => id)

  test('D6, D27: each scope sees its own rows, on one connection', async () => {
    expect(await ids(one, a)).toEqual(['a_test'])
    expect(await ids(one, b)).toEqual(['b_test'])
    expect(await ids(one, aLive)).toEqual(['a_live'])
    expect(await ids(one, scopeOf('nobody'))).toEqual([])
    await expect(
      one.query(a, { text: `insert into subscriptions (id, plan, tenant) values ('x', 'p', 'b')` }),
    ).rejects.toEqual(fault('42501'))
  })

  test('D3, D4: without a scope there are no rows and no error, before and after one was used', async () => {
    const fresh = place.open({ max: 1 })
    expect(await ids(fresh, null)).toEqual([])
    expect(await ids(fresh, a)).toEqual(['a_test'])
    expect(await ids(fresh, null)).toEqual([])
    const { rows } = await fresh.query(null, {
      text: `select current_setting('app.scope', true) as scope, current_user::text as role`,
    })
    expect(rows[0]?.scope ?? '').toBe('')
    if (!real) expect(rows[0]?.role).toBe('postern_tenant')
    await fresh.close()
  })

  test('D6: 300 statements of three scopes at once, each gets its own rows', async () => {
    const scopes = [a, b, aLive]
    const asked = Array.from({ length: 300 }, (_, i) => scopes[(i * 7) % 3] ?? a)
    const seen = await Promise.all(asked.map((scope) => ids(sql, scope)))
    expect(seen).toEqual(asked.map(({ tenant, environment }) => [`${tenant}_${environment}`]))
  })

  test('D19: one named statement, run by alternating tenants past the generic plan', async () => {
    const statement = { name: 'mine', text: 'select id from subscriptions where plan = $1' }
    for (let i = 0; i < 14; i++) {
      const scope = i % 2 === 0 ? a : b
      const { rows } = await one.query(scope, { ...statement, values: ['pro'] })
      expect(rows).toEqual([{ id: `${scope.tenant}_test` }])
    }
  })

  test('a named statement that failed on its first use works on its second', async () => {
    const divided = { name: 'divided', text: 'select 12 / $1::int as n' }
    await expect(one.query(a, { ...divided, values: [0] })).rejects.toEqual(fault('22012'))
    expect((await one.query(a, { ...divided, values: [4] })).rows).toEqual([{ n: 3 }])
    const missing = { name: 'missing', text: 'select n from pg_temp.nowhere' }
    await expect(one.query(a, missing)).rejects.toEqual(fault('42P01'))
    await expect(one.query(a, missing)).rejects.toEqual(fault('42P01'))
    expect(await ids(one, a)).toEqual(['a_test'])
  })

  test('a refused statement costs no connection and no one else anything', async () => {
    const pid = async () =>
      (await one.query(a, { text: 'select pg_backend_pid() as pid' })).rows[0]?.pid
    const before = await pid()
    const values = ['a_test', 'again']
    await expect(one.query(a, { text: insert, values })).rejects.toEqual(fault('23505'))
    await expect(one.query(b, { text: 'select nothing' })).rejects.toEqual(fault('42703'))
    await expect(one.query(b, { text: 'select from from' })).rejects.toEqual(fault('42601'))
    expect(await pid()).toBe(before)
    expect(await ids(one, b)).toEqual(['b_test'])
  })

  test('D7: one statement is one statement, with parameters or without', async () => {
    const two = `select 1; delete from subscriptions`
    await expect(one.query(a, { text: two })).rejects.toEqual(fault('42601'))
    await expect(one.query(a, { text: `${two} where id = $1`, values: ['x'] })).rejects.toEqual(
      fault('42601'),
    )
    expect(await ids(one, a)).toEqual(['a_test'])
  })

  test('D22: NUL in a parameter is a fault, and the connection is as good as before', async () => {
    const nul = { text: 'select $1::text as t', values: ['a\0b'] }
    await expect(one.query(a, nul)).rejects.toEqual(fault('22021'))
    const circular: { self?: unknown } = {}
    circular.self = circular
    const unencodable = { text: 'select $1::json', values: [circular] }
    await expect(one.query(a, unencodable)).rejects.toBeInstanceOf(DatabaseFault)
    expect(await ids(one, a)).toEqual(['a_test'])
  })

  test('F9: a fault carries no parameter, no value and no statement, however it is shown', async () => {
    const secret = 'CANARY_5up3r'
    const statements = [
      {
        text: `insert into subscriptions (id, plan, seats) values ($1, $2, $3)`,
        values: ['x', secret, secret],
      },
      { text: insert, values: ['a_test', secret] },
      { text: `select '${secret}'::int` },
      { text: `select ${secret}` },
      { text: `select 1 from subscriptions where plan = $1 and nothing`, values: [secret] },
      { text: `update subscriptions set environment = $1`, values: [secret] },
      {
        text: `select $1::json`,
        values: [
          {
            secret,
            toJSON: () => {
              throw new Error(secret)
            },
          },
        ],
      },
    ]
    for (const statement of statements) {
      const thrown: unknown = await one.query(a, statement).catch((error: unknown) => error)
      expect(thrown).toBeInstanceOf(DatabaseFault)
      const shown = [
        inspect(thrown, { depth: null, showHidden: true }),
        JSON.stringify(thrown),
        String(thrown),
      ].join()
      expect(shown.toLowerCase()).not.toContain(secret.toLowerCase())
    }
    await expect(one.query(a, { text: insert, values: ['a_test', 'p'] })).rejects.toMatchObject({
      code: '23505',
      table: 'subscriptions',
      constraint: expect.stringContaining('pk'),
      message: expect.stringContaining('unique violation'),
    })
  })

  test('a transaction holds its scope to the end, commits and rolls back', async () => {
    const tx = await one.begin(a, 'begin isolation level serializable read write')
    await tx.query({ text: insert, values: ['a_two', 'pro'] })
    const { rows } = await tx.query({
      text: `select count(*)::int as n, current_setting('transaction_isolation') as level from subscriptions`,
    })
    expect(rows).toEqual([{ n: 2, level: 'serializable' }])
    await tx.end('commit')
    expect(await ids(one, a)).toEqual(['a_test', 'a_two'])
    const undone = await one.begin(b)
    await undone.query({ text: 'delete from subscriptions' })
    await undone.end('rollback')
    expect(await ids(one, b)).toEqual(['b_test'])
  })

  test('F1: after its end a transaction handle reaches nothing, least of all another tenant', async () => {
    for (const how of ['commit', 'rollback'] as const) {
      const tx = await one.begin(a)
      await tx.query({ text: all })
      await tx.end(how)
      const other = await one.begin(b)
      await expect(tx.query({ text: 'delete from subscriptions' })).rejects.toBeInstanceOf(
        HandleMisuse,
      )
      await expect(tx.end('commit')).rejects.toBeInstanceOf(HandleMisuse)
      expect((await other.query({ text: all })).rows).toHaveLength(1)
      await other.end('commit')
    }
    expect(await ids(one, b)).toEqual(['b_test'])
  })

  test('a commit after a swallowed error is not taken for one', async () => {
    const tx = await one.begin(a)
    await tx.query({ text: insert, values: ['a_lost', 'pro'] })
    await expect(tx.query({ text: 'select 1/0' })).rejects.toEqual(fault('22012'))
    await expect(tx.query({ text: all })).rejects.toEqual(fault('25P02'))
    await expect(tx.end('commit')).rejects.toEqual(fault('25P02'))
    expect(await ids(one, a)).toEqual(['a_test'])
  })

  test('statements of a transaction that were not awaited run in order, before its end', async () => {
    const tx = await one.begin(a)
    const pending = [1, 2, 3].map((n) => tx.query({ text: insert, values: [`a_${n}`, 'pro'] }))
    await tx.end('commit')
    await Promise.all(pending)
    expect(await ids(one, a)).toEqual(['a_1', 'a_2', 'a_3', 'a_test'])
  })

  test('only a BEGIN begins, and a COMMIT inside is not a way to go on without a scope', async () => {
    for (const begin of ['commit', 'begin; select 1', `begin read only; set role postgres`, '']) {
      await expect(one.begin(a, begin)).rejects.toThrow('not a BEGIN')
    }
    const tx = await one.begin(a)
    await tx.query({ text: 'commit' })
    await expect(tx.query({ text: all })).rejects.toThrow()
    await tx.end('rollback')
    expect(await ids(one, b)).toEqual(['b_test'])
  })

  test('a scope that is not well-formed is refused before anything is sent', async () => {
    for (const bad of [`a' or true --`, 'a/b', '', 'a\0', '../x', 'ä', 'x'.repeat(64)]) {
      await expect(one.query(scopeOf(bad), { text: all })).rejects.toBeInstanceOf(HandleMisuse)
      await expect(one.begin(scopeOf(bad))).rejects.toBeInstanceOf(HandleMisuse)
    }
  })

  test('D14: row_security off is an error, not a way around', async () => {
    const tx = await one.begin(a)
    await tx.query({ text: 'set local row_security = off' })
    await expect(tx.query({ text: all })).rejects.toEqual(fault('42501'))
    await tx.end('rollback')
  })

  test('D24: an open transaction and other scopes get along', async () => {
    const tx = await sql.begin(a)
    const waiting = ids(sql, b)
    expect((await tx.query({ text: all })).rows).toHaveLength(1)
    await tx.end('commit')
    expect(await waiting).toEqual(['b_test'])
  })

  test('a pool that is used up is a store that is down, in time', async () => {
    const small = place.open({ max: 1, connectTimeoutMs: 300 })
    const tx = await small.begin(a)
    await expect(ids(small, b)).rejects.toBeInstanceOf(StoreDown)
    await tx.end('commit')
    expect(await ids(small, b)).toEqual(['b_test'])
    await small.close()
    await expect(ids(small, b)).rejects.toBeInstanceOf(StoreDown)
  })

  test('a transaction that is left open is ended, and its connection with it', async () => {
    const small = place.open({ max: 1, idleInTransactionTimeoutMs: 100 })
    const tx = await small.begin(a)
    await tx.query({ text: 'delete from subscriptions' })
    // Waits for the one connection, which only comes free when the transaction has been ended.
    expect(await ids(small, b)).toEqual(['b_test'])
    await expect(tx.query({ text: all })).rejects.toBeInstanceOf(StoreDown)
    await expect(tx.end('commit')).rejects.toBeInstanceOf(StoreDown)
    expect(await ids(small, a)).toEqual(['a_test'])
    await small.close()
  })

  if (!hard) {
    test('D7: in plain scope injected SQL does change the tenant, which is why it is not the default', async () => {
      const text = `with s as materialized (select set_config('app.scope', 'plt_t/test/b', true) as now)
        select id from subscriptions where (select now from s) is not null`
      expect((await one.query(a, { text })).rows).toEqual([{ id: 'b_test' }])
      expect(await ids(one, a)).toEqual(['a_test'])
    })
  }

  if (hard) {
    test.each([
      `with s as materialized (select set_config('app.scope', 'plt_t/test/b', true)) select id from s, subscriptions`,
      `select id from subscriptions where set_config('app.scope', 'plt_t/test/b', true) is not null or true`,
      `with s as materialized (select set_config('app.scope', 'plt_t/test/b', false)) select id from s, subscriptions`,
      `with s as materialized (select set_config('role', 'postgres', true)) select id from s, subscriptions`,
      `with s as materialized (select set_config('row_security', 'off', true)) select id from s, subscriptions`,
      `with s as (update pg_settings set setting = 'plt_t/test/b' where name = 'app.scope' returning 1) select id from s, subscriptions`,
      `update pg_settings set setting = 'off' where name = 'row_security'`,
      `select query_to_xml('set app.scope = ''plt_t/test/b''', true, true, ''), id from subscriptions`,
      `select query_to_xml('select set_config(''app.scope'', ''plt_t/test/b'', false)', true, true, ''), id from subscriptions`,
      `select id from subscriptions; set app.scope = 'plt_t/test/b'`,
      `select public.postern_bind_scope('plt_t/test/b'), id from subscriptions`,
      `with s as materialized (select public.postern_bind_scope('plt_t/test/b')) select id from s, subscriptions`,
      `select id into temp table subscriptions from subscriptions`,
      `select query_to_xml('reset role', true, true, ''), id from subscriptions`,
      `select * from ts_stat('select set_config(''app.scope'', ''plt_t/test/b'', false)::tsvector')`,
      `do $$ begin set app.scope = 'plt_t/test/b'; end $$`,
      `set local app.scope = 'plt_t/test/b'`,
      `reset app.scope`,
      `reset role`,
      `prepare other as select id from subscriptions`,
      `deallocate all`,
    ])('D7: %s gets at no foreign row, there or afterwards', async (text) => {
      const { rows } = await one.query(a, { text }).catch((error: unknown) => {
        // Behind a pooler, what could outlive its transaction is not even sent.
        expect(error instanceof DatabaseFault || error instanceof HandleMisuse).toBe(true)
        return { rows: [] }
      })
      expect(rows.filter((row) => String(row.id ?? '').startsWith('b'))).toEqual([])
      // Nothing was left on the connection for the next flight, whoever it speaks for.
      expect(await ids(one, null)).toEqual([])
      expect(await ids(one, a)).toEqual(['a_test'])
      expect(await ids(one, b)).toEqual(['b_test'])
    })
  }
})

describe('when the server is not there', () => {
  let database: TestDatabase
  beforeAll(async () => {
    database = await createDatabase()
  })
  afterAll(() => database.drop())

  const kill = (pid: unknown) =>
    withClient(database.ownerUrl, (client) =>
      client.query('select pg_terminate_backend($1, 5000)', [pid]),
    )
  const pidOf = async (by: Pick<Sql, 'query'>) =>
    (await by.query(a, { text: 'select pg_backend_pid() as pid' })).rows[0]?.pid

  test('D26, Q6: a frozen server is a store that is down in time, and its connection is dropped', async () => {
    const proxy = await startProxy(new URL(database.tenantUrl))
    const sql = tenantSql(database, {
      connection: proxy.url,
      max: 1,
      connectTimeoutMs: 300,
      answerTimeoutMs: 200,
    })
    const before = await pidOf(sql)
    const tx = await sql.begin(a)
    proxy.freeze()
    await expect(tx.query({ text: all })).rejects.toThrow('no answer within 200 ms')
    await expect(tx.end('commit')).rejects.toBeInstanceOf(StoreDown)
    // Connecting is answered no more than anything else.
    await expect(sql.query(a, { text: all })).rejects.toBeInstanceOf(StoreDown)
    proxy.thaw()
    expect(await pidOf(sql)).not.toBe(before)
    proxy.freeze()
    await expect(sql.query(a, { text: all })).rejects.toThrow('no answer within 200 ms')
    await sql.close()
    await proxy.close()
  })

  test('F1, D21: a transaction whose backend is gone ends there, and takes nobody along', async () => {
    const sql = tenantSql(database, { max: 1 })
    const tx = await sql.begin(a)
    await tx.query({ text: insert, values: ['a_gone', 'pro'] })
    const { rows } = await tx.query({ text: 'select pg_backend_pid() as pid' })
    await kill(rows[0]?.pid)
    await expect(tx.query({ text: all })).rejects.toBeInstanceOf(StoreDown)
    await expect(tx.query({ text: all })).rejects.toBeInstanceOf(StoreDown)
    const other = await sql.begin(b)
    await expect(tx.query({ text: 'delete from subscriptions' })).rejects.toBeInstanceOf(StoreDown)
    await expect(tx.end('commit')).rejects.toBeInstanceOf(StoreDown)
    await other.end('commit')
    expect((await sql.query(a, { text: all })).rows).toEqual([])
    await sql.close()
  })

  test('F2: a connection lost while idle is reported, and the next statement gets another', async () => {
    const reported = Promise.withResolvers<StoreDown>()
    const sql = tenantSql(database, { max: 1, onError: reported.resolve })
    const pid = await pidOf(sql)
    await kill(pid)
    expect(await reported.promise).toBeInstanceOf(StoreDown)
    expect(await pidOf(sql)).not.toBe(pid)
    await sql.close()
  })

  test('a statement past the server’s own timeout is a store that is down, its connection kept', async () => {
    const sql = tenantSql(database, { max: 1, statementTimeoutMs: 100 })
    const pid = await pidOf(sql)
    await expect(sql.query(a, { text: 'select pg_sleep(30)' })).rejects.toThrow('57014')
    expect(await pidOf(sql)).toBe(pid)
    await sql.close()
  })

  test.each([
    ['a port where nobody listens', (url: URL) => Object.assign(url, { port: '1' })],
    ['a wrong user', (url: URL) => Object.assign(url, { username: 'nobody_at_all' })],
    ['a database that is not there', (url: URL) => Object.assign(url, { pathname: '/nowhere' })],
  ])('%s is a store that is down, without the password', async (_, change) => {
    const url = new URL(database.tenantUrl)
    url.password = 'CANARY_pw'
    const sql = tenantSql(database, { connection: change(url).href })
    const thrown: unknown = await sql.query(a, { text: all }).catch((error: unknown) => error)
    expect(thrown).toBeInstanceOf(StoreDown)
    expect(inspect(thrown, { depth: null })).not.toContain('CANARY_pw')
    await sql.close()
  })

  test('D6: a connection that starts out with a scope is refused', async () => {
    const url = new URL(database.tenantUrl)
    url.searchParams.set('options', '-c app.scope=plt_t/test/b')
    const sql = tenantSql(database, { connection: url.href })
    await expect(sql.query(null, { text: all })).rejects.toThrow('starts with app.scope set')
    await sql.close()
  })

  test('the hardened scope goes through the function where the migrations have made it', async () => {
    await migrateDatabase(database.ownerUrl)
    const sql = tenantSql(database, { max: 1 })
    const { rows } = await sql.query(a, {
      text: `select array_agg(statement) as prepared from pg_prepared_statements`,
    })
    expect(rows[0]?.prepared).toEqual(['select public.postern_bind_scope($1)'])
    await sql.close()
  })
})

/** A loopback proxy to a server that can stop passing bytes on, as a frozen server would. */
async function startProxy(target: URL) {
  const sockets = new Set<Socket>()
  let frozen = false
  const server = createServer((near) => {
    const far = connect(Number(target.port || 5432), target.hostname)
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from)
      from.on('data', (bytes) => frozen || to.write(bytes))
      from.on('error', () => to.destroy())
      from.on('close', () => to.destroy())
    }
  })
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
  const url = new URL(target)
  url.hostname = '127.0.0.1'
  url.port = String((server.address() as AddressInfo).port)
  return {
    url: url.href,
    freeze: () => {
      frozen = true
    },
    thaw: () => {
      frozen = false
    },
    close: () => {
      for (const socket of sockets) socket.destroy()
      return new Promise<void>((closed) => server.close(() => closed()))
    },
  }
}
