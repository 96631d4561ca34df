/**
 * X7: nothing leaks. A gate as it is deployed, on PostgreSQL and Redis, is given secrets and keys that
 * stand nowhere else in the world; it is used and misused; and then everything that it left, said or
 * shows is searched for each of them, in all the forms that such a thing takes.
 */
import { randomBytes } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { Redis } from 'ioredis'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createDatabase, type TestDatabase, withClient } from '../database.ts'
import {
  type Answer,
  type GateProcess,
  makePlace,
  type Place,
  type Sent,
  startGateProcess,
  succeeded,
} from '../gate-process.ts'
import { run, start } from '../process.ts'
import { findServers, type Server, startRedis } from '../servers.ts'
import { type HttpUpstream, startHttpUpstream } from '../upstream.ts'

const tenant = 'tenant_abc123'

const config = (url: string) => `
version: 1
platforms:
  - id: plt_canary
    slug: canary
    permissions: { data: [read, write], admin: [keys] }
    upstreams:
      - { name: up, url: ${JSON.stringify(url)}, allow: [127.0.0.0/8], retries: 0 }
      - { name: gone, url: "http://127.0.0.1:1", allow: [127.0.0.0/8], retries: 0 }
    routes:
      - { path: /s/**, handler: sessions, body: { json: true } }
      - { path: "/s/:sid/secrets/**", handler: secrets, body: { json: true } }
      - { path: /subs/**, handler: subscriptions }
      - path: /up/**
        upstream: up
        rewrite: /**
        secrets: { headers: { authorization: "Bearer {{secret.API_KEY}}" } }
      - { path: /gone/**, upstream: gone, secrets: { headers: { x-key: "{{secret.API_KEY}}" } } }
    seed: [{ id: ${tenant} }]
keys: { failures: { count: 1000, window: 10s } }
log: { level: debug }
`

/** What is left of a value in base64 whatever stands around it: three places, two alphabets. */
function base64Of(bytes: Buffer): string[] {
  return [0, 1, 2].flatMap((before) => {
    const text = Buffer.concat([Buffer.alloc(before), bytes]).toString('base64')
    const from = Math.ceil((before * 4) / 3)
    const core = text.slice(from, Math.floor(((before + bytes.length) * 4) / 3))
    return [core, core.replaceAll('+', '-').replaceAll('/', '_')]
  })
}

/** Every form that is searched for. */
function formsOf(canary: string | Buffer): string[] {
  const bytes = Buffer.from(canary)
  const hex = bytes.toString('hex')
  const forms = [...base64Of(bytes), hex, hex.toUpperCase()]
  if (typeof canary !== 'string') return forms
  const escaped = encodeURIComponent(canary)
  const json = JSON.stringify(canary).slice(1, -1)
  return [...forms, canary, json, escaped, escaped.replace(/%../g, (code) => code.toLowerCase())]
}

/** Where which canary was found, in which form: `log: API_KEY as c2st…`. */
function hits(
  places: Readonly<Record<string, string>>,
  canaries: ReadonlyMap<string, string | Buffer>,
): string[] {
  const found: string[] = []
  for (const [name, canary] of canaries) {
    for (const form of new Set(formsOf(canary))) {
      for (const [place, text] of Object.entries(places)) {
        const at = text.indexOf(form)
        if (at >= 0) found.push(`${place}: ${name} in ${text.slice(Math.max(0, at - 80), at + 20)}`)
      }
    }
  }
  return found
}

/** The command lines of all processes, as anybody on the machine may read them. */
function commandLines(): string {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'latin1')
      } catch {
        // It has ended meanwhile.
        return ''
      }
    })
    .join('\n')
}

