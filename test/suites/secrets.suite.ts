/**
 * Secrets of a session in calls to an upstream, on every runtime alike: what is sent, what is refused,
 * and that no answer shows one. Sessions are opened on Node, in the same database.
 */
import { once } from 'node:events'
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { buffer } from 'node:stream/consumers'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type HttpUpstream, startHttpUpstream } from '../upstream.ts'
import type { ForwardGate } from './forward.suite.ts'

type Listener = Parameters<typeof startHttpUpstream>[0]

const config = (url: string, elsewhere: string) => `
version: 1
platforms:
  - id: plt_secret
    slug: secret
    permissions: { data: [read, write] }
    environments:
      test: { limits: { key: [], tenant: [] } }
      live: { limits: { key: [], tenant: [] } }
    upstreams:
      - { name: up, url: ${JSON.stringify(url)}, allow: [127.0.0.0/8], retries: 0, breaker: { failures: 1, open: 1h } }
      - { name: try, url: ${JSON.stringify(elsewhere)}, allow: [127.0.0.0/8], retries: 0 }
      - { name: echo, builtin: echo }
    routes:
      - { path: /v1/sessions/**, handler: sessions }
      - { path: "/v1/sessions/:sid/secrets/**", handler: secrets }
      - path: /up/**
        upstream: up
        sandbox: try
        rewrite: /**
        secrets: { headers: { authorization: "Bearer {{secret.API_KEY}}", x-pair: "{{secret.API_KEY}}:{{secret.OTHER}}" } }
      - { path: /echo/**, upstream: echo, secrets: { headers: { x-api-key: "{{secret.API_KEY}}" } } }
      - { path: /plain/**, upstream: up, rewrite: /** }
    seed: [{ id: tenant_abc123 }, { id: tenant_xyz789 }]
keys: { failures: { count: 1000, window: 10s } }
management: { basePath: /manage }
log: { level: info }
`

const value = 'sk-test/9f+"a b"~Kq81zPm'
const other = 'another-value-2f8c'
const stars = (text: string): string => '*'.repeat(text.length)

