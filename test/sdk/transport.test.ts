/** What the client makes of a server that is busy, slow, gone, or not Postern at all. */
import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Pages } from '../../sdk/typescript/src/page.ts'
import { segment } from '../../sdk/typescript/src/transport.ts'
import { openScene, refusalBody, type Scene, secretKey } from './server.ts'

let scene: Scene
beforeAll(async () => {
  scene = await openScene()
})
afterAll(() => scene?.stop())

const key = { success: true, data: { id: 'key_1', expires_at: null } }
const good = { status: 200, body: key }
const refused = (status: number, code: string, headers: Record<string, string> = {}) => ({
  status,
  headers,
  body: refusalBody(status, code),
})
const drop = (response: ServerResponse) => void response.destroy()

describe('an error', () => {
  test.each([
    [400, 'request/invalid', 'InvalidRequestError'],
    [401, 'auth/invalid_key', 'AuthenticationError'],
    [403, 'auth/insufficient_permission', 'PermissionError'],
    [404, 'resource/not_found', 'NotFoundError'],
    [409, 'resource/conflict', 'ConflictError'],
    [412, 'resource/changed', 'ConflictError'],
    [422, 'idempotency/key_reused', 'InvalidRequestError'],
    [428, 'resource/precondition_required', 'InvalidRequestError'],
    [429, 'rate_limit/exceeded', 'RateLimitError'],
    [500, 'internal/error', 'ServerError'],
    [504, 'upstream/timeout', 'ServerError'],
  ])('%i %s is a %s, with everything that the answer says', async (status, code, name) => {
    scene.play(refused(status, code, { 'retry-after': '7' }))
    const call = scene.client({ maxRetries: 0 }).apiKeys.get('key_1')
    await expect(call).rejects.toMatchObject({
      ...{ name, status, code, message: 'What is wrong.', requestId: 'req_1' },
      ...{ docUrl: `https://x/${code}`, errors: [], retryAfterMs: 7000 },
    })
    expect(scene.asked).toHaveLength(1)
  })

  test('says which fields, and what was probably meant', async () => {
    const field = { location: 'body.nam', code: 'unknown', message: 'is not known', fix: '"name"?' }
    scene.play({ status: 400, body: refusalBody(400, 'request/invalid', [field]) })
    await expect(scene.client().apiKeys.create({ name: 'x' })).rejects.toMatchObject({
      errors: [field],
      message: 'What is wrong. body.nam is not known ("name"?).',
    })
  })

  test.each([
    ['a page of HTML', { status: 403, body: '<h1>No</h1>' }, 'http/403'],
    ['JSON of somebody else', { status: 404, body: { error: 'gone' } }, 'http/404'],
    ['a list where there are fields', { status: 400, body: '[1]' }, 'http/400'],
    ['a success that is no JSON', { status: 200, body: 'ok' }, 'response/malformed'],
  ])('of %s is told from ours', async (_name, answer, code) => {
    scene.play({ ...answer, headers: { 'x-request-id': 'req_9' } })
    const call = scene.client({ maxRetries: 0 }).apiKeys.get('key_1')
    await expect(call).rejects.toMatchObject({ code, requestId: 'req_9', errors: [] })
  })

  test('holds no key, however it is printed', async () => {
    const { inspect } = await import('node:util')
    const errors: unknown[] = []
    const collect = (error: unknown) => void errors.push(error)
    scene.play(refused(401, 'auth/invalid_key'), drop)
    const client = scene.client({ maxRetries: 0 })
    await client.apiKeys.get('key_1').catch(collect)
    await client.apiKeys.get('key_1').catch(collect)
    expect(errors).toHaveLength(2)
    const shown = errors.map((one) => inspect(one, { depth: 9, showHidden: true })).join('\n')
    expect(shown + JSON.stringify(errors)).not.toContain(secretKey.slice(-20))
  })
})

