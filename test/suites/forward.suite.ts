/**
 * What passes between a client and an upstream, on every runtime alike: the same suite runs on Node
 * and in workerd. Where they differ is in differences.ts, and shown in test/e2e/forward.test.ts.
 */
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import {
  type ClientRequest,
  request as httpRequest,
  type IncomingMessage,
  type RequestOptions,
} from 'node:http'
import { buffer } from 'node:stream/consumers'
import { brotliCompressSync, gzipSync } from 'node:zlib'
import { createRemoteJWKSet, jwtVerify } from 'jose'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { WebSocket, WebSocketServer } from 'ws'
import { freePort } from '../servers.ts'
import {
  type HttpUpstream,
  type RawConnection,
  type RawUpstream,
  startHttpUpstream,
  startRawUpstream,
} from '../upstream.ts'
import type { GateUnderTest } from './gate.suite.ts'

type Listener = Parameters<typeof startHttpUpstream>[0]

/** A platform whose routes lead to upstreams of a test. */
export function forwardConfig(http: string, raw: string, gone: string): string {
  const allow = 'allow: [127.0.0.0/8], retries: 0'
  const short = 'timeouts: { connect: 100ms, headers: 300ms, idle: 300ms }'
  return `
version: 1
platforms:
  - id: plt_forward
    slug: forward
    permissions: { data: [read, write] }
    environments:
      test: { limits: { key: [], tenant: [] } }
      live: { limits: { key: [], tenant: [] } }
    upstreams:
      - { name: up, url: ${JSON.stringify(http)}, ${allow} }
      - { name: raw, url: ${JSON.stringify(raw)}, ${allow} }
      - { name: slow, url: ${JSON.stringify(http)}, ${allow}, ${short} }
      - { name: gone, url: ${JSON.stringify(gone)}, ${allow} }
    routes:
      - { path: /up/**, upstream: up, rewrite: /**, body: { maxBytes: 100000000 } }
      - { path: /small/**, upstream: up, rewrite: /**, body: { maxBytes: 1000 } }
      - { path: /raw/**, upstream: raw, rewrite: /** }
      - { path: /slow/**, upstream: slow, rewrite: /** }
      - { path: /gone/**, upstream: gone, rewrite: /** }
    seed: [{ id: tenant_abc123 }]
keys: { failures: { count: 1000, window: 10s } }
log: { level: info }
`
}

export type ForwardGate = Pick<GateUnderTest, 'url' | 'seeded' | 'logged' | 'stop'>

type Started = {
  readonly gate: ForwardGate
  /** Where nobody listens. */
  readonly gonePort: number
  readonly http: HttpUpstream
  readonly raw: RawUpstream
  readonly headers: Readonly<Record<string, string>>
}

/** One request with Node's own client, which changes nothing of an answer. */
async function tell(
  { gate, headers }: Started,
  options: RequestOptions,
  body: Buffer | string | null = null,
): Promise<{ readonly response: IncomingMessage; readonly body: Buffer }> {
  const all = { ...headers, ...options.headers }
  const sent = httpRequest(gate.url, { ...options, agent: false, headers: all })
  sent.end(body ?? undefined)
  const [response] = (await once(sent, 'response')) as [IncomingMessage]
  return { response, body: await buffer(response) }
}

const sha = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

