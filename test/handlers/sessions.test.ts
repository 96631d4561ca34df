/** Sessions and secrets over HTTP and the SDK, as a platform of the sources serves them. */
import { randomUUID } from 'node:crypto'
import { inspect } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Postern, PosternError } from '../../sdk/typescript/src/postern.ts'
import { createDatabase, type TestDatabase, withClient } from '../database.ts'
import { startGate, type TestGate } from '../gate.ts'

const config = `
version: 1
platforms:
  - id: plt_theazo
    slug: theazo
    scheme: theazo
    permissions: { sessions: [read, write], secrets: [read, write] }
    routes:
      - { path: /v1/sessions/**, methods: [GET], handler: sessions, permission: "sessions:read" }
      - { path: /v1/sessions/**, methods: [POST, DELETE], handler: sessions, permission: "sessions:write", body: { json: true } }
      - { path: "/v1/sessions/:sid/secrets/**", methods: [GET], handler: secrets, permission: "secrets:read" }
      - { path: "/v1/sessions/:sid/secrets/**", methods: [POST, DELETE], handler: secrets, permission: "secrets:write", body: { json: true } }
      - { path: /bare/secrets/**, handler: secrets }
    seed: [{ id: user_123 }, { id: user_456 }]
`

let database: TestDatabase
let gate: TestGate
const keys: Record<string, string> = {}
beforeAll(async () => {
  database = await createDatabase({ migrate: false })
  gate = await startGate({ DATABASE_URL: database.ownerUrl }, config)
  const mint = (tenant: string, environment: 'test' | 'live', permissions: string[]) =>
    gate.mint({ prefix: `th_${environment}_`, environment, tenants: [tenant], permissions })
  const all = ['sessions:read', 'sessions:write', 'secrets:read', 'secrets:write']
  keys.live = await mint('user_123', 'live', all)
  keys.test = await mint('user_123', 'test', all)
  keys.other = await mint('user_456', 'live', all)
  keys.reader = await mint('user_123', 'live', ['sessions:read', 'secrets:read'])
  keys.sessions = await mint('user_123', 'live', ['sessions:read', 'sessions:write'])
})
afterAll(async () => {
  await gate?.stop()
  await database?.drop()
})

type Sent = { readonly key?: string; readonly body?: unknown; readonly text?: string }
async function call(method: string, path: string, { key = keys.live, body, text }: Sent = {}) {
  const sent = text ?? (body === undefined ? undefined : JSON.stringify(body))
  const response = await fetch(`${gate.url}${path}`, {
    method,
    headers: {
      authorization: `Bearer ${key}`,
      ...(sent === undefined ? {} : { 'content-type': 'application/json' }),
    },
    body: sent,
  })
  const answer = await response.text()
  return {
    status: response.status,
    text: answer,
    mode: response.headers.get('postern-mode'),
    json: answer === '' ? null : JSON.parse(answer),
  }
}
const open = async (userId = 'user_9', key = keys.live): Promise<string> =>
  (await call('POST', '/v1/sessions', { key, body: { userId } })).json.id
const client = (apiKey = keys.live) => new Postern({ apiKey, baseUrl: gate.url })

