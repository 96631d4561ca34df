import { fileURLToPath } from 'node:url'
import { afterEach, describe, expect, test } from 'vitest'
import { migrate } from '../../src/db/migrate.ts'
import { migrateDatabase, readMigrations } from '../../src/runtime/node/migrations.ts'
import { clusterUrl, createDatabase, type TestDatabase, withClient } from '../database.ts'
import { run } from '../process.ts'

const tags = [
  ...['0000_postern', '0001_management', '0002_example_resources', '0003_signal'],
  ...['0004_worlds_and_sessions', '0005_agents', '0006_session_ttl'],
]

const made = new Set<TestDatabase>()
const fresh = async (options: Parameters<typeof createDatabase>[0] = { migrate: false }) => {
  const database = await createDatabase(options)
  made.add(database)
  return database
}
afterEach(async () => {
  for (const database of made) await database.drop()
  made.clear()
})

/** Everything that a migration decides: relations, policies, grants, functions and their owners. */
const state = (url: string) =>
  withClient(url, async (client) => {
    const { rows } = await client.query(`
      select 'relation' as kind, c.oid::regclass::text as name, c.relacl::text as acl,
        c.relrowsecurity || ' ' || c.relforcerowsecurity as more
      from pg_class c where c.relnamespace::regnamespace::text in ('public', 'postern')
      union all select 'policy', polrelid::regclass || ' ' || polname, polroles::regrole[]::text,
        pg_get_expr(polqual, polrelid) from pg_policy
      union all select 'function', p.oid::regprocedure::text, p.proacl::text, p.proowner::regrole::text
      from pg_proc p where p.pronamespace::regnamespace::text in ('public', 'postern')
        or p.proname = 'set_config'
      union all select 'schema', nspname, nspacl::text, '' from pg_namespace
      order by 1, 2`)
    return rows
  })

describe('migrate', () => {
  test('a second run applies nothing and changes nothing', async () => {
    const database = await fresh()
    const first = await migrateDatabase(database.ownerUrl)
    expect(first.applied).toEqual(tags)
    expect(first).toMatchObject({ hardened: true, warnings: [] })
    const before = await state(database.ownerUrl)
    const second = await migrateDatabase(database.ownerUrl)
    expect(second).toEqual({ applied: [], hardened: true, warnings: [] })
    expect(await state(database.ownerUrl)).toEqual(before)
  })

  test('several at once in one database: one applies, the others wait and find it done', async () => {
    const database = await fresh()
    const all = await Promise.all(
      Array.from({ length: 6 }, () => migrateDatabase(database.ownerUrl)),
    )
    expect(all.flatMap(({ applied }) => applied)).toEqual(tags)
    expect(all.every(({ hardened }) => hardened)).toBe(true)
  })

  test('several at once in databases of one cluster, whose roles they share', async () => {
    const databases = await Promise.all([0, 1, 2, 3].map(() => fresh()))
    const all = await Promise.all(databases.map(({ ownerUrl }) => migrateDatabase(ownerUrl)))
    expect(all.map(({ applied }) => applied)).toEqual(Array(4).fill(tags))
  })

  test('roles that another database makes at the same moment are waited for', async () => {
    const [one, other] = await Promise.all([fresh(), fresh()])
    const migrations = await readMigrations()
    // Under names of its own, so that the roles truly do not exist yet: twice, at the same time.
    const tag = `x${Date.now().toString(36)}`
    const roles = migrations.roles.replaceAll('postern_', `${tag}_`)
    const renamed = (text: string) =>
      text.replaceAll(/postern_(?=tenant|gateway|lookup)/g, `${tag}_`)
    try {
      const runs = [one, other].map(({ ownerUrl }) =>
        withClient(ownerUrl, (client) =>
          migrate((text, values) => client.query(renamed(text), values), { ...migrations, roles }),
        ),
      )
      const all = await Promise.all(runs)
      expect(all.map(({ applied }) => applied)).toEqual([tags, tags])
    } finally {
      for (const database of [one, other]) await database.drop()
      await withClient(clusterUrl(), (client) =>
        client.query(`drop role if exists ${tag}_tenant, ${tag}_gateway, ${tag}_lookup`),
      )
    }
  })

  test('a migration that fails leaves nothing half applied', async () => {
    const database = await fresh()
    const { generated, ...rest } = await readMigrations()
    const broken = { tag: '9999', when: Date.now(), hash: 'x', sql: 'create table t (); selekt' }
    await withClient(database.ownerUrl, async (client) => {
      const execute = (text: string, values?: unknown[]) => client.query(text, values)
      const attempt = migrate(execute, { ...rest, generated: [...generated, broken] })
      await expect(attempt).rejects.toMatchObject({ code: '42601' })
      const { rows } = await client.query(`select to_regclass('public.subscriptions') as made`)
      expect(rows).toEqual([{ made: null }])
      expect((await migrate(execute, { ...rest, generated })).applied).toEqual(tags)
    })
  })

  test('Q23: the first version with rows is brought up to date, and goes on beside the next', async () => {
    const { ownerUrl } = await fresh()
    const { roles, generated } = await readMigrations()
    const [first] = generated
    const rows = async () =>
      withClient(ownerUrl, async (client) => {
        const { rows: found } = await client.query(
          `select k.id, k.name, k.version, s.id as secret, s.superseded_by, t.version as tenant
           from postern.api_keys k join postern.api_key_secrets s on s.key_id = k.id
           cross join postern.tenants t order by k.id`,
        )
        return found
      })
    // As that version sends them.
    const insertion = (id: string) => `begin; set local app.scope = 'plt_old';
      insert into postern.tenants (id) values ('acme') on conflict do nothing;
      insert into postern.api_keys (id, environment, class, name, prefix, ref, tenants, permissions,
          restrictions, limits, expires_at)
        values ('${id}', 'live', 'secret', 'old', 'sk_live_', '${id}', null, '{vec:read}',
          '{"ips": null, "origins": ["https://a.example"], "referrers": null, "endpoints": null}', null, null);
      insert into postern.api_key_secrets (key_id, digest, pepper_version, last4)
        values ('${id}', sha256('${id}'), 1, 'abcd');
      update postern.tenants set updated_at = now(), suspended_at = null where id = 'acme';
      commit`
    await withClient(ownerUrl, async (client) => {
      await client.query(roles)
      await client.query(first!.sql)
      await client.query(`create schema drizzle; create table drizzle.__drizzle_migrations
        (id serial primary key, hash text not null, created_at bigint)`)
      await client.query(
        'insert into drizzle.__drizzle_migrations (hash, created_at) values ($1, $2)',
        [first!.hash, first!.when],
      )
      await client.query(insertion('key_1'))
    })
    expect((await migrateDatabase(ownerUrl)).applied).toEqual(tags.slice(1))
    await withClient(ownerUrl, async (client) => {
      await client.query(
        insertion('key_2').replace('begin;', 'begin; set local role postern_gateway;'),
      )
      const { rows: found } = await client.query(
        `select key from postern.find_key(array[sha256('key_1')]) f`,
      )
      expect(found[0].key).toMatchObject({ id: 'key_1', name: 'old', expiresAt: null })
    })
    const row = { name: 'old', version: 1, superseded_by: null, tenant: 1 }
    expect(await rows()).toMatchObject([
      { id: 'key_1', ...row },
      { id: 'key_2', ...row },
    ])
  })

  test('an owner that is no superuser gets everything but the hardening, and is told', async () => {
    const { migrated, ownerUrl } = await fresh({ plainOwner: true })
    expect(migrated.hardened).toBe(false)
    expect(migrated.warnings).toEqual([expect.stringMatching(/^scope: plain\. .*harden\.sql/)])
    // What the warning says helps, and holds when the owner migrates again.
    const admin = new URL(clusterUrl())
    admin.pathname = new URL(ownerUrl).pathname
    const { harden } = await readMigrations()
    await withClient(admin.href, (client) => client.query(harden))
    expect(await migrateDatabase(ownerUrl)).toEqual({ applied: [], hardened: true, warnings: [] })
  })

  test('other tables of the same database are left alone', async () => {
    const database = await fresh()
    const make = 'create table public.theirs (id int); grant select on public.theirs to public'
    await withClient(database.ownerUrl, (client) => client.query(make))
    const theirs = async () =>
      (await state(database.ownerUrl)).filter(({ name }) => name === 'theirs')
    const before = await theirs()
    await migrateDatabase(database.ownerUrl)
    expect(await theirs()).toEqual(before)
  })

  test('a role that has BYPASSRLS is refused by name', async () => {
    const database = await fresh()
    const tag = `x${Date.now().toString(36)}`
    const migrations = await readMigrations()
    const roles = migrations.roles.replaceAll('postern_', `${tag}_`)
    await withClient(database.ownerUrl, async (client) => {
      await client.query(`create role ${tag}_tenant bypassrls`)
      try {
        await expect(
          migrate((text, values) => client.query(text, values), { ...migrations, roles }),
        ).rejects.toThrow(`role ${tag}_tenant is a superuser or has BYPASSRLS`)
      } finally {
        await client.query(`drop role ${tag}_tenant`)
      }
    })
  })
})

