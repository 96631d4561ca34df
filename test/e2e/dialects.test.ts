/**
 * The calls that the documents of the four sources show, each from curl, JavaScript and Python as they
 * show them, and the answers that they promise. What they say of keys beyond their calls is tried
 * below, source by source.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { generateKey } from '../../src/keys/format.ts'
import { type Asked, curl, httpClients, type Told } from '../http-clients.ts'
import { callerOf, refusal } from '../manage/caller.ts'
import { type Slug, type Sources, startSources } from '../sources-gate.ts'

let sources: Sources
/** The management API of each, with its admin key. */
let api: Readonly<Record<Slug, ReturnType<typeof callerOf>>>
beforeAll(async () => {
  sources = await startSources()
  const of = (slug: Slug) => callerOf(sources.urlOf(slug), sources.keyOf(slug, 'ADMIN'))
  api = { azotte: of('azotte'), theazo: of('theazo'), tenzro: of('tenzro'), generic: of('generic') }
})
afterAll(() => sources?.stop())

const json = { 'content-type': 'application/json' }
const bearer = (key: string) => ({ authorization: `Bearer ${key}` })
const azotteHeaders = (key: string) => ({ 'x-api-key': key, 'x-tn': 'tenant_abc123', ...json })
const unknownKey = (prefix: string) => generateKey(prefix).key
const text = expect.any(String)
const instant = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d/)
const requestId = expect.stringMatching(/^req_\w+$/)

type Call = {
  readonly name: string
  readonly slug: Slug
  readonly path: string
  /** Of the first start; a prefix that ends in `_` is an unknown key, and the rest is sent as it is. */
  readonly key: string
  readonly query?: Readonly<Record<string, string>>
  readonly body?: unknown
  readonly status: number
  readonly answer: object
}

const azotteRefusal = {
  error: {
    code: 'authentication_failed',
    message: 'Invalid API key provided',
    type: 'authentication_error',
  },
}
const theazoRefusal = { code: 'auth/invalid_key', status: 401, requestId }
const genericRefusal = { success: false, message: text }
const subscription = { id: expect.stringMatching(/^sub_/), plan: text, status: 'active' }
const question = {
  model: 'gemini-2.5-flash',
  messages: [{ role: 'user', content: 'Hello!' }],
}

