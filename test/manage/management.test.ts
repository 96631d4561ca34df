/**
 * Several platforms behind one gate, and the people who run it: where the management API is, which
 * platform a call means, and that no platform sees anything of another.
 */
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createDatabase, type TestDatabase } from '../database.ts'
import { startGate, type TestGate } from '../gate.ts'
import { freePort } from '../servers.ts'
import { openWire } from '../wire.ts'
import { callerOf, refusal, stable } from './caller.ts'

const sources = readFileSync(new URL('../../examples/sources.yaml', import.meta.url), 'utf8')
const slugs = ['azotte', 'theazo', 'tenzro', 'generic'] as const

let database: TestDatabase
let gate: TestGate
beforeAll(async () => {
  database = await createDatabase({ migrate: false })
  let text = sources
  for (const port of ['8801', '8802', '8803', '8804']) {
    text = text.replace(`port: ${port}`, `port: ${await freePort()}`)
  }
  text = text.replace('openapi: theazo', 'openapi: examples/theazo')
  gate = await startGate({ DATABASE_URL: database.ownerUrl }, text)
})
afterAll(async () => {
  await gate?.stop()
  await database?.drop()
})

const at = (slug: string, key = gate.seeded.operator) =>
  callerOf(gate.deployment.urls.get(slug) ?? '', key)

describe('an operator', () => {
  test('means the platform of the port, or the one that is named', async () => {
    for (const slug of slugs) {
      const sent = { environment: 'live', name: `of ${slug}` }
      const here = await at(slug).make(sent)
      const read = (path: string) => at('azotte').call('GET', `/v1/api-keys/${here.id}${path}`)
      expect((await read(`?platform=${slug}`)).json.data.name).toBe(`of ${slug}`)
      expect((await read('')).status).toBe(slug === 'azotte' ? 200 : 404)
    }
    const named = await at('azotte').make({ platform: 'generic', name: 'named in the body' })
    expect(named.prefix).toBe('sk_live_')
    expect((await at('generic').call('GET', `/v1/api-keys/${named.id}`)).status).toBe(200)
    expect(refusal(await at('azotte').call('GET', '/v1/api-keys?platform=nobody'))).toBe(
      '404 resource/not_found',
    )
  })

  test('sees all platforms and their trees, and may do everything', async () => {
    const { json } = await at('azotte').call('GET', '/v1/platforms')
    expect(json.data.map((one: { slug: string }) => one.slug)).toEqual(slugs)
    const tree = await at('azotte').call('GET', '/v1/permissions?platform=tenzro')
    expect(tree.json.data.map((one: { service: string }) => one.service)).toContain('kev')
    const strong = await at('tenzro').make({ permissions: ['*'] })
    expect(strong.permissions).toEqual(['*'])
  })

  test('K16: reads a pattern for each kind of key that finds it in any text, and no other', async () => {
    const { json } = await at('azotte').call('GET', '/v1/platforms')
    for (const { slug, key_types } of json.data) {
      for (const { type, pattern, class: keyClass } of key_types) {
        const restrictions = keyClass === 'publishable' ? { origins: ['https://a.x'] } : null
        const { key } = await at(slug).make({ type, environment: undefined, restrictions })
        const found = new RegExp(pattern)
        expect(found.test(`const key = "${key}";`)).toBe(true)
        for (const text of [key.slice(0, -1), type, `${type}_`, crypto.randomUUID()]) {
          expect(found.test(text)).toBe(false)
        }
      }
    }
  })

  test('is nobody to the routes of a platform', async () => {
    const sent = { headers: { 'x-tn': 'tenant_abc123' } }
    const answer = await at('azotte').call('GET', '/v1/subscriptions', sent)
    expect(refusal(answer)).toBe('401 auth/invalid_key')
  })
})

describe("a platform's own words for a kind of key", () => {
  test.each([
    ['tenzro', 'Development', 'dev_', 'test'],
    ['tenzro', 'production', 'prod_', 'live'],
    ['tenzro', 'prod', 'prod_', 'live'],
    ['theazo', 'th_live', 'th_live_', 'live'],
    ['theazo', 'Test', 'th_test_', 'test'],
    ['generic', 'sk_test_', 'sk_test_', 'test'],
  ])('%s: %s is %s', async (slug, type, prefix, environment) => {
    const made = await at(slug).make({ type, environment: undefined })
    expect(made).toMatchObject({ prefix, environment, type: prefix.slice(0, -1) })
    expect(made.key.startsWith(prefix)).toBe(true)
  })

  test('a kind that a platform does not have is refused', async () => {
    const body = { name: 'x', class: 'publishable', environment: 'live' }
    const answer = await at('generic').call('POST', '/v1/api-keys', { body })
    expect(answer.json.errors[0]).toMatchObject({ location: 'body.class' })
  })
})

