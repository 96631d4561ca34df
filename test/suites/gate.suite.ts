/**
 * What a caller sees of the gate, over HTTP and nothing else: the same suite for every storage and
 * every runtime. Keys beyond the seeded ones are minted through the store, as management will.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { KeyRecord } from '../../src/context.ts'
import { generateKey } from '../../src/keys/format.ts'

export type GateUnderTest = {
  /** Without a trailing slash. */
  readonly url: string
  readonly seeded: Readonly<
    Record<'pk_dev_' | 'sk_dev_' | 'pk_live_' | 'sk_live_' | 'admin' | 'operator', string>
  >
  /** Stores a key and answers its string. */
  mint(changes: Partial<KeyRecord>, as?: { revoked?: boolean; disabled?: boolean }): Promise<string>
  suspend(tenant: string): Promise<void>
  addTenant(tenant: string): Promise<void>
  /** Everything logged so far. */
  logged(): Promise<string>
  stop(): Promise<void>
}

type Sent = {
  key?: string
  tenant?: string | null
  method?: string
  body?: unknown
  raw?: BodyInit
  headers?: Record<string, string>
}

const abc = 'tenant_abc123'
const xyz = 'tenant_xyz789'
const list = '/v1/subscriptions'

/** `runtime` tells which side of differences.ts is expected. */
export function gateSuite(
  name: string,
  start: () => Promise<GateUnderTest>,
  runtime: 'node' | 'workers' = 'node',
): void {
  describe(`the gate on ${name}`, () => {
    let gate: GateUnderTest
    beforeAll(async () => {
      gate = await start()
    })
    afterAll(() => gate?.stop())

    async function call(path: string, sent: Sent = {}) {
      const headers: Record<string, string> = { ...sent.headers }
      if (sent.key !== undefined) headers['x-api-key'] = sent.key
      if (sent.tenant != null) headers['x-tn'] = sent.tenant
      if (sent.body !== undefined) headers['content-type'] ??= 'application/json'
      const response = await fetch(gate.url + path, {
        method: sent.method ?? 'GET',
        headers,
        body: sent.raw ?? (sent.body === undefined ? undefined : JSON.stringify(sent.body)),
      })
      const text = await response.text()
      const json =
        /\bjson\b/.test(response.headers.get('content-type') ?? '') && text !== ''
          ? JSON.parse(text)
          : null
      return { status: response.status, headers: response.headers, text, json }
    }
    const ids = (answer: { json: { data: { id: string }[] } }) =>
      answer.json.data.map(({ id }) => id)
    const live = () => ({ key: gate.seeded.sk_live_, tenant: abc })

    async function expectProblem(
      answer: Awaited<ReturnType<typeof call>>,
      status: number,
      code: string,
    ) {
      expect([answer.status, answer.json?.code]).toEqual([status, code])
      expect(answer.headers.get('content-type')).toBe('application/problem+json')
      expect(answer.json.requestId).toBe(answer.headers.get('x-request-id'))
      const page = await fetch(answer.json.error.doc_url)
      expect(page.status, 'the error page is there').toBe(200)
      await page.body?.cancel()
    }

    describe('one tenant never meets another', () => {
      test('D27: two tenants, two environments: four lists with nothing in common', async () => {
        const all = await Promise.all(
          [gate.seeded.sk_dev_, gate.seeded.sk_live_].flatMap((key) =>
            [abc, xyz].map(async (tenant) => ids(await call(list, { key, tenant }))),
          ),
        )
        expect(all.every((one) => one.length > 0)).toBe(true)
        expect(new Set(all.flat()).size).toBe(all.flat().length)
      })

      test('a foreign id is a 404 to read, to change and to delete, and stays as it was', async () => {
        const [id] = ids(await call(list, { key: gate.seeded.sk_live_, tenant: xyz }))
        for (const key of [gate.seeded.sk_live_, gate.seeded.sk_dev_]) {
          for (const method of ['GET', 'PUT', 'PATCH', 'DELETE']) {
            const body = method.startsWith('P') ? { plan: 'taken' } : undefined
            await expectProblem(
              await call(`${list}/${id}`, { key, tenant: abc, method, body }),
              404,
              'resource/not_found',
            )
          }
        }
        const kept = await call(`${list}/${id}`, { key: gate.seeded.sk_live_, tenant: xyz })
        expect(kept.json.plan).not.toBe('taken')
      })

      test('a row is written, read, changed and deleted in its own tenant and environment', async () => {
        const made = await call(list, {
          ...live(),
          method: 'POST',
          body: { plan: 'pro', seats: 3 },
        })
        expect(made.status).toBe(201)
        const at = `${list}/${made.json.id}`
        expect((await call(`/api${at}`, live())).json).toMatchObject({
          plan: 'pro',
          seats: 3,
          status: 'active',
        })
        expect((await call(at, { ...live(), key: gate.seeded.sk_dev_ })).status).toBe(404)
        expect(
          (await call(at, { ...live(), method: 'PATCH', body: { seats: 4 } })).json,
        ).toMatchObject({ plan: 'pro', seats: 4 })
        expect((await call(at, { ...live(), method: 'DELETE' })).status).toBe(204)
        expect((await call(at, live())).status).toBe(404)
      })

      test('T15: mixed tenants at once never see a foreign row', async () => {
        const own = new Map<string, string>()
        for (const tenant of [abc, xyz])
          for (const id of ids(await call(list, { ...live(), tenant }))) own.set(id, tenant)
        const rounds = Array.from({ length: 200 }, (_, i) => (i % 2 ? abc : xyz))
        const answers = await Promise.all(
          rounds.map(async (tenant) => ({
            tenant,
            answer: await call(list, { ...live(), tenant }),
          })),
        )
        for (const { tenant, answer } of answers) {
          expect(answer.status).toBe(200)
          for (const id of ids(answer)) expect(own.get(id)).toBe(tenant)
        }
      })

      test('O5: only answers of the test environment say so', async () => {
        const dev = await call(list, { key: gate.seeded.sk_dev_, tenant: abc })
        expect(dev.headers.get('postern-mode')).toBe('test')
        expect((await call(list, live())).headers.get('postern-mode')).toBeNull()
      })
    })

    describe('keys', () => {
      test('Bearer and x-api-key are the same', async () => {
        const headers = { authorization: `bearer ${gate.seeded.sk_live_}` }
        expect(ids(await call(list, { tenant: abc, headers }))).toEqual(
          ids(await call(list, live())),
        )
      })

      const bad: readonly [string, () => Sent & { path?: string }, number, string][] = [
        ['no key', () => ({}), 401, 'auth/missing_key'],
        [
          'K8: a wrong checksum',
          () => ({ key: `${gate.seeded.sk_live_.slice(0, -1)}!` }),
          401,
          'auth/malformed_key',
        ],
        [
          'K6: the case of one letter swapped',
          () => ({ key: swapCase(gate.seeded.sk_live_) }),
          401,
          'auth/malformed_key',
        ],
        [
          'K7: another prefix before the rest',
          () => ({ key: gate.seeded.sk_live_.replace('sk_live_', 'pk_live_') }),
          401,
          'auth/malformed_key',
        ],
        [
          'K3: a well-formed key that nobody issued',
          () => ({ key: generateKey('sk_live_').key }),
          401,
          'auth/invalid_key',
        ],
        [
          'an operator key on the API',
          () => ({ key: gate.seeded.operator }),
          401,
          'auth/invalid_key',
        ],
        [
          'K13: Basic',
          () => ({ headers: { authorization: `Basic ${gate.seeded.sk_live_}` } }),
          401,
          'auth/malformed_key',
        ],
        [
          'K13: two spaces',
          () => ({ headers: { authorization: `Bearer  ${gate.seeded.sk_live_}` } }),
          401,
          'auth/malformed_key',
        ],
        [
          'K13: something after the key',
          () => ({ headers: { authorization: `Bearer ${gate.seeded.sk_live_} x` } }),
          401,
          'auth/malformed_key',
        ],
        [
          'K12: two credentials',
          () => ({
            key: gate.seeded.sk_live_,
            headers: { authorization: `Bearer ${gate.seeded.sk_dev_}` },
          }),
          400,
          'auth/ambiguous_credentials',
        ],
        [
          'K10: a key in the URL',
          () => ({ path: `${list}?api_key=${gate.seeded.sk_live_}` }),
          400,
          'auth/key_in_url',
        ],
      ]
      test.each(bad)('%s', async (_, sent, status, code) => {
        const { path = list, ...rest } = sent()
        const answer = await call(path, { tenant: abc, ...rest })
        await expectProblem(answer, status, code)
        if (status === 401) {
          expect(answer.json.error.code).toBe('authentication_failed')
          expect(answer.headers.get('www-authenticate')).toMatch(/^Bearer realm="/)
        }
        for (const key of Object.values(gate.seeded)) expect(answer.text).not.toContain(key)
      })

      const states: readonly [
        string,
        Partial<KeyRecord>,
        { revoked?: boolean; disabled?: boolean },
        string,
      ][] = [
        ['revoked', {}, { revoked: true }, 'auth/key_revoked'],
        ['expired', { expiresAt: 1 }, {}, 'auth/key_expired'],
        ['disabled', {}, { disabled: true }, 'auth/key_disabled'],
      ]
      test.each(states)(
        'K3: a key that is %s says so, once its whole secret matched',
        async (_, changes, as, code) => {
          const key = await gate.mint(changes, as)
          await expectProblem(await call(list, { key, tenant: abc }), 401, code)
          const ref = key.slice('sk_live_'.length, 'sk_live_'.length + 9)
          const guess = await call(list, { key: generateKey('sk_live_', ref).key, tenant: abc })
          const random = await call(list, { key: generateKey('sk_live_').key, tenant: abc })
          expect(stable(guess.json)).toEqual(stable(random.json))
        },
      )

      test('K17: a publishable key reads where the route allows it, and never writes', async () => {
        const key = gate.seeded.pk_live_
        expect((await call(list, { key, tenant: abc })).status).toBe(200)
        const write = await call(list, { key, tenant: abc, method: 'POST', body: { plan: 'pro' } })
        await expectProblem(write, 403, 'auth/class_not_allowed')
      })

      test('a permission that is missing is named', async () => {
        const key = await gate.mint({ permissions: ['data:read'] })
        expect((await call(list, { key, tenant: abc })).status).toBe(200)
        const write = await call(list, { key, tenant: abc, method: 'POST', body: { plan: 'pro' } })
        await expectProblem(write, 403, 'auth/insufficient_permission')
        expect(write.json.detail).toContain('data:write')
      })

      test('a secret key from a browser is refused by name', async () => {
        const headers = {
          origin: 'https://shop.example',
          'sec-fetch-mode': 'cors',
          'sec-fetch-site': 'cross-site',
        }
        await expectProblem(
          await call(list, { ...live(), headers }),
          403,
          'auth/secret_key_in_browser',
        )
      })
    })

    describe('tenants', () => {
      test('T3: a missing tenant is a 400', async () => {
        await expectProblem(await call(list, { key: gate.seeded.sk_live_ }), 400, 'tenant/missing')
      })

      test.each([
        'a b',
        'acm\u00e9',
        "a'--",
        'a;DROP',
        '%00',
        '../b',
        '{{',
        '__proto__',
        '-a',
        '_a',
        'a'.repeat(64),
      ])('T2 T5 T9: %j is malformed', async (tenant) => {
        await expectProblem(
          await call(list, { key: gate.seeded.sk_live_, tenant }),
          400,
          'tenant/malformed',
        )
      })

      test('T2: two ids in one line are never one tenant', async () => {
        const answer = await call(list, { key: gate.seeded.sk_live_, tenant: `${abc}, ${xyz}` })
        const code = runtime === 'node' ? 'tenant/malformed' : 'request/duplicate_header'
        await expectProblem(answer, 400, code)
      })

      test('T4: optional white space around the id is not part of it', async () => {
        expect(
          (await call(list, { key: gate.seeded.sk_live_, tenant: ` \t${abc}\t ` })).status,
        ).toBe(200)
      })

      test('T6: another case is another tenant', async () => {
        await expectProblem(
          await call(list, { ...live(), tenant: abc.toUpperCase() }),
          403,
          'tenant/mismatch',
        )
      })

      test('T8: a foreign tenant and one that does not exist are answered alike', async () => {
        const key = await gate.mint({ tenants: [abc] })
        expect((await call(list, { key, tenant: abc })).status).toBe(200)
        const foreign = await call(list, { key, tenant: xyz })
        await expectProblem(foreign, 403, 'tenant/mismatch')
        const nobody = await call(list, { key, tenant: 'tenant_nobody' })
        const any = await call(list, { ...live(), tenant: 'tenant_nobody' })
        expect(stable(nobody.json)).toEqual(stable(foreign.json))
        expect(stable(any.json)).toEqual(stable(foreign.json))
      })

      test('T13: a tenant in the query or the body changes nothing', async () => {
        const listed = await call(`${list}?tenant=${xyz}&x-tn=${xyz}`, live())
        expect(ids(listed)).toEqual(ids(await call(list, live())))
        const write = await call(list, {
          ...live(),
          method: 'POST',
          body: { plan: 'pro', tenant: xyz },
        })
        await expectProblem(write, 400, 'request/invalid')
      })

      test('a suspended tenant is refused', async () => {
        await gate.addTenant('tenant_suspended')
        await gate.suspend('tenant_suspended')
        await expectProblem(
          await call(list, { ...live(), tenant: 'tenant_suspended' }),
          403,
          'tenant/suspended',
        )
      })
    })

    describe('limits', () => {
      const three = [{ name: 'key', quota: 3, windowSeconds: 60, onStoreDown: 'local' as const }]

      test('L1: exactly the quota passes of what comes at once, and the answer says when to return', async () => {
        const key = await gate.mint({ limits: three })
        const answers = await Promise.all(
          Array.from({ length: 12 }, () => call(list, { key, tenant: abc })),
        )
        expect(answers.filter(({ status }) => status === 200)).toHaveLength(3)
        const refused = answers.filter(({ status }) => status === 429)
        expect(refused).toHaveLength(9)
        for (const answer of refused) {
          expect(answer.json.code).toBe('rate_limit/exceeded')
          expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0)
          expect(Number(answer.headers.get('retry-after'))).toBeLessThanOrEqual(61)
        }
        await expectProblem(refused[0]!, 429, 'rate_limit/exceeded')
        expect((await call(list, live())).status, 'another key is not held to it').toBe(200)
      })

      test('L16: every answer that was charged carries RateLimit-Policy and RateLimit', async () => {
        const { headers } = await call(list, live())
        expect(headers.get('ratelimit-policy')).toMatch(/"[^"]+";q=\d+;w=\d+/)
        expect(headers.get('ratelimit')).toMatch(/"[^"]+";r=\d+;t=\d+/)
      })

      test('L14: a refused credential costs its tenant nothing', async () => {
        const key = await gate.mint({ limits: three })
        const ref = key.slice('sk_live_'.length, 'sk_live_'.length + 9)
        for (let i = 0; i < 5; i++)
          await call(list, { key: generateKey('sk_live_', ref).key, tenant: abc })
        const answers = await Promise.all([1, 2, 3].map(() => call(list, { key, tenant: abc })))
        expect(answers.map(({ status }) => status)).toEqual([200, 200, 200])
      })
    })

    describe('requests', () => {
      const badBodies: readonly [string, BodyInit, string, number, string][] = [
        ['not JSON', '{"plan":', 'application/json', 400, 'request/malformed'],
        ['D22: NUL', '{"plan":"a\\u0000"}', 'application/json', 400, 'request/malformed'],
        [
          'D22: half a surrogate pair',
          '{"plan":"\\ud800"}',
          'application/json',
          400,
          'request/malformed',
        ],
        [
          'not UTF-8',
          Uint8Array.of(0x22, 0xff, 0x22),
          'application/json',
          400,
          'request/malformed',
        ],
        ['G8: 100 000 brackets', '['.repeat(100_000), 'application/json', 400, 'request/malformed'],
        [
          'G7: __proto__',
          '{"__proto__":{"plan":"x"}}',
          'application/json',
          400,
          'request/malformed',
        ],
        [
          'an unknown field',
          '{"plan":"pro","colour":"red"}',
          'application/json',
          400,
          'request/invalid',
        ],
        ['a wrong type', '{"plan":7}', 'application/json', 400, 'request/invalid'],
        ['an array', '[]', 'application/json', 400, 'request/invalid'],
        [
          'another media type',
          'plan=pro',
          'application/x-www-form-urlencoded',
          415,
          'request/unsupported_media_type',
        ],
        [
          'R20: a body that is too large',
          `{"plan":"${'x'.repeat(2_000_000)}"}`,
          'application/json',
          413,
          'request/too_large',
        ],
      ]
      test.each(badBodies)('a body: %s', async (_, raw, type, status, code) => {
        const before = ids(await call(list, live()))
        const answer = await call(list, {
          ...live(),
          method: 'POST',
          raw,
          headers: { 'content-type': type },
        })
        await expectProblem(answer, status, code)
        expect(ids(await call(list, live()))).toEqual(before)
      })

      test('404 and 405 are told apart, and Allow says what is taken', async () => {
        await expectProblem(await call('/v1/nothing', live()), 404, 'route/not_found')
        await expectProblem(await call(`${list}/a/b/c`, live()), 404, 'route/not_found')
        const wrong = await call(list, { ...live(), method: 'PURGE' })
        await expectProblem(wrong, 405, 'route/method_not_allowed')
        expect(wrong.headers.get('allow')).toContain('GET')
      })

      test('HEAD answers like GET, without a body', async () => {
        const head = await call(list, { ...live(), method: 'HEAD' })
        expect([head.status, head.text]).toEqual([200, ''])
      })

      test('every answer has a request id of its own, under two names, and safe headers', async () => {
        const answers = await Promise.all([
          call(list, live()),
          call(list),
          call('/livez'),
          call('/nowhere'),
        ])
        const seen = answers.map(({ headers }) => headers.get('x-request-id'))
        expect(new Set(seen).size).toBe(answers.length)
        for (const { headers } of answers) {
          expect(headers.get('request-id')).toBe(headers.get('x-request-id'))
          expect(headers.get('x-request-id')).toMatch(/^req_[0-9a-f]{32}$/)
          expect(headers.get('x-content-type-options')).toBe('nosniff')
          expect(headers.get('x-powered-by')).toBeNull()
          expect(headers.get('server')).toBeNull()
        }
      })

      test('livez, readyz and docs need no key', async () => {
        expect((await call('/livez')).json).toEqual({ status: 'alive' })
        expect((await call('/readyz')).json.status).toBe('ready')
        expect((await call('/docs')).status).toBe(200)
        expect((await call('/docs/errors/auth/nothing')).json.code).toBe('route/not_found')
        expect((await call('/livez', { method: 'POST' })).json.code).toBe(
          'route/method_not_allowed',
        )
      })

      test('the keys that identity tokens are checked with are public, and only the public half', async () => {
        const path = '/.well-known/jwks.json'
        // All at once: nobody may be left waiting for keys that another request was making.
        const answers = await Promise.all(Array.from({ length: 20 }, () => call(path)))
        const [first] = answers
        for (const { status, text } of answers) expect([status, text]).toEqual([200, first?.text])
        expect(first?.headers.get('cache-control')).toBe('public, max-age=3600')
        expect(first?.json.keys).toHaveLength(3)
        for (const key of first?.json.keys ?? []) {
          expect(Object.keys(key).sort()).toEqual(['alg', 'crv', 'kid', 'kty', 'use', 'x'])
        }
        const head = await call(path, { method: 'HEAD' })
        expect([head.status, head.text]).toEqual([200, ''])
        expect((await call(path, { method: 'POST' })).json.code).toBe('route/method_not_allowed')
        expect((await call('/.well-known/other')).json.code).toBe('route/not_found')
      })

      test('X7: no key stands in the log, whatever was refused', async () => {
        const logged = await gate.logged()
        expect(logged).toContain('"code":"auth/key_in_url"')
        for (const key of Object.values(gate.seeded)) expect(logged).not.toContain(key.slice(-38))
      })
    })

    describe('the management API', () => {
      const manage = (method: string, path: string, body?: unknown, headers = {}) =>
        call(`/v1/api-keys${path}`, { key: gate.seeded.admin, method, body, headers })

      test('makes a key, rotates it and revokes it, and the next request sees it', async () => {
        const asked = { name: 'made', environment: 'live', permissions: ['data:read'] }
        const once = { 'idempotency-key': 'gate-suite' }
        const made = await manage('POST', '', asked, once)
        expect(made.status).toBe(201)
        expect((await manage('POST', '', asked, once)).text).toBe(made.text)
        const { id, key } = made.json.data
        expect((await call(list, { key, tenant: abc })).status).toBe(200)
        const rotated = await manage('POST', `/${id}/rotate`, { overlap: 'now' })
        expect(rotated.status).toBe(200)
        expect((await call(list, { key, tenant: abc })).status).toBe(401)
        const fresh = { key: rotated.json.data.key, tenant: abc }
        expect((await call(list, fresh)).status).toBe(200)
        expect((await manage('DELETE', `/${id}`)).json.message).toBe('API key revoked successfully')
        await expectProblem(await call(list, fresh), 401, 'auth/key_revoked')
        expect((await manage('GET', `/${id}`)).json.data.status).toBe('revoked')
      })

      test('lists page by page, and exports to the last line', async () => {
        const page = await manage('GET', '?limit=1')
        expect(page.json).toMatchObject({ object: 'list', has_more: true })
        expect((await manage('GET', `?limit=1&cursor=${page.json.next_cursor}`)).status).toBe(200)
        const exported = await manage('GET', '/export')
        const lines = exported.text
          .trimEnd()
          .split('\n')
          .map((line) => JSON.parse(line))
        expect(lines.length).toBeGreaterThan(3)
        const accept = { accept: 'application/x-ndjson' }
        const audit = await call('/v1/audit-events', { key: gate.seeded.admin, headers: accept })
        expect(audit.text).toContain('"api_key.rotated"')
      })

      test('is described without a key', async () => {
        expect((await call('/v1/openapi.json')).json.openapi).toBe('3.1.0')
        expect((await call('/v1/docs')).text).toContain('/v1/openapi.json')
        await expectProblem(await call('/v1/api-keys'), 401, 'auth/missing_key')
      })
    })

    test('K1: failures past the share of an address answer 429; a good key still passes', async () => {
      const answers = []
      for (let i = 0; i < 120; i++)
        answers.push(await call(list, { key: generateKey('sk_live_').key, tenant: abc }))
      const last = answers.at(-1)!
      await expectProblem(last, 429, 'auth/too_many_failures')
      expect(Number(last.headers.get('retry-after'))).toBeGreaterThan(0)
      expect((await call(list, live())).status).toBe(200)
    })
  })
}

function swapCase(key: string): string {
  const at = key.search(/[a-z](?=[^_]*$)/)
  return key.slice(0, at) + key[at]!.toUpperCase() + key.slice(at + 1)
}

/** A problem body without what differs from one request to the next. */
function stable({
  requestId: _,
  error,
  ...rest
}: {
  requestId: string
  error: { request_id: string }
}): unknown {
  return { ...rest, error: { ...error, request_id: '' } }
}