/** `start` is given a config; sessions are opened at `nodeUrl`, where there is one. */
export function secretsSuite(
  name: string,
  start: (text: string) => Promise<ForwardGate & { readonly nodeUrl?: string }>,
): void {
  describe(`secrets for an upstream on ${name}`, () => {
    let gate: Awaited<ReturnType<typeof start>>
    let up: HttpUpstream
    let elsewhere: HttpUpstream
    let session = ''
    let answer: Listener = (_, response) => void response.end()
    beforeAll(async () => {
      up = await startHttpUpstream((request, response) => answer(request, response))
      elsewhere = await startHttpUpstream((_, response) => void response.end('elsewhere'))
      gate = await start(config(up.url, elsewhere.url))
      session = await open({ API_KEY: value, OTHER: other })
    })
    afterAll(async () => {
      await gate?.stop()
      await up?.stop()
      await elsewhere?.stop()
    })
    beforeEach(() => {
      up.seen.length = 0
      elsewhere.seen.length = 0
      answer = (_, response) => void response.end()
    })

    const keyed = (key = 'sk_live_' as 'sk_live_' | 'sk_dev_', tenant = 'tenant_abc123') => ({
      'x-api-key': gate.seeded[key],
      'x-tn': tenant,
    })

    async function post(path: string, body: unknown, headers: Readonly<Record<string, string>>) {
      return fetch(`${gate.nodeUrl ?? gate.url}${path}`, {
        method: 'POST',
        headers: { ...headers, 'content-type': 'application/json' },
        body: JSON.stringify(body),
      })
    }

    async function open(values: Readonly<Record<string, string>>, as = keyed()): Promise<string> {
      const made = await post('/v1/sessions', { userId: 'u' }, as)
      const { id } = (await made.json()) as { id: string }
      const set = await post(`/v1/sessions/${id}/secrets`, values, as)
      expect([made.status, set.status]).toEqual([201, 204])
      return id
    }

    type Asked = { readonly method?: string; readonly headers?: Record<string, string | string[]> }
    async function call(path: string, { method = 'GET', headers = {} }: Asked = {}) {
      const all = { ...keyed(), 'postern-session': session, ...headers }
      const sent = httpRequest(gate.url + path, { method, agent: false, headers: all })
      sent.end()
      const [response] = (await once(sent, 'response')) as [IncomingMessage]
      const body = (await buffer(response)).toString('latin1')
      const { statusCode: status, statusMessage, rawHeaders, trailers } = response
      const problem = /problem/.test(response.headers['content-type'] ?? '')
      const told = problem ? JSON.parse(body) : {}
      return { status, statusMessage, body, rawHeaders, trailers, headers: response.headers, told }
    }

    describe('what is refused', () => {
      const none = { 'postern-session': [] as string[] }
      test.each<[string, () => Promise<Record<string, string | string[]>>, number, string, RegExp]>(
        [
          ['no session', async () => none, 403, 'secret/not_declared', /API_KEY.*Postern-Session/],
          [
            'a session that nobody knows',
            async () => ({ 'postern-session': `ses_${'0'.repeat(32)}` }),
            ...([403, 'secret/not_declared', /named API_KEY/] as const),
          ],
          [
            'what is no session',
            async () => ({ 'postern-session': '../x' }),
            ...([403, 'secret/not_declared', /named API_KEY/] as const),
          ],
          [
            'a session without one of the secrets',
            async () => ({ 'postern-session': await open({ API_KEY: value }) }),
            ...([403, 'secret/not_declared', /named OTHER/] as const),
          ],
          [
            'X10: a session of another tenant',
            async () => ({
              'postern-session': await open(
                { API_KEY: value, OTHER: other },
                keyed('sk_live_', 'tenant_xyz789'),
              ),
            }),
            ...([403, 'secret/not_declared', /named API_KEY/] as const),
          ],
          [
            'X10: a session of the other environment',
            async () => ({
              'postern-session': await open({ API_KEY: value, OTHER: other }, keyed('sk_dev_')),
            }),
            ...([403, 'secret/not_declared', /named API_KEY/] as const),
          ],
          [
            'a value with a line break',
            async () => ({
              'postern-session': await open({ API_KEY: 'abcd\r\nx: 1', OTHER: other }),
            }),
            ...([400, 'request/invalid', /API_KEY cannot stand in a header/] as const),
          ],
          [
            'X11: a value that a header would trim',
            async () => ({ 'postern-session': await open({ API_KEY: 'abcdef ', OTHER: other }) }),
            ...([400, 'request/invalid', /API_KEY cannot stand in a header/] as const),
          ],
          [
            'X11: a value too short to be covered',
            async () => ({ 'postern-session': await open({ API_KEY: 'abc', OTHER: other }) }),
            ...([400, 'request/invalid', /API_KEY is too short/] as const),
          ],
          [
            'a value too long for a header',
            async () => ({
              'postern-session': await open({ API_KEY: 'x'.repeat(4097), OTHER: other }),
            }),
            ...([400, 'request/invalid', /API_KEY is too long/] as const),
          ],
        ],
      )('%s, and nothing is sent', async (_, headers, status, code, detail) => {
        const told = await call('/up/x', { headers: await headers() })
        expect([told.status, told.told.code]).toEqual([status, code])
        expect(told.told.detail).toMatch(detail)
        expect(told.body).not.toContain(value)
        expect(up.seen).toHaveLength(0)
      })

      test('a session that has ended', async () => {
        const ended = await open({ API_KEY: value, OTHER: other })
        const path = `${gate.nodeUrl ?? gate.url}/v1/sessions/${ended}`
        await fetch(path, { method: 'DELETE', headers: keyed() })
        const told = await call('/up/x', { headers: { 'postern-session': ended } })
        expect([told.status, told.told.code]).toEqual([403, 'secret/not_declared'])
        expect(up.seen).toHaveLength(0)
      })

      test('a WebSocket, whose frames would not be looked through', async () => {
        const sent = httpRequest(`${gate.url}/up/ws`, {
          headers: {
            ...keyed(),
            ...{ 'postern-session': session, connection: 'upgrade', upgrade: 'websocket' },
            ...{ 'sec-websocket-version': '13', 'sec-websocket-key': 'AAAAAAAAAAAAAAAAAAAAAA==' },
          },
        })
        sent.end()
        const [response] = (await once(sent, 'response')) as [IncomingMessage]
        expect(response.statusCode).toBe(400)
        expect((await buffer(response)).toString()).toContain('takes no WebSocket')
        expect(up.seen).toHaveLength(0)
      })

      test('X11: an encoded answer, which takes no target from others', async () => {
        answer = (_, response) => {
          response.setHeader('content-encoding', 'gzip')
          response.end(gzipSync(value))
        }
        const told = await call('/up/x')
        expect([told.status, told.told.code]).toEqual([502, 'upstream/bad_response'])
        expect((await call('/plain/x')).status).toBe(200)
      })
    })

    describe('what is sent', () => {
      test('the values, in the place of what the client sent', async () => {
        const headers = {
          ...{
            authorization: [] as string[],
            'X-Pair': 'mine',
            x_pair: 'mine',
            'accept-encoding': 'gzip, br',
          },
          ...{ range: 'bytes=0-3', 'if-range': '"a"', 'x-own': 'kept' },
        }
        expect((await call('/up/x', { headers })).status).toBe(200)
        const { rawHeaders = [], headers: got = {} } = up.seen[0] ?? {}
        expect(got).toMatchObject({
          authorization: `Bearer ${value}`,
          'x-pair': `${value}:${other}`,
          'accept-encoding': 'identity',
          'x-own': 'kept',
        })
        const names = rawHeaders.filter((_, at) => at % 2 === 0).map((one) => one.toLowerCase())
        for (const absent of ['postern-session', 'x_pair', 'range', 'if-range', 'x-api-key']) {
          expect(names).not.toContain(absent)
        }
        expect(names.filter((one) => one === 'x-pair')).toHaveLength(1)
      })

      test('H2: also when the client has Connection name them', async () => {
        await call('/up/x', { headers: { connection: 'close, x-pair' } })
        expect(up.seen[0]?.headers['x-pair']).toBe(`${value}:${other}`)
      })

      test('X10: nothing where a redirect leads; it is passed on', async () => {
        answer = (_, response) => {
          response.writeHead(302, { location: `${elsewhere.url}/${encodeURIComponent(value)}` })
          response.end()
        }
        const told = await call('/up/x')
        expect(told.status).toBe(302)
        expect(told.headers.location).toBe(`${elsewhere.url}/${stars(encodeURIComponent(value))}`)
        expect(elsewhere.seen).toHaveLength(0)
      })

      test('for test keys: secrets of a test session, to the sandbox alone', async () => {
        const test = await open({ API_KEY: 'test-value-1', OTHER: other }, keyed('sk_dev_'))
        const told = await call('/up/x', {
          headers: { ...keyed('sk_dev_'), 'postern-session': test },
        })
        expect([told.status, told.body]).toEqual([200, 'elsewhere'])
        expect(elsewhere.seen[0]?.headers.authorization).toBe('Bearer test-value-1')
        const live = await call('/up/x', { headers: keyed('sk_dev_') })
        expect([live.status, live.told.code]).toEqual([403, 'secret/not_declared'])
        expect(up.seen).toHaveLength(0)
      })

      test('nothing on a route without secrets', async () => {
        answer = (_, response) => {
          response.setHeader('content-encoding', 'gzip')
          response.end(value)
        }
        const told = await call('/plain/x', { headers: { 'accept-encoding': 'gzip' } })
        expect(told.body).toBe(value)
        expect(up.seen[0]?.headers['accept-encoding']).toContain('gzip')
        expect(up.seen[0]?.headers.authorization).toBeUndefined()
      })
    })

    describe('X11: what comes back', () => {
      const base64 = (before: string) => Buffer.from(`${before}${value}and more`).toString('base64')
      test.each<[string, string]>([
        ['as it is', value],
        ['in JSON', JSON.stringify({ error: `bad key ${value}` })],
        ['URL-encoded', encodeURIComponent(value)],
        ['in base64', base64('')],
        ['in base64, one byte on', base64('1')],
        ['in base64, two bytes on', base64('12')],
      ])('%s is covered, wherever its pieces are cut', async (_, text) => {
        const body = `before ${text} after`
        for (const cut of [0, 8, 12, body.length - 8]) {
          for (const length of [undefined, body.length]) {
            answer = (_request, response) => {
              if (length !== undefined) response.setHeader('content-length', length)
              response.write(body.slice(0, cut))
              setImmediate(() => response.end(body.slice(cut)))
            }
            const told = await call('/up/x')
            expect(told.body).toHaveLength(body.length)
            expect(told.body).toMatch(/^before [^*]*\*{16,}[^*]* after$/)
            expect(told.headers['content-length']).toBe(length?.toString())
          }
        }
      })

      test('a head is covered: reason, names and values; a length is let be', async () => {
        const digits = await open({ API_KEY: '123456', OTHER: other })
        answer = (_, response) => {
          const head = { 'x-key': 'is 123456', [`x-${other}`]: '1', 'content-length': 6 }
          response.writeHead(200, `OK ${other}`, head)
          response.end('123456')
        }
        const told = await call('/up/x', { headers: { 'postern-session': digits } })
        expect(told.body).toBe('******')
        expect(told.headers).toMatchObject({ 'x-key': 'is ******', 'content-length': '6' })
        expect(JSON.stringify([told.rawHeaders, told.statusMessage])).not.toContain(other)
      })

      test('a long answer keeps its length, and all that is no secret', async () => {
        const filler = 'data: tick sk-tes sk-test/9f+\n'.repeat(40_000)
        const body = `${filler}${value}${filler}`
        answer = (_, response) => {
          response.setHeader('content-length', body.length)
          response.end(body)
        }
        const told = await call('/up/x')
        expect(told.body === `${filler}${stars(value)}${filler}`).toBe(true)
      })

      test('an end that was waited with goes out', async () => {
        const half = value.slice(0, 9)
        for (const length of [undefined, half.length]) {
          answer = (_, response) => {
            if (length !== undefined) response.setHeader('content-length', length)
            response.write(half)
            response.end()
          }
          expect((await call('/up/x')).body).toBe(half)
        }
      })

      test('HEAD, 204 and 206 are what they were', async () => {
        answer = (_, response) => {
          response.writeHead(206, { 'content-range': 'bytes 0-9/20', 'content-length': 10 })
          response.end('0123456789')
        }
        const part = await call('/up/x')
        expect([part.status, part.body]).toEqual([206, '0123456789'])
        expect(part.headers['content-range']).toBe('bytes 0-9/20')
        const head = await call('/up/x', { method: 'HEAD' })
        expect([head.status, head.body]).toEqual([206, ''])
        answer = (_, response) => void response.writeHead(204).end()
        expect((await call('/up/x')).status).toBe(204)
      })

      test('the built-in echo shows the place of a value', async () => {
        const told = await call('/echo/x')
        expect(JSON.parse(told.body).headers['x-api-key']).toBe(
          stars(JSON.stringify(value).slice(1, -1)),
        )
      })
    })

    test('X7: no value is in the log', async () => {
      answer = (_, response) => void response.writeHead(500).end(value)
      await call('/up/x')
      await expect.poll(() => gate.logged()).toContain('"status":500')
      const logged = await gate.logged()
      for (const one of [value, other]) expect(logged).not.toContain(one)
    })
  })
}
