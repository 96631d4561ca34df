/**
 * `npm start -- examples/sources.yaml`: four platforms in one process that never see each other, each
 * with the keys, the way of naming a tenant and the words of its own.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { generateKey } from '../../src/keys/format.ts'
import { withClient } from '../database.ts'
import { call } from '../gate-process.ts'
import { liveKeys, type Slug, type Sources, slugs, startSources } from '../sources-gate.ts'

const list = '/v1/subscriptions'

/** The prefixes of each scheme, as variables name them. */
const keys: Readonly<Record<Slug, readonly string[]>> = {
  azotte: ['PK_DEV', 'SK_DEV', 'PK_LIVE', 'SK_LIVE', 'ADMIN'],
  theazo: ['TH_TEST', 'TH_LIVE', 'ADMIN'],
  tenzro: ['DEV', 'PROD', 'CLIENT', 'ADMIN'],
  generic: ['SK_TEST', 'SK_LIVE', 'ADMIN'],
}

let sources: Sources
beforeAll(async () => {
  sources = await startSources()
})
afterAll(() => sources?.stop())

const urlOf = (slug: Slug) => sources.urlOf(slug)
const keyOf = (slug: Slug, name: string) => sources.keyOf(slug, name)
const tenantsOf = (slug: Slug) => sources.tenantsOf(slug)

/** Calls as the platform's callers do: a tenant is sent where it has to be. */
const callAs = (slug: Slug, key: string | undefined, sent: Parameters<typeof call>[1] = {}) =>
  call(urlOf(slug) + list, {
    ...sent,
    ...(slug === 'azotte' ? { tenant: tenantsOf(slug)[0] } : {}),
    ...(key === undefined ? {} : { headers: { ...sent.headers, authorization: `Bearer ${key}` } }),
  })

describe.each(slugs)('%s', (slug) => {
  test('has a URL and every key of its scheme, and its secret keys read', async () => {
    expect(urlOf(slug)).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/)
    for (const name of keys[slug]) {
      const { status, json } = await callAs(slug, keyOf(slug, name))
      expect([name, status]).toEqual([name, 200])
      expect(json.data.length).toBeGreaterThan(0)
    }
  })

  test.each(slugs.filter((other) => other !== slug))(
    'takes a key of %s for one that nobody issued',
    async (other) => {
      for (const name of keys[other]) {
        const foreign = keyOf(other, name)
        const prefix = foreign.slice(0, -48)
        const [answer, unknown] = [
          await callAs(slug, foreign),
          await callAs(slug, generateKey(prefix).key),
        ]
        expect([answer.status, answer.json.code]).toEqual([401, 'auth/invalid_key'])
        expect(stable(answer.json)).toEqual(stable(unknown.json))
        // Having been shown to another platform, it is as good as before on its own.
        expect((await callAs(other, foreign)).status).toBe(200)
      }
    },
  )

  test('what is written on it is seen on it alone', async () => {
    const key = keyOf(slug, liveKeys[slug])
    const made = await callAs(slug, key, { method: 'POST', body: { plan: slug } })
    expect(made.status).toBe(201)
    for (const other of slugs) {
      const { json } = await callAs(other, keyOf(other, liveKeys[other]))
      const ids = json.data.map(({ id }: { id: string }) => id)
      expect(ids.includes(made.json.id), other).toBe(other === slug)
    }
  })
})

describe('the tenant', () => {
  test.each(['theazo', 'tenzro', 'generic'] as const)(
    'is implied by a key of %s, may be named, and another is refused',
    async (slug) => {
      const key = keyOf(slug, liveKeys[slug])
      const [own = '', other = ''] = tenantsOf(slug)
      const ask = async (tenant?: string) => {
        const headers = { authorization: `Bearer ${key}` }
        return call(urlOf(slug) + list, { headers, ...(tenant === undefined ? {} : { tenant }) })
      }
      const [implied, named, foreign, unknown] = [
        await ask(),
        await ask(own),
        await ask(other),
        await ask('nobody'),
      ]
      expect(implied.json).toEqual(named.json)
      expect(implied.status).toBe(200)
      expect([foreign.status, foreign.json.code]).toEqual([403, 'tenant/mismatch'])
      expect(stable(unknown.json)).toEqual(stable(foreign.json))
    },
  )

  test('has to be named on azotte', async () => {
    const key = keyOf('azotte', 'SK_LIVE')
    expect((await call(urlOf('azotte') + list, { key })).json.code).toBe('tenant/missing')
  })

  test('D27: rows of one tenant id on two platforms never meet', async () => {
    const [mine = ''] = tenantsOf('generic')
    await withClient(sources.ownerUrl, (client) =>
      client.query(`insert into postern.tenants (platform, id) values ('plt_azotte', $1)`, [mine]),
    )
    const here = () => callAs('generic', keyOf('generic', 'SK_LIVE'))
    const there = (method = 'GET', body?: unknown) =>
      call(urlOf('azotte') + list, {
        ...{ key: keyOf('azotte', 'SK_LIVE'), tenant: mine, method },
        ...(body === undefined ? {} : { body }),
      })
    const before = (await here()).json
    expect((await there()).json).toEqual({ data: [] })
    const made = await there('POST', { plan: 'of the namesake' })
    expect(made.status).toBe(201)
    expect((await there()).json.data).toHaveLength(1)
    expect((await here()).json).toEqual(before)
  })
})

describe('the words of a refusal', () => {
  const table: readonly [Slug, string | undefined, string, string][] = [
    // slug, key, code, error.code
    ['azotte', undefined, 'auth/missing_key', 'authentication_failed'],
    ['azotte', 'sk_live_x', 'auth/malformed_key', 'authentication_failed'],
    ['theazo', undefined, 'auth/invalid_key', 'auth/invalid_key'],
    ['theazo', 'th_live_x', 'auth/invalid_key', 'auth/invalid_key'],
    ['tenzro', undefined, 'auth/missing_key', 'auth/missing_key'],
    ['tenzro', 'prod_x', 'auth/malformed_key', 'auth/malformed_key'],
    ['generic', undefined, 'auth/missing_key', 'auth/missing_key'],
    ['generic', 'sk_live_x', 'auth/malformed_key', 'auth/malformed_key'],
  ]
  test.each(table)('%s, key %s: %s, and error.code %s', async (slug, key, code, word) => {
    const { status, json } = await callAs(slug, key)
    expect([status, json.code, json.error.code]).toEqual([401, code, word])
  })
})

test('the welcome has a line to paste for every platform', async () => {
  const lines = [...sources.gate.stdout().matchAll(/^ +curl (\S+) (.*)$/gm)]
  expect(lines.map(([, url = '']) => new URL(url).origin)).toEqual(slugs.map(urlOf))
  for (const [, url = '', rest = ''] of lines) {
    const headers = [...rest.matchAll(/-H "([^:]+): ([^"]+)"/g)].map(([, name, value]) => [
      name,
      value,
    ])
    expect((await call(url, { headers: Object.fromEntries(headers) })).status).toBe(200)
  }
})

/** A problem body without what differs from one request to the next. */
function stable(json: { requestId: string; error: { request_id: string } }): unknown {
  return { ...json, requestId: '', error: { ...json.error, request_id: '' } }
}
