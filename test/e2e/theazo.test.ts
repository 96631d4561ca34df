/**
 * Every call that the two documents of Theazo show, in their order, made through the SDK against
 * `npm start`: once with a live key and once with a test key. What the documents say of a test key, that
 * nothing of it reaches a provider, is seen by a listener that takes the place of one.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Postern, PosternError, type Session } from '../../sdk/typescript/src/postern.ts'
import { type Sources, startSources } from '../sources-gate.ts'
import { type RawUpstream, startRawUpstream } from '../upstream.ts'

let provider: RawUpstream
let heard = 0
let sources: Sources
let admin: Postern
const clientOf = (apiKey: string) =>
  new Postern({ apiKey, baseUrl: sources.urlOf('theazo'), maxRetries: 0 })

beforeAll(async () => {
  provider = await startRawUpstream(async (connection) => {
    heard += 1
    await connection.until('\r\n\r\n')
    connection.socket.end('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}')
  })
  const route = '{ path: /v1/subscriptions/**, methods: [GET], upstream: provider }'
  sources = await startSources((source) =>
    source.replace(
      /( {4}slug: theazo\n[\s\S]*?)( {4}routes:\n[\s\S]*?) {6}- path: \/v1\/subscriptions\/\*\*\n {8}methods: \[GET\]\n {8}handler: subscriptions\n {8}permission: sessions:read\n/,
      `$1    upstreams: [{ name: provider, url: "${provider.url}", allow: [127.0.0.0/8], retries: 0 }]\n$2      - ${route}\n`,
    ),
  )
  admin = clientOf(sources.keyOf('theazo', 'ADMIN'))
})
afterAll(async () => {
  await sources?.stop()
  await provider?.stop()
})

/** A key that is made for one test; its full text is shown here and never again. */
async function makeKey(environment: 'live' | 'test') {
  const permissions = ['sessions:read', 'sessions:write', 'secrets:read', 'secrets:write']
  const made = await admin.apiKeys.create({
    ...{ name: `the document's, ${environment}`, environment, tenants: ['user_123'] },
    permissions: [...permissions, 'agents:read', 'agents:write'],
  })
  return { id: made.id, key: made.key }
}

/** The environments of all processes of this machine that say so much. */
const processesWith = (text: string): string[] =>
  readdirSync('/proc').filter((pid) => {
    if (!/^\d+$/.test(pid)) return false
    try {
      return readFileSync(`/proc/${pid}/environ`, 'latin1').includes(text)
    } catch {
      return false // it has ended meanwhile, or is another user's
    }
  })

const values = {
  OPENAI_API_KEY: 'sk-theazo-e2e-0001',
  STRIPE_SECRET: 'sk_live_theazo-e2e-0002',
  DATABASE_URL: 'postgres://user:pass@host:5432/db',
}
const names = Object.keys(values) as (keyof typeof values)[]
const program = `import os
for name in ["OPENAI_API_KEY", "STRIPE_SECRET", "DATABASE_URL"]:
    print(name, name in os.environ, len(os.environ.get(name, "")))
print("UNDECLARED" in os.environ)`

describe.each([
  ['live', 'th_live_'],
  ['test', 'th_test_'],
] as const)('Authentication, with a %s key', (environment, prefix) => {
  test('the prefix says which environment a key is of, and the answer too', async () => {
    const { key } = await makeKey(environment)
    expect(key.startsWith(prefix)).toBe(true)
    const session = await clientOf(key).sessions.forUser('user_123')
    expect(session).toMatchObject({ userId: 'user_123', environment })
    expect(session.id).toMatch(/^ses_/)
  })

  test('GET /v1/sessions with a Bearer token: sessions and total', async () => {
    const { key } = await makeKey(environment)
    const session = await clientOf(key).sessions.create({ userId: 'user_123' })
    const url = new URL(`${sources.urlOf('theazo')}/v1/sessions`)
    url.searchParams.set('limit', '20')
    const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' }
    const answer = await fetch(url, { headers })
    expect(answer.status).toBe(200)
    expect(answer.headers.get('postern-mode')).toBe(environment === 'test' ? 'test' : null)
    const json = (await answer.json()) as { sessions: { id: string }[]; total: number }
    expect(Object.keys(json).toSorted()).toEqual(['sessions', 'total'])
    expect(json.sessions.map(({ id }) => id)).toContain(session.id)
    const listed = await clientOf(key).sessions.list({ limit: 20 })
    expect(listed.total).toBe(json.total)
    expect(await clientOf(key).sessions.get(session.id)).toMatchObject({ id: session.id })
  })

  test('a key is shown once, rotated by a second one, and revoked', async () => {
    const old = await makeKey(environment)
    const shown = JSON.stringify(await admin.apiKeys.get(old.id))
    // The prefix, and nine characters that say which key it is.
    expect(shown).toContain(
      `"prefix":"${prefix}","ref":"${old.key.slice(prefix.length).split('_')[0]}"`,
    )
    expect(shown).not.toContain(old.key)
    const next = await makeKey(environment)
    await clientOf(next.key).sessions.forUser('user_123')
    const { receipt } = await admin.apiKeys.revoke(old.id)
    expect(receipt).toMatchObject({ maxStalenessMs: 0 })
    await expect(clientOf(old.key).sessions.forUser('user_123')).rejects.toMatchObject({
      ...{ code: 'auth/key_revoked', status: 401 },
    })
    await clientOf(next.key).sessions.forUser('user_123')
  })

  test('errors say code, status and requestId', async () => {
    const { key } = await makeKey(environment)
    const other = key.slice(0, -6) + (key.endsWith('000000') ? '111111' : '000000')
    const error = await clientOf(other)
      .sessions.forUser('user_123')
      .catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(PosternError)
    expect(error).toMatchObject({
      ...{ code: 'auth/invalid_key', status: 401 },
      requestId: expect.stringMatching(/^req_/),
    })
    const missing = await fetch(`${sources.urlOf('theazo')}/v1/sessions`)
    expect([missing.status, await missing.json()]).toMatchObject([
      ...[401, { code: 'auth/invalid_key', requestId: expect.stringMatching(/^req_/) }],
    ])
  })
})

