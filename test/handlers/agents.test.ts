/** Agents over HTTP and the SDK, in the sandbox of the machine that runs the tests. */
import { randomUUID } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { Postern } from '../../sdk/typescript/src/postern.ts'
import { createDatabase, type TestDatabase, withClient } from '../database.ts'
import { startGate, type TestGate } from '../gate.ts'
import { call as callGate } from '../gate-process.ts'

const config = `
version: 1
platforms:
  - id: plt_theazo
    slug: theazo
    scheme: theazo
    permissions: { sessions: [read, write], secrets: [read, write], agents: [read, write] }
    environments: { live: { limits: { key: [], tenant: [] } } }
    routes:
      - { path: /v1/sessions/**, methods: [GET], handler: sessions, permission: "sessions:read" }
      - { path: /v1/sessions/**, methods: [POST, DELETE], handler: sessions, permission: "sessions:write", body: { json: true } }
      - { path: "/v1/sessions/:sid/secrets/**", handler: secrets, permission: "secrets:write", body: { json: true } }
      - { path: "/v1/sessions/:sid/agents/**", methods: [GET], handler: agents, permission: "agents:read" }
      - { path: "/v1/sessions/:sid/agents/**", methods: [POST, DELETE], handler: agents, permission: "agents:write", body: { json: true } }
      - { path: /bare/agents/**, handler: agents }
    seed: [{ id: user_123 }, { id: user_456 }]
`

let database: TestDatabase
let gate: TestGate
const keys = { live: '', test: '', other: '', reader: '' }
beforeAll(async () => {
  database = await createDatabase({ migrate: false })
  gate = await startGate({ DATABASE_URL: database.ownerUrl }, config)
  const mint = (tenant: string, environment: 'test' | 'live', permissions?: string[]) =>
    gate.mint({
      ...{ prefix: `th_${environment}_`, environment, tenants: [tenant] },
      ...(permissions === undefined ? {} : { permissions }),
    })
  keys.live = await mint('user_123', 'live')
  keys.test = await mint('user_123', 'test')
  keys.other = await mint('user_456', 'live')
  keys.reader = await mint('user_123', 'live', ['sessions:read', 'agents:read'])
})
afterAll(async () => {
  await gate?.stop()
  await database?.drop()
})

const call = (method: string, path: string, body?: unknown, key = keys.live) =>
  callGate(gate.url + path, { method, body, headers: { authorization: `Bearer ${key}` } })

const open = async (secrets: Record<string, string> = {}, key = keys.live): Promise<string> => {
  const { json } = await call('POST', '/v1/sessions', { userId: 'user_9' }, key)
  const path = `/v1/sessions/${json.id}`
  if (Object.keys(secrets).length > 0) await call('POST', `${path}/secrets`, secrets, key)
  return path
}
const create = async (session: string, body: object, key = keys.live) =>
  call('POST', `${session}/agents`, body, key)

/** Waits for an agent's end, or for what it is to print. */
async function watch(session: string, id: string, printed?: RegExp) {
  return vi.waitUntil(
    async () => {
      const { json } = await call('GET', `${session}/agents/${id}`)
      return json.status !== 'running' || printed?.test(json.output) === true ? json : null
    },
    { timeout: 20_000, interval: 50 },
  )
}
async function runToEnd(session: string, body: object) {
  const made = await create(session, body)
  expect(made.status).toBe(201)
  return watch(session, made.json.id)
}

/** Who of this machine's processes has such an argument, or such a variable. */
function holdersOf(text: string): string[] {
  return readdirSync('/proc').flatMap((pid) => {
    if (!/^\d+$/.test(pid)) return []
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes(text) ? [pid] : []
    } catch {
      return [] // it has ended meanwhile
    }
  })
}

