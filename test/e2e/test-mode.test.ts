/** What answers test keys, in a real process: rows that stay, rows that do not, and a sandbox upstream. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type ProxyGate, startProxyGate } from '../proxy-gate.ts'
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

const ask = async (slug: 'generic' | 'tenzro', key: string, path: string, body?: unknown) => {
  const response = await fetch(`${sources.urlOf(slug)}${path}`, {
    method: body === undefined ? 'GET' : 'POST',
    headers: {
      authorization: `Bearer ${sources.keyOf(slug, key)}`,
      'content-type': 'application/json',
    },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  })
  const json: { id: string; data: { id: string }[] } = JSON.parse(await response.text())
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