describe('node src/admin.ts migrate', () => {
  const admin = (env: Record<string, string>, ...args: string[]) =>
    run(
      process.execPath,
      [fileURLToPath(new URL('../../src/admin.ts', import.meta.url)), ...args],
      {
        env: { PATH: process.env.PATH, ...env },
      },
    )

  test('says what it applied and what is in force', async () => {
    const { ownerUrl } = await fresh()
    const first = await admin({ DATABASE_URL: ownerUrl }, 'migrate')
    expect(first).toMatchObject({
      code: 0,
      stdout: `${tags.map((tag) => `applied ${tag}\n`).join('')}scope: hardened\n`,
      stderr: '',
    })
    // The owner's own variable wins.
    const wrong = 'postgres://127.0.0.1:1/nowhere'
    const env = { DATABASE_URL: wrong, POSTERN_OWNER_DATABASE_URL: ownerUrl }
    const second = await admin(env, 'migrate')
    const upToDate = 'nothing to apply: the tables are up to date\nscope: hardened\n'
    expect(second).toMatchObject({ code: 0, stdout: upToDate, stderr: '' })
  })

  const wrong: readonly [string, Record<string, string>, string[], RegExp][] = [
    ['no URL', {}, ['migrate'], /^postern: DATABASE_URL is not set\./],
    ['an empty URL', { DATABASE_URL: '' }, ['migrate'], /^postern: DATABASE_URL is not set\./],
    ['no server', { DATABASE_URL: 'postgres://127.0.0.1:1/x' }, ['migrate'], /^postern: .*REFUSED/],
    ['no command', {}, [], /^postern: usage: /],
    ['another command', {}, ['migrate', 'now'], /^postern: usage: /],
  ]
  test.each(wrong)('%s: one line and exit code 1', async (_, env, args, says) => {
    const { code, stdout, stderr } = await admin(env, ...args)
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
    expect(stderr).toMatch(says)
    expect(stderr.trimEnd().split('\n')).toHaveLength(1)
  })
})