/** Every row of every table, and the dump of an operator where there is the program for it. */
async function databaseText(url: string): Promise<{ rows: string; dump?: string }> {
  const rows = await withClient(url, async (client) => {
    const tables = await client.query<{ name: string }>(
      `select quote_ident(schemaname) || '.' || quote_ident(tablename) as name from pg_tables
       where schemaname not in ('pg_catalog', 'information_schema')`,
    )
    const all: string[] = []
    for (const { name } of tables.rows) {
      const found = await client.query(`select to_jsonb(t)::text as row from ${name} t`)
      all.push(name, ...found.rows.map(({ row }) => String(row)))
    }
    return all.join('\n')
  })
  const program = join(findServers().postgresBin ?? '/usr/bin', 'pg_dump')
  if (!existsSync(program)) return { rows }
  const dumped = await run(program, ['--dbname', url])
  if (dumped.code !== 0) throw new Error(dumped.stderr)
  return { rows, dump: dumped.stdout }
}

/** All keys, and what they hold. */
async function redisText(url: string): Promise<string> {
  const redis = new Redis(url)
  const all: string[] = []
  for await (const keys of redis.scanStream()) {
    for (const key of keys as string[]) {
      const kind = await redis.type(key)
      const value =
        kind === 'string'
          ? await redis.getBuffer(key)
          : kind === 'hash'
            ? JSON.stringify(await redis.hgetall(key))
            : kind === 'zset'
              ? JSON.stringify(await redis.zrange(key, '0', '-1'))
              : kind === 'set'
                ? JSON.stringify(await redis.smembers(key))
                : ''
      all.push(key, String(value), (await redis.dumpBuffer(key))?.toString('latin1') ?? '')
    }
  }
  await redis.quit()
  return all.join('\n')
}

const unique = (): string => randomBytes(18).toString('base64url')

describe('the search', () => {
  const canary = `k/${unique()}+"?`
  const known = new Map([['CANARY', canary]])
  test.each([
    ['as it is', `a ${canary} b`],
    ['in JSON', JSON.stringify({ a: canary })],
    ['URL-encoded', `?a=${encodeURIComponent(canary)}`],
    ['in hex', Buffer.from(`12${canary}3`).toString('hex')],
    ...[0, 1, 2].map((before) => [
      `in base64 behind ${before} bytes`,
      Buffer.from(`${'-'.repeat(before)}${canary}--`).toString('base64'),
    ]),
  ])('finds what was planted %s', (_, text = '') => {
    expect(hits({ text }, known)).not.toEqual([])
    expect(hits({ text }, new Map([['OTHER', unique()]]))).toEqual([])
  })
})

