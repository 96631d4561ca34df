/**
 * Starting as a newcomer does: one command in a folder, and what is there afterwards. The tests of
 * the first group follow each other in one folder, as days follow each other.
 */
import { existsSync, readFileSync, rmSync, statSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createDatabase, type TestDatabase, withClient } from '../database.ts'
import {
  type GateProcess,
  isListening,
  logLines,
  makePlace,
  type Place,
  runGate,
  startGateProcess,
  succeeded,
} from '../gate-process.ts'
import { run } from '../process.ts'

const names = [
  ...['POSTERN_URL', 'POSTERN_PK_DEV', 'POSTERN_SK_DEV', 'POSTERN_PK_LIVE', 'POSTERN_SK_LIVE'],
  ...['POSTERN_ADMIN_KEY', 'POSTERN_OPERATOR_KEY'],
]
const list = '/v1/subscriptions'
const tenant = 'tenant_abc123'

/** Every address of this machine but the one that is listened on. */
const otherAddresses = (): string[] => {
  const external = Object.values(networkInterfaces()).flatMap((one) => one ?? [])
  return [
    ...external.filter(({ family }) => family === 'IPv4').map(({ address }) => address),
    // Linux answers to the whole of 127/8.
    ...(process.platform === 'linux' ? ['127.0.0.2'] : []),
  ].filter((address) => address !== '127.0.0.1')
}

/** What a process has worked, all its threads together: unlike a clock, no neighbour slows it. */
function cpuMsOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  // Fields 14 and 15 of proc(5), in hundredths of a second.
  return 10 * (Number(fields[11]) + Number(fields[12]))
}

describe('on a bare machine', () => {
  let place: Place
  let gate: GateProcess
  let written: string
  let firstKeys: string
  let startedMs: number
  beforeAll(async () => {
    place = makePlace()
    place.write('.env.local', '# mine\nEDITOR=vi\nexport POSTERN_SK_DEV="old"\n')
    gate = await startGateProcess(place)
    startedMs = cpuMsOf(gate.pid)
    firstKeys = readFileSync(place.path('.env.local'), 'utf8')
  })
  afterAll(async () => {
    await gate?.stop('SIGKILL')
    place?.remove()
  })

  test('it serves within twenty seconds of work, of cores that it shares', () => {
    expect(startedMs).toBeLessThan(20_000)
  })

  test('.env.local has every name once, keeps its other lines, and is for its owner alone', () => {
    const lines = firstKeys.split('\n')
    for (const name of names) {
      expect(lines.filter((line) => line.startsWith(`${name}=`), name)).toHaveLength(1)
      expect(gate.variable(name), name).not.toBe('')
    }
    expect(lines.slice(0, 2)).toEqual(['# mine', 'EDITOR=vi'])
    expect(firstKeys).not.toContain('old')
    expect(statSync(place.path('.env.local')).mode & 0o777).toBe(0o600)
    for (const secret of ['.postern/pepper', '.postern/master_key']) {
      expect(statSync(place.path(secret)).mode & 0o777, secret).toBe(0o600)
    }
    expect(statSync(place.path('.postern')).mode & 0o777).toBe(0o700)
  })

  test('the line it prints works as it is pasted into bash', async () => {
    const line = gate.stdout().match(/^ +(curl .*)$/m)?.[1] ?? ''
    const pasted = await run('bash', ['-c', `${line} --silent --fail-with-body`])
    expect(JSON.parse(pasted.stdout).data.length).toBeGreaterThan(0)
    expect(pasted.code).toBe(0)
  })

  test('the keys are good for what their names say', async () => {
    const read = (name: string) => gate.call(list, { key: gate.variable(name), tenant })
    const ids = await Promise.all(
      ['POSTERN_SK_DEV', 'POSTERN_PK_DEV', 'POSTERN_SK_LIVE', 'POSTERN_ADMIN_KEY'].map(
        async (name) => (await read(name)).json.data.map(({ id }: { id: string }) => id).sort(),
      ),
    )
    expect(ids[0]).toEqual(ids[1])
    expect(ids[2]).toEqual(ids[3])
    expect(ids[0]).not.toEqual(ids[2])
    expect((await read('POSTERN_OPERATOR_KEY')).status).toBe(401)
  })

  test('it listens on loopback alone', async () => {
    expect(await isListening(gate.port)).toBe(true)
    for (const address of otherAddresses()) {
      expect(await isListening(gate.port, address), address).toBe(false)
    }
  })

  test('a second one in the same folder is refused by name of the first, which goes on', async () => {
    const second = await runGate(place)
    expect(second.code).toBe(1)
    expect(second.stderr).toContain(`is in use by process ${gate.pid}`)
    expect(second.stderr).not.toMatch(/^ +at /m)
    expect((await gate.call('/readyz')).json.status).toBe('ready')
  })

  test('what was acknowledged is there after kill -9, and the keys are the same', async () => {
    const key = gate.variable('POSTERN_SK_LIVE')
    const made = await gate.call(list, { key, tenant, method: 'POST', body: { plan: 'kept' } })
    expect(made.status).toBe(201)
    written = made.json.id
    await gate.stop('SIGKILL')

    gate = await startGateProcess(place)
    const read = await gate.call(`${list}/${written}`, { key, tenant })
    expect([read.status, read.json?.plan]).toEqual([200, 'kept'])
    expect(gate.stdout()).toMatch(/keys +in \.env\.local, from the first start/)
    for (const name of names.slice(1)) expect(firstKeys).toContain(gate.variable(name))
    expect(gate.variable('POSTERN_URL')).toBe(gate.url)
  })

  test('Ctrl-C ends it with 0 and says where the data is, which is there the next time', async () => {
    gate.signal('SIGINT')
    expect(await gate.exited).toEqual(succeeded)
    expect(gate.stdout()).toContain('The data is in ./.postern')
    expect(gate.stdout()).not.toContain('warning')

    rmSync(place.path('.env.local'))
    gate = await startGateProcess(place)
    const key = /^POSTERN_SK_LIVE=(.*)$/m.exec(firstKeys)?.[1] ?? ''
    expect((await gate.call(`${list}/${written}`, { key, tenant })).status).toBe(200)
  })

  test('keys that .env.local has lost are named, and no others are made in their place', () => {
    for (const name of names.slice(1)) {
      expect(gate.stdout()).toMatch(new RegExp(`lost keys .*${name}`))
      expect(gate.variable(name)).toBe('')
    }
    expect(gate.stdout()).not.toMatch(/wrote|curl/)
  })

  test('a pepper that is gone is not made anew while there is data', async () => {
    await gate.stop()
    rmSync(place.path('.postern/pepper'))
    const refused = await runGate(place)
    expect([refused.code, refused.stderr]).toEqual([
      1,
      expect.stringMatching(/^postern: .*holds data, but .*pepper is gone/),
    ])
    expect(existsSync(place.path('.postern/pepper'))).toBe(false)
  })

  test('nothing was said on standard error but lines of JSON: no warning of Node', () => {
    for (const line of logLines(gate.stderr())) expect(line).toHaveProperty('level')
    expect(gate.output()).not.toMatch(/Warning|deprecat/i)
  })
})