describe('what is refused', () => {
  test.each<[string, object, string]>([
    ['nothing', {}, 'body.compute'],
    ['another language', { compute: 'ruby' }, 'body.compute'],
    ['code that is no text', { compute: 'shell', code: 1 }, 'body.code'],
    ['too much code', { compute: 'shell', code: '#'.repeat(131_073) }, 'body.code'],
    ['a command in Python', { compute: 'python', command: 'ls' }, 'body.command'],
    ['both', { compute: 'shell', code: 'ls', command: 'ls' }, 'body.command'],
    ['no time', { compute: 'shell', timeout: 0 }, 'body.timeout'],
    ['too much time', { compute: 'shell', timeout: 601 }, 'body.timeout'],
    ['half a second', { compute: 'shell', timeout: 0.5 }, 'body.timeout'],
    ['variables of their own', { compute: 'shell', env: { LD_PRELOAD: 'x' } }, 'body'],
    ['a network', { compute: 'shell', network: true }, 'body'],
    ['secrets that are no list', { compute: 'shell', secrets: 'A' }, 'body.secrets'],
    ['too many', { compute: 'shell', secrets: Array(101).fill('A') }, 'body.secrets'],
  ])('%s', async (_, body, location) => {
    const { status, json } = await create(await open(), body)
    expect([status, json.code, json.errors[0].location]).toEqual([400, 'request/invalid', location])
  })

  test('X7: a value in place of a name is not repeated', async () => {
    const { status, text } = await create(await open(), {
      compute: 'shell',
      secrets: ['sk-canary'],
    })
    expect(status).toBe(400)
    expect(text).not.toContain('canary')
  })

  test('a name that the session does not have, by its name, and nothing is kept', async () => {
    const session = await open({ HERE: 'x' })
    const body = { compute: 'shell', secrets: ['HERE', 'MISSING'] }
    const { status, json } = await create(session, body)
    expect([status, json.code]).toEqual([404, 'secret/not_found'])
    expect(json.detail).toContain('MISSING')
    expect((await call('GET', `${session}/agents`)).json).toEqual({ agents: [], total: 0 })
  })

  test('a session that is not there, or has ended', async () => {
    const ended = await open({ A: 'x' })
    expect((await call('DELETE', ended)).status).toBe(204)
    for (const session of ['/v1/sessions/ses_none', ended]) {
      for (const secrets of [[], ['A']]) {
        const { status, json } = await create(session, { compute: 'shell', secrets })
        const code = session === ended && secrets.length > 0 ? 'secret/not_found' : json.code
        expect([status, json.code]).toEqual([404, code])
      }
    }
    const unknown = await create('/v1/sessions/ses_none', { compute: 'shell', secrets: ['A'] })
    expect(unknown.json.code).toBe('resource/not_found')
    expect((await call('GET', '/v1/sessions/ses_none/agents')).status).toBe(404)
  })

  test('a key without the permission', async () => {
    const session = await open()
    const { status, json } = await create(session, { compute: 'shell' }, keys.reader)
    expect([status, json.code]).toEqual([403, 'auth/insufficient_permission'])
    expect((await call('GET', `${session}/agents`, undefined, keys.reader)).status).toBe(200)
  })

  test('a route that names no session says whose mistake it is', async () => {
    expect((await call('GET', '/bare/agents')).json.code).toBe('gateway/misconfigured')
  })

  test('a fifth of one session at once: 429; when one has ended there is room again', async () => {
    const session = await open()
    const sleeping = { compute: 'shell', code: 'sleep 60' }
    const all = await Promise.all(Array.from({ length: 6 }, () => create(session, sleeping)))
    const made = all.filter(({ status }) => status === 201)
    const refused = all.filter(({ status }) => status !== 201)
    expect(made).toHaveLength(4)
    for (const { status, json, headers } of refused) {
      expect([status, json.code, headers.get('retry-after')]).toEqual([429, 'quota/exceeded', '5'])
    }
    const [first] = made
    const at = `${session}/agents/${first!.json.id}`
    expect((await call('DELETE', at)).json.code).toBe('resource/conflict')
    const stopped = await call('POST', `${at}/stop`)
    expect([stopped.status, stopped.json]).toMatchObject([
      200,
      { status: 'stopped', exitCode: null },
    ])
    expect((await call('POST', `${at}/stop`)).json).toEqual(stopped.json)
    expect((await call('DELETE', at)).status).toBe(204)
    expect((await call('GET', at)).status).toBe(404)
    expect((await create(session, { compute: 'shell', code: 'sleep 60' })).status).toBe(201)
    expect((await call('DELETE', session)).status).toBe(204)
  })
})