describe('a call is tried again', () => {
  test.each([408, 429, 500, 502, 503, 504])('after a %i', async (status) => {
    scene.play(refused(status, 'some/code'), good)
    expect(await scene.client().apiKeys.get('key_1')).toEqual({ id: 'key_1', expiresAt: null })
    expect(scene.asked).toHaveLength(2)
  })

  test('with the same Idempotency-Key, after a broken connection and while the first one runs', async () => {
    scene.play(drop, refused(409, 'idempotency/in_progress', { 'retry-after': '0' }), good)
    await scene.client().apiKeys.create({ name: 'x', environment: 'test' })
    expect(scene.asked).toHaveLength(3)
    const [first] = scene.asked
    expect(first?.headers['idempotency-key']).toMatch(/^[0-9a-f]{32}$/)
    for (const one of scene.asked) {
      expect(one.headers['idempotency-key']).toBe(first?.headers['idempotency-key'])
      expect(one.body).toBe('{"name":"x","environment":"test"}')
    }
  })

  test('when the server said, not before', async () => {
    scene.play(refused(503, 'gateway/overloaded', { 'retry-after': '1' }), good)
    const started = performance.now()
    await scene.client().apiKeys.get('key_1')
    expect(performance.now() - started).toBeGreaterThanOrEqual(990)
  })

  test('as often as was asked for, and no more', async () => {
    scene.play(refused(503, 'a/b'), refused(503, 'a/b'), refused(500, 'last/one'), good)
    await expect(scene.client().apiKeys.get('key_1')).rejects.toMatchObject({ code: 'last/one' })
    expect(scene.asked).toHaveLength(3)
    scene.play(refused(503, 'a/b'), good)
    const call = scene.client().apiKeys.get('key_1', { maxRetries: 0 })
    await expect(call).rejects.toMatchObject({ code: 'a/b' })
    expect(scene.asked).toHaveLength(1)
  })

  test('but not where the server asks for an hour', async () => {
    scene.play(refused(429, 'quota/exceeded', { 'retry-after': '3600' }), good)
    const call = scene.client().apiKeys.get('key_1')
    await expect(call).rejects.toMatchObject({ code: 'quota/exceeded', retryAfterMs: 3_600_000 })
    expect(scene.asked).toHaveLength(1)
  })

  test('but not a change to one version, of which nobody knows whether it arrived', async () => {
    const { apiKeys } = scene.client()
    scene.play(drop, good)
    const call = apiKeys.update('key_1', { name: 'y' }, { ifMatch: '"1"' })
    await expect(call).rejects.toMatchObject({ code: 'connection/failed' })
    expect(scene.asked[0]?.headers['if-match']).toBe('"1"')
    scene.play(drop, good)
    await apiKeys.update('key_1', { name: 'y' })
    expect(scene.asked.map(({ headers }) => headers['if-match'])).toEqual(['*', '*'])
  })
})

describe('a call ends', () => {
  test('when no answer comes in time', async () => {
    scene.play(() => undefined)
    const call = scene.client({ timeoutMs: 50, maxRetries: 0 }).apiKeys.get('key_1')
    await expect(call).rejects.toMatchObject({
      name: 'ConnectionError',
      code: 'connection/timeout',
    })
  })

  test('when an answer begins and does not end', async () => {
    scene.play((response) => void response.writeHead(200).write('{"success":'))
    const call = scene.client({ timeoutMs: 50, maxRetries: 0 }).apiKeys.get('key_1')
    await expect(call).rejects.toMatchObject({ code: 'connection/timeout' })
  })

  test('when nobody is there', async () => {
    const gone = await openScene()
    await gone.stop()
    const call = gone.client({ maxRetries: 1 }).apiKeys.get('key_1')
    await expect(call).rejects.toMatchObject({ code: 'connection/failed', status: null })
  })

  test('when its caller gives up, with the reason that he gives', async () => {
    const mine = new Error('mine')
    const before = AbortSignal.abort(mine)
    scene.play(good)
    await expect(scene.client().apiKeys.get('key_1', { signal: before })).rejects.toBe(mine)
    expect(scene.asked).toHaveLength(0)

    const during = new AbortController()
    scene.play(() => during.abort(mine))
    await expect(scene.client().apiKeys.get('k', { signal: during.signal })).rejects.toBe(mine)

    const between = new AbortController()
    scene.play((response) => {
      response.writeHead(503, { 'retry-after': '30' }).end()
      response.once('close', () => setImmediate(() => between.abort(mine)))
    })
    await expect(scene.client().apiKeys.get('k', { signal: between.signal })).rejects.toBe(mine)
  })

  test.each([301, 302, 307, 308])('at a %i: the key does not follow it', async (status) => {
    const other = await openScene()
    scene.play({ status, headers: { location: `${other.url}/v1/api-keys/key_1` } })
    const call = scene.client({ maxRetries: 0 }).apiKeys.get('key_1')
    await expect(call).rejects.toMatchObject({ code: `http/${status}`, name: 'ServerError' })
    expect(other.asked).toHaveLength(0)
    await other.stop()
  })
})