describe('on PostgreSQL', () => {
  let database: TestDatabase
  let place: Place
  const pepper = Buffer.alloc(32, 1).toString('base64')
  const secrets = { POSTERN_PEPPER: pepper, POSTERN_MASTER_KEY: pepper }
  beforeAll(async () => {
    database = await createDatabase()
    place = makePlace()
  })
  afterAll(async () => {
    await database?.drop()
    place?.remove()
  })

  const ofRoles = () => ({
    POSTERN_TENANT_DATABASE_URL: database.tenantUrl,
    POSTERN_GATEWAY_DATABASE_URL: database.gatewayUrl,
  })

  test('HOST opens other addresses, the URL stays one to call, and every start has keys of its own', async () => {
    const gates = [place, makePlace()]
    const other = await createDatabase({ migrate: false })
    const [first, second] = await Promise.all([
      startGateProcess(gates[0]!, { ...secrets, ...ofRoles(), HOST: '0.0.0.0' }),
      startGateProcess(gates[1]!, { ...secrets, DATABASE_URL: other.ownerUrl }),
    ])
    try {
      for (const address of otherAddresses()) {
        expect(await isListening(first.port, address), address).toBe(true)
      }
      expect(first.url).toBe(`http://127.0.0.1:${first.port}`)
      for (const name of names.slice(1)) {
        expect(first.variable(name)).not.toBe('')
        expect(first.variable(name)).not.toBe(second.variable(name))
      }
      const taken = await runGate(gates[1]!, { ...secrets, ...ofRoles(), PORT: `${second.port}` })
      expect(taken).toMatchObject({ code: 1, stdout: '' })
      expect(taken.stderr).toMatch(
        new RegExp(`^postern: port ${second.port} of 127.0.0.1 is taken: [^\\n]+\\n$`, 'm'),
      )
    } finally {
      expect(await first.stop()).toEqual(succeeded)
      expect(await second.stop()).toEqual(succeeded)
      gates[1]!.remove()
      await other.drop()
    }
  })

  /** Every one is a sentence on standard error, and exit code 1. */
  async function expectRefusal(env: Record<string, string>, says: RegExp, where = place) {
    const { code, stdout, stderr } = await runGate(where, env)
    expect([code, stdout]).toEqual([1, ''])
    const said = stderr.split('\n').filter((line) => !line.startsWith('{'))
    expect(said.join('\n')).toMatch(says)
    expect(said[0]).toMatch(/^postern: /)
    expect(stderr).not.toMatch(/^ +at |Error:|node:internal/m)
    for (const secret of [pepper, `:${new URL(database.tenantUrl).password}@`]) {
      expect(stderr).not.toContain(secret)
    }
  }

  const without = (name: string) => ({ ...secrets, ...ofRoles(), [name]: '' })
  const refusals: readonly [string, () => Record<string, string>, RegExp][] = [
    ['no pepper', () => without('POSTERN_PEPPER'), /POSTERN_PEPPER is not set/],
    ['no master key', () => without('POSTERN_MASTER_KEY'), /POSTERN_MASTER_KEY is not set/],
    [
      'a pepper of 31 bytes',
      () => ({ ...without(''), POSTERN_PEPPER: Buffer.alloc(31).toString('base64') }),
      /POSTERN_PEPPER has 31 bytes; it takes exactly 32/,
    ],
    [
      'a file of a pepper that is not there',
      () => ({ ...without('POSTERN_PEPPER'), POSTERN_PEPPER_FILE: 'nowhere' }),
      /POSTERN_PEPPER_FILE: .*nowhere/,
    ],
    [
      'the URL of one role without the other',
      () => without('POSTERN_GATEWAY_DATABASE_URL'),
      /POSTERN_GATEWAY_DATABASE_URL.* is required beside POSTERN_TENANT_DATABASE_URL/,
    ],
    [
      'D1: a superuser as the tenant role',
      () => ({ ...without(''), POSTERN_TENANT_DATABASE_URL: database.ownerUrl }),
      /must not be served:\n +- The role postgres is a superuser/,
    ],
    [
      'D1: the tenant role as the gateway role',
      () => ({ ...without(''), POSTERN_GATEWAY_DATABASE_URL: database.tenantUrl }),
      /must not be served:\n +- The role tenant_\w+ is a member of postern_tenant/,
    ],
    [
      'a database that does not answer',
      () => ({
        ...without(''),
        POSTERN_TENANT_DATABASE_URL: 'postgres://tenant:hidden@127.0.0.1:9/x',
      }),
      /PostgreSQL at 127\.0\.0\.1:9\/x cannot be opened: .*ECONNREFUSED/,
    ],
  ]
  test('one URL needs no pepper of its own, and a folder without that pepper is refused', async () => {
    const other = await createDatabase({ migrate: false })
    const [first, second] = [makePlace(), makePlace()]
    try {
      const gate = await startGateProcess(first, { DATABASE_URL: other.ownerUrl })
      await gate.stop()
      for (const attempt of ['the first', 'and the next one, which must not find it made']) {
        const refused = await runGate(second, { DATABASE_URL: other.ownerUrl })
        expect(refused.code, attempt).toBe(1)
        expect(refused.stderr, attempt).toMatch(
          /has API keys of acme, and the pepper .* POSTERN_PEPPER/,
        )
      }
    } finally {
      await other.drop()
      first.remove()
      second.remove()
    }
  })

  test.each(refusals)('%s is refused with a sentence', (_, env, says) => expectRefusal(env(), says))

  test('D2: a table without forced row-level security is refused by name', async () => {
    const alter = (how: string) =>
      withClient(database.ownerUrl, (client) =>
        client.query(`alter table public.subscriptions ${how} row level security`),
      )
    await alter('no force')
    await expectRefusal(without(''), /The table subscriptions does not FORCE row-level security/)
    await alter('force')
  })
})

