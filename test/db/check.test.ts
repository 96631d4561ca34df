import { afterAll, describe, expect, test } from 'vitest'
import type { Sql } from '../../src/context.ts'
import { inspectDatabase, readPosture } from '../../src/db/check.ts'
import { createSql, type SqlOptions } from '../../src/runtime/sql.ts'
import { clusterUrl, createDatabase, startEmbedded, withClient } from '../database.ts'
import { limits } from '../sql.ts'
import { oneUrl, pglite, production, type Stores } from './stores.ts'

const asClient = (owner: Stores['owner']) =>
  typeof owner === 'string' ? { connectionString: owner } : owner

const setups: readonly [string, Stores, { hardened: boolean; ownLogin: boolean }][] = [
  ['a login per role', await production(), { hardened: true, ownLogin: true }],
  ['one URL', await oneUrl(), { hardened: true, ownLogin: false }],
  [
    'a login per role, no superuser',
    await production({ plainOwner: true }),
    { hardened: false, ownLogin: true },
  ],
  [
    'one URL, no superuser',
    await oneUrl({ plainOwner: true }),
    { hardened: false, ownLogin: false },
  ],
  ['embedded', await pglite(), { hardened: true, ownLogin: false }],
]
afterAll(async () => {
  for (const [, stores] of setups) await stores.close()
})

