/**
 * The command over a gate, with an .env.local as a first start writes it. Every command is a process;
 * where somebody is asked, it runs in this one.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createDatabase, type TestDatabase } from '../database.ts'
import { startGate, type TestGate } from '../gate.ts'
import { call, makePlace, type Place } from '../gate-process.ts'
import { run } from '../process.ts'
import { bin, postern as command, typed } from './terminal.ts'

let place: Place
let database: TestDatabase
let gate: TestGate
let env: Readonly<Record<string, string>>
beforeAll(async () => {
  database = await createDatabase({ migrate: false })
  gate = await startGate({ DATABASE_URL: database.ownerUrl })
  env = { POSTERN_URL: gate.url, POSTERN_API_KEY: gate.seeded.admin }
  place = makePlace()
  place.write('.env.local', `POSTERN_URL=${gate.url}\nPOSTERN_ADMIN_KEY=${gate.seeded.admin}\n`)
})
afterAll(async () => {
  await gate?.stop()
  place?.remove()
  await database?.drop()
})

const postern = (args: readonly string[], input?: string) =>
  command(args, { cwd: place.folder, input })
/** Makes a key that must be made, and answers the whole of it. */
async function make(name: string, ...args: string[]): Promise<string> {
  const { code, out, err } = await postern(['keys', 'create', name, '--env', 'live', ...args])
  expect(code, err).toBe(0)
  return out.trim()
}
const read = (key: string) => call(`${gate.url}/v1/subscriptions`, { key, tenant: 'tenant_abc123' })

test('a key, from its making to its end', async () => {
  const args = ['keys', 'create', 'checkout', '--env', 'live', '--perm', 'data:read']
  const made = await postern([...args, '--expires', '90d', '--metadata', 'team=shop'])
  // The key is the only line of data; everything else is talk.
  expect(made.code, made.err).toBe(0)
  expect(made.out).toMatch(/^sk_live_\w{9}_\w{38}\n$/)
  expect(made.err).toMatch(/✔ Created key_\w{32} \(checkout\) in live, expires in 89 d/)
  expect(made.err).toMatch(/cannot be shown again[\s\S]*Next: postern keys show key_/)
  expect(made.err).not.toContain(made.out.trim().slice(-32))
  const first = made.out.trim()
  expect((await read(first)).status).toBe(200)

  const updated = await postern(['keys', 'update', 'checkout', '--ip', '203.0.113.0/24'])
  expect(updated).toMatchObject({ code: 0, out: '' })
  expect((await read(first)).json.code).toBe('auth/ip_not_allowed')
  await postern(['keys', 'update', 'checkout', '--lift', 'ips', '--limit', '50/min'])
  expect((await read(first)).status).toBe(200)

  const rotated = await postern(['keys', 'rotate', 'checkout', '--overlap', '1h', '--quiet', '1h'])
  const second = rotated.out.trim()
  expect([rotated.code, second.slice(0, 18)]).toEqual([0, first.slice(0, 18)])
  expect([(await read(first)).status, (await read(second)).status]).toEqual([200, 200])

  const shown = await postern(['keys', 'show', 'checkout', '-o', 'json'])
  const key = JSON.parse(shown.out)
  expect(key).toMatchObject({
    ...{ name: 'checkout', permissions: ['data:read'], metadata: { team: 'shop' } },
    rate_limit: { quota: 50, window_seconds: 60 },
    restrictions: { ips: null },
  })
  expect(key.rotation.secrets).toHaveLength(2)
  const table = (await postern(['keys', 'show', key.id])).out
  expect(table).toMatch(/^permissions +data:read$/m)
  expect(table).toMatch(/^SECRET +STATE[\s\S]*current[\s\S]*overlapping/m)

  const off = await postern(['keys', 'disable', 'checkout', '--wait', 'none', '-o', 'json'])
  expect(JSON.parse(off.out)).toMatchObject({
    ...{ status: 'disabled', receipt: { nodes: 1, acknowledged: 1, max_staleness_ms: 0 } },
  })
  expect(off.err).toContain('refused on 1 of 1 node since')
  expect((await read(second)).json.code).toBe('auth/key_disabled')
  await postern(['keys', 'enable', 'checkout'])
  expect((await read(second)).status).toBe(200)

  const revoked = await postern(['keys', 'revoke', 'checkout', '--yes'])
  expect(revoked).toMatchObject({
    code: 0,
    out: '',
    err: expect.stringMatching(
      new RegExp(
        `^✔ Revoked ${key.id} \\(checkout\\): revoked\n  dead on 1 of 1 node since [\\d:]{8}Z, epoch \\d+\n$`,
      ),
    ),
  })
  expect((await read(second)).json.code).toBe('auth/key_revoked')
}, 120_000)

