/** X5: a new master key, under load and killed on the way. The command is the one that operators run. */
import { randomBytes } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Scope } from '../../src/context.ts'
import { createMasterRegistry } from '../../src/db/master-keys.ts'
import { createSecretStore } from '../../src/db/secrets.ts'
import { Keyring, type Masters } from '../../src/vault/masters.ts'
import { Vault } from '../../src/vault/vault.ts'
import { asOwner } from '../db/made.ts'
import { oneUrl, type Stores } from '../db/stores.ts'
import { entry, makePlace, type Place } from '../gate-process.ts'
import { run, start } from '../process.ts'

const admin = fileURLToPath(new URL('../../src/admin.ts', import.meta.url))
const [older, newer, newest] = [randomBytes(32), randomBytes(32), randomBytes(32)]
const tenants = ['a', 'b', 'c']
const sessionsEach = 4
const namesEach = 60
const scopeOf = (tenant: string): Scope => ({ platform: 'plt_r', environment: 'live', tenant })

let stores: Stores
let place: Place
const sessions: { readonly scope: Scope; readonly id: string }[] = []
const config = `
version: 1
platforms:
  - id: plt_r
    slug: r
    routes: [{ path: /subscriptions, handler: subscriptions }]
`

const mastersOf = (...versions: [number, Uint8Array][]): Masters => ({
  current: Math.max(...versions.map(([version]) => version)),
  versions: new Map(versions),
})
const vaultOf = (masters: Masters) =>
  new Vault(
    createSecretStore(stores.tenantSql, null),
    new Keyring(masters, createMasterRegistry(stores.gatewaySql)),
  )
const textOf = ({ versions }: Masters) =>
  [...versions].map(([version, key]) => `${version}:${Buffer.from(key).toString('hex')}`).join()
const environment = (masters: Masters) => ({
  PATH: process.env.PATH ?? '',
  DATABASE_URL: String(stores.owner),
  POSTERN_PEPPER: 'a'.repeat(64),
  POSTERN_MASTER_KEY: textOf(masters),
})
const rotation = (masters: Masters) =>
  [
    process.execPath,
    [admin, 'vault', 'rotate'],
    { cwd: place.folder, env: environment(masters) },
  ] as const
/** A gate that is expected to refuse. */
const startOnce = (env: Readonly<Record<string, string>>) =>
  run(process.execPath, [entry], { cwd: place.folder, env: { ...env, PORT: '0' }, timeoutMs })
const timeoutMs = 150_000
const rotateOnce = (masters: Masters) =>
  run(rotation(masters)[0], rotation(masters)[1], { ...rotation(masters)[2], timeoutMs })
const countAt = async (version: number): Promise<number> => {
  const text = 'select count(*)::int as n from public.secrets where key_version = $1'
  return Number((await asOwner(stores, text, [version]))[0]?.n)
}
const names = Array.from({ length: namesEach }, (_, n) => `NAME_${n}`)

beforeAll(async () => {
  stores = await oneUrl()
  place = makePlace(config)
  const vault = vaultOf(mastersOf([1, older]))
  for (const tenant of tenants) {
    const scope = scopeOf(tenant)
    await stores.gatewaySql.query(scope, {
      text: 'insert into postern.tenants (id) values ($1)',
      values: [tenant],
    })
    for (let n = 0; n < sessionsEach; n++) {
      const id = `ses_${tenant}${n}`
      const text = 'insert into sessions (id, user_id) values ($1, $2)'
      await stores.tenantSql.query(scope, { text, values: [id, 'u'] })
      sessions.push({ scope, id })
      const values = new Map(names.map((name) => [name, `${id} ${name} first`]))
      expect(await vault.set(scope, id, values)).toBeNull()
    }
  }
})
afterAll(async () => {
  await stores?.close()
  place?.remove()
})

/** Every secret that there is, opened; fails at the first that does not open. */
async function openAll(vault: Vault): Promise<readonly string[]> {
  const found: string[] = []
  for (const { scope, id } of sessions) {
    const values = await vault.openSecrets(scope, id, names)
    if ('code' in values) throw new Error(JSON.stringify(values))
    found.push(...values.values())
  }
  return found
}

test('G10: what is wrong with the master key is said by version, and changes nothing', async () => {
  const before = await asOwner(stores, 'select * from public.secrets order by session_id, name')
  for (const [masters, says] of [
    [mastersOf([1, newer]), /POSTERN_MASTER_KEY is wrong: version 1 is not the key/],
    [mastersOf([2, newer]), /POSTERN_MASTER_KEY lacks version 1/],
    [mastersOf([2, newer], [1, newest]), /version 1 is not the key/],
  ] as const) {
    const env = environment(masters)
    for (const ended of [await rotateOnce(masters), await startOnce(env)]) {
      expect(ended.code).toBe(1)
      expect(ended.stderr).toMatch(says)
      expect(ended.stderr + ended.stdout).not.toContain(Buffer.from(newer).toString('hex'))
    }
  }
  expect(await asOwner(stores, 'select * from public.secrets order by session_id, name')).toEqual(
    before,
  )
  expect(await asOwner(stores, 'select id from postern.master_keys')).toEqual([{ id: '1' }])
}, 300_000)