describe('an agent', () => {
  test.each([
    ['python', 'import os; print(len(os.environ["KEY"]), "OTHER" in os.environ)', '9 False\n'],
    ['node', 'console.log(process.env.KEY.length, "OTHER" in process.env)', '9 false\n'],
    ['shell', 'echo $' + '{#KEY} $' + '{OTHER-none}', '9 none\n'],
  ])('in %s has what it declared and nothing else', async (compute, code, output) => {
    const session = await open({ KEY: 'a-value-9', OTHER: 'other-value' })
    const made = await create(session, { compute, code, secrets: ['KEY', 'KEY'] })
    expect(made.json).toMatchObject({
      ...{ id: expect.stringMatching(/^agt_[0-9a-f]{32}$/), compute, secrets: ['KEY'] },
      ...{ sessionId: session.split('/').at(-1), truncated: false },
      createdAt: expect.stringMatching(/^\d{4}-.*Z$/),
    })
    const ended = await watch(session, made.json.id)
    expect(ended).toMatchObject({ status: 'exited', exitCode: 0, output })
    expect(ended.endedAt).toMatch(/Z$/)
    const { output: _, truncated: __, ...listed } = ended
    expect((await call('GET', `${session}/agents`)).json).toEqual({ agents: [listed], total: 1 })
  })

  test('exit codes, time, NUL, a command, and a program that is none', async () => {
    const session = await open()
    expect(await runToEnd(session, { compute: 'shell', command: 'exit 7' })).toMatchObject({
      ...{ status: 'exited', exitCode: 7 },
    })
    expect(
      await runToEnd(session, { compute: 'shell', code: 'sleep 60', timeout: 1 }),
    ).toMatchObject({ status: 'timeout', exitCode: null })
    const nul = await runToEnd(session, { compute: 'python', code: 'print("a\\0b")' })
    expect(nul).toMatchObject({ status: 'exited', output: 'a\uFFFDb\n' })
    expect(await runToEnd(session, { compute: 'python' })).toMatchObject({
      exitCode: 0,
      output: '',
    })
  })

  test('that runs keeps its value; a new one gets the new one; after a delete there is none', async () => {
    const session = await open({ KEY: 'old-value' })
    // The length tells them apart: a value itself is covered.
    const say = 'echo $' + '{#KEY}'
    const code = `${say}; while [ ! -e "$HOME/never" ]; do sleep 0.2; ${say}; done`
    const running = await create(session, { compute: 'shell', code, secrets: ['KEY'] })
    await watch(session, running.json.id, /^9\n/)
    await call('POST', `${session}/secrets`, { KEY: 'the-new-value' })
    const next = { compute: 'shell', code: say, secrets: ['KEY'] }
    expect((await runToEnd(session, next)).output).toBe('13\n')
    expect((await call('DELETE', `${session}/secrets/KEY`)).status).toBe(204)
    expect((await create(session, next)).json.code).toBe('secret/not_found')
    const { output: before } = await watch(session, running.json.id, /./)
    const lines = before.split('\n').length
    const later = await watch(session, running.json.id, new RegExp(`^(9\n){${lines + 1}}`))
    expect(later.status).toBe('running')
    expect(new Set(later.output.trim().split('\n'))).toEqual(new Set(['9']))
    expect((await call('POST', `${session}/agents/${running.json.id}/stop`)).json.status).toBe(
      'stopped',
    )
  })

  test('ends with its session, and no process of it is left', async () => {
    const session = await open()
    const mark = `${600 + Math.random()}`
    const body = { compute: 'shell', code: `echo up; sleep ${mark} & sleep ${mark}` }
    const { json } = await create(session, body)
    await watch(session, json.id, /up/)
    expect(holdersOf(mark).length).toBeGreaterThan(0)
    expect((await call('DELETE', session)).status).toBe(204)
    expect((await watch(session, json.id)).status).toBe('stopped')
    expect(holdersOf(mark)).toEqual([])
  })

  test('whose gateway was cut off is lost, and is ended by it', async () => {
    const session = await open()
    const mark = `${600 + Math.random()}`
    const { json } = await create(session, { compute: 'shell', code: `echo up; sleep ${mark}` })
    await watch(session, json.id, /up/)
    await withClient(database.ownerUrl, (db) =>
      db.query(`update agents set heartbeat_at = now() - interval '31 seconds' where id = $1`, [
        json.id,
      ]),
    )
    const lost = await watch(session, json.id)
    expect(lost).toMatchObject({ status: 'lost', exitCode: null, endedAt: expect.any(String) })
    await expect.poll(() => holdersOf(mark), { timeout: 10_000 }).toEqual([])
    expect(await watch(session, json.id)).toMatchObject({ status: 'lost', endedAt: lost.endedAt })
  })

  test('G4: of another tenant, environment or session looks like none', async () => {
    const session = await open()
    const own = await runToEnd(session, { compute: 'shell' })
    const second = await open()
    for (const [at, key] of [
      [session, keys.other],
      [session, keys.test],
      [second, keys.live],
    ] as const) {
      for (const [method, id] of [
        ['GET', own.id],
        ['DELETE', own.id],
        ['POST', `${own.id}/stop`],
      ] as const) {
        const { status, json } = await call(method, `${at}/agents/${id}`, undefined, key)
        expect([status, json.code]).toEqual([404, 'resource/not_found'])
      }
    }
    for (const key of [keys.other, keys.test]) {
      expect((await call('GET', `${session}/agents`, undefined, key)).status).toBe(404)
      expect((await create(session, { compute: 'shell' }, key)).status).toBe(404)
    }
    expect((await call('GET', `${session}/agents/${own.id}`)).json.id).toBe(own.id)
  })
})