/** What somebody may have done to the database since it was migrated; each is undone again. */
const mistakes: readonly [mistake: string, make: string, undo: string, says: RegExp[]][] = [
  [
    'D1: FORCE taken off',
    'alter table public.subscriptions no force row level security',
    'alter table public.subscriptions force row level security',
    [/^The table subscriptions does not FORCE row-level security\.$/],
  ],
  [
    'D1: row-level security taken off',
    'alter table public.subscriptions disable row level security',
    'alter table public.subscriptions enable row level security',
    [/^The table subscriptions has no row-level security\.$/],
  ],
  [
    'D1: a table without any of it',
    'create table public.bare (id text); grant select (id) on public.bare to postern_tenant',
    'drop table public.bare',
    [
      /^The table bare has no row-level/,
      /^The table bare has no platform, environment, tenant column/,
      /^The table bare has no policy/,
    ],
  ],
  [
    'a policy beside the scope',
    'create policy wide on public.subscriptions using (true)',
    'drop policy wide on public.subscriptions',
    [/^The policy wide of subscriptions is not the scope's\.$/],
  ],
  [
    'a policy that writes elsewhere',
    'alter policy tenant_scope on public.subscriptions with check (true)',
    `do $$ begin execute format('alter policy tenant_scope on public.subscriptions with check %s', (
      select pg_get_expr(polqual, polrelid) from pg_policy where polname = 'tenant_scope'
        and polrelid = 'public.subscriptions'::regclass)); end $$`,
    [/^The policy tenant_scope of subscriptions is not the scope's\.$/],
  ],
  [
    'D8: a view of the owner',
    'create view public.peek as table public.subscriptions; grant select on public.peek to postern_tenant',
    'drop view public.peek',
    [/^The view peek reads as its owner/],
  ],
  [
    'D8: a materialised view',
    'create materialized view public.peek as table public.subscriptions; grant select on public.peek to public',
    'drop materialized view public.peek',
    [/^The materialised view peek/],
  ],
  [
    'D9: a function of the owner',
    `create function public.peek() returns bigint security definer language sql
       as 'select count(*) from public.subscriptions'`,
    'drop function public.peek()',
    [/^The function public\.peek\(\) runs as its owner/],
  ],
  [
    'D15: TRUNCATE',
    'grant truncate on public.subscriptions to postern_tenant',
    'revoke truncate on public.subscriptions from postern_tenant',
    [/^The table subscriptions grants TRUNCATE/],
  ],
  [
    'D17: a sequence',
    'create sequence public.counted; grant select on sequence public.counted to postern_tenant',
    'drop sequence public.counted',
    [/^The sequence counted/],
  ],
  [
    'credentials',
    'grant usage on schema postern to postern_tenant; grant select on postern.tenants to postern_tenant',
    'revoke usage on schema postern from postern_tenant; revoke select on postern.tenants from postern_tenant',
    [
      /^The table postern\.tenants has no environment, tenant column/,
      /^The table postern\.tenants has no policy/,
    ],
  ],
]

/** The same for the gateway's own tables. */
const gatewayMistakes: typeof mistakes = [
  [
    'the audit may be changed',
    'grant update (changes) on postern.audit_events to postern_gateway',
    'revoke update (changes) on postern.audit_events from postern_gateway',
    [/^The table postern\.audit_events grants UPDATE, which its rows are not for\.$/],
  ],
  [
    'the audit may be removed',
    'grant delete on postern.audit_events to postern_gateway',
    'revoke delete on postern.audit_events from postern_gateway',
    [/^The table postern\.audit_events grants DELETE, which its rows are not for\.$/],
  ],
  [
    'keys may be removed',
    'grant delete on postern.api_keys to postern_gateway',
    'revoke delete on postern.api_keys from postern_gateway',
    [/^The table postern\.api_keys grants DELETE/],
  ],
]

describe.each(setups)('%s', (_, { owner, tenantSql, gatewaySql }, posture) => {
  const asOwner = (text: string) => withClient(asClient(owner), (client) => client.query(text))

  test('a database as it was migrated may be served from, by both roles', async () => {
    expect(await inspectDatabase(tenantSql)).toEqual([])
    expect(await inspectDatabase(gatewaySql, 'gateway')).toEqual([])
    expect(await readPosture(tenantSql)).toEqual(posture)
    expect(await readPosture(gatewaySql)).toEqual(posture)
  })

  test.each(mistakes)('%s is named, until it is undone', async (_, make, undo, says) => {
    await asOwner(make)
    try {
      const said = await inspectDatabase(tenantSql)
      expect(said).toEqual(says.map((one) => expect.stringMatching(one)))
    } finally {
      await asOwner(undo)
    }
    expect(await inspectDatabase(tenantSql)).toEqual([])
  })

  test.each(gatewayMistakes)('%s: named, until it is undone', async (_, make, undo, says) => {
    await asOwner(make)
    try {
      const said = await inspectDatabase(gatewaySql, 'gateway')
      expect(said).toEqual(says.map((one) => expect.stringMatching(one)))
    } finally {
      await asOwner(undo)
    }
    expect(await inspectDatabase(gatewaySql, 'gateway')).toEqual([])
  })
})

describe('D2, D25: a role that must not serve is named', () => {
  const open = (connection: SqlOptions['connection'], embedded = false) =>
    createSql({ connection, role: null, scope: 'hardened', embedded, ...limits })
  const findings = async (sql: Sql, kind: 'tenant' | 'gateway' = 'tenant') => {
    try {
      return await inspectDatabase(sql, kind)
    } finally {
      await sql.close()
    }
  }

  test('a superuser, and the user of the embedded database', async () => {
    expect(await findings(open(clusterUrl()))).toEqual([expect.stringContaining('is a superuser')])
    const embedded = await startEmbedded()
    const found = await findings(open(embedded.connection, true))
    await embedded.drop()
    expect(found).toEqual([expect.stringContaining('The role postgres is a superuser')])
  })

  test('the owner, BYPASSRLS, and a login that is in another role too', async () => {
    const database = await createDatabase({ plainOwner: true })
    const login = (url: string) => new URL(url).username
    const admin = (text: string) => withClient(clusterUrl(), (client) => client.query(text))
    expect((await findings(open(database.ownerUrl))).join()).toMatch(/owns .*subscriptions/)
    await admin(`alter role ${login(database.tenantUrl)} bypassrls`)
    expect((await findings(open(database.tenantUrl))).join()).toContain('has BYPASSRLS')
    await admin(`alter role ${login(database.tenantUrl)} nobypassrls`)
    expect(await findings(open(database.tenantUrl))).toEqual([])
    await admin(`grant postern_gateway to ${login(database.tenantUrl)}`)
    expect((await findings(open(database.tenantUrl))).join()).toContain('member of postern_gateway')
    // The right login at the wrong place is as wrong.
    expect((await findings(open(database.gatewayUrl))).join()).toContain(
      'member of postern_gateway',
    )
    expect(await findings(open(database.gatewayUrl), 'gateway')).toEqual([])
    await database.drop()
  })

  test('a database that was never migrated says what to do', async () => {
    const database = await createDatabase()
    await withClient(database.ownerUrl, (client) =>
      client.query(`do $$ begin
        execute (select 'drop table ' || string_agg(quote_ident(tablename), ', ')
          from pg_tables where schemaname = 'public');
      end $$`),
    )
    expect(await findings(open(database.tenantUrl))).toEqual([
      'The role postern_tenant reaches no table: run `postern migrate` first.',
    ])
    await database.drop()
  })
})