const calls: readonly Call[] = [
  ...['/v1/subscriptions', '/api/v1/subscriptions'].flatMap((path): Call[] => [
    ...['SK_DEV', 'SK_LIVE', 'PK_DEV', 'PK_LIVE'].map((key) => ({
      name: `GET ${path} with ${key}`,
      slug: 'azotte' as const,
      ...{ path, key, status: 200 },
      answer: { data: expect.arrayContaining([expect.objectContaining(subscription)]) },
    })),
    // The keys that the document itself shows have no checksum, so they are no whole keys here.
    ...['sk_dev_1234567890abcdef', 'sk_dev_', 'sk_live_', 'whatever'].map((key) => ({
      name: `GET ${path} with ${key}`,
      slug: 'azotte' as const,
      ...{ path, key, status: 401, answer: azotteRefusal },
    })),
  ]),
  ...['TH_TEST', 'TH_LIVE'].map(
    (key): Call => ({
      name: `GET /v1/sessions?limit=20 with ${key}`,
      slug: 'theazo',
      ...{ path: '/v1/sessions', key, query: { limit: '20' }, status: 200 },
      answer: {
        sessions: Array(3).fill({
          id: expect.stringMatching(/^ses_\w+$/),
          userId: expect.stringMatching(/^user_\w+$/),
          status: expect.stringMatching(/^(?:active|ended)$/),
          environment: key === 'TH_TEST' ? 'test' : 'live',
          createdAt: instant,
        }),
        total: 3,
      },
    }),
  ),
  ...['', 'th_live_', 'th_test_', 'th_live_a1b2c3d4e5f6', 'nonsense'].map(
    (key): Call => ({
      name: `GET /v1/sessions with ${key || 'no key'}`,
      slug: 'theazo',
      ...{ path: '/v1/sessions', key, status: 401, answer: theazoRefusal },
    }),
  ),
  ...['DEV', 'PROD'].flatMap((key): Call[] => [
    {
      name: `GET /cloud/vec/databases with ${key}`,
      slug: 'tenzro',
      ...{ path: '/cloud/vec/databases', key, status: 200 },
      answer: {
        data: Array(2).fill({
          id: expect.stringMatching(/^vdb_\w+$/),
          name: expect.stringMatching(key === 'DEV' ? /-1-test$/ : /-1-live$/),
          dimensions: 768,
          created_at: instant,
        }),
      },
    },
    {
      name: `POST /cloud/ai/infer with ${key}`,
      slug: 'tenzro',
      ...{ path: '/cloud/ai/infer', key, body: question, status: 200 },
      answer: {
        object: 'example',
        model: 'gemini-2.5-flash',
        message: {
          role: 'assistant',
          content: 'An example, made without a model. You said: Hello!',
        },
      },
    },
  ]),
  ...['dev_your_api_key_here', 'dev_', 'prod_', 'client_'].map(
    (key): Call => ({
      name: `GET /cloud/vec/databases with ${key}`,
      slug: 'tenzro',
      ...{ path: '/cloud/vec/databases', key, status: 401, answer: { status: 401 } },
    }),
  ),
  ...['SK_TEST', 'SK_LIVE'].map(
    (key): Call => ({
      name: `GET /v1/users/usr_123 with ${key}`,
      slug: 'generic',
      ...{ path: '/v1/users/usr_123', key, status: 200 },
      answer: {
        success: true,
        data: {
          ...{ id: 'usr_123', name: key === 'SK_TEST' ? 'Ada (test)' : 'Ada (live)' },
          ...{ email: expect.stringMatching(/@/), created_at: instant },
        },
      },
    }),
  ),
  ...['sk_live_abc123xyz789', 'sk_test_', 'sk_live_', ''].map(
    (key): Call => ({
      name: `GET /v1/users/usr_123 with ${key || 'no key'}`,
      slug: 'generic',
      ...{ path: '/v1/users/usr_123', key, status: 401, answer: genericRefusal },
    }),
  ),
  {
    name: 'GET /v1/api-keys with SK_LIVE',
    slug: 'generic',
    ...{ path: '/v1/api-keys', key: 'SK_LIVE', status: 200 },
    answer: {
      success: true,
      data: expect.arrayContaining([
        expect.objectContaining({
          id: expect.stringMatching(/^key_\w+$/),
          name: 'local SK_LIVE',
          prefix: 'sk_live_',
          created_at: instant,
        }),
      ]),
    },
  },
]

function askedBy({ slug, path, key, body, query }: Call): Asked {
  const seeded = /^[A-Z]/.test(key)
  const sent = seeded ? sources.keyOf(slug, key) : key.endsWith('_') ? unknownKey(key) : key
  return {
    url: sources.urlOf(slug) + path,
    ...(body !== undefined && { method: 'POST', body }),
    ...(query !== undefined && { query }),
    headers: {
      ...json,
      ...(slug === 'azotte' ? azotteHeaders(sent) : sent !== '' && bearer(sent)),
    },
  }
}

describe.each(httpClients)('$name', (client) => {
  let answers: readonly Told[]
  beforeAll(async () => {
    answers = await client.sendAll(calls.map(askedBy))
  })

  test.each(calls.map((call, index) => ({ ...call, index })))('$slug: $name is $status', (call) => {
    const { status, json: answer, headers } = answers[call.index]!
    expect([status, answer]).toMatchObject([call.status, call.answer])
    expect(headers['x-request-id']).toEqual(requestId)
  })
})

/** A key that was made for it, in the words of the platform. */
const make = async (slug: Slug, body: Readonly<Record<string, unknown>>) => api[slug].make(body)