describe('a config that cannot be served', () => {
  test('a missing one is named', async () => {
    const place = makePlace(null)
    const refused = await runGate(place, {}, ['other.yaml'])
    expect(refused).toMatchObject({ code: 1, stdout: '' })
    expect(refused.stderr).toMatch(/^postern: there is no other\.yaml here[^\n]*\n$/)
    place.remove()
  })

  test('every error of a bad one is told with its line, and nothing is made', async () => {
    const place = makePlace(null)
    place.write(
      'postern.yaml',
      [
        'version: 1',
        'platforms:',
        '  - id: acme',
        '    slug: acme',
        '    permisions: { data: [read] }',
        '    routes:',
        '      - { path: /v1/**, handler: subscription }',
      ].join('\n'),
    )
    const refused = await runGate(place)
    expect(refused.code).toBe(1)
    for (const line of [3, 5, 7]) expect(refused.stderr).toContain(`postern.yaml:${line}:`)
    expect(refused.stderr).toContain('"permissions"')
    expect(refused.stderr).toContain('"subscriptions"')
    expect(refused.stderr).not.toMatch(/^ +at /m)
    expect(existsSync(place.path('.postern'))).toBe(false)
    expect(existsSync(place.path('.env.local'))).toBe(false)
    place.remove()
  })
})