describe('exit codes', () => {
  test('3: no key', async () => {
    const { code, err } = await command(['keys', 'list'], { cwd: '/' })
    expect(code).toBe(3)
    expect(err).toContain('set POSTERN_URL and POSTERN_API_KEY')
  })

  test('3: a key that is not good, with what to read about it', async () => {
    const bad = { POSTERN_URL: gate.url, POSTERN_API_KEY: 'sk_live_k7Gh2Qm9x_nothing' }
    const { code, out, err } = await command(['keys', 'list'], { env: bad })
    expect([code, out]).toEqual([3, ''])
    expect(err).toMatch(
      /^postern keys list: .* \[auth\/malformed_key\]\n {2}http\S+\n {2}req_\w+\n$/,
    )
    expect(err).not.toContain('nothing')
  })

  test.each([
    ['an id', 'key_00000000000000000000000000000000'],
    ['a name', 'nobody'],
  ])('4: there is no such thing, by %s', async (_, named) => {
    expect((await postern(['keys', 'show', named])).code).toBe(4)
  })

  test('1: refused, with every field at once', async () => {
    const { code, out, err } = await postern([
      ...['keys', 'create', 'x', '--env', 'live', '--perm', 'data:raed', '--ip', 'nowhere'],
    ])
    expect([code, out]).toEqual([1, ''])
    expect(err).toContain('body.permissions[0]')
    expect(err).toContain('did you mean "data:read"?')
    expect(err).toContain('body.restrictions.ips')
    expect(err).toContain('[request/invalid]')
  })

  test('1: nobody is there', async () => {
    const env = { POSTERN_URL: 'http://127.0.0.1:9', POSTERN_API_KEY: 'sk_live_x' }
    const { code, err } = await command(['status'], { env })
    expect(code).toBe(1)
    expect(err).toContain('[connection/failed]')
  })

  test('2: a whole key where its name belongs is not sent anywhere', async () => {
    const { code, err } = await postern(['keys', 'show', gate.seeded.sk_live_])
    expect(code).toBe(2)
    expect(err).toContain('that looks like a whole key')
    expect(err).not.toContain(gate.seeded.sk_live_.slice(-32))
  })

  test('2: a name that several keys have', async () => {
    await make('twin')
    await make('twin')
    const { code, err } = await postern(['keys', 'disable', 'twin'])
    expect(code).toBe(2)
    expect(err).toMatch(/several keys are called twin: say which one of key_\w+, key_\w+/)
  })
})

describe('what cannot be taken back', () => {
  test('is refused where nobody can be asked', async () => {
    const key = await make('asked', '--perm', 'data:read')
    const { code, out, err } = await postern(['keys', 'revoke', 'asked'])
    expect([code, out]).toEqual([2, ''])
    expect(err).toMatch(
      /Revoke asked .* for good\? It was never used\.\nNobody is here to ask; say --yes/,
    )
    expect((await read(key)).status).toBe(200)
    expect((await postern(['tenants', 'suspend', 'tenant_abc123'])).code).toBe(2)
    expect((await postern(['keys', 'rotate', 'asked', '--overlap', 'now'])).code).toBe(2)
  })

  test('is asked, and no is no', async () => {
    const key = await make('kept', '--perm', 'data:read')
    const no = await typed(['keys', 'revoke', 'kept'], env, 'n')
    expect(no).toMatchObject({
      code: 1,
      out: '',
      err: 'postern keys revoke: nothing was changed\n',
    })
    expect(no.asked).toContain('Revoke kept')
    const enter = await typed(['keys', 'revoke', 'kept'], env, '\r')
    expect(enter.code).toBe(1)
    expect((await read(key)).status).toBe(200)
  })

  test('is done after a yes', async () => {
    const key = await make('ended', '--perm', 'data:read')
    expect(await typed(['keys', 'revoke', 'ended'], env, 'y')).toMatchObject({ code: 0, out: '' })
    expect((await read(key)).json.code).toBe('auth/key_revoked')
  })
})

test('--dry-run says what would be sent, and sends nothing', async () => {
  const before = (await postern(['keys', 'list', '-o', 'json'])).out
  const wanted = await postern([
    ...['keys', 'create', 'never', '--env', 'live', '--limit', '5/10s', '--endpoint', 'GET /a,b'],
    ...['--origin', 'https://a.example, https://b.example', '--dry-run'],
  ])
  expect(wanted).toMatchObject({ code: 0, err: 'Dry run, nothing is sent: POST /v1/api-keys\n' })
  expect(JSON.parse(wanted.out)).toEqual({
    ...{ name: 'never', environment: 'live', rate_limit: [{ quota: 5, window_seconds: 10 }] },
    restrictions: { origins: ['https://a.example', 'https://b.example'], endpoints: ['GET /a,b'] },
  })
  const admin = JSON.parse(before).find(({ name }: { name: string }) => name === 'local ADMIN')
  for (const verb of ['rotate', 'revoke', 'disable', 'enable']) {
    const { code, out, err } = await postern(['keys', verb, 'local ADMIN', '--dry-run'])
    expect([code, out.replaceAll(/[{}\s]/g, '')]).toEqual([0, ''])
    expect(err).toContain(`POST /v1/api-keys/${admin.id}/${verb}`)
  }
  const imported = await postern(['keys', 'import', '--dry-run'], 'a\nb\n')
  expect(imported.err).toContain('POST /v1/api-keys/import with 2 keys')
  const tenant = await postern(['tenants', 'create', 'tenant_dry', '--dry-run'])
  expect(JSON.parse(tenant.out)).toEqual({ id: 'tenant_dry' })
  const after = (await postern(['keys', 'list', '-o', 'json'])).out
  expect(JSON.parse(after).map(({ etag }: { etag: string }) => etag)).toEqual(
    JSON.parse(before).map(({ etag }: { etag: string }) => etag),
  )
}, 120_000)