describe('azotte', () => {
  test('the raw request of its document, with its Host', async () => {
    const url = `${sources.urlOf('azotte')}/api/v1/subscriptions`
    const headers = azotteHeaders(sources.keyOf('azotte', 'SK_DEV'))
    const told = await curl.send({ url, headers: { host: 'api.azotte.com', ...headers } })
    expect([told.status, told.json.data.length > 0]).toEqual([200, true])
  })

  test('no refusal of a key has another code, and those of other things keep theirs', async () => {
    const url = `${sources.urlOf('azotte')}/v1/subscriptions`
    const key = sources.keyOf('azotte', 'SK_LIVE')
    const { key: ended, id } = await make('azotte', { type: 'sk_live' })
    await api.azotte.call('DELETE', `/v1/api-keys/${id}`)
    const { key: idle, id: idleId } = await make('azotte', { type: 'sk_live' })
    await api.azotte.call('POST', `/v1/api-keys/${idleId}/disable`)
    const words = async (headers: Record<string, string>) => {
      const { status, json: body } = await curl.send({ url, headers })
      return [status, body.error.code, body.error.type]
    }
    const refused = [401, 'authentication_failed', 'authentication_error']
    expect(await words({ 'x-tn': 'tenant_abc123' })).toEqual(refused)
    expect(await words(azotteHeaders(ended))).toEqual(refused)
    expect(await words(azotteHeaders(idle))).toEqual(refused)
    expect(await words({ 'x-api-key': key })).toEqual([
      ...[400, 'tenant/missing', 'invalid_request_error'],
    ])
  })

  test('a tenant sees its own rows, in the environment of the key', async () => {
    const seen = async (key: string, tenant: string) => {
      const url = `${sources.urlOf('azotte')}/v1/subscriptions`
      const headers = { 'x-api-key': sources.keyOf('azotte', key), 'x-tn': tenant }
      const { json: body } = await curl.send({ url, headers })
      return body.data.map(({ id }: { id: string }) => id)
    }
    const all = await Promise.all(
      ['SK_DEV', 'SK_LIVE'].flatMap((key) =>
        ['tenant_abc123', 'tenant_xyz789'].map((tenant) => seen(key, tenant)),
      ),
    )
    expect(all.map((ids) => ids.length)).toEqual([2, 2, 2, 2])
    expect(new Set(all.flat()).size).toBe(8)
  })
})

describe('theazo', () => {
  const url = () => `${sources.urlOf('theazo')}/v1/sessions`

  test('a revoked key is auth/key_revoked at its next request, in both places', async () => {
    const { key, id } = await make('theazo', { type: 'live', permissions: ['sessions:read'] })
    expect((await curl.send({ url: url(), headers: bearer(key) })).status).toBe(200)
    expect((await api.theazo.call('DELETE', `/v1/api-keys/${id}`)).status).toBe(200)
    const { status, json: body, headers } = await curl.send({ url: url(), headers: bearer(key) })
    expect([status, body]).toMatchObject([
      401,
      { code: 'auth/key_revoked', status: 401, error: { code: 'auth/key_revoked' } },
    ])
    expect(body.requestId).toBe(headers['request-id'])
  })

  test('one key is revoked without touching another', async () => {
    const [one, two] = await Promise.all(
      ['one', 'two'].map((name) =>
        make('theazo', { name, type: 'live', permissions: ['sessions:read'] }),
      ),
    )
    await api.theazo.call('DELETE', `/v1/api-keys/${one.id}`)
    expect((await curl.send({ url: url(), headers: bearer(one.key) })).status).toBe(401)
    expect((await curl.send({ url: url(), headers: bearer(two.key) })).status).toBe(200)
  })

  test('K4: the whole key is shown once, and afterwards what it starts with', async () => {
    const { key, id, ref, prefix } = await make('theazo', { type: 'live', name: 'shown once' })
    expect(key.startsWith(`${prefix}${ref}_`)).toBe(true)
    for (const path of [`/v1/api-keys/${id}`, '/v1/api-keys?name=shown%20once']) {
      const { text: shown } = await api.theazo.call('GET', path)
      expect(shown).toContain(ref)
      expect(shown).not.toContain(key.slice(-38, -4))
    }
  })

  test('limit: the list is as long as was asked for, and total says how many there are', async () => {
    const headers = bearer(sources.keyOf('theazo', 'TH_LIVE'))
    const ask = async (limit: string) => curl.send({ url: url(), headers, query: { limit } })
    const { sessions, total } = (await ask('1')).json
    expect([sessions.length, total]).toEqual([1, 3])
    for (const limit of ['0', '101', '-1', '1e1', '']) {
      const { status, json: body } = await ask(limit)
      expect([limit, status, body.error.param]).toEqual([limit, 400, 'limit'])
    }
  })
})