describe('G4, D27: two platforms', () => {
  test('never see each other: keys, tenants, audit, use', async () => {
    const keys = new Map<string, { id: string; key: string }>()
    for (const slug of slugs) keys.set(slug, await at(slug).make({ permissions: ['*'] }))
    for (const slug of slugs) {
      const own = keys.get(slug)
      const api = at(slug, own?.key)
      for (const other of slugs.filter((one) => one !== slug)) {
        const foreign = keys.get(other)?.id ?? ''
        const calls: [string, string, unknown?][] = [
          ['GET', ''],
          ['PATCH', '', { name: 'x' }],
          ['DELETE', ''],
          ['POST', '/rotate'],
          ['POST', '/disable'],
          ['GET', '/usage'],
        ]
        for (const [method, path, body] of calls) {
          const [theirs, random] = [
            await api.call(method, `/v1/api-keys/${foreign}${path}`, { body }),
            await api.call(method, `/v1/api-keys/key_${'0'.repeat(32)}${path}`, { body }),
          ]
          expect(stable(theirs)).toEqual(stable(random))
          expect(theirs.status).toBe(404)
        }
        const named = await api.call('GET', `/v1/api-keys?platform=${other}`)
        const nobody = await api.call('GET', '/v1/api-keys?platform=nobody')
        expect(stable(named)).toEqual(stable(nobody))
        // Its own key, shown to the other platform, is nobody's there.
        const stranger = await at(other, own?.key).call('GET', '/v1/api-keys')
        expect(refusal(stranger)).toMatch(/^401 auth\/(?:invalid|malformed)_key$/)
      }
      const all = await api.call('GET', '/v1/api-keys?limit=100')
      const audit = await api.call('GET', '/v1/audit-events?limit=100')
      for (const [other, { id }] of keys) {
        expect(all.text.includes(id), `${slug} lists ${other}`).toBe(other === slug)
        expect(audit.text.includes(id), `${slug} audits ${other}`).toBe(other === slug)
      }
      const { json } = await api.call('GET', '/v1/platforms')
      expect(json.data.map((one: { slug: string }) => one.slug)).toEqual([slug])
    }
  })

  test('have tenants of one name that are not one', async () => {
    const body = { id: 'same', metadata: { of: 'azotte' } }
    expect((await at('azotte').call('POST', '/v1/tenants', { body })).status).toBe(201)
    expect((await at('tenzro').call('GET', '/v1/tenants/same')).status).toBe(404)
    expect((await at('tenzro').call('POST', '/v1/tenants', { body })).status).toBe(201)
    await at('azotte').call('POST', '/v1/tenants/same/suspend')
    const { json } = await at('tenzro').call('GET', '/v1/tenants/same')
    expect(json.data.status).toBe('active')
  })
})

describe('G12: a host of its own', () => {
  let apart: TestGate
  let own: TestDatabase
  beforeAll(async () => {
    own = await createDatabase({ migrate: false })
    const text = `version: 1
platforms:
  - id: plt_one
    slug: one
    hosts: [one.example.com]
    permissions: { admin: [keys] }
    routes: [{ path: /v1/api-keys/**, handler: subscriptions }]
    seed: [{ id: a }]
  - id: plt_two
    slug: two
    hosts: [two.example.com]
    routes: [{ path: /v1/things, handler: subscriptions }]
management: { basePath: /admin/v1, hosts: [admin.example.com] }
`
    apart = await startGate({ DATABASE_URL: own.ownerUrl }, text)
  })
  afterAll(async () => {
    await apart?.stop()
    await own?.drop()
  })

  async function ask(host: string, path: string, key: string): Promise<string> {
    const wire = await openWire(Number(new URL(apart.url).port))
    try {
      const lines = [`GET ${path} HTTP/1.1`, `Host: ${host}`, `x-api-key: ${key}`]
      wire.send(`${lines.join('\r\n')}\r\n\r\n`)
      const { status, body } = await wire.answer()
      return `${status} ${/"code":"([^"]+)"/.exec(body)?.[1] ?? ''}`
    } finally {
      wire.close()
    }
  }

  test('has the management API, and no other host has', async () => {
    const { operator } = apart.seeded
    expect(await ask('admin.example.com', '/admin/v1/platforms', operator)).toBe('200 ')
    expect(await ask('one.example.com', '/admin/v1/platforms', operator)).toBe(
      '404 route/not_found',
    )
    expect(await ask('admin.example.com', '/v1/things', operator)).toBe('404 route/not_found')
    expect(await ask('one.example.com', '/v1/api-keys/x', operator)).toBe('401 auth/invalid_key')
    expect(await ask('other.example.com', '/admin/v1/platforms', operator)).toBe(
      '421 platform/unknown_host',
    )
  })

  test('knows platforms by name only: an operator says which, and so does their own key', async () => {
    const { operator } = apart.seeded
    const path = '/admin/v1/api-keys'
    expect(await ask('admin.example.com', path, operator)).toBe('400 request/invalid')
    expect(await ask('admin.example.com', `${path}?platform=one`, operator)).toBe('200 ')
    const key = await apart.mint({ permissions: ['admin:keys'] })
    expect(await ask('admin.example.com', `${path}?platform=one`, key)).toBe('200 ')
    for (const query of ['', '?platform=two', '?platform=nobody']) {
      expect(await ask('admin.example.com', path + query, key)).toBe('401 auth/invalid_key')
    }
  })
})