describe('X7: a gate that was used and misused', () => {
  const canaries = new Map<string, string | Buffer>()
  const secretOf = (name: string): string => {
    const value = `sk-${name.toLowerCase()}-${unique()}/+"x`
    canaries.set(name, value)
    return value
  }
  /** A key shows its prefix, its ref and its last four: the secret is what stands between. */
  const note = (name: string, key: string): string => {
    canaries.set(name, key.slice(key.lastIndexOf('_') + 1))
    return key
  }
  const keys = new Map<string, string>()
  const keyOf = (name: string): string => {
    const key = keys.get(name)
    if (!key) throw new Error(`there is no key ${name}`)
    return key
  }
  /** All that callers were answered, but for keys that were just made for them. */
  const answers: string[] = []
  const statuses: number[] = []
  let redis: Server
  let database: TestDatabase
  let upstream: HttpUpstream
  let place: Place
  let gate: GateProcess
  let firstLog = ''
  let answer: Parameters<typeof startHttpUpstream>[0] = (_, response) => void response.end()
  let before: { readonly stored: string; readonly lines: string }

  async function ask(path: string, sent: Sent = {}): Promise<Answer> {
    const key = sent.key ?? keyOf('SK_LIVE')
    const told = await gate.call(path, { tenant, ...sent, key })
    answers.push(told.text, JSON.stringify([...told.headers]))
    statuses.push(told.status)
    return told
  }

  beforeAll(async () => {
    redis = await startRedis()
    database = await createDatabase({ migrate: false })
    upstream = await startHttpUpstream((request, response) => answer(request, response))
    place = makePlace(config(upstream.url))
    const roots = { POSTERN_MASTER_KEY: randomBytes(32), POSTERN_PEPPER: randomBytes(32) }
    const env: Record<string, string> = { DATABASE_URL: database.ownerUrl, REDIS_URL: redis.url }
    for (const [name, bytes] of Object.entries(roots)) {
      canaries.set(name, bytes)
      env[name] = bytes.toString('base64')
    }
    // The first start makes keys, and shows one of the test environment to whoever sits there. A
    // deployment has taken them away from where it made them.
    const first = await startGateProcess(place, env)
    for (const name of ['SK_DEV', 'PK_DEV', 'SK_LIVE', 'PK_LIVE', 'ADMIN_KEY', 'OPERATOR_KEY']) {
      keys.set(name, note(name, first.variable(`POSTERN_${name}`)))
    }
    await first.stop()
    firstLog = first.stderr()
    rmSync(place.path('.env.local'))
    gate = await startGateProcess(place, env)
    await useSecrets()
    await useUpstreams()
    await useKeys()
    before = { stored: await redisText(redis.url), lines: commandLines() }
    expect(await gate.stop()).toEqual(succeeded)
  })
  afterAll(async () => {
    await gate?.stop()
    await upstream?.stop()
    await redis?.stop()
    await database?.drop()
    place?.remove()
  })

  let session = ''
  let value = ''

  async function useSecrets(): Promise<void> {
    session = (await ask('/s', { method: 'POST', body: { userId: 'u' } })).json.id
    const secrets = `/s/${session}/secrets`
    const post = (body: unknown) => ask(secrets, { method: 'POST', body })
    value = secretOf('API_KEY')
    await post({ API_KEY: value, OTHER: secretOf('OTHER') })
    await post({ OTHER: secretOf('OVERWRITTEN'), GONE: secretOf('GONE') })
    await ask(secrets)
    await ask(`${secrets}/GONE`, { method: 'DELETE' })
    // Names and values swapped, values of other kinds, values beside what is wrong.
    await post({ [secretOf('SWAPPED')]: 'API_KEY' })
    await post({ NESTED: { value: secretOf('NESTED') }, LIST: [secretOf('LISTED')] })
    await post({ PATH: secretOf('RESERVED'), 'a b': secretOf('BESIDE') })
    await post({ LONG: secretOf('LONG').repeat(1000) })
    await post([secretOf('IN_A_LIST')])
    await ask('/s/ses_none/secrets', { method: 'POST', body: { A: secretOf('NOWHERE') } })
    const broken = `{"A": "${secretOf('BROKEN')}`
    const headers = { 'x-tn': tenant, 'x-api-key': keyOf('SK_LIVE') }
    for (const type of ['application/json', 'text/plain']) {
      const told = await fetch(gate.url + secrets, {
        method: 'POST',
        headers: { ...headers, 'content-type': type },
        body: broken,
      })
      statuses.push(told.status)
      answers.push(await told.text())
    }
    const ended = (await ask('/s', { method: 'POST', body: { userId: 'u' } })).json.id
    await ask(`/s/${ended}/secrets`, { method: 'POST', body: { A: secretOf('ENDED') } })
    await ask(`/s/${ended}`, { method: 'DELETE' })
  }

  async function useUpstreams(): Promise<void> {
    const headers = { 'postern-session': session }
    const bodies = [
      value,
      JSON.stringify({ error: `no such key: ${value}` }),
      encodeURIComponent(value),
      ...[0, 1, 2].map((n) => Buffer.from(`${'-'.repeat(n)}${value}--`).toString('base64')),
    ]
    for (const body of bodies) {
      for (const status of [200, 500]) {
        answer = (_, response) => {
          response.writeHead(status, { 'x-said': body.replaceAll('"', '') && body })
          response.write(body.slice(0, 10))
          setImmediate(() => response.end(body.slice(10)))
        }
        await ask('/up/x', { headers })
      }
    }
    answer = (_, response) => {
      response.writeHead(200, { 'content-encoding': 'gzip' }).end(gzipSync(value))
    }
    await ask('/up/x', { headers })
    answer = (_, response) => void response.writeHead(302, { location: `/?k=${value}` }).end()
    await ask('/up/x', { headers: { ...headers, 'x-own': '1' } }).catch(() => undefined)
    answer = ({ socket }) => void socket.end(`HTTP/1.1 200 OK\r\n${value}\r\n\r\n`)
    await ask('/up/x', { headers })
    await ask('/gone/x', { headers })
    await ask('/up/x')
    await ask('/up/x', { headers: { 'postern-session': secretOf('AS_SESSION') } })
  }

  async function useKeys(): Promise<void> {
    const good = keyOf('SK_LIVE')
    await ask('/subs')
    const typo = good.slice(0, -1) + (good.endsWith('a') ? 'b' : 'a')
    await ask('/subs', { key: note('TYPO', typo) })
    await ask('/subs', { key: `sk_live_${unique()}` })
    await ask(`/subs?api_key=${good}&key=${good}`, { key: '' })
    await ask('/subs', { tenant: good })
    await ask('/subs', { headers: { authorization: `Bearer ${keyOf('SK_DEV')}` } })
    await ask('/subs', { headers: { 'postern-identity': good, 'x-request-id': good } })
    const admin = keyOf('ADMIN_KEY')
    const headers = { 'idempotency-key': unique() }
    const body = { name: 'made', environment: 'live' }
    const make = () => gate.call('/v1/api-keys', { method: 'POST', key: admin, body, headers })
    const made = await make()
    expect(made.status).toBe(201)
    const key = note('MADE', String(made.text.match(/"(sk_live_\w{40,})"/)?.[1]))
    expect((await make()).text).toContain(key)
    await ask('/subs', { key })
    await ask('/v1/api-keys', { key: admin })
    const { id } = made.json.data
    await ask(`/v1/api-keys/${id}/revoke`, { method: 'POST', key: admin, body: {} })
    await ask('/subs', { key })
    await ask('/v1/audit-events', { key: admin })
    await ask(`/v1/api-keys/${id}/usage`, { key: admin })
  }

  test('was answered, and refused, in many ways', () => {
    expect([...new Set(statuses)].sort()).toEqual(
      expect.arrayContaining([200, 201, 204, 400, 401, 403, 404, 500, 502]),
    )
    expect(
      upstream.seen.filter(({ headers }) => headers.authorization === `Bearer ${value}`),
    ).not.toEqual([])
  })

  test('has left none of them in its log, its answers, Redis, the database or the process list', async () => {
    const places = {
      ...{ stdout: gate.stdout(), stderr: gate.stderr(), answers: answers.join('\n') },
      ...{ log: firstLog, redis: before.stored, processes: before.lines },
      ...(await databaseText(database.ownerUrl)),
    }
    // Nothing is found where nothing was looked at.
    for (const [name, text] of Object.entries(places))
      expect([name, text.length > 100]).toEqual([name, true])
    expect(places.rows).toContain('api_key')
    expect(places.rows).toContain(session)
    expect(hits(places, canaries)).toEqual([])
  })

  test('planted in each of these places, one is found', async () => {
    const planted = unique()
    const known = new Map([['PLANTED', planted]])
    await withClient(database.ownerUrl, async (client) => {
      await client.query(`create table planted (b bytea)`)
      await client.query(`insert into planted values ($1)`, [Buffer.from(`-${planted}`)])
    })
    const client = new Redis(redis.url)
    await client.hset('planted', { field: Buffer.from(planted).toString('base64') })
    await client.quit()
    const shown = await start(process.execPath, ['-e', 'setInterval(() => {}, 1e6)', planted])
    const places = {
      redis: await redisText(redis.url),
      processes: commandLines(),
      ...(await databaseText(database.ownerUrl)),
    }
    await shown.stop('SIGKILL')
    for (const [name, text] of Object.entries(places)) {
      expect([name, hits({ [name]: text }, known).length > 0]).toEqual([name, true])
    }
  })
})
