/**
 * The life of keys over HTTP, on a gate that is whole. The rows of threats.md are named where they are
 * tried.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { generateKey } from '../../src/keys/format.ts'
import { createDatabase, type TestDatabase, withClient } from '../database.ts'
import { roomyConfig, startGate, type TestGate } from '../gate.ts'
import { callerOf, refusal, stable } from './caller.ts'

const list = '/v1/subscriptions'
const config = roomyConfig().replace('positiveTtl: 50ms', 'positiveTtl: 1h')
const unknownId = `key_${'0'.repeat(32)}`

describe.each(['PostgreSQL', 'PGlite'])('on %s', (engine) => {
  let database: TestDatabase | undefined
  let gate: TestGate
  let api: ReturnType<typeof callerOf>
  beforeAll(async () => {
    if (engine === 'PostgreSQL') database = await createDatabase({ migrate: false })
    gate = await startGate(
      database === undefined ? {} : { DATABASE_URL: database.ownerUrl },
      config,
    )
    api = callerOf(gate.url, gate.seeded.admin)
  })
  afterAll(async () => {
    await gate?.stop()
    await database?.drop()
  })

  const use = (key: string, path = list) =>
    fetch(gate.url + path, { headers: { 'x-api-key': key, 'x-tn': 'tenant_abc123' } })
  const events = async (id: string): Promise<string[]> => {
    const { json } = await api.call('GET', `/v1/audit-events?resource=${id}&order=asc&limit=100`)
    return json.data.map(({ action }: { action: string }) => action)
  }

  test('a key is made, called with, read, changed, rotated and revoked', async () => {
    const made = await api.call('POST', '/v1/api-keys', {
      body: {
        ...{ name: 'checkout', type: 'sk_live', permissions: ['data:read'] },
        restrictions: { ips: ['127.0.0.9/8'], endpoints: ['get /v1/**'] },
        rate_limit: { quota: 50, window_seconds: 60 },
        metadata: { team: 'pay', toString: 'kept' },
      },
    })
    expect(made.status).toBe(201)
    expect(made.headers.get('cache-control')).toBe('no-store')
    const { id, key } = made.json.data
    expect(made.headers.get('location')).toBe(`/v1/api-keys/${id}`)
    expect(made.json.data).toMatchObject({
      ...{ object: 'api_key', type: 'sk_live', class: 'secret', environment: 'live' },
      ...{ status: 'never_used', etag: '"1"', last_used: null },
      restrictions: { ips: ['127.0.0.0/8'], origins: null, endpoints: ['GET /v1/**'] },
      rate_limit: { name: 'custom', quota: 50, window_seconds: 60 },
      metadata: { team: 'pay', toString: 'kept' },
      created_by: { type: 'api_key' },
    })
    expect((await use(key)).status).toBe(200)

    const read = await api.call('GET', `/v1/api-keys/${id}`)
    expect(read.text).not.toContain(key.slice(-38))
    expect(read.json.data.key).toBeUndefined()

    const changed = await api.call('PATCH', `/v1/api-keys/${id}`, {
      body: { name: 'till', restrictions: { ips: null }, metadata: { team: null } },
      headers: { 'if-match': read.headers.get('etag') ?? '' },
    })
    expect(changed.json.data).toMatchObject({
      ...{ name: 'till', etag: '"2"', metadata: { toString: 'kept' } },
      restrictions: { ips: null, endpoints: ['GET /v1/**'] },
    })

    const rotated = await api.call('POST', `/v1/api-keys/${id}/rotate`, { body: { overlap: 3600 } })
    expect(rotated.json.data).toMatchObject({ id, status: 'rotating', ref: made.json.data.ref })
    const both = [key, rotated.json.data.key]
    expect(await Promise.all(both.map(async (one) => (await use(one)).status))).toEqual([200, 200])

    const revoked = await api.call('DELETE', `/v1/api-keys/${id}`)
    expect(revoked.json).toMatchObject({
      ...{ success: true, message: 'API key revoked successfully' },
      data: { id, status: 'revoked' },
    })
    // V7: this process has remembered both secrets for an hour, and forgets them at once.
    expect(await Promise.all(both.map(async (one) => (await use(one)).status))).toEqual([401, 401])
    expect(await events(id)).toEqual([
      ...['api_key.created', 'api_key.updated', 'api_key.rotated', 'api_key.revoked'],
    ])
    const audit = await api.call('GET', `/v1/audit-events?resource=${id}`)
    for (const secret of both) {
      expect(audit.text).not.toContain(secret.slice(-38))
      expect(await gate.logged()).not.toContain(secret.slice(-38))
    }
  })

  test('a disabled key is refused by name until it is enabled, at once each time', async () => {
    const { id, key } = await api.make({ permissions: ['data:read'] })
    const seen: number[] = []
    for (const verb of ['enable', 'disable', 'enable']) {
      expect((await api.call('POST', `/v1/api-keys/${id}/${verb}`)).status).toBe(200)
      seen.push((await use(key)).status)
    }
    expect(seen).toEqual([200, 401, 200])
    expect(await events(id)).toEqual([
      ...['api_key.created', 'api_key.disabled', 'api_key.enabled'],
    ])
  })

  test('revoking twice is one event; a revoked key takes no other change', async () => {
    const { id } = await api.make()
    for (const verb of ['revoke', 'revoke']) {
      expect((await api.call('POST', `/v1/api-keys/${id}/${verb}`)).json.data.status).toBe(
        'revoked',
      )
    }
    for (const verb of ['rotate', 'enable', 'disable']) {
      expect(refusal(await api.call('POST', `/v1/api-keys/${id}/${verb}`))).toBe(
        '409 resource/conflict',
      )
    }
    expect(await events(id)).toEqual(['api_key.created', 'api_key.revoked'])
  })

  describe('a change needs If-Match', () => {
    test.each([
      [undefined, '428 resource/precondition_required'],
      ['"7"', '412 resource/changed'],
      ['W/"1"', '412 resource/changed'],
      ['1', '412 resource/changed'],
      ['"9", "1"', '200 undefined'],
      ['*', '200 undefined'],
    ])('%s: %s', async (tag, expected) => {
      const { id } = await api.make()
      const headers: Record<string, string> = tag === undefined ? {} : { 'if-match': tag }
      const answer = await api.call('PATCH', `/v1/api-keys/${id}`, { body: { name: 'b' }, headers })
      expect(refusal(answer)).toBe(expected)
    })

    test('G5: of fifty at once with one tag, one is made', async () => {
      const { id } = await api.make()
      const answers = await Promise.all(
        Array.from({ length: 50 }, (_, n) =>
          api.call('PATCH', `/v1/api-keys/${id}`, {
            ...{ body: { permissions: n % 2 ? ['vec:read'] : ['kev:read'] } },
            headers: { 'if-match': '"1"' },
          }),
        ),
      )
      expect(answers.filter(({ status }) => status === 200)).toHaveLength(1)
      expect(answers.filter(({ status }) => status === 412)).toHaveLength(49)
      const winner = answers.find(({ status }) => status === 200)
      const { json } = await api.call('GET', `/v1/api-keys/${id}`)
      expect(json.data.permissions).toEqual(winner?.json.data.permissions)
    })
  })

  describe('G6: a hundred at once have one effect', () => {
    const hundred = (work: (n: number) => ReturnType<typeof api.call>) =>
      Promise.all(Array.from({ length: 100 }, (_, n) => work(n)))

    test('revoke', async () => {
      const { id } = await api.make()
      const answers = await hundred(() => api.call('DELETE', `/v1/api-keys/${id}`))
      expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]))
      expect(await events(id)).toEqual(['api_key.created', 'api_key.revoked'])
    })

    test('rotate under one Idempotency-Key: one secret, and everybody is shown that one', async () => {
      const { id } = await api.make()
      const headers = { 'idempotency-key': `rotate-${id}` }
      const answers = await hundred(() =>
        api.call('POST', `/v1/api-keys/${id}/rotate`, { headers }),
      )
      const done = answers.filter(({ status }) => status === 200)
      expect(new Set(done.map(({ text }) => text)).size).toBe(1)
      const others = answers.filter(({ status }) => status !== 200).map(refusal)
      expect(new Set(others)).toEqual(new Set(others.length ? ['409 idempotency/in_progress'] : []))
      expect(await events(id)).toEqual(['api_key.created', 'api_key.rotated'])
    })

    test('V8: rotate without one leaves two secrets that are good', async () => {
      const { id } = await api.make()
      const answers = await hundred(() => api.call('POST', `/v1/api-keys/${id}/rotate`))
      const lost = answers.filter(({ status }) => status !== 200).map(refusal)
      expect(new Set(lost)).toEqual(new Set(lost.length > 0 ? ['409 resource/conflict'] : []))
      const { json } = await api.call('GET', `/v1/api-keys/${id}`)
      const good = json.data.rotation.secrets.filter(
        ({ state }: { state: string }) => state !== 'ended',
      )
      expect(good).toHaveLength(2)
      const shown = answers.filter(({ status }) => status === 200).map((one) => one.json.data.last4)
      expect(shown).toContain(json.data.last4)
    })

    test('create under one Idempotency-Key', async () => {
      const name = `once ${engine}`
      const headers = { 'idempotency-key': `"once-${engine}"` }
      const body = { name, environment: 'test' }
      const answers = await hundred(() => api.call('POST', '/v1/api-keys', { body, headers }))
      const done = answers.filter(({ status }) => status === 201)
      expect(done.length).toBeGreaterThan(0)
      expect(new Set(done.map(({ text }) => text)).size).toBe(1)
      const { json } = await api.call('GET', `/v1/api-keys?name=${encodeURIComponent(name)}`)
      expect(json.data).toHaveLength(1)
      const replayed = await api.call('POST', '/v1/api-keys', { body, headers })
      expect(replayed.headers.get('idempotent-replayed')).toBe('true')
      expect(replayed.text).toBe(done[0]?.text)
    })
  })

  describe('who may', () => {
    const table = (id: string): readonly (readonly [string, string, unknown?])[] => [
      ['GET', '/v1/api-keys'],
      ['POST', '/v1/api-keys', { name: 'x', environment: 'live', userId: 'u', tenant_id: 't' }],
      ['GET', `/v1/api-keys/${id}`],
      ['PATCH', `/v1/api-keys/${id}`, { name: 'x' }],
      ['DELETE', `/v1/api-keys/${id}`],
      ...['rotate', 'revoke', 'disable', 'enable'].map(
        (verb) => ['POST', `/v1/api-keys/${id}/${verb}`, {}] as const,
      ),
      ['GET', `/v1/api-keys/${id}/usage`],
      ['POST', '/v1/api-keys/verify', { key: 'x' }],
      ['POST', '/v1/api-keys/import', []],
      ['GET', '/v1/api-keys/export'],
      ['GET', '/v1/tenants'],
      ['POST', '/v1/tenants', { id: 'new' }],
      ['GET', '/v1/tenants/tenant_abc123'],
      ['PATCH', '/v1/tenants/tenant_abc123', { metadata: {} }],
      ['POST', '/v1/tenants/tenant_abc123/suspend', {}],
      ['POST', '/v1/tenants/tenant_abc123/resume', {}],
      ['GET', '/v1/permissions'],
      ['GET', '/v1/platforms'],
      ['GET', '/v1/audit-events'],
    ]

    test('G1: nobody without a key, and nothing is written', async () => {
      const { id } = await api.make()
      const before = await events(id)
      for (const [method, path, body] of table(id)) {
        for (const key of ['', generateKey('sk_live_').key]) {
          const answer = await api.call(method, path, { key, body })
          expect([method, path, answer.status]).toEqual([method, path, 401])
        }
      }
      expect(await events(id)).toEqual(before)
    })

    test('K17: no publishable key, and no key without the permission, anywhere', async () => {
      const { id } = await api.make()
      const plain = await api.make({ permissions: ['data:*', 'vec:*'] })
      for (const [method, path, body] of table(id)) {
        const publishable = await api.call(method, path, { key: gate.seeded.pk_live_, body })
        expect([path, refusal(publishable)]).toEqual([path, '403 auth/class_not_allowed'])
        const other = await api.call(method, path, { key: plain.key, body })
        expect([path, refusal(other)]).toEqual([path, '403 auth/insufficient_permission'])
        expect(other.json.error.param).toMatch(/^admin:/)
      }
    })

    test('K10: no key in the URL, not an operator one either', async () => {
      for (const key of [gate.seeded.admin, gate.seeded.operator]) {
        const answer = await api.call('GET', `/v1/api-keys?limit=1&x=${key}`, { key: '' })
        expect(refusal(answer)).toBe('400 auth/key_in_url')
      }
    })

    test('V9: a key that was revoked a moment ago makes no other', async () => {
      const { id, key } = await api.make({ permissions: ['admin:*'] })
      expect((await api.call('GET', '/v1/api-keys?limit=1', { key })).status).toBe(200)
      const text = 'update postern.api_keys set revoked_at = now() where id = $1'
      const { gatewaySql } = gate.deployment.ports
      // As another node would: this process is told nothing.
      await gatewaySql.query({ platform: 'plt_acme' }, { text, values: [id] })
      const body = { name: 'mine', environment: 'live' }
      expect(refusal(await api.call('POST', '/v1/api-keys', { key, body }))).toBe(
        '401 auth/key_revoked',
      )
    })

    test('self:rotate: a key rotates itself, under both names, and does nothing else', async () => {
      const { id, key } = await api.make({ permissions: ['self:rotate'] })
      const other = await api.make()
      const first = await api.call('POST', '/v1/api-keys/self/rotate', { key })
      expect(first.json.data).toMatchObject({ id, status: 'rotating' })
      const fresh = first.json.data.key
      const again = await api.call('POST', `/v1/api-keys/${id}/rotate`, { key: fresh })
      expect(again.status).toBe(200)
      for (const [method, path, body] of table(other.id)) {
        const answer = await api.call(method, path, { key: again.json.data.key, body })
        expect([path, answer.status]).toEqual([path, 403])
      }
    })
  })

  describe('G3: a key gives away only what it holds', () => {
    const expectBeyond = (answer: Awaited<ReturnType<typeof api.call>>, field: string) => {
      expect(refusal(answer)).toBe('403 auth/insufficient_permission')
      expect(answer.json.errors.map(({ location }: { location: string }) => location)).toContain(
        `body.${field}`,
      )
    }

    test('not its environment, permissions, limits or end', async () => {
      const soon = new Date(Date.now() + 3_600_000).toISOString()
      const parent = await api.make({
        ...{ environment: 'test', permissions: ['admin:keys', 'data:read'], expires_at: soon },
        rate_limit: { quota: 1000, window_seconds: 60 },
      })
      const asked: [string, Record<string, unknown>][] = [
        ['environment', { environment: 'live' }],
        ['permissions', { permissions: ['data:write'] }],
        ['permissions', { permissions: ['*'] }],
        ['rate_limit', { rate_limit: null }],
        ['rate_limit', { rate_limit: { quota: 1001, window_seconds: 60 } }],
        ['expires_at', { expires_at: null }],
      ]
      for (const [field, changes] of asked) {
        const body = { name: 'child', environment: 'test', ...changes }
        expectBeyond(await api.call('POST', '/v1/api-keys', { key: parent.key, body }), field)
      }
      const child = await api.make({ environment: 'test', permissions: ['data:read'] }, parent.key)
      expect(child).toMatchObject({ expires_at: soon, rate_limit: { quota: 1000 } })
    })

    test('it rotates, enables and changes no key that can do more', async () => {
      const weak = await api.make({ permissions: ['admin:keys'] })
      const strong = await api.make({ permissions: ['*'] })
      for (const verb of ['rotate', 'enable']) {
        const answer = await api.call('POST', `/v1/api-keys/${strong.id}/${verb}`, {
          key: weak.key,
        })
        expect(refusal(answer)).toBe('403 auth/insufficient_permission')
      }
      for (const body of [{ name: 'mine' }, { permissions: ['data:read'] }]) {
        const sent = { key: weak.key, body, headers: { 'if-match': '*' } }
        const answer = await api.call('PATCH', `/v1/api-keys/${strong.id}`, sent)
        expect(refusal(answer)).toBe('403 auth/insufficient_permission')
      }
      const own = await api.call('PATCH', `/v1/api-keys/${weak.id}`, {
        ...{ key: weak.key, body: { permissions: ['*'] }, headers: { 'if-match': '*' } },
      })
      expectBeyond(own, 'permissions')
    })

    test('G4: to a key that is bound to tenants, the keys of others do not exist', async () => {
      const bound = { tenants: ['tenant_abc123'], permissions: ['admin:keys', 'admin:usage'] }
      const mine = await api.make(bound)
      const peer = await api.make({ ...bound, permissions: [] })
      const foreign = [
        await api.make({ tenants: ['tenant_xyz789'] }),
        await api.make({ tenants: ['tenant_abc123', 'tenant_xyz789'] }),
        await api.make(),
      ]
      const calls: readonly (readonly [string, string, unknown?])[] = [
        ['GET', ''],
        ['PATCH', '', { name: 'x' }],
        ['DELETE', ''],
        ['GET', '/usage'],
        ...['/rotate', '/revoke', '/disable', '/enable'].map((path) => ['POST', path] as const),
      ]
      for (const [method, path, body] of calls) {
        const ask = (id: string) =>
          api.call(method, `/v1/api-keys/${id}${path}`, { key: mine.key, body })
        const random = await ask(unknownId)
        expect(refusal(random)).toBe('404 resource/not_found')
        for (const { id } of foreign) expect(stable(await ask(id))).toEqual(stable(random))
      }
      const seen = await api.call('GET', '/v1/api-keys?limit=100', { key: mine.key })
      const ids = seen.json.data.map(({ id }: { id: string }) => id)
      expect(ids).toEqual(expect.arrayContaining([mine.id, peer.id]))
      for (const { id } of foreign) expect(ids).not.toContain(id)
      const child = await api.make({}, mine.key)
      expect(child.tenants).toEqual(['tenant_abc123'])
      const whole = await api.call('GET', '/v1/audit-events', { key: mine.key })
      expect(refusal(whole)).toBe('403 auth/insufficient_permission')
    })

    test('to a test key, live keys do not exist', async () => {
      const test = await api.make({ environment: 'test', permissions: ['admin:*'] })
      const live = await api.make()
      const { key } = test
      expect((await api.call('GET', `/v1/api-keys/${live.id}`, { key })).status).toBe(404)
      expect((await api.call('DELETE', `/v1/api-keys/${live.id}`, { key })).status).toBe(404)
      const seen = await api.call('GET', '/v1/api-keys?limit=100', { key })
      const kinds = seen.json.data.map((one: { environment: string }) => one.environment)
      expect(new Set(kinds)).toEqual(new Set(['test']))
      const none = await api.call('GET', '/v1/api-keys?environment=live', { key })
      expect(none.json).toMatchObject({ data: [], has_more: false })
      for (const path of ['/v1/audit-events', '/v1/api-keys/export']) {
        expect(refusal(await api.call('GET', path, { key }))).toBe('403 auth/wrong_environment')
      }
    })
  })

  describe('what is asked for', () => {
    test('G2: every field that is not known is named, with the nearest', async () => {
      const body = {
        ...{ nam: 'x', id: 'key_1', hash: 'x', usage: 1, created_by: 'me', permissons: ['*'] },
        restrictions: { ip: ['10.0.0.1'] },
      }
      const answer = await api.call('POST', '/v1/api-keys', { body })
      expect(refusal(answer)).toBe('400 request/invalid')
      const found = Object.fromEntries(
        answer.json.errors.map((one: { location: string }) => [one.location, one]),
      )
      for (const name of ['nam', 'id', 'hash', 'usage', 'created_by', 'permissons']) {
        expect(found[`body.${name}`]?.code, name).toBe('unknown_field')
      }
      expect(found['body.name']).toMatchObject({ code: 'required' })
      expect(found['body.permissons']?.fix).toBe('did you mean "permissions"?')
      expect(found['body.restrictions.ip']?.fix).toBe('did you mean "ips"?')
    })

    const wrong: readonly [string, Record<string, unknown>, readonly string[]][] = [
      ['no name', { name: '' }, ['body.name']],
      ['a name in another Unicode form', { name: 'e\u0301' }, ['body.name']],
      ['no environment', { environment: undefined }, ['body.environment']],
      ['a type of another platform', { type: 'client' }, ['body.type']],
      ['a type that disagrees', { type: 'sk_dev' }, ['body.type']],
      [
        'unknown permissions',
        { permissions: ['data:red', 'x:y'] },
        ['body.permissions[0]', 'body.permissions[1]'],
      ],
      ['unknown tenants', { tenants: ['nobody'] }, ['body.tenants[0]']],
      ['an end in the past', { expires_at: '2020-01-01T00:00:00Z' }, ['body.expires_at']],
      ['an end that is no time', { expires_at: 'tomorrow' }, ['body.expires_at']],
      ['a broken range', { restrictions: { ips: ['010.0.0.1'] } }, ['body.restrictions.ips']],
      ['an empty list', { restrictions: { ips: [] } }, ['body.restrictions.ips']],
      [
        'an origin with a path',
        { restrictions: { origins: ['https://a.x/b'] } },
        ['body.restrictions.origins'],
      ],
      [
        'half a segment',
        { restrictions: { endpoints: ['/v1/pro*'] } },
        ['body.restrictions.endpoints'],
      ],
      ['no limit at all', { rate_limit: [] }, ['body.rate_limit']],
      [
        'a limit of nothing',
        { rate_limit: { quota: 0, window_seconds: 60 } },
        ['body.rate_limit.quota'],
      ],
      [
        'two limits of one name',
        {
          rate_limit: [
            { name: 'a', quota: 1, window_seconds: 1 },
            { name: 'a', quota: 2, window_seconds: 2 },
          ],
        },
        ['body.rate_limit'],
      ],
      ['nested metadata', { metadata: { a: { b: 1 } } }, ['body.metadata.a']],
    ]
    test.each(wrong)('%s is refused, and said where', async (_, changes, locations) => {
      const body = { name: 'x', environment: 'live', ...changes }
      const answer = await api.call('POST', '/v1/api-keys', { body })
      expect(refusal(answer)).toBe('400 request/invalid')
      expect(answer.json.errors.map((one: { location: string }) => one.location)).toEqual(locations)
    })

    test('a publishable key names its origins, and administers nothing', async () => {
      const ask = (changes: Record<string, unknown>) =>
        api.call('POST', '/v1/api-keys', { body: { name: 'web', type: 'pk_live', ...changes } })
      const origins = ['HTTPS://App.Example.com:443/']
      const bad: [Record<string, unknown>, string][] = [
        [{}, 'body.restrictions.origins'],
        [{ restrictions: { referrers: origins } }, 'body.restrictions.origins'],
        ...['admin:keys', 'admin:*', '*', 'data:admin', 'data:*', 'self:rotate'].map(
          (one): [Record<string, unknown>, string] => [
            { restrictions: { origins }, permissions: ['vec:read', one] },
            'body.permissions[1]',
          ],
        ),
      ]
      for (const [changes, location] of bad) {
        const { status, json } = await ask(changes)
        expect([changes, status, json.errors?.[0]?.location]).toEqual([changes, 400, location])
      }
      const good = await ask({ restrictions: { origins }, permissions: ['data:read', 'vec:*'] })
      expect(good.json.data.restrictions.origins).toEqual(['https://app.example.com'])
      const { id } = good.json.data
      for (const body of [{ restrictions: { origins: null } }, { permissions: ['admin:keys'] }]) {
        const sent = { body, headers: { 'if-match': '*' } }
        expect((await api.call('PATCH', `/v1/api-keys/${id}`, sent)).status).toBe(400)
      }
    })

    test('G7, G8: no prototype, no second name, no bomb', async () => {
      const raws = [
        '{"__proto__":{"polluted":1},"name":"x","environment":"live"}',
        '{"name":"x","environment":"live","permissions":[],"permissions":["*"]}',
        '{"name":1e400}',
        `${'['.repeat(100_000)}`,
        `{"name":"x","environment":"live","metadata":{${Array.from({ length: 2000 }, (_, n) => `"a${n}":1`).join()}}}`,
        `{"name":"${'x'.repeat(200_000)}","environment":"live"}`,
        '[]',
        'null',
        '"text"',
      ]
      for (const raw of raws) {
        const headers = { 'content-type': 'application/json' }
        const answer = await api.call('POST', '/v1/api-keys', { raw, headers })
        expect([raw.slice(0, 40), answer.status]).toEqual([raw.slice(0, 40), 400])
      }
      const large = await api.call('POST', '/v1/api-keys', { body: { name: 'x'.repeat(300_000) } })
      expect(large.status).toBe(413)
      const stored = await api.make({ metadata: { constructor: 'a', prototype: 'b' } })
      expect(stored.metadata).toEqual({ constructor: 'a', prototype: 'b' })
      expect(({} as { polluted?: unknown }).polluted).toBeUndefined()
    })

    test('a body has to be JSON, and a path has to exist', async () => {
      const headers = { 'content-type': 'text/plain' }
      const text = await api.call('POST', '/v1/api-keys', { raw: '{}', headers })
      expect(refusal(text)).toBe('415 request/unsupported_media_type')
      for (const path of ['/v1/api-keys/', '/v1/api-keys/a/b', '/v1/tenants/a/b/c', '/v1/docs/x']) {
        expect(refusal(await api.call('GET', path))).toBe('404 route/not_found')
      }
      const put = await api.call('PUT', '/v1/api-keys')
      expect(refusal(put)).toBe('405 route/method_not_allowed')
      expect(put.headers.get('allow')?.split(', ').sort()).toEqual(['GET', 'HEAD', 'POST'])
    })
  })

  describe('G14: pages', () => {
    const prefix = `page ${engine}`
    beforeAll(async () => {
      for (let n = 0; n < 5; n++) await api.make({ name: prefix, metadata: { n } })
    })
    const first = `/v1/api-keys?limit=2&name=${encodeURIComponent(prefix)}`

    test('lead from one to the next and end, in either order', async () => {
      for (const order of ['desc', 'asc']) {
        const seen: unknown[] = []
        let path: string | undefined = `${first}&order=${order}`
        while (path !== undefined) {
          const answer: Awaited<ReturnType<typeof api.call>> = await api.call('GET', path)
          expect(answer.json).toMatchObject({ success: true, object: 'list' })
          seen.push(...answer.json.data.map((one: { metadata: { n: number } }) => one.metadata.n))
          path = /^<(.*)>; rel="next"$/.exec(answer.headers.get('link') ?? '')?.[1]
          expect(answer.json.has_more).toBe(path !== undefined)
          expect(answer.json.next_cursor !== null).toBe(path !== undefined)
        }
        expect(seen).toEqual(order === 'asc' ? [0, 1, 2, 3, 4] : [4, 3, 2, 1, 0])
      }
    })

    test('take no cursor that was edited or is of another list or caller', async () => {
      const { json } = await api.call('GET', first)
      const cursor: string = json.next_cursor
      const [payload = '', code = ''] = cursor.split('.')
      const edited = Buffer.from(payload, 'base64url').toString().replace('key_', 'kez_')
      const other = await api.make({ permissions: ['*'] })
      const bad: [string, string?][] = [
        [`${first}&cursor=${Buffer.from(edited).toString('base64url')}.${code}`],
        [`${first}&cursor=${payload}.${code.slice(0, -2)}AA`],
        [`${first}&cursor=${payload}`],
        [`${first}&cursor=x`],
        [`${first}&order=asc&cursor=${cursor}`],
        [`/v1/api-keys?limit=2&cursor=${cursor}`],
        [`/v1/tenants?limit=2&cursor=${cursor}`],
        [`${first}&cursor=${cursor}`, other.key],
      ]
      for (const [path, key] of bad) {
        const answer = await api.call('GET', path, key === undefined ? {} : { key })
        expect([path, refusal(answer)]).toEqual([path, '400 request/invalid'])
      }
      const larger = await api.call(
        'GET',
        `${first.replace('limit=2', 'limit=3')}&cursor=${cursor}`,
      )
      expect(larger.json.data).toHaveLength(3)
    })

    test.each(['limit=0', 'limit=101', 'limit=1.5', 'order=up', 'limt=1', 'limit=1&limit=2'])(
      '?%s is refused',
      async (query) => {
        expect(refusal(await api.call('GET', `/v1/api-keys?${query}`))).toBe('400 request/invalid')
      },
    )
  })

  test('tenants are added, described, suspended and resumed, and their calls follow', async () => {
    const id = 'tenant_new'
    const made = await api.call('POST', '/v1/tenants', { body: { id, metadata: { plan: 'a' } } })
    expect([made.status, made.json.data.status]).toEqual([201, 'active'])
    expect(refusal(await api.call('POST', '/v1/tenants', { body: { id } }))).toBe(
      '409 resource/conflict',
    )
    const key = gate.seeded.sk_live_
    const status = async () =>
      (await fetch(gate.url + list, { headers: { 'x-api-key': key, 'x-tn': id } })).status
    const seen = [await status()]
    for (const verb of ['suspend', 'resume']) {
      expect((await api.call('POST', `/v1/tenants/${id}/${verb}`)).status).toBe(200)
      seen.push(await status())
    }
    expect(seen).toEqual([200, 403, 200])
    const sent = { body: { metadata: { seats: 3 } }, headers: { 'if-match': '"3"' } }
    const changed = await api.call('PATCH', `/v1/tenants/${id}`, sent)
    expect(changed.json.data.metadata).toEqual({ plan: 'a', seats: 3 })
    const listed = await api.call('GET', '/v1/tenants?limit=100&status=active')
    expect(listed.json.data.map((one: { id: string }) => one.id)).toContain(id)
    expect((await api.call('GET', '/v1/tenants/nobody')).status).toBe(404)
    expect(await events(id)).toEqual([
      ...['tenant.created', 'tenant.suspended', 'tenant.resumed', 'tenant.updated'],
    ])
  })

  test("a tenant's own key sees its tenant, changes none, and ends with its suspension", async () => {
    await api.call('POST', '/v1/tenants', { body: { id: 'tenant_own' } })
    const { key } = await api.make({ tenants: ['tenant_own'], permissions: ['admin:*'] })
    const seen = await api.call('GET', '/v1/tenants', { key })
    expect(seen.json.data.map((one: { id: string }) => one.id)).toEqual(['tenant_own'])
    expect((await api.call('GET', '/v1/tenants/tenant_abc123', { key })).status).toBe(404)
    const resume = await api.call('POST', '/v1/tenants/tenant_own/resume', { key })
    expect(refusal(resume)).toBe('403 auth/insufficient_permission')
    const foreign = { key, headers: { 'x-tn': 'tenant_abc123' } }
    expect(refusal(await api.call('GET', '/v1/api-keys', foreign))).toBe('403 tenant/mismatch')
    await api.call('POST', '/v1/tenants/tenant_own/suspend')
    expect(refusal(await api.call('GET', '/v1/api-keys', { key }))).toBe('403 tenant/suspended')
  })

  test('the audit is filtered, and exported line by line', async () => {
    const { id } = await api.make({ name: 'audited' })
    await api.call('POST', `/v1/api-keys/${id}/disable`)
    const { json } = await api.call(
      'GET',
      `/v1/audit-events?resource=${id}&action=api_key.disabled`,
    )
    expect(json.data).toHaveLength(1)
    expect(json.data[0]).toMatchObject({
      ...{ object: 'audit_event', address: '127.0.0.1', changes: { disabled: [false, true] } },
      actor: { type: 'api_key' },
      resource: { type: 'api_key', id },
    })
    expect(json.data[0].request_id).toMatch(/^req_/)
    const headers = { accept: 'application/x-ndjson' }
    const exported = await api.call('GET', `/v1/audit-events?resource=${id}`, { headers })
    expect(exported.headers.get('content-type')).toBe('application/x-ndjson')
    const lines = exported.text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line))
    expect(lines.map(({ action }) => action)).toEqual(['api_key.created', 'api_key.disabled'])
    expect(lines[1]).toEqual(json.data[0])
    const later = await api.call('GET', '/v1/audit-events?since=2100-01-01T00:00:00Z')
    expect(later.json.data).toEqual([])
  })

  test('K4: no row of the database holds a secret, not even of a replay', async () => {
    const headers = { 'idempotency-key': 'a-key-of-the-callers-own' }
    const body = { name: 'dumped', environment: 'live' }
    const { json } = await api.call('POST', '/v1/api-keys', { body, headers })
    const secret = json.data.key.slice(-38)
    if (database === undefined) return
    const dump = await withClient(database.ownerUrl, async (client) => {
      const lines: string[] = []
      for (const table of ['api_keys', 'api_key_secrets', 'audit_events', 'idempotency_keys']) {
        const { rows } = await client.query(`select t::text as row from postern.${table} t`)
        lines.push(...rows.map(({ row }) => row))
      }
      return lines.join('\n')
    })
    expect(dump).toContain(json.data.id)
    for (const form of ['utf8', 'hex', 'base64'] as const) {
      expect(dump).not.toContain(Buffer.from(secret).toString(form).slice(0, 40))
    }
    expect(dump).not.toContain('a-key-of-the-callers-own')
  })
})