describe('sessions', () => {
  test.each<[string, unknown, string]>([
    ['no user', {}, 'body.userId'],
    ['an empty user', { userId: '' }, 'body.userId'],
    ['a number', { userId: 1 }, 'body.userId'],
    ['a user with spaces', { userId: 'a b' }, 'body.userId'],
    ['a user too long', { userId: 'u'.repeat(129) }, 'body.userId'],
    ['G2: an id of their own', { userId: 'u', id: 'ses_1' }, 'body'],
    ['G2: another tenant', { userId: 'u', tenant: 'user_456' }, 'body'],
    ['G2: an end', { userId: 'u', endedAt: null }, 'body'],
    ['too short a time', { userId: 'u', ttl: 59 }, 'body.ttl'],
    ['too long a time', { userId: 'u', ttl: 31_536_001 }, 'body.ttl'],
    ['a time that is a text', { userId: 'u', ttl: '60' }, 'body.ttl'],
  ])('%s is refused', async (_, body, location) => {
    const { status, json } = await call('POST', '/v1/sessions', { body })
    expect([status, json.code, json.errors[0].location]).toEqual([400, 'request/invalid', location])
  })

  test.each(['0', '101', '-1', '1.5', 'x', ''])('limit=%s is refused', async (limit) => {
    const { status, json } = await call('GET', `/v1/sessions?limit=${limit}`)
    expect([status, json.errors[0].location]).toEqual([400, 'query.limit'])
  })

  test('are opened, found, listed newest first, and ended', async () => {
    const made = await call('POST', '/v1/sessions', { body: { userId: 'user_list' } })
    expect([made.status, made.json]).toEqual([
      201,
      {
        id: expect.stringMatching(/^ses_[0-9a-f]{32}$/),
        userId: 'user_list',
        status: 'active',
        environment: 'live',
        createdAt: expect.stringMatching(/^\d{4}-.*Z$/),
        expiresAt: null,
        endedAt: null,
      },
    ])
    const second = await open('user_list')
    const listed = await call('GET', '/v1/sessions?limit=1&userId=user_list')
    expect(listed.json).toMatchObject({ sessions: [{ id: second }], total: 2 })
    expect((await call('GET', '/v1/sessions?userId=nobody')).json).toEqual({
      ...{ sessions: [], total: 0 },
    })
    const path = `/v1/sessions/${made.json.id}`
    expect((await call('GET', path)).json).toEqual(made.json)
    expect([(await call('DELETE', path)).status, (await call('DELETE', path)).status]).toEqual([
      ...[204, 204],
    ])
    expect((await call('GET', path)).json).toMatchObject({
      ...{ status: 'ended', endedAt: expect.any(String) },
    })
    expect((await call('GET', '/v1/sessions/ses_none')).json.code).toBe('resource/not_found')
    expect((await call('DELETE', '/v1/sessions/ses_none')).json.code).toBe('resource/not_found')
  })

  test('X12: one that is past its time has ended for every call, before anybody has noticed', async () => {
    const made = await client().sessions.create({ userId: 'user_ttl', ttl: 3600 })
    const ms = Date.parse(made.expiresAt ?? '') - Date.parse(made.createdAt)
    expect([made.status, Math.round(ms / 1000)]).toEqual(['active', 3600])
    await made.secrets.set({ TOKEN: 'x' })
    await withClient(database.ownerUrl, (db) =>
      db.query(`update sessions set expires_at = now() - interval '1 s' where id = $1`, [made.id]),
    )
    const found = await client().sessions.get(made.id)
    expect([found.status, found.endedAt]).toEqual(['ended', found.expiresAt])
    await expect(made.secrets.list()).rejects.toMatchObject({ status: 404 })
    await expect(made.secrets.set({ TOKEN: 'y' })).rejects.toMatchObject({ status: 404 })
    await expect(made.secrets.delete('TOKEN')).rejects.toMatchObject({ status: 404 })
    expect((await client().sessions.forUser('user_ttl')).id).not.toBe(made.id)
    await client().sessions.delete(made.id)
    expect((await client().sessions.get(made.id)).endedAt).toBe(found.expiresAt)
  })

  test('G4: of another tenant, or environment, look like none', async () => {
    const session = await open()
    const random = `ses_${randomUUID()}`
    for (const key of [keys.other, keys.test]) {
      for (const [method, path, body] of [
        ['GET', '', undefined],
        ['DELETE', '', undefined],
        ['GET', '/secrets', undefined],
        ['POST', '/secrets', { A: 'x' }],
        ['DELETE', '/secrets/A', undefined],
      ] as const) {
        const [theirs, none] = await Promise.all(
          [session, random].map((id) => call(method, `/v1/sessions/${id}${path}`, { key, body })),
        )
        const shape = (answer: typeof theirs) =>
          answer!.text.replaceAll(/ses_[\w-]+|req_\w+/g, '').length
        expect([theirs!.status, none!.status]).toEqual([404, 404])
        expect(shape(theirs)).toBe(shape(none))
      }
    }
    expect((await call('GET', `/v1/sessions/${session}`)).json.status).toBe('active')
  })

  test('of test keys are as real, in a world of their own, and say so', async () => {
    const session = await open('user_test', keys.test)
    const path = `/v1/sessions/${session}`
    const found = await call('GET', path, { key: keys.test })
    expect([found.mode, found.json]).toEqual([
      'test',
      expect.objectContaining({ userId: 'user_test', environment: 'test' }),
    ])
    const sent = { key: keys.test, body: { A: 'x' } }
    expect((await call('POST', `${path}/secrets`, sent)).status).toBe(204)
    expect((await call('GET', `${path}/secrets`, { key: keys.test })).json.total).toBe(1)
    const seeded = await call('GET', '/v1/sessions', { key: keys.test })
    expect(seeded.json.total).toBeGreaterThan(3)
  })
})