test('X5: rotated under load and killed on the way, every row opens, always', async () => {
  const both = mastersOf([1, older], [2, newer])
  // Nodes that have both keys, one of them since long before, and one that was forgotten.
  const vaults = [vaultOf(both), vaultOf(both)]
  const forgotten = vaultOf(mastersOf([1, older]))
  for (const vault of [...vaults, forgotten]) {
    expect(await vault.set(scopeOf('a'), 'ses_a0', new Map([['NAME_0', 'again']]))).toBeNull()
  }
  expect(await countAt(2)).toBe(0)

  let going = true
  let written = 0
  const refusals: unknown[] = []
  const load = async (vault: Vault, name: string) => {
    while (going) {
      const { scope, id } = sessions[written % sessions.length]!
      const refusal = await vault.set(scope, id, new Map([[name, `written ${written++}`]]))
      if (refusal !== null) refusals.push(refusal)
    }
  }
  const writers = vaults.map((vault, n) => load(vault, `NAME_${n}`))

  const kills = 5
  let killed = 0
  try {
    for (; killed < kills; killed++) {
      const before = await countAt(2)
      const running = await start(...rotation(both))
      let over = false
      void running.exited.then(() => {
        over = true
      })
      // The first are killed before they have done anything, the others after some of it.
      while (!over && killed > 1 && (await countAt(2)) <= before);
      running.signal('SIGKILL')
      const { signal } = await running.exited
      expect((await openAll(vaults[0]!)).length).toBe(sessions.length * namesEach)
      if (signal !== 'SIGKILL') break
    }
    const ended = await rotateOnce(both)
    expect([ended.code, ended.stderr]).toEqual([0, ''])
  } finally {
    going = false
    await Promise.all(writers)
  }
  expect(killed).toBeGreaterThan(1)
  expect(refusals).toEqual([])
  expect(written).toBeGreaterThan(0)
  expect(await countAt(1)).toBe(0)
  const values = await openAll(vaultOf(mastersOf([2, newer])))
  expect(values.filter((value) => / first$/.test(value)).length).toBe(
    sessions.length * (namesEach - 2),
  )
  // The node without the new key can neither read nor write, and no row of the old key comes back.
  expect(await forgotten.set(scopeOf('a'), 'ses_a0', new Map([['LATE', 'x']]))).toMatchObject({
    code: 'gateway/misconfigured',
  })
  expect(await forgotten.openSecrets(scopeOf('a'), 'ses_a0', ['NAME_0'])).toMatchObject({
    code: 'gateway/misconfigured',
  })
  expect((await rotateOnce(both)).stdout).toMatch(/nothing to do: all is sealed under version 2/)
}, 300_000)

test('X5: a version is kept while any row needs it, of whatever platform', async () => {
  const masters = mastersOf([2, newer], [3, newest])
  const scope: Scope = { platform: 'plt_elsewhere', environment: 'test', tenant: 't' }
  const text = `insert into sessions (id, user_id) values ('ses_e', 'u')`
  await stores.tenantSql.query(scope, { text })
  expect(await vaultOf(masters).set(scope, 'ses_e', new Map([['A', 'x']]))).toBeNull()
  const refused = await rotateOnce(masters)
  expect([refused.code, refused.stderr]).toEqual([
    1,
    expect.stringMatching(/platforms that this config does not name/),
  ])
  // Without it nothing starts.
  const without = await startOnce(environment(mastersOf([3, newest])))
  expect([without.code, without.stderr]).toEqual([
    1,
    expect.stringMatching(/POSTERN_MASTER_KEY lacks version 2/),
  ])
  place.write(
    'postern.yaml',
    `${config}    hosts: [r.example.com]
  - { id: plt_elsewhere, slug: e, hosts: [e.example.com], routes: [{ path: /s, handler: subscriptions }] }
`,
  )
  await stores.gatewaySql.query(scope, { text: `insert into postern.tenants (id) values ('t')` })
  const done = await rotateOnce(masters)
  expect([done.code, done.stderr]).toEqual([0, ''])
  expect(done.stdout).toMatch(/no longer needed in POSTERN_MASTER_KEY: 2/)
}, 300_000)

test('X5: a row that does not open stops nothing but the end, and is named', async () => {
  const masters = mastersOf([3, newest], [4, older])
  await asOwner(
    stores,
    `update public.secrets set sealed = $1 where session_id = 'ses_b1' and name = 'NAME_7'`,
    [randomBytes(60)],
  )
  const stopped = await rotateOnce(masters)
  expect([stopped.code, stopped.stderr]).toEqual([
    1,
    expect.stringMatching(/1 secrets cannot be opened.*NAME_7 of ses_b1/),
  ])
  expect(await countAt(3)).toBe(1)
  // It can still be removed or replaced, as the message says.
  expect(
    await vaultOf(masters).set(scopeOf('b'), 'ses_b1', new Map([['NAME_7', 'new']])),
  ).toBeNull()
  expect((await rotateOnce(masters)).code).toBe(0)
  expect(await countAt(3)).toBe(0)
}, 300_000)
