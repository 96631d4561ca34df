/** What answers test keys, in a real process: rows that stay, rows that do not, and a sandbox upstream. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { run } from '../process.ts'
import { type ProxyGate, startProxyGate } from '../proxy-gate.ts'
import { readText } from '../source.ts'
import { type Sources, startSources } from '../sources-gate.ts'
import { type HttpUpstream, startHttpUpstream } from '../upstream.ts'

let sources: Sources
let live: HttpUpstream
let sandbox: HttpUpstream
let gate: ProxyGate

beforeAll(async () => {
  sources = await startSources()
  live = await startHttpUpstream((_, response) => response.end('live'))
  sandbox = await startHttpUpstream((_, response) => response.end('sandbox'))
  gate = await startProxyGate(live.url, {
    others: { try: `url: "${sandbox.url}"` },
    route: 'sandbox: try',
  })
})
afterAll(async () => {
  await gate?.stop()
  await Promise.all([live?.stop(), sandbox?.stop(), sources?.stop()])
})

type Sent = { readonly method?: string; readonly headers?: Readonly<Record<string, string>> }

async function ask(
  slug: 'generic' | 'tenzro' | 'theazo',
  key: string,
  path: string,
  body?: unknown,
  { method, headers }: Sent = {},
) {
  const response = await fetch(`${sources.urlOf(slug)}${path}`, {
    method: method ?? (body === undefined ? 'GET' : 'POST'),
    headers: {
      ...headers,
      authorization: `Bearer ${sources.keyOf(slug, key)}`,
      'content-type': 'application/json',
    },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  })
  const text = await response.text()
  const json = text === '' ? null : JSON.parse(text)
  return { status: response.status, json, mode: response.headers.get('postern-mode') }
}

test('generic: a test call is checked and answered truly, and nothing of it stays', async () => {
  const path = '/v1/subscriptions'
  const before = await ask('generic', 'SK_TEST', path)
  const made = await ask('generic', 'SK_TEST', path, { plan: 'pro' })
  expect(made).toMatchObject({ status: 201, mode: 'test', json: { plan: 'pro', seats: 1 } })
  expect((await ask('generic', 'SK_TEST', `${path}/${made.json.id}`)).status).toBe(404)
  expect((await ask('generic', 'SK_TEST', path)).json.data).toEqual(before.json.data)
  const refused = await ask('generic', 'SK_TEST', path, { plan: '' })
  expect(refused).toMatchObject({ status: 400, mode: 'test', json: { code: 'request/invalid' } })
})

test('generic: a live call stays, and so does a test call where the mode is sandbox', async () => {
  const calls = [
    ['generic', 'SK_LIVE', null],
    ['tenzro', 'DEV', 'test'],
  ] as const
  for (const [slug, key, mode] of calls) {
    const made = await ask(slug, key, '/v1/subscriptions', { plan: 'pro' })
    expect(made).toMatchObject({ status: 201, mode })
    const found = await ask(slug, key, `/v1/subscriptions/${made.json.id}`)
    expect(found).toMatchObject({ status: 200, mode })
  }
})

test('O5: a test key reaches the sandbox upstream and never the live one', async () => {
  const asked = { 'x-tn': 'tenant_abc123' }
  const call = async (key: string) => {
    const response = await fetch(`${gate.url}/up/a`, { headers: { ...asked, 'x-api-key': key } })
    return [await response.text(), response.headers.get('postern-mode')]
  }
  expect(await call(gate.seeded.sk_dev_)).toEqual(['sandbox', 'test'])
  expect(live.seen).toHaveLength(0)
  expect(await call(gate.seeded.sk_live_)).toEqual(['live', null])
  expect(live.seen).toHaveLength(1)
  expect(sandbox.seen.map(({ headers }) => headers['postern-environment'])).toEqual(['test'])
})

describe('theazo: test keys get mocks', () => {
  const th = (path: string, body?: unknown, sent?: Sent) =>
    ask('theazo', 'TH_TEST', path, body, sent)
  const paths = '/v1/sessions'

  test('a world remembers what is sent to it, in the shapes of the document', async () => {
    const before = await th(`${paths}?limit=20`)
    expect(before).toMatchObject({ status: 200, mode: 'test', json: { total: 3 } })
    const made = await th(paths, { userId: 'user_123' })
    expect(made).toMatchObject({ status: 201, mode: 'test', json: { userId: 'user_123' } })
    expect(made.json.id).toMatch(/^ses_\w+$/)
    expect((await th(`${paths}/${made.json.id}`)).json).toEqual(made.json)
    expect((await th(`${paths}?limit=20`)).json.total).toBe(4)
    const set = { OPENAI_API_KEY: 'sk-canary' }
    expect((await th(`${paths}/${made.json.id}/secrets`, set)).status).toBe(204)
    expect((await th(`${paths}/${made.json.id}`, undefined, { method: 'DELETE' })).status).toBe(204)
    expect((await th(`${paths}/${made.json.id}`)).status).toBe(404)
  })

  test('another tenant has another world, and it starts anew when it is told to', async () => {
    const other = { headers: { 'postern-test-world': 'reset' } }
    await th(paths, { userId: 'user_9' })
    expect((await th(`${paths}?limit=20`, undefined, other)).json.total).toBe(3)
    const wrong = await th(paths, undefined, { headers: { 'postern-test-world': 'wipe' } })
    expect(wrong).toMatchObject({ status: 400, json: { error: { param: 'Postern-Test-World' } } })
  })

  test('what does not fit the document is refused by field', async () => {
    const refused = await th(paths, { userId: '', colour: 'red' })
    expect(refused).toMatchObject({ status: 400, mode: 'test', json: { code: 'request/invalid' } })
    const locations = refused.json.errors.map(({ location }: { location: string }) => location)
    expect(locations).toEqual(expect.arrayContaining(['body.userId', 'body.colour']))
  })

  test.each([
    ['rate_limited', 429, 'rate_limit/exceeded'],
    ['upstream_timeout', 504, 'upstream/timeout'],
    ['upstream_down', 502, 'upstream/unreachable'],
    ['auth/key_revoked', 401, 'auth/key_revoked'],
    ['nonsense', 400, 'request/invalid'],
  ])('a scenario forces what it names: %s', async (scenario, status, code) => {
    const headers = { 'postern-test-scenario': scenario }
    expect(await th(paths, undefined, { headers })).toMatchObject({ status, json: { code } })
  })

  test('the clock of the world can be moved', async () => {
    const headers = { 'postern-test-clock': '2031-05-06T07:08:09Z' }
    const made = await th(paths, { userId: 'user_123' }, { headers })
    expect(made.json.createdAt).toContain('2031-05-06')
  })

  test('O5: the headers that steer a test mean nothing with a live key, and nothing is metered', async () => {
    const headers = { 'postern-test-scenario': 'upstream_down', 'postern-test-world': 'wipe' }
    const live = await ask('theazo', 'TH_LIVE', `${paths}?limit=20`, undefined, { headers })
    expect(live).toMatchObject({ status: 200, mode: null })
    const counted = async () => {
      const { rows } = await sources.query(
        `select sum(requests)::int as requests from postern.usage_days
         where platform = 'plt_theazo' and environment = 'test'`,
      )
      return rows[0]?.requests
    }
    const used = () =>
      sources.query(
        `select 1 from postern.usage_days where platform = 'plt_theazo' and environment = 'test'`,
      )
    await expect.poll(async () => (await used()).rows.length, { timeout: 20_000 }).toBe(1)
    expect(await counted()).toBe(0)
  })
})

test('docs/test-keys.md: its lines work as they stand, in order', async () => {
  const blocks = [...readText('docs/test-keys.md').matchAll(/^```sh\n([\s\S]*?)^```/gm)]
  const script = blocks.map(([, text]) => text).join('\n')
  const pasted = await run('bash', ['-euc', `set -a; . ./.env.local; set +a\n${script}`], {
    cwd: sources.place.folder,
    env: { PATH: process.env.PATH },
  })
  expect(pasted.code, pasted.stderr).toBe(0)
  expect(pasted.stdout).toMatch(/^\{"sessions":\[/)
  expect(pasted.stdout).toContain('"userId":"user_123"')
  expect(pasted.stdout).toContain('HTTP/1.1 429 ')
})