test('a test key starts no process, and is told so', async () => {
  const session = await open({ KEY: 'x' }, keys.test)
  const mark = `${600 + Math.random()}`
  const body = { compute: 'shell', code: `sleep ${mark}`, secrets: ['KEY'] }
  const { status, json } = await create(session, body, keys.test)
  expect(status).toBe(201)
  expect(json).toMatchObject({ status: 'exited', exitCode: 0, secrets: ['KEY'] })
  expect(json.output).toContain('test agent')
  expect(holdersOf(mark)).toEqual([])
  const missing = await create(session, { ...body, secrets: ['NONE'] }, keys.test)
  expect(missing.json.code).toBe('secret/not_found')
  const at = `${session}/agents/${json.id}`
  expect((await call('POST', `${at}/stop`, undefined, keys.test)).json).toEqual(json)
})

test("the source's own snippet, and what the SDK says of an agent's end", async () => {
  const session = await new Postern({ apiKey: keys.live, baseUrl: gate.url }).sessions.forUser('u')
  await session.secrets.set({
    OPENAI_API_KEY: 'sk-...',
    STRIPE_SECRET: 'sk_live_...',
    DATABASE_URL: 'postgres://user:pass@host:5432/db',
  })
  const agent = await session.agents.create({
    compute: 'python',
    secrets: ['OPENAI_API_KEY', 'STRIPE_SECRET', 'DATABASE_URL'],
  })
  expect(await agent.wait()).toMatchObject({ status: 'exited', exitCode: 0 })
  const long = await session.agents.create({ compute: 'shell', code: 'sleep 60', timeout: 90 })
  expect(await long.wait({ signal: AbortSignal.timeout(300) }).catch((e) => e.name)).toBe(
    'TimeoutError',
  )
  expect((await long.stop()).status).toBe('stopped')
  const { agents, total } = await session.agents.list({ limit: 1 })
  expect([agents[0]?.id, total]).toEqual([long.id, 2])
  await session.agents.delete(agent.id)
  await expect(session.agents.get(agent.id)).rejects.toMatchObject({ status: 404 })
})

test('X7: a value is in no argument, no answer, no log and no row', async () => {
  const canary = `canary-${randomUUID()}`
  const session = await open({ KEY: canary })
  const code = 'echo "$KEY"; printf %s "$KEY" | base64; echo up; sleep 60'
  const { json, text } = await create(session, { compute: 'shell', code, secrets: ['KEY'] })
  const seen = [text, JSON.stringify(await watch(session, json.id, /up/))]
  expect(holdersOf(canary)).toEqual([])
  const stopped = await call('POST', `${session}/agents/${json.id}/stop`)
  expect(stopped.json.output).toContain('up')
  const rows = await withClient(database.ownerUrl, (db) =>
    db.query<{ row: string }>('select a::text as row from agents a'),
  )
  seen.push(stopped.text, await gate.logged(), ...rows.rows.map(({ row }) => row))
  const forms = [canary, Buffer.from(canary).toString('base64').slice(0, -4)]
  expect(forms.filter((form) => seen.join('\n').includes(form))).toEqual([])
  expect(seen.join('\n')).toContain(json.id)
})