test('a list is cut where it is asked for, and says so', async () => {
  const { out, err } = await postern(['keys', 'list', '--limit', '2'])
  expect(out.trim().split('\n')).toHaveLength(3)
  expect(err).toBe('There are more than 2: --all shows them.\n')
  const all = await postern(['keys', 'list', '--all', '-o', 'json'])
  expect(all.err).toBe('')
  expect(JSON.parse(all.out).length).toBeGreaterThan(2)
  const none = await postern(['keys', 'list', '--name', 'nobody', '-o', 'json'])
  expect([none.code, none.out]).toEqual([0, '[]\n'])
})

describe('verify', () => {
  test('reads the key unseen, and says yes', async () => {
    const key = await make('good', '--perm', 'data:read')
    const asked = ['keys', 'verify', '--path', '/v1/subscriptions', '--tenant', 'tenant_abc123']
    expect(await postern(asked, `${key}\n`)).toEqual({ code: 0, out: 'valid\n', err: '' })
    const verdict = await postern([...asked, '--method', 'POST', '-o', 'json'], key)
    expect(verdict.code).toBe(1)
    expect(JSON.parse(verdict.out)).toMatchObject({
      ...{ valid: false, code: 'auth/insufficient_permission', key: { name: 'good' } },
    })
  })

  test('says why not', async () => {
    const { code, out } = await postern(['keys', 'verify', 'sk_live_k7Gh2Qm9x_typo'])
    expect([code, out.split(':')[0]]).toEqual([1, 'auth/malformed_key'])
    expect((await postern(['keys', 'verify'], '')).code).toBe(2)
  })

  test('asks for it where somebody sits, and shows none of it', async () => {
    const { code, out, asked } = await typed(['keys', 'verify'], env, 'sk_live_secret\r')
    expect([code, out.split(':')[0]]).toEqual([1, 'auth/malformed_key'])
    expect(asked).toContain('Key to verify')
    expect(asked).not.toContain('secret')
  })
})

test('usage is a table of days with a total', async () => {
  await make('used', '--perm', 'data:read')
  const { code, out } = await postern(['keys', 'usage', 'used'])
  expect(code).toBe(0)
  expect(out).toMatch(/^DAY +REQUESTS +ERRORS[\s\S]*^total +0 +0 +0 +0$/m)
  const whole = JSON.parse((await postern(['keys', 'usage', 'used', '-o', 'json'])).out)
  expect(whole.total).toMatchObject({ requests: 0, bytes_in: 0 })
})

test('tenants are added, suspended and resumed', async () => {
  const made = await postern(['tenants', 'create', 'tenant_new', '--metadata', 'plan=team'])
  expect(made).toMatchObject({ code: 0, out: '', err: '✔ Added tenant_new\n' })
  expect((await postern(['tenants', 'suspend', 'tenant_new', '--yes'])).code).toBe(0)
  const list = await postern(['tenants', 'list', '--status', 'suspended'])
  expect(list.out).toMatch(/^ID +STATUS +CREATED +METADATA\ntenant_new +suspended .*"plan":"team"/)
  const resumed = await postern(['tenants', 'resume', 'tenant_new', '-o', 'json'])
  expect(JSON.parse(resumed.out)).toMatchObject({ id: 'tenant_new', suspended_at: null })
})

test('status says what it asked, and what it was told', async () => {
  const { code, out, err } = await postern(['status'])
  expect([code, err]).toEqual([0, ''])
  expect(out).toMatch(/alive +ok[\s\S]*ready +ok[\s\S]*api +ok +\d+ +acme \(azotte\)/)
  const bad = { POSTERN_URL: gate.url, POSTERN_API_KEY: 'sk_live_k7Gh2Qm9x_nothing' }
  const refused = await command(['status', '-o', 'json'], { env: bad })
  expect(refused.code).toBe(3)
  expect(JSON.parse(refused.out).checks).toMatchObject([
    { name: 'alive', ok: true },
    { name: 'ready', ok: true },
    { name: 'api', ok: false, says: 'auth/malformed_key' },
  ])
})

test('whoever reads may go: a pipe that ends early is no failure', async () => {
  const script = '"$0" "$1" keys list --all -o json | head -1; exit "${PIPESTATUS[0]}"'
  const done = await run('bash', ['-c', script, process.execPath, bin], {
    cwd: place.folder,
    env: { PATH: process.env.PATH ?? '' },
  })
  expect(done).toMatchObject({ code: 0, stdout: '[\n', stderr: '' })
})