describe.each(['live', 'test'] as const)('Secrets, with a %s key', (environment) => {
  let session: Session
  let keyId: string
  beforeAll(async () => {
    const { id, key } = await makeKey(environment)
    keyId = id
    session = await clientOf(key).sessions.create({ userId: 'user_123' })
  })

  test('set resolves with nothing, and list shows names and times, never values', async () => {
    expect(await session.secrets.set({ ...values, UNDECLARED: 'sk-theazo-e2e-0003' })).toBe(
      undefined,
    )
    const listed = await session.secrets.list()
    expect(listed.map(({ name }) => name).toSorted()).toEqual([...names, 'UNDECLARED'].toSorted())
    for (const one of listed) {
      expect(Object.keys(one).toSorted()).toEqual(['createdAt', 'name'])
      expect(new Date(one.createdAt).toISOString().slice(0, 19)).toBe(one.createdAt.slice(0, 19))
    }
    for (const value of Object.values(values)) expect(JSON.stringify(listed)).not.toContain(value)
  })

  test('an agent finds what it declared in its environment, and nothing else', async () => {
    const made = await session.agents.create({
      ...{ compute: 'python', code: program, secrets: names },
    })
    const agent = await made.wait()
    expect(agent).toMatchObject({ status: 'exited', exitCode: 0, secrets: names })
    const printed = names.map((name) => `${name} True ${values[name].length}`)
    if (environment === 'live')
      expect(agent.output.trim().split('\n')).toEqual([...printed, 'False'])
    else expect(agent.output).not.toContain('True')
  })

  test('a running agent keeps its value, a new one gets the new value', async () => {
    const code = `import os, time
print(len(os.environ["OPENAI_API_KEY"]), flush=True)
time.sleep(30)
print(len(os.environ["OPENAI_API_KEY"]), flush=True)`
    const mark = `mark-${environment}-${Date.now()}`
    await session.secrets.set({ OPENAI_API_KEY: mark })
    const running = await session.agents.create({
      ...{ compute: 'python', code, secrets: ['OPENAI_API_KEY'] },
    })
    await session.secrets.set({ OPENAI_API_KEY: 'sk-new-key-...' })
    const next = await session.agents.create({
      ...{ compute: 'python', code: code.split('\n').slice(0, 2).join('\n') },
      secrets: ['OPENAI_API_KEY'],
    })
    const ended = await next.wait()
    if (environment === 'live') {
      expect(ended.output.trim()).toBe(String('sk-new-key-...'.length))
      expect(processesWith(`OPENAI_API_KEY=${mark}`).length).toBeGreaterThan(0)
      expect(processesWith('OPENAI_API_KEY=sk-new-key-')).toEqual([])
      expect((await running.stop()).status).toBe('stopped')
    }
    // A test key starts no process at all.
    expect(processesWith(mark)).toEqual([])
  })

  test('delete is for good, and an agent that declares the name fails by it', async () => {
    await session.secrets.delete('OPENAI_API_KEY')
    expect((await session.secrets.list()).map(({ name }) => name)).not.toContain('OPENAI_API_KEY')
    // The mock of an agent starts nothing, and so misses nothing.
    const agent = session.agents.create({ compute: 'python', secrets: ['OPENAI_API_KEY'] })
    if (environment === 'test') await agent
    else await expect(agent).rejects.toMatchObject({ code: 'secret/not_found', status: 404 })
    await expect(session.secrets.delete('OPENAI_API_KEY')).rejects.toMatchObject({ status: 404 })
  })

  test('the three REST endpoints, as they stand', async () => {
    const { key } = await makeKey(environment)
    const own = await clientOf(key).sessions.create({ userId: 'user_123' })
    const at = `${sources.urlOf('theazo')}/v1/sessions/${own.id}/secrets`
    const headers = { authorization: `Bearer ${key}`, 'content-type': 'application/json' }
    const set = await fetch(at, { method: 'POST', headers, body: '{"STRIPE_SECRET":"sk_live_x"}' })
    expect([set.status, await set.text()]).toEqual([204, ''])
    const listed = await (await fetch(at, { headers })).text()
    expect(listed).toContain('STRIPE_SECRET')
    expect(listed).not.toContain('sk_live_x')
    const deleted = await fetch(`${at}/STRIPE_SECRET`, { method: 'DELETE', headers })
    expect([deleted.status, await deleted.text()]).toEqual([204, ''])
  })

  test('usage is recorded of a live key alone', async () => {
    await expect
      .poll(
        async () => {
          const { total } = await admin.apiKeys.usage(keyId)
          return total.requests
        },
        { timeout: 10_000 },
      )
      .toSatisfy((requests: number) => (environment === 'live' ? requests > 5 : requests === 0))
  })
})

test('O5: a test key reaches no provider, and a live key does', async () => {
  const before = heard
  const at = `${sources.urlOf('theazo')}/v1/subscriptions`
  const ask = async (environment: 'live' | 'test') => {
    const { key } = await makeKey(environment)
    return fetch(at, { headers: { authorization: `Bearer ${key}` } })
  }
  const mocked = await ask('test')
  expect([mocked.status, mocked.headers.get('postern-mode'), heard - before]).toEqual([
    ...[200, 'test', 0],
  ])
  expect([(await ask('live')).status, heard - before]).toEqual([200, 1])
})