describe('tenzro', () => {
  const kinds: readonly [string, string, string][] = [
    ['Development', 'dev_', 'test'],
    ['Production', 'prod_', 'live'],
    ['Client', 'client_', 'live'],
  ]
  test.each(kinds)('a key of the type %s starts with %s', async (type, prefix, environment) => {
    const restrictions = type === 'Client' ? { origins: ['https://app.example.com'] } : null
    const { status, json: body } = await api.tenzro.call('POST', '/v1/api-keys', {
      body: {
        ...{ name: 'Production API', type, permissions: ['vec:read', 'ai:inference'] },
        ...{ expires_at: '2037-01-31T00:00:00Z', restrictions },
      },
    })
    const { key, ...data } = body.data
    expect([status, data]).toMatchObject([
      201,
      { name: 'Production API', prefix, environment, expires_at: '2037-01-31T00:00:00.000Z' },
    ])
    expect(data.class).toBe(type === 'Client' ? 'publishable' : 'secret')
    expect(key.startsWith(prefix)).toBe(true)
    const url = `${sources.urlOf('tenzro')}/cloud/vec/databases`
    const page = type === 'Client' && { origin: 'https://app.example.com' }
    const told = await curl.send({ url, headers: { ...bearer(key), ...json, ...page } })
    expect(told.status).toBe(200)
  })

  test('G10: every permission of its tree can be given, and a route demands its own', async () => {
    const tree = {
      ...{ vec: ['read', 'write', 'delete'], kev: ['read', 'write', 'delete'] },
      ...{ data: ['read', 'write', 'admin'], ai: ['inference', 'agents', 'workflows'] },
      ...{ files: ['read', 'write', 'delete'], admin: ['keys', 'usage'] },
    }
    const all = Object.entries(tree).flatMap(([service, actions]) =>
      actions.map((action) => `${service}:${action}`),
    )
    const { permissions } = await make('tenzro', { type: 'Production', permissions: all })
    expect(permissions).toEqual(all)
    const without = all.filter((one) => one !== 'vec:read')
    const { key } = await make('tenzro', { type: 'Production', permissions: without })
    const url = `${sources.urlOf('tenzro')}/cloud/vec/databases`
    const { status, json: body } = await curl.send({ url, headers: bearer(key) })
    expect([status, body.code, body.error.param]).toEqual([
      ...[403, 'auth/insufficient_permission', 'vec:read'],
    ])
  })

  test.each([
    [{ ...question, temperature: 1 }, 'body'],
    [{ ...question, messages: [] }, 'body.messages'],
    [{ model: 'm', messages: [{ role: 'robot', content: 'x' }] }, 'body.messages.0.role'],
    [undefined, 'body.model'],
  ])('inference refuses %j by where it is wrong', async (body, location) => {
    const url = `${sources.urlOf('tenzro')}/cloud/ai/infer`
    const headers = { ...bearer(sources.keyOf('tenzro', 'DEV')), ...json }
    const told = await curl.send({ url, headers, method: 'POST', ...(body && { body }) })
    expect(told.status).toBe(400)
    expect(told.json.errors).toContainEqual(expect.objectContaining({ location }))
  })

  describe('a client key', () => {
    const page = 'https://app.example.com'
    const makeClient = () =>
      make('tenzro', {
        type: 'Client',
        permissions: ['ai:inference', 'vec:read'],
        restrictions: { origins: [page] },
      })
    const ask = (path: string, headers: Record<string, string>, method = 'GET') =>
      fetch(sources.urlOf('tenzro') + path, { method, headers })

    test.each([
      ['admin:keys'],
      ['admin:*'],
      ['admin:usage'],
      ['data:admin'],
      ['data:*'],
      ['*'],
      ['self:rotate'],
    ])('is never given %s, from the start or later', async (permission) => {
      const restrictions = { origins: [page] }
      const permissions = ['vec:read', permission]
      const body = { name: 'c', type: 'Client', permissions, restrictions }
      const refused = await api.tenzro.call('POST', '/v1/api-keys', { body })
      expect(refusal(refused)).toBe('400 request/invalid')
      expect(refused.json.errors[0].location).toBe('body.permissions[1]')
      const { id } = await makeClient()
      const headers = { 'if-match': '*' }
      const patched = await api.tenzro.call('PATCH', `/v1/api-keys/${id}`, {
        ...{ body: { permissions }, headers },
      })
      expect(refusal(patched)).toBe('400 request/invalid')
    })

    test('has to name a domain', async () => {
      const body = { name: 'c', type: 'Client', permissions: ['vec:read'] }
      const refused = await api.tenzro.call('POST', '/v1/api-keys', { body })
      expect(refused.json.errors[0].location).toBe('body.restrictions.origins')
    })

    test('may be used by pages of its domains and by no others', async () => {
      const { key } = await makeClient()
      const leave = (origin: string) =>
        ask(
          '/cloud/ai/infer',
          {
            origin,
            'access-control-request-method': 'POST',
            'access-control-request-headers': 'authorization,content-type',
          },
          'OPTIONS',
        )
      const granted = await leave(page)
      expect([granted.status, granted.headers.get('access-control-allow-origin')]).toEqual([
        ...[204, page],
      ])
      expect(granted.headers.get('access-control-allow-headers')).toContain('authorization')
      const denied = await leave('https://evil.example')
      expect([denied.status, denied.headers.get('access-control-allow-origin')]).toEqual([
        ...[403, null],
      ])
      const call = (origin: string) => ask('/cloud/vec/databases', { ...bearer(key), origin })
      const mine = await call(page)
      expect([mine.status, mine.headers.get('access-control-allow-origin')]).toEqual([200, page])
      const theirs = await call('https://evil.example')
      expect([theirs.status, (await theirs.json()).code]).toEqual([
        ...[403, 'auth/origin_not_allowed'],
      ])
      expect(theirs.headers.get('access-control-allow-origin')).toBeNull()
      // A server that says nothing of a page is no page of the list.
      expect((await ask('/cloud/vec/databases', bearer(key))).status).toBe(403)
    })

    test('a secret key in a page is refused by name', async () => {
      const headers = { ...bearer(sources.keyOf('tenzro', 'PROD')), origin: page }
      const answer = await ask('/cloud/vec/databases', headers)
      expect([answer.status, (await answer.json()).code]).toEqual([
        ...[403, 'auth/secret_key_in_browser'],
      ])
    })

    test('calls 100 times a minute, and a production key more', async () => {
      const { key } = await makeClient()
      const answers = await Promise.all(
        Array.from({ length: 101 }, () =>
          ask('/cloud/vec/databases', { ...bearer(key), origin: page }),
        ),
      )
      const statuses = answers.map(({ status }) => status).sort()
      expect([statuses[0], statuses[99], statuses[100]]).toEqual([200, 200, 429])
      const late = answers.find(({ status }) => status === 429)
      expect(Number(late?.headers.get('retry-after'))).toBeGreaterThan(0)
      // A page may read that, and wait.
      expect(late?.headers.get('access-control-allow-origin')).toBe(page)
      const prod = await ask('/cloud/vec/databases', bearer(sources.keyOf('tenzro', 'PROD')))
      expect(prod.status).toBe(200)
    })
  })

  test('a revoked key is a 401', async () => {
    const { key, id } = await make('tenzro', { type: 'Production', permissions: ['vec:read'] })
    const url = `${sources.urlOf('tenzro')}/cloud/vec/databases`
    expect((await curl.send({ url, headers: bearer(key) })).status).toBe(200)
    await api.tenzro.call('POST', `/v1/api-keys/${id}/revoke`)
    const { status, json: body } = await curl.send({ url, headers: bearer(key) })
    expect([status, body.code]).toEqual([401, 'auth/key_revoked'])
  })
})

