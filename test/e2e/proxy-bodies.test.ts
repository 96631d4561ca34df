/**
 * Bodies that are too large, that unpack to more than they are, or that nobody wants to the end: on
 * neither side does half of one look like a whole.
 */
import { randomBytes } from 'node:crypto'
import { connect } from 'node:net'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type ProxyGate, startProxyGate } from '../proxy-gate.ts'
import { openLine, readAnswers } from '../runtime/raw.ts'
import { type RawConnection, type RawUpstream, startRawUpstream } from '../upstream.ts'

let upstream: RawUpstream
let gate: ProxyGate
/** What the upstream does once it has a head. */
let talk: (connection: RawConnection) => Promise<void> | void = () => {}

const ok = 'HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood'

beforeAll(async () => {
  upstream = await startRawUpstream(async (connection) => {
    const head = await connection.until('\r\n\r\n')
    if (head.includes('\r\n\r\n')) await talk(connection)
  })
  const calm = 'retries: 0, breaker: { failures: 10000 }'
  gate = await startProxyGate(upstream.url, {
    upstream: calm,
    others: { small: `url: "${upstream.url}", ${calm}` },
    routes: { small: 'body: { maxBytes: 1000 }' },
  })
})
afterAll(async () => {
  await gate?.stop()
  await upstream?.stop()
})

const post = (path: string, framing: string): string =>
  `POST ${path} HTTP/1.1\r\nHost: a\r\n${gate.credentials}${framing}\r\n\r\n`
const chunk = (size: number): string => `${size.toString(16)}\r\n${'b'.repeat(size)}\r\n`

describe('R20: a body over the limit of its route', () => {
  test('in chunks: 413, and the upstream sees it cut, not ended', async () => {
    talk = () => {}
    const line = await openLine(gate.port)
    line.send(post('/small/x', 'Transfer-Encoding: chunked') + chunk(600))
    const before = upstream.connections.length
    // The first half is on its way before the second comes.
    const connection = await reached(before)
    await connection.until('b'.repeat(600))
    line.send(chunk(600))
    const [answer] = readAnswers(await line.closed())
    expect(answer?.status).toBe(413)
    expect(JSON.parse(answer?.body ?? '{}').code).toBe('request/too_large')
    await connection.closed
    expect(connection.take()).not.toMatch(/\r\n0\r\n/)
  })

  test('in chunks, when the answer has begun: the client is cut off', async () => {
    talk = ({ socket }) =>
      void socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n')
    const line = await openLine(gate.port)
    const before = upstream.connections.length
    line.send(post('/small/x', 'Transfer-Encoding: chunked') + chunk(600))
    await line.until('half')
    line.send(chunk(600))
    expect(await line.closed()).not.toMatch(/\r\n0\r\n\r\n$/)
    const connection = await reached(before)
    await connection.closed
    expect(connection.take()).not.toMatch(/\r\n0\r\n/)
  })

  test('with a length: 413 before the upstream hears of it', async () => {
    const before = upstream.connections.length
    const line = await openLine(gate.port)
    line.send(post('/small/x', 'Content-Length: 1001'))
    expect(await line.closed()).toMatch(/^HTTP\/1\.1 413 /)
    expect(upstream.connections).toHaveLength(before)
  })

  test.each(['Content-Length: 1000', 'Transfer-Encoding: chunked'])(
    'at the limit passes: %s',
    async (framing) => {
      talk = async (connection) => {
        await connection.until('b'.repeat(1000))
        connection.socket.end(ok)
      }
      const line = await openLine(gate.port)
      const chunked = framing.startsWith('T')
      line.send(post('/small/x', `Connection: close\r\n${framing}`))
      line.send(chunked ? `${chunk(500)}${chunk(500)}0\r\n\r\n` : 'b'.repeat(1000))
      expect(await line.closed()).toMatch(/^HTTP\/1\.1 200 [\s\S]*good$/)
    },
  )
})