describe('a request', () => {
  test('carries the key, the tenant and the platform, in the names of the wire', async () => {
    scene.play({ status: 201, body: key })
    const client = scene.client({ tenant: 't1', platform: 'acme' })
    const expiresAt = new Date('2027-01-31T00:00:00Z')
    await client.apiKeys.create({ name: 'x', environment: 'live', expiresAt, metadata: { aB: 1 } })
    const [{ method, url, headers, body } = { method: '', url: '', headers: {}, body: '' }] =
      scene.asked
    expect([method, url]).toEqual(['POST', '/v1/api-keys?platform=acme'])
    expect(headers).toMatchObject({ authorization: `Bearer ${secretKey}`, 'x-tn': 't1' })
    expect(JSON.parse(body)).toEqual({
      ...{ name: 'x', environment: 'live', metadata: { aB: 1 } },
      expires_at: '2027-01-31T00:00:00.000Z',
    })
  })

  test('goes below the path of the address, where it has one', async () => {
    scene.play(good)
    await scene.client({ baseUrl: `${scene.url}/admin/v2/` }).apiKeys.get('key_1')
    expect(scene.asked[0]?.url).toBe('/admin/v2/api-keys/key_1')
  })

  test('takes an Idempotency-Key of the caller; what only reads has none', async () => {
    scene.play(good, good, good)
    const { apiKeys } = scene.client()
    await apiKeys.rotate('key_1', { overlap: '1h' }, { idempotencyKey: 'mine' })
    await apiKeys.verify({ key: 'k' })
    await apiKeys.get('key_1')
    const keys = scene.asked.map(({ headers }) => headers['idempotency-key'])
    expect(keys).toEqual(['mine', undefined, undefined])
  })

  test('asks for one thing only, whatever the id is', () => {
    expect(segment('a/../b?c#d')).toBe('a%2F..%2Fb%3Fc%23d')
    for (const id of ['', '.', '..']) expect(() => segment(id)).toThrow(TypeError)
  })
})

describe('a list', () => {
  const page = (ids: string[], cursor: string | null) => ({
    status: 200,
    body: { data: ids.map((id) => ({ id })), has_more: cursor !== null, next_cursor: cursor },
  })

  test('is read page by page, and asks for nothing until then', async () => {
    scene.play(page(['a', 'b'], 'c1'), page(['c'], null))
    const list = scene.client().apiKeys.list({ limit: 2, environment: 'live' })
    expect(scene.asked).toHaveLength(0)
    const ids: string[] = []
    for await (const { id } of list) ids.push(id)
    expect(ids).toEqual(['a', 'b', 'c'])
    expect(scene.asked.map(({ url }) => url)).toEqual([
      '/v1/api-keys?limit=2&environment=live',
      '/v1/api-keys?limit=2&environment=live&cursor=c1',
    ])
  })

  test('gives one page, and says how to go on', async () => {
    scene.play(page(['a'], 'c1'), page(['b'], null))
    const { tenants } = scene.client()
    const { nextCursor, hasMore } = await tenants.list().page()
    expect([nextCursor, hasMore]).toEqual(['c1', true])
    expect((await tenants.list({ cursor: 'c1' }).page()).data).toEqual([{ id: 'b' }])
    expect(scene.asked[1]?.url).toBe('/v1/tenants?cursor=c1')
  })

  test('ends when its reader leaves', async () => {
    let read = 0
    const endless = new Pages(async () => {
      read += 1
      return { data: [1, 2], hasMore: true, nextCursor: 'again' }
    })
    for await (const _ of endless) if (read === 2) break
    expect(read).toBe(2)
  })
})

describe('a stream of lines', () => {
  const lines =
    (...chunks: string[]) =>
    (response: ServerResponse) => {
      response.writeHead(200, { 'content-type': 'application/x-ndjson' })
      for (const chunk of chunks) response.write(chunk)
      response.end()
    }
  const all = async () => {
    const found: unknown[] = []
    for await (const line of scene.client({ maxRetries: 1 }).apiKeys.export()) found.push(line)
    return found
  }

  test('is cut where the lines end, wherever the pieces do', async () => {
    scene.play(lines('{"last4":"a","expires', '_at":null}\n{"last4"', ':"b"}'))
    expect(await all()).toEqual([{ last4: 'a', expiresAt: null }, { last4: 'b' }])
    expect(scene.asked[0]?.headers.accept).toBe('application/x-ndjson')
  })

  test('is tried again before it begins', async () => {
    scene.play(refused(503, 'storage/unavailable'), lines('{"last4":"a"}\n'))
    expect(await all()).toEqual([{ last4: 'a' }])
  })

  test('that breaks off is an error, not an end', async () => {
    scene.play((response) => {
      response.writeHead(200, { 'content-type': 'application/x-ndjson' })
      response.write('{"last4":"a"}\n', () => response.destroy())
    })
    await expect(all()).rejects.toMatchObject({ code: 'connection/failed' })
  })

  test('of something else is an error', async () => {
    scene.play(lines('<html>\n'))
    await expect(all()).rejects.toMatchObject({ code: 'response/malformed' })
  })

  test('is stopped when its reader leaves', async () => {
    let closed: Promise<unknown> = Promise.resolve()
    scene.play((response) => {
      closed = once(response, 'close')
      response.writeHead(200, { 'content-type': 'application/x-ndjson' })
      response.write('{"last4":"a"}\n{"last4":"b"}\n')
    })
    for await (const { last4 } of scene.client().apiKeys.export()) {
      expect(last4).toBe('a')
      break
    }
    await closed
  })
})