/** `start` is given a config. */
export function forwardSuite(name: string, start: (text: string) => Promise<ForwardGate>): void {
  describe(`forwarding on ${name}`, () => {
    let on: Started
    let answer: Listener = (_, response) => void response.end()
    let talk: (connection: RawConnection) => Promise<void> = async () => {}

    beforeAll(async () => {
      const http = await startHttpUpstream((request, response) => answer(request, response))
      const raw = await startRawUpstream((connection) => talk(connection))
      const gonePort = await freePort()
      const gate = await start(forwardConfig(http.url, raw.url, `http://127.0.0.1:${gonePort}`))
      const headers = { 'x-api-key': gate.seeded.sk_live_, 'x-tn': 'tenant_abc123' }
      on = { gate, gonePort, http, raw, headers }
    })
    afterAll(async () => {
      await on?.gate.stop()
      await on?.http.stop()
      await on?.raw.stop()
    })
    afterEach(() => {
      on.http.seen.length = 0
    })

    const problemOf = ({ response, body }: Awaited<ReturnType<typeof tell>>) => ({
      status: response.statusCode,
      code: JSON.parse(body.toString()).code,
      type: response.headers['content-type'],
      proxyStatus: response.headers['proxy-status'],
    })

    describe('what is refused', () => {
      test('an upstream that takes no connection is a 502, and says no more of itself', async () => {
        const told = await tell(on, { path: '/gone/x' })
        expect(problemOf(told)).toEqual({
          status: 502,
          code: 'upstream/unreachable',
          type: 'application/problem+json',
          proxyStatus: expect.stringMatching(/^postern; error=connection_(?:refused|terminated)$/),
        })
        expect(told.body.toString()).not.toContain(String(on.gonePort))
      })

      test('R25: an upstream that hangs up without an answer is a 502', async () => {
        talk = async (connection) => {
          await connection.until('\r\n\r\n')
          connection.socket.destroy()
        }
        const told = await tell(on, { path: '/raw/x', method: 'POST' })
        expect(problemOf(told)).toMatchObject({ status: 502, code: 'upstream/unreachable' })
      })

      test('an upstream that does not answer in time is a 504, and its request is ended', async () => {
        const left = new Promise<void>((resolve) => {
          answer = (_, response) => void response.once('close', resolve)
        })
        const told = await tell(on, { path: '/slow/x' })
        expect(problemOf(told)).toEqual({
          status: 504,
          code: 'upstream/timeout',
          type: 'application/problem+json',
          proxyStatus: 'postern; error=http_response_timeout',
        })
        await left
      })

      test('R20: a body that grows too large while it is sent is a 413, and the upstream is cut', async () => {
        const cut = new Promise<boolean>((resolve) => {
          answer = (request) => {
            request.on('error', () => {})
            request.resume().once('close', () => resolve(request.complete))
          }
        })
        const sent = httpRequest(`${on.gate.url}/small/x`, {
          method: 'POST',
          agent: false,
          headers: { ...on.headers, 'transfer-encoding': 'chunked' },
        })
        sent.on('error', () => {})
        sent.write(Buffer.alloc(600))
        await expect.poll(() => on.http.seen.length).toBe(1)
        sent.write(Buffer.alloc(600))
        const [response] = (await once(sent, 'response')) as [IncomingMessage]
        const told = { response, body: await buffer(response) }
        expect(problemOf(told)).toMatchObject({ status: 413, code: 'request/too_large' })
        expect(await cut).toBe(false)
        sent.destroy()
      })

      test('R20: a body that is announced too large never reaches the upstream', async () => {
        const told = await tell(on, { path: '/small/x', method: 'POST' }, Buffer.alloc(1001))
        expect(problemOf(told)).toMatchObject({ status: 413, code: 'request/too_large' })
        expect(on.http.seen).toEqual([])
      })

      test('H1: a request that went through eight gateways of this name goes no further', async () => {
        const told = await tell(on, {
          path: '/up/x',
          headers: { via: Array(8).fill('1.1 postern').join(', ') },
        })
        expect(problemOf(told)).toMatchObject({
          status: 502,
          proxyStatus: 'postern; error=proxy_loop_detected',
        })
        expect(on.http.seen).toEqual([])
      })
    })

    describe('requests', () => {
      test.each('GET HEAD POST PUT PATCH DELETE OPTIONS PROPFIND REPORT PURGE'.split(' '))(
        '%s reaches the upstream as it is',
        async (method) => {
          answer = (_, response) => void response.end()
          const { response } = await tell(on, { method, path: '/up/a/b?x=1&x=2&y=%20%2F' })
          expect(response.statusCode).toBe(200)
          expect(on.http.seen).toMatchObject([{ method, url: '/a/b?x=1&x=2&y=%20%2F' }])
        },
      )

      test('P15: the query keeps its bytes, its order and its repetitions', async () => {
        const query = '?b=2&a=1&a=1&c=%e2%82%ac+%20&&=&d&e=//..%2f/../x:y@z'
        await tell(on, { path: `/up/q${query}` })
        expect(on.http.seen[0]?.url).toBe(`/q${query}`)
      })

      test.each([
        ['with a length', { 'content-length': '1000000' }],
        ['in chunks', { 'transfer-encoding': 'chunked' }],
      ])('a body %s arrives byte for byte, framed as it was sent', async (_, headers) => {
        const sent = randomBytes(1_000_000)
        answer = async (request, response) => void response.end(sha(await buffer(request)))
        const own = { ...headers, 'content-encoding': 'x-own' }
        const { body } = await tell(on, { path: '/up/x', method: 'PUT', headers: own }, sent)
        expect(body.toString()).toBe(sha(sent))
        expect(on.http.seen[0]?.headers).toMatchObject(own)
      })

      test('a body flows while it is sent: the upstream answers the first half before the second', async () => {
        answer = (request, response) => {
          request.once('data', () => response.write('got it'))
          request.once('end', () => response.end())
        }
        const sent = httpRequest(`${on.gate.url}/up/half`, {
          method: 'POST',
          agent: false,
          headers: on.headers,
        })
        sent.write('first')
        const [response] = (await once(sent, 'response')) as [IncomingMessage]
        const [piece] = await once(response, 'data')
        expect(String(piece)).toBe('got it')
        sent.end('second')
        await once(response.resume(), 'end')
      })

      test('H1: the upstream gets these header lines, and no other', async () => {
        let head = ''
        talk = async (connection) => {
          head = await connection.until('\r\n\r\n')
          connection.socket.end('HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n')
        }
        await tell(on, {
          path: '/raw/x?y=1',
          headers: {
            'X-Own': 'own',
            'X-Latin': Buffer.from('\u20ac').toString('latin1'),
            cookie: 'a=1; b=2',
            'user-agent': 'suite',
            'x-forwarded-for': '203.0.113.9',
            'postern-tenant': 'tenant_xyz789',
            postern_tenant: 'tenant_xyz789',
            'x-real-ip': '203.0.113.9',
            connection: 'close, x-named',
            'x-named': 'gone',
            te: 'gzip',
            'proxy-authorization': 'Basic eA==',
            via: '1.1 first',
          },
        })
        const [line, ...fields] = Buffer.from(head, 'latin1').toString().trim().split('\r\n')
        expect(line).toBe('GET /x?y=1 HTTP/1.1')
        expect(settled(fields)).toEqual([
          'cookie: a=1; b=2',
          `host: 127.0.0.1:${on.raw.port}`,
          'postern-environment: live',
          expect.stringMatching(/^postern-identity: [\w-]+\.[\w-]+\.[\w-]+$/),
          expect.stringMatching(/^postern-key-id: key_/),
          'postern-permissions: data:read data:write',
          'postern-tenant: tenant_abc123',
          'user-agent: suite',
          'via: 1.1 first, 1.1 postern',
          expect.stringMatching(/^x-forwarded-for: \S+$/),
          `x-forwarded-host: ${new URL(on.gate.url).host}`,
          `x-forwarded-port: ${new URL(on.gate.url).port}`,
          'x-forwarded-proto: http',
          'x-latin: \u20ac',
          'x-own: own',
          expect.stringMatching(/^x-request-id: req_[0-9a-f]{32}$/),
        ])
        expect(head).not.toContain('203.0.113.9')
        expect(head).not.toContain(on.gate.seeded.sk_live_)
      })

      test('Postern-Identity is signed by a key of the gate, for this upstream and this caller', async () => {
        answer = (_, response) => void response.end()
        await tell(on, { path: '/up/x' })
        const keys = createRemoteJWKSet(new URL(`${on.gate.url}/.well-known/jwks.json`))
        const token = String(on.http.seen[0]?.headers['postern-identity'])
        const expected = { issuer: 'urn:postern:plt_forward', audience: 'up' }
        const { payload } = await jwtVerify(token, keys, expected)
        expect(payload).toMatchObject({ tenant: 'tenant_abc123', env: 'live', class: 'secret' })
        await expect(jwtVerify(token, keys, { ...expected, audience: 'slow' })).rejects.toThrow()
      })

      test('a client that leaves before the answer ends the request at the upstream', async () => {
        const left = new Promise<void>((resolve) => {
          answer = (_, response) => void response.once('close', resolve)
        })
        const sent = httpRequest(`${on.gate.url}/up/leave`, { agent: false, headers: on.headers })
        sent.on('error', () => {})
        sent.end()
        await expect.poll(() => on.http.seen.length, { timeout: 10_000 }).toBe(1)
        leave(sent)
        await left
      })

      test('a client that leaves within the answer ends it at the upstream', async () => {
        const left = new Promise<void>((resolve) => {
          answer = (_, response) => {
            response.once('close', resolve)
            response.write('begun')
          }
        })
        const sent = httpRequest(`${on.gate.url}/up/leave`, { agent: false, headers: on.headers })
        sent.on('error', () => {})
        sent.end()
        const [response] = (await once(sent, 'response')) as [IncomingMessage]
        response.on('error', () => {})
        await once(response, 'data')
        leave(sent)
        await left
      })
    })

    test('the log has one line for it, with the bytes of both bodies', async () => {
      answer = async (request, response) => {
        await buffer(request)
        response.end('hello')
      }
      const headers = { 'transfer-encoding': 'chunked' }
      await tell(on, { path: '/up/logged', method: 'POST', headers }, Buffer.alloc(1234))
      const lines = async () =>
        (await on.gate.logged())
          .split('\n')
          .filter((line) => line.includes('/up/logged'))
          .map((line) => JSON.parse(line))
      await expect.poll(async () => (await lines()).length).toBe(1)
      const expected = { status: 200, requestBytes: 1234, responseBytes: 5, cause: null }
      expect(await lines()).toMatchObject([expected])
    })

    describe('answers', () => {
      test.each([
        ['200 with a length', 200, { 'content-length': '5' }, 'hello'],
        ['200 in chunks', 200, { 'transfer-encoding': 'chunked' }, 'hello'],
        ['201 with nothing', 201, { 'content-length': '0' }, ''],
        [
          '206 of a range',
          206,
          { 'content-range': 'bytes 0-4/10', 'content-length': '5' },
          'hello',
        ],
        ['404 of its own', 404, { 'content-type': 'text/x-own' }, 'not here'],
        ['503 of its own', 503, { 'retry-after': '7' }, '{"theirs":true}'],
        ['599', 599, {}, 'whatever'],
      ])('%s passes as it is', async (_, status, headers, body) => {
        answer = (__, response) => void response.writeHead(status, headers).end(body)
        const told = await tell(on, { path: '/up/as-it-is' })
        expect(told.response.statusCode).toBe(status)
        expect(told.response.headers).toMatchObject(headers)
        expect(told.response.headers['proxy-status']).toBeUndefined()
        expect(told.response.headers['x-request-id']).toMatch(/^req_/)
        expect(told.body.toString()).toBe(body)
      })

      test('S4: a redirect is the client’s to follow', async () => {
        answer = (_, response) => void response.writeHead(302, { location: on.raw.url }).end()
        const before = on.raw.connections.length
        const { response } = await tell(on, { path: '/up/x' })
        expect([response.statusCode, response.headers.location]).toEqual([302, on.raw.url])
        expect(on.raw.connections.length).toBe(before)
      })

      test.each([
        ['HEAD with the length that GET has', 'HEAD', 200, { 'content-length': '1234' }],
        ['304 with a tag', 'GET', 304, { etag: '"a"' }],
        ['204', 'GET', 204, {}],
      ])('%s has no body', async (_, method, status, headers) => {
        answer = (__, response) => void response.writeHead(status, headers).end()
        const { response, body } = await tell(on, { method, path: '/up/x' })
        expect([response.statusCode, body.length]).toEqual([status, 0])
        expect(response.headers).toMatchObject(headers)
      })

      test('several Set-Cookie stay several, and what the gate adds to Vary is added', async () => {
        const cookies = ['a=1; Path=/; Expires=Thu, 01 Jan 2026 00:00:00 GMT', 'b=2']
        answer = (_, response) => {
          response.setHeader('set-cookie', cookies)
          response.writeHead(200, { vary: 'Accept', etag: 'W/"x"', server: 'theirs' }).end('x')
        }
        const { headers } = (await tell(on, { path: '/up/x' })).response
        expect(headers['set-cookie']).toEqual(cookies)
        expect(headers).toMatchObject({ vary: 'Accept', etag: 'W/"x"' })
        expect(headers.server).toBeUndefined()
      })

      test.each([
        ['gzip', gzipSync(randomBytes(20_000))],
        ['br', brotliCompressSync(randomBytes(20_000))],
      ])(
        'R22: an answer in %s is not decoded on the way, with and without a length',
        async (coding, packed) => {
          for (const length of [{ 'content-length': String(packed.length) }, {}]) {
            answer = (_, response) =>
              void response.writeHead(200, { 'content-encoding': coding, ...length }).end(packed)
            const headers = { 'accept-encoding': coding }
            const { response, body } = await tell(on, { path: '/up/x', headers })
            expect(response.headers['content-encoding']).toBe(coding)
            expect(response.headers).toMatchObject(length)
            expect(body.equals(packed)).toBe(true)
          }
        },
      )

      test('a header value beyond ASCII keeps its bytes', async () => {
        const value = Buffer.from('caf\u00e9 \u20ac').toString('latin1')
        answer = (_, response) => void response.writeHead(200, { 'x-own': value }).end()
        const { response } = await tell(on, { path: '/up/x' })
        expect(response.headers['x-own']).toBe(value)
      })

      test('a large answer arrives whole', async () => {
        const large = randomBytes(5_000_000)
        answer = (_, response) => void response.end(large)
        expect(sha((await tell(on, { path: '/up/x' })).body)).toBe(sha(large))
      })

      test('events arrive one by one, while the answer is still open', async () => {
        let push = (_: string): void => {}
        let end = (): void => {}
        answer = (_, response) => {
          response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders()
          push = (text) => void response.write(`data: ${text}\n\n`)
          end = () => void response.end()
        }
        const sent = httpRequest(`${on.gate.url}/up/events`, { agent: false, headers: on.headers })
        sent.end()
        // The head is there before the first event.
        const [response] = (await once(sent, 'response')) as [IncomingMessage]
        expect(response.headers['content-type']).toBe('text/event-stream')
        for (const text of ['one', 'two', 'three']) {
          const came = once(response, 'data')
          push(text)
          expect(String((await came)[0])).toBe(`data: ${text}\n\n`)
        }
        end()
        await once(response.resume(), 'end')
      })

      test('a slow reader slows the upstream down, and gets every byte', async () => {
        const size = 32 * 1024 * 1024
        const block = randomBytes(65_536)
        let written = 0
        answer = async (_, response) => {
          response.writeHead(200, { 'content-length': size })
          for (; written < size; written += block.length) {
            if (!response.write(block)) await once(response, 'drain')
          }
          response.end()
        }
        const sent = httpRequest(`${on.gate.url}/up/large`, { agent: false, headers: on.headers })
        sent.end()
        const [response] = (await once(sent, 'response')) as [IncomingMessage]
        // Nothing is read yet: what the upstream could write is what sockets hold, not the whole.
        let before = -1
        while (before !== written) {
          before = written
          await new Promise((resolve) => setTimeout(resolve, 200))
        }
        expect(written).toBeLessThan(size)
        let got = 0
        for await (const piece of response) got += piece.length
        expect(got).toBe(size)
      })

      test.each([
        ['that has a length', { 'content-length': '10' }],
        ['in chunks', {}],
      ])(
        'R25: an upstream that dies within a body %s: the client sees no clean end',
        async (_, headers) => {
          answer = (__, response) => {
            response.writeHead(200, headers)
            response.write('half', () => response.destroy())
          }
          await expect(tell(on, { path: '/up/dies' })).rejects.toThrow('aborted')
        },
      )

      test('R25: an upstream that stops within a body is cut off, and so is the client', async () => {
        const left = new Promise<void>((resolve) => {
          answer = (_, response) => {
            response.once('close', resolve)
            response.write('half')
          }
        })
        await expect(tell(on, { path: '/slow/stops' })).rejects.toThrow('aborted')
        await left
      })
    })

    describe('WebSockets', () => {
      const sockets = new WebSocketServer({ noServer: true, handleProtocols: () => 'second' })
      beforeAll(() => {
        on.http.server.on('upgrade', (request, socket, head) => {
          on.http.seen.push(request)
          if (request.url === '/refused') {
            socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 6\r\nX-Own: own\r\n\r\nno way')
          } else sockets.handleUpgrade(request, socket, head, (open) => sockets.emit('open', open))
        })
      })
      afterAll(() => sockets.close())

      const open = (path: string, headers = on.headers): WebSocket =>
        new WebSocket(on.gate.url.replace('http', 'ws') + path, ['first', 'second'], { headers })

      test('without a key there is a 401, and the upstream hears nothing', async () => {
        const [, response] = await refusalOf(open('/up/ws', {}))
        expect(response.statusCode).toBe(401)
        expect(on.http.seen).toEqual([])
      })

      test('a refusal of the upstream is passed on', async () => {
        const [, response] = await refusalOf(open('/up/refused'))
        expect([response.statusCode, response.headers['x-own']]).toEqual([403, 'own'])
        expect((await buffer(response)).toString()).toBe('no way')
      })

      test('messages pass both ways, and so does the end, its code and its reason', async () => {
        const served = once(sockets, 'open') as Promise<[WebSocket]>
        const client = open('/up/ws?x=1')
        const upgraded = once(client, 'upgrade') as Promise<[IncomingMessage]>
        await once(client, 'open')
        const [server] = await served
        expect(client.protocol).toBe('second')
        expect((await upgraded)[0].headers['x-request-id']).toMatch(/^req_/)
        expect(on.http.seen[0]).toMatchObject({ url: '/ws?x=1' })
        expect(on.http.seen[0]?.headers).toMatchObject({ 'postern-tenant': 'tenant_abc123' })
        expect(on.http.seen[0]?.headers['x-api-key']).toBeUndefined()
        const large = randomBytes(300_000)
        for (const [from, to] of [
          [client, server],
          [server, client],
        ] as const) {
          const text = once(to, 'message')
          from.send('héllo')
          expect(String((await text)[0])).toBe('héllo')
          const binary = once(to, 'message')
          from.send(large)
          const [data, isBinary] = await binary
          expect([isBinary, Buffer.compare(large, data)]).toEqual([true, 0])
        }
        const closed = once(client, 'close')
        server.close(4321, 'because')
        expect(String((await closed).join())).toBe('4321,because')
      })

      test('a client that breaks off ends it at the upstream', async () => {
        const served = once(sockets, 'open') as Promise<[WebSocket]>
        const client = open('/up/ws')
        await once(client, 'open')
        const [server] = await served
        const closed = once(server, 'close')
        client.terminate()
        await closed
      })
    })
  })
}

/** Leaves as a program does that ends: what is sent to it is refused. */
function leave(sent: ClientRequest): void {
  sent.socket?.resetAndDestroy()
}

async function refusalOf(client: WebSocket): Promise<[unknown, IncomingMessage]> {
  client.on('error', () => {})
  // Whoever listens to this event has the answer to itself.
  return (await once(client, 'unexpected-response')) as [unknown, IncomingMessage]
}

/** What a runtime writes of the connection by itself, or says of itself. */
const runtimes =
  /^(?:(?:connection|accept-encoding|cf-[\w-]+|cdn-loop): |(?:cache-control|pragma): no-cache$)/

/** Names are lower case, and neither their order nor what is the runtime's counts. */
function settled(fields: readonly string[]): string[] {
  return fields
    .map((field) => field.replace(/^[^:]+/, (name) => name.toLowerCase()))
    .filter((field) => !runtimes.test(field))
    .sort()
}