test('a client that breaks off its body is no client that has ended it', async () => {
  talk = () => {}
  const before = upstream.connections.length
  const line = await openLine(gate.port)
  line.send(post('/up/x', 'Transfer-Encoding: chunked') + chunk(10))
  const connection = await reached(before)
  await connection.until('b'.repeat(10))
  line.socket.destroy()
  await connection.closed
  expect(connection.take()).not.toMatch(/\r\n0\r\n/)
})

test('a chunk that is none, after some that were: 400, and the upstream sees it cut', async () => {
  talk = () => {}
  const before = upstream.connections.length
  const line = await openLine(gate.port)
  line.send(post('/up/x', 'Transfer-Encoding: chunked') + chunk(10))
  const connection = await reached(before)
  await connection.until('b'.repeat(10))
  line.send('zz\r\n')
  expect(await line.closed()).toMatch(/^HTTP\/1\.1 400 /)
  await connection.closed
  expect(connection.take()).not.toMatch(/\r\n0\r\n/)
})

test('R21: what is packed stays packed, a thousandfold as it may be', async () => {
  const bomb = gzipSync(Buffer.alloc(10_000_000))
  let got = ''
  talk = async (connection) => {
    await connection.until(bomb.toString('latin1').slice(-100))
    got = connection.take()
    connection.socket.end(ok)
  }
  const line = await openLine(gate.port)
  line.send(
    post('/up/x', `Connection: close\r\nContent-Encoding: gzip\r\nContent-Length: ${bomb.length}`),
  )
  line.socket.write(bomb)
  expect(await line.closed()).toMatch(/good$/)
  expect(got).toContain('Content-Encoding: gzip\r\n')
  expect(got.slice(-bomb.length) === bomb.toString('latin1')).toBe(true)
})

describe('an upstream that answers before it has the body', () => {
  const refusals = [
    ['401 and reads on', 'HTTP/1.1 401 Unauthorized\r\nContent-Length: 4\r\n\r\nwho?', false],
    [
      '413 and closes',
      'HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 4\r\n\r\nless',
      true,
    ],
  ] as const

  test.each(refusals)('%s: the client gets that answer, whole', async (_, answer, closes) => {
    talk = ({ socket }) => void (closes ? socket.end(answer) : socket.write(answer))
    const before = upstream.connections.length
    const line = await openLine(gate.port)
    line.send(`${post('/up/x', 'Content-Length: 1000000')}first`)
    const [told] = readAnswers(await line.closed())
    expect([told?.status, told?.body]).toEqual([Number(answer.slice(9, 12)), answer.slice(-4)])
    expect(told?.headers.get('connection')).toBe('close')
    // The rest of that body must never be read as a request: the connection is given up.
    await (await reached(before)).closed
    talk = ({ socket }) => void socket.end(ok)
    const next = await openLine(gate.port)
    next.send(`GET /up/x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n${gate.credentials}\r\n`)
    expect(await next.closed()).toMatch(/good$/)
  })

  test.each(refusals)(
    '%s: a client that sends the rest first finds it too',
    async (_, answer, closes) => {
      talk = ({ socket }) => void (closes ? socket.end(answer) : socket.write(answer))
      const size = 60_000
      const socket = connect(gate.port, '127.0.0.1')
      // Another tenant for each, so that none gets a connection that the other has left open.
      const tenant = closes ? 'tenant_xyz789' : 'tenant_abc123'
      const head = post('/up/x', `Content-Length: ${size}`)
      socket.write(head.replace('tenant_abc123', tenant))
      socket.write(randomBytes(size / 2))
      await new Promise((resolve) => setImmediate(resolve))
      socket.write(randomBytes(size / 2))
      let text = ''
      for await (const piece of socket) {
        text += piece.toString('latin1')
        if (text.endsWith(answer.slice(-4))) break
      }
      expect(text).toMatch(new RegExp(`^HTTP/1\\.1 ${answer.slice(9, 12)} `))
    },
  )
})

/** The connection after so many. */
async function reached(before: number): Promise<RawConnection> {
  for (;;) {
    const connection = upstream.connections[before]
    if (connection !== undefined) return connection
    await new Promise((resolve) => setImmediate(resolve))
  }
}
