/**
 * What only shows when the rooms are together, beyond what every caller sees (suites/gate.suite.ts):
 * bodies of routes that are not JSON alone, queries that a URL spells otherwise, overlapping routes.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createHandler } from '../src/handler.ts'
import { createDatabase, type TestDatabase } from './database.ts'
import { startGate, type TestGate } from './gate.ts'
import { logLines } from './gate-process.ts'
import { openWire } from './wire.ts'

const limit = 100_000
const config = `
version: 1
platforms:
  - id: plt_x
    slug: x
    permissions: { data: [read, write] }
    routes:
      - { path: /json/**, handler: echo, body: { json: true, maxBytes: ${limit} } }
      - { path: /any/**, handler: echo, body: { maxBytes: ${limit} } }
      - { path: /large/**, handler: echo, body: { maxBytes: 20000000 } }
      - { path: /**, handler: open }
      - { path: /closed/**, handler: closed, permission: data:write }
    seed: [{ id: a }]
`

let ran: string[] = []
const echo = createHandler().all('*', async (c) => {
  const text = await c.req.text()
  const { search } = new URL(c.req.url)
  return c.json({ bytes: text.length, body: c.var.body ?? null, search })
})
const noting = (name: string) =>
  createHandler().all('*', (c) => {
    ran.push(name)
    return c.text(name)
  })

let database: TestDatabase
let gate: TestGate
beforeAll(async () => {
  database = await createDatabase({ migrate: false })
  gate = await startGate({ DATABASE_URL: database.ownerUrl }, config, {
    ...{ echo, open: noting('open'), closed: noting('closed') },
  })
})
afterAll(async () => {
  await gate?.stop()
  await database?.drop()
})

async function ask(path: string, init: RequestInit & { key?: string } = {}) {
  const { key = gate.seeded.sk_dev_, ...rest } = init
  const headers = { 'x-api-key': key, 'x-tn': 'a', ...rest.headers }
  const response = await fetch(gate.url + path, { method: 'POST', ...rest, headers })
  const text = await response.text()
  const isJson = /json/.test(response.headers.get('content-type') ?? '')
  return { status: response.status, json: isJson ? JSON.parse(text) : text }
}

/** Without a length. The type of `fetch` does not know `duplex`, which a stream needs. */
const chunked = (headers: Record<string, string>, body: Blob) =>
  ({ headers, body: body.stream(), duplex: 'half' }) as RequestInit

const json = { 'content-type': 'application/json' }

describe('a body', () => {
  test('that is no JSON goes to the handler where the route takes any, and is a 415 elsewhere', async () => {
    const form = { headers: { 'content-type': 'application/x-www-form-urlencoded' }, body: 'a=1' }
    expect(await ask('/any/x', form)).toEqual({
      status: 200,
      json: { bytes: 3, body: null, search: '' },
    })
    expect((await ask('/json/x', form)).json.code).toBe('request/unsupported_media_type')
  })

  test.each(['/any/x', '/json/x'])('that is JSON is checked: %s', async (path) => {
    const good = await ask(path, { headers: json, body: '{"a":1}' })
    expect(good.json).toEqual({ bytes: 7, body: { a: 1 }, search: '' })
    for (const body of ['{', '{"a":"\\u0000"}', '{"a":1,"a":2}']) {
      expect((await ask(path, { headers: json, body })).json.code).toBe('request/malformed')
    }
  })

  test.each([
    ['/json/x', json],
    ['/any/x', json],
    ['/any/x', { 'content-type': 'text/plain' }],
  ])('R20: that is too large is a 413, with a length and without: %s %j', async (path, headers) => {
    const body = `"${'x'.repeat(limit)}"`
    const fits = `"${'x'.repeat(limit - 2)}"`
    expect((await ask(path, { headers, body: fits })).json.bytes).toBe(limit)
    expect((await ask(path, { headers, body })).json.code).toBe('request/too_large')
    const streamed = await ask(path, chunked(headers, new Blob([body])))
    expect(streamed.json.code).toBe('request/too_large')
  })

  test('may be as large as its route says, also past the default of the front', async () => {
    const body = new Blob(['x'.repeat(15_000_000)])
    const headers = { 'content-type': 'text/plain' }
    expect((await ask('/large/x', { headers, body })).json.bytes).toBe(15_000_000)
    expect((await ask('/large/x', chunked(headers, body))).json.bytes).toBe(15_000_000)
  })
})