describe('generic', () => {
  const base = () => sources.urlOf('generic')
  const useUser = (key: string, headers: Record<string, string> = {}) =>
    curl.send({ url: `${base()}/v1/users/usr_123`, headers: { ...bearer(key), ...headers } })
  const wide = { type: 'live', permissions: ['users:read', 'data:read'] }

  test.each(httpClients)('$name: keys are listed, and one is revoked', async (client) => {
    const { id, key } = await make('generic', { ...wide, name: `Production Key of ${client.name}` })
    const headers = bearer(sources.keyOf('generic', 'ADMIN'))
    const url = `${base()}/v1/api-keys`
    const listed: Told = await client.send({ url, headers })
    expect([listed.status, listed.json.success]).toEqual([200, true])
    expect(listed.json.data).toContainEqual(
      expect.objectContaining({
        ...{ id, name: `Production Key of ${client.name}`, prefix: 'sk_live_' },
        ...{ created_at: instant, last_used: null },
      }),
    )
    expect((await useUser(key)).status).toBe(200)
    const revoked = await client.send({ url: `${url}/${id}`, method: 'DELETE', headers })
    expect([revoked.status, revoked.json]).toMatchObject([
      200,
      { success: true, message: 'API key revoked successfully' },
    ])
    const { status, json: body } = await useUser(key)
    expect([status, body]).toMatchObject([401, { success: false, code: 'auth/key_revoked' }])
  })

  test('a permission that a key lacks is a 403 that names it', async () => {
    const { key } = await make('generic', { type: 'live', permissions: ['data:read'] })
    const { status, json: body } = await useUser(key)
    expect([status, body]).toMatchObject([403, { success: false, error: { param: 'users:read' } }])
  })

  test('a user of nobody, and one of another tenant, is not there', async () => {
    // An admin key of the first start is bound to the first tenant, as all keys there are.
    const operator = sources.gate.variable('POSTERN_OPERATOR_KEY')
    const { key } = await api.generic.make({ ...wide, tenants: ['org_2'] }, operator)
    expect((await useUser(key)).json.data.name).toBe('Grace (live)')
    const { status, json: body } = await curl.send({
      ...{ url: `${base()}/v1/users/usr_999`, headers: bearer(key) },
    })
    expect([status, body.code]).toEqual([404, 'resource/not_found'])
  })

  const restrictions: readonly {
    name: string
    rule: Readonly<Record<string, readonly string[]>>
    passes: Readonly<Record<string, string>> | null
    code: string
  }[] = [
    { name: 'address', rule: { ips: ['203.0.113.0/24'] }, passes: null, code: 'ip' },
    {
      name: 'referrer',
      rule: { referrers: ['https://shop.example.com'] },
      passes: { referer: 'https://shop.example.com/basket?id=1' },
      code: 'origin',
    },
    {
      name: 'endpoint',
      rule: { endpoints: ['GET /v1/subscriptions'] },
      passes: null,
      code: 'endpoint',
    },
  ]
  test.each(restrictions)(
    'a key is restricted by $name when it is made, and later',
    async ({ rule, passes, code }) => {
      const refused = [403, `auth/${code}_not_allowed`]
      const answerOf = async (key: string, headers: Record<string, string> = {}) => {
        const { status, json: body } = await useUser(key, headers)
        return status === 200 ? [200] : [status, body.code]
      }
      const born = await make('generic', { ...wide, restrictions: rule })
      expect(await answerOf(born.key)).toEqual(refused)
      const grown = await make('generic', wide)
      expect(await answerOf(grown.key)).toEqual([200])
      const path = `/v1/api-keys/${grown.id}`
      const change = (body: object, etag: string) =>
        api.generic.call('PATCH', path, { body, headers: { 'if-match': etag } })
      const narrowed = await change({ restrictions: rule }, grown.etag)
      expect(narrowed.json.data.restrictions).toMatchObject(rule)
      expect(await answerOf(grown.key)).toEqual(refused)
      for (const key of [born.key, grown.key]) {
        if (passes !== null) expect(await answerOf(key, passes)).toEqual([200])
      }
      const widened = await change({ restrictions: null }, narrowed.json.data.etag)
      expect(widened.status).toBe(200)
      expect(await answerOf(grown.key)).toEqual([200])
    },
  )
})