describe('permissions', () => {
  test.each<[string, string, string, string]>([
    ['reader', 'POST', '', 'sessions:write'],
    ['reader', 'DELETE', '/SID', 'sessions:write'],
    ['reader', 'POST', '/SID/secrets', 'secrets:write'],
    ['reader', 'DELETE', '/SID/secrets/A', 'secrets:write'],
    ['sessions', 'GET', '/SID/secrets', 'secrets:read'],
    ['sessions', 'POST', '/SID/secrets', 'secrets:write'],
    ['sessions', 'DELETE', '/SID/secrets/A', 'secrets:write'],
  ])('%s may not %s %s', async (key, method, path, permission) => {
    const session = await open()
    const body = method === 'POST' ? { A: 'x' } : undefined
    const at = `/v1/sessions${path.replace('SID', session)}`
    const { status, json } = await call(method, at, { key: keys[key]!, body })
    expect([status, json.code]).toEqual([403, 'auth/insufficient_permission'])
    expect(JSON.stringify(json)).toContain(permission)
  })

  test('a route of secrets that names no session says whose mistake it is', async () => {
    expect((await call('GET', '/bare/secrets')).json.code).toBe('gateway/misconfigured')
  })
})

describe('secrets', () => {
  test('are set, listed and deleted as the source says', async () => {
    const path = `/v1/sessions/${await open()}/secrets`
    expect(await call('GET', path)).toMatchObject({ status: 200, json: { secrets: [], total: 0 } })
    const set = await call('POST', path, { body: { OPENAI_API_KEY: 'sk-1', STRIPE: 'sk-2' } })
    expect([set.status, set.text]).toEqual([204, ''])
    const listed = await call('GET', path)
    expect(listed.json).toEqual({
      secrets: ['OPENAI_API_KEY', 'STRIPE'].map((name) => ({
        ...{ name, createdAt: expect.stringMatching(/Z$/) },
      })),
      total: 2,
    })
    expect((await call('POST', path, { body: { STRIPE: 'sk-3' } })).status).toBe(204)
    expect((await call('GET', path)).json).toEqual(listed.json)
    expect((await call('DELETE', `${path}/STRIPE`)).status).toBe(204)
    expect((await call('DELETE', `${path}/STRIPE`)).json.code).toBe('secret/not_found')
    expect((await call('GET', `${path}/OPENAI_API_KEY`)).status).toBe(404)
  })

  test("the source's own snippets", async () => {
    const session = await client().sessions.forUser('user_sdk')
    expect((await client().sessions.forUser('user_sdk')).id).toBe(session.id)
    const done = await session.secrets.set({
      OPENAI_API_KEY: 'sk-...',
      STRIPE_SECRET: 'sk_live_...',
      camelCase: 'kept',
    })
    expect(done).toBeUndefined()
    expect(await session.secrets.list()).toEqual(
      ['OPENAI_API_KEY', 'STRIPE_SECRET', 'camelCase'].map((name) => ({
        ...{ name, createdAt: expect.any(String) },
      })),
    )
    expect(await session.secrets.delete('OPENAI_API_KEY')).toBeUndefined()
    const gone = await session.secrets.delete('OPENAI_API_KEY').catch((error: unknown) => error)
    expect(gone).toBeInstanceOf(PosternError)
    expect(gone).toMatchObject({ code: 'secret/not_found', status: 404 })
    const { sessions, total } = await client().sessions.list({ limit: 1, userId: 'user_sdk' })
    expect([sessions[0]?.id, total]).toEqual([session.id, 1])
    await client().sessions.delete(session.id)
    expect((await client().sessions.get(session.id)).status).toBe('ended')
    const next = await client().sessions.forUser('user_sdk')
    expect(next.id).not.toBe(session.id)
    expect((await client().sessions.create({ userId: 'user_sdk' })).id).not.toBe(next.id)
  })

  test('many who ask for a user at once get one session', async () => {
    const found = await Promise.all(
      Array.from({ length: 8 }, () => client().sessions.forUser('user_many')),
    )
    expect(new Set(found.map(({ id }) => id)).size).toBe(1)
  })
})