test('P15: a query that a URL spells otherwise takes nothing from the body', async () => {
  const port = Number(new URL(gate.url).port)
  const wire = await openWire(port)
  for (const query of [`?a="b"`, `?a='<>'`, '?a=`{|}`', '?a=%zz&&=', '?']) {
    wire.send(
      `POST /json/x${query} HTTP/1.1\r\nhost: x\r\nx-api-key: ${gate.seeded.sk_dev_}\r\nx-tn: a\r\n` +
        `content-type: application/json\r\ncontent-length: 7\r\n\r\n{"a":1}`,
    )
    const answer = await wire.answer()
    expect([answer.status, JSON.parse(answer.body).body], query).toEqual([200, { a: 1 }])
  }
  wire.close()
})

test('the rule that was checked and the handler that runs are of one route', async () => {
  ran = []
  const key = await gate.mint({
    prefix: 'sk_dev_',
    environment: 'test',
    permissions: ['data:read'],
  })
  expect((await ask('/closed/x', { key })).json.code).toBe('auth/insufficient_permission')
  expect(ran).toEqual([])
  expect((await ask('/closed/x')).json).toBe('closed')
  expect((await ask('/other/x', { key })).json).toBe('open')
  expect(ran).toEqual(['closed', 'open'])
})

test('X7: of a request no query, no header and no body is in the log, and every line is JSON', async () => {
  const canary = (at: string) => `canary-${at}`
  const sent = { ...json, 'x-other': canary('header'), cookie: canary('cookie') }
  const body = JSON.stringify({ a: canary('body') })
  expect((await ask(`/json/x?a=${canary('query')}`, { headers: sent, body })).status).toBe(200)
  await ask(`/json/x?a=${canary('query')}`, { headers: sent, body: `${body}${canary('body')}` })
  await ask(`/json/x?api_key=${canary('query')}`, {
    headers: { ...sent, 'x-tn': canary('tenant') },
  })
  await ask('/json/x', { key: `sk_dev_${canary('key')}` })
  await ask('/json/x', { headers: { authorization: `Basic ${canary('basic')}` } })
  const logged = await gate.logged()
  expect(logLines(logged).filter(({ path }) => path === '/json/x').length).toBeGreaterThan(4)
  expect(logged).not.toContain('canary')
  for (const key of Object.values(gate.seeded)) expect(logged).not.toContain(key || 'not seeded')
})

test('the keys of identity tokens are those of the platform that Host names, and of no other', async () => {
  const platform = (name: string) => `
  - id: plt_${name}
    slug: ${name}
    hosts: [${name}.example]
    permissions: { data: [read] }
    routes: [{ path: /**, handler: open }]
    seed: [{ id: a }]`
  const two = await startGate(
    { DATABASE_URL: database.ownerUrl },
    `version: 1\nplatforms:${platform('one')}${platform('two')}\n`,
    { open: noting('open') },
  )
  const wire = await openWire(Number(new URL(two.url).port))
  const keysFor = async (host: string) => {
    wire.send(`GET /.well-known/jwks.json HTTP/1.1\r\nhost: ${host}\r\n\r\n`)
    const { status, body } = await wire.answer()
    return { status, ...JSON.parse(body) }
  }
  try {
    const kids = []
    for (const host of ['one.example', 'two.example']) {
      const { status, keys } = await keysFor(host)
      expect(status).toBe(200)
      kids.push(...keys.map(({ kid }: { kid: string }) => kid))
    }
    expect(new Set(kids).size).toBe(6)
    for (const host of ['three.example', '127.0.0.1']) {
      expect(await keysFor(host)).toMatchObject({ status: 421, code: 'platform/unknown_host' })
    }
  } finally {
    wire.close()
    await two.stop()
  }
})