describe('X7: a value is nowhere afterwards', () => {
  const canary = `canary-${randomUUID()}"\\é/`
  const forms = [
    canary,
    JSON.stringify(canary).slice(1, -1),
    encodeURIComponent(canary),
    Buffer.from(canary).toString('hex'),
    ...[0, 1, 2].map((shift) =>
      Buffer.from(' '.repeat(shift) + canary)
        .toString('base64')
        .slice(4, -4),
    ),
    [...canary].reverse().join(''),
  ]
  const answers: string[] = []
  const clean = (text: string) => forms.filter((form) => text.includes(form))

  test('not in an answer, whatever is wrong', async () => {
    const session = await open()
    const path = `/v1/sessions/${session}/secrets`
    const json = JSON.stringify(canary)
    const sent: Sent[] = [
      { body: { GOOD: canary } },
      { body: { GOOD: canary, PATH: canary } },
      { body: { [canary]: 'x' } },
      { body: [canary] },
      { body: canary },
      { body: { A: { B: canary } } },
      { body: { A: canary.repeat(1000) } },
      { text: `{"A": ${json}` },
      { text: `{"A": ${json}, "A": ${json}}` },
      { text: `{"__proto__": ${json}}` },
      { text: `{"A": ${json}} ${json}` },
      { body: { A: canary }, key: keys.reader },
      { body: { A: canary }, key: keys.other },
      { body: { A: canary }, key: 'th_live_nobody' },
      { body: { userId: canary } },
    ]
    for (const one of sent) answers.push((await call('POST', path, one)).text)
    answers.push((await call('POST', '/v1/sessions', { body: { userId: canary } })).text)
    answers.push((await call('GET', path)).text)
    answers.push((await call('GET', `/v1/sessions/${session}`)).text)
    expect(answers.flatMap(clean)).toEqual([])
  })

  test('X8: not in what the SDK throws, nor in what it prints', async () => {
    const session = await client().sessions.forUser('user_canary')
    await session.secrets.set({ GOOD: canary })
    const refused: unknown[] = []
    const wrong: Record<string, string>[] = [{ PATH: canary }, { 'A-B': canary }, { [canary]: 'x' }]
    for (const values of wrong) {
      await session.secrets.set(values).catch((error: unknown) => refused.push(error))
    }
    expect(refused).toHaveLength(3)
    const printed = [...refused, session, session.secrets].flatMap((one) => [
      inspect(one, { depth: 9, showHidden: true }),
      JSON.stringify(one) ?? '',
      String(one instanceof Error ? one.stack : one),
    ])
    expect(printed.flatMap(clean)).toEqual([])
    expect(printed.join()).not.toContain(keys.live)
  })

  test('X8: not where the database refuses', async () => {
    const path = `/v1/sessions/${await open()}/secrets`
    await withClient(database.ownerUrl, (db) =>
      db.query(`alter table secrets add constraint refused check (name <> 'REFUSED')`),
    )
    const answer = await call('POST', path, { body: { REFUSED: canary } })
    expect(answer.status).toBeGreaterThanOrEqual(400)
    expect(clean(answer.text)).toEqual([])
    expect(await gate.logged()).toContain('refused')
  })

  test('not in the log, and not in any row of the database', async () => {
    const logged = await gate.logged()
    expect(logged).toContain('/secrets')
    expect(clean(logged)).toEqual([])
    const rows = await withClient(database.ownerUrl, async (db) => {
      const tables = await db.query<{ name: string }>(
        `select c.oid::regclass::text as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where c.relkind = 'r' and n.nspname in ('public', 'postern')`,
      )
      const found: string[] = []
      for (const { name } of tables.rows) {
        const { rows: all } = await db.query<{ row: string }>(
          `select t::text as row from ${name} t`,
        )
        found.push(...all.map(({ row }) => row))
      }
      return found.join('\n')
    })
    expect(rows).toContain('GOOD')
    expect(clean(rows)).toEqual([])
  })
})
