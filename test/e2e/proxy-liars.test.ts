/**
 * Upstreams that break the protocol: whatever they send, no client sees another's bytes, none sees a
 * broken answer as a whole one, and the gate goes on.
 */
import { once } from 'node:events'
import { Agent, request as httpRequest, type IncomingMessage } from 'node:http'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type ProxyGate, startProxyGate } from '../proxy-gate.ts'
import { openLine } from '../runtime/raw.ts'
import { type RawConnection, type RawUpstream, startRawUpstream } from '../upstream.ts'

let upstream: RawUpstream
let gate: ProxyGate
/** What the upstream says to a request whose head it has. */
let say: (connection: RawConnection, head: string) => void = () => {}

beforeAll(async () => {
  upstream = await startRawUpstream(async (connection) => {
    for (;;) {
      const text = await connection.until('\r\n\r\n')
      if (!text.includes('\r\n\r\n')) return
      say(connection, connection.take())
    }
  })
  const settings =
    'timeouts: { connect: 1s, headers: 1s, idle: 1s }, breaker: { failures: 1000, open: 1s }, retries: 0'
  gate = await startProxyGate(upstream.url, { upstream: settings })
})
afterAll(async () => {
  await gate?.stop()
  await upstream?.stop()
})

async function raw(method = 'GET', path = '/up/x', body = ''): Promise<string> {
  const line = await openLine(gate.port)
  const length = body === '' ? '' : `Content-Length: ${body.length}\r\n`
  line.send(
    `${method} ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n${gate.credentials}${length}\r\n${body}`,
  )
  return line.closed()
}

const bytes = (text: string) => (connection: RawConnection) =>
  void connection.socket.write(text, 'latin1')
const bytesAndEnd = (text: string) => (connection: RawConnection) =>
  void connection.socket.end(text, 'latin1')

describe('R25: before a byte of the answer has gone out, it is a 502 or 504 with who and why', () => {
  test.each([
    ['no HTTP at all', bytesAndEnd('hello\r\n\r\n'), 502, 'http_protocol_error'],
    ['HTTP/0.9', bytesAndEnd('<html>'), 502, 'http_protocol_error'],
    ['no answer', bytesAndEnd(''), 502, 'connection_terminated'],
    [
      'half a head',
      bytesAndEnd('HTTP/1.1 200 OK\r\nA: b'),
      502,
      'connection_terminated|http_protocol_error|http_response_incomplete',
    ],
    [
      'a reset',
      (c: RawConnection) => void c.socket.resetAndDestroy(),
      502,
      'connection_terminated',
    ],
    ['no head in time', bytes('HTTP/1.1 200 OK\r\n'), 504, 'http_response_timeout'],
    [
      'a 101 that nobody asked for',
      bytes(
        'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nbytes',
      ),
      502,
      'http_protocol_error',
    ],
    [
      '100 KB of headers',
      bytes(`HTTP/1.1 200 OK\r\nX-Large: ${'a'.repeat(100_000)}\r\nContent-Length: 0\r\n\r\n`),
      502,
      'http_response_header_section_size',
    ],
    [
      'chunked and a length',
      bytesAndEnd(
        'HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n',
      ),
      502,
      'http_protocol_error|http_response_incomplete',
    ],
    [
      'two lengths that differ',
      bytesAndEnd('HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd'),
      502,
      'http_protocol_error|http_response_incomplete',
    ],
    [
      'a length that is none',
      bytesAndEnd('HTTP/1.1 200 OK\r\nContent-Length: 1e3\r\n\r\na'),
      502,
      'http_protocol_error|http_response_incomplete',
    ],
    [
      'a flood of 1xx',
      bytes('HTTP/1.1 102 Processing\r\n\r\n'.repeat(50)),
      502,
      'http_protocol_error',
    ],
    [
      'a header with a bare line feed and no name',
      bytesAndEnd('HTTP/1.1 200 OK\r\n: x\r\n\r\n'),
      502,
      'http_protocol_error',
    ],
    [
      'a NUL in a header',
      bytesAndEnd('HTTP/1.1 200 OK\r\nA: b\0c\r\nContent-Length: 0\r\n\r\n'),
      502,
      'http_protocol_error',
    ],
  ])('%s', async (_, speak, status, error) => {
    say = speak
    const text = await raw()
    expect(text).toMatch(new RegExp(`HTTP/1\\.1 ${status} `))
    expect(text).toContain('"code":"upstream/')
    expect(text).toMatch(new RegExp(`proxy-status: postern; error=(?:${error})\\r\\n`))
    expect(text).not.toContain('127.0.0.1:')
    say = bytes('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood')
    expect(await raw()).toMatch(/\r\n\r\ngood$/)
  })
})

describe('R25: once the head has gone out, a broken answer cuts the client off', () => {
  test.each([
    ['less than the length', bytesAndEnd('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc')],
    ['half a chunk', bytesAndEnd('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\nabc')],
    [
      'no last chunk',
      bytesAndEnd('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n'),
    ],
    [
      'a chunk size that is none',
      bytes('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n'),
    ],
    ['nothing more in time', bytes('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc')],
  ])('%s', async (_, speak) => {
    say = speak
    const text = await raw()
    expect(text).not.toMatch(/\r\n0\r\n\r\n$/)
    const [, body = ''] = text.split('\r\n\r\n')
    const length = /content-length: (\d+)/i.exec(text)?.[1]
    // Refused whole, or begun and then cut: never an answer that looks complete.
    if (!/^HTTP\/1\.1 50[24] /.test(text) && length !== undefined) {
      expect(body.length).toBeLessThan(Number(length))
    }
  })
})

test('R25: more than the length reaches nobody, and the connection is not used again', async () => {
  say = bytes(
    'HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nevil!',
  )
  expect(await raw()).toMatch(/\r\n\r\nabc$/)
  say = bytes('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood')
  for (let turn = 0; turn < 20; turn++) expect(await raw()).toMatch(/\r\n\r\ngood$/)
})

test('R26: a POST that was read and not answered is tried once, and the upstream saw it once', async () => {
  let posts = 0
  say = ({ socket }, head) => {
    if (head.startsWith('POST')) posts += 1
    socket.destroy()
  }
  expect(await raw('POST', '/up/pay', 'body')).toMatch(/^HTTP\/1\.1 502 /)
  expect(posts).toBe(1)
})

describe('R24: answers and requests stay together', () => {
  // Each tenant's requests carry a nonce, which the answer must repeat.
  const total = 10_000
  const agent = new Agent({ keepAlive: true, maxSockets: 50 })
  afterAll(() => agent.destroy())

  async function ask(tenant: string, nonce: string): Promise<{ status: number; body: string }> {
    const headers = { ...gate.headers, 'x-tn': tenant, 'x-nonce': `${tenant}-${nonce}` }
    const sent = httpRequest(`${gate.url}/up/n`, { agent, headers })
    sent.end()
    const [response] = (await once(sent, 'response')) as [IncomingMessage]
    let body = ''
    for await (const piece of response) body += piece
    return { status: response.statusCode ?? 0, body }
  }

  test(`${total} requests of two tenants to an upstream that answers twice, at random moments: none foreign`, async () => {
    say = ({ socket }, head) => {
      const nonce = /x-nonce: (\S+)/i.exec(head)?.[1] ?? ''
      const answer = (text: string) =>
        `HTTP/1.1 200 OK\r\nContent-Length: ${text.length}\r\n\r\n${text}`
      const roll = Math.random()
      socket.write(answer(nonce))
      // The second one comes with the first, in the next turn, or when the connection may be in use again.
      if (roll < 0.02) socket.write(answer(`again-${nonce}`))
      else if (roll < 0.04) setImmediate(() => socket.write(answer(`again-${nonce}`)))
      else if (roll < 0.06)
        setTimeout(() => socket.write(answer(`again-${nonce}`)), Math.random() * 50)
    }
    let foreign = 0
    let mistaken = 0
    let answered = 0
    let sent = 0
    const worker = async (tenant: string) => {
      while (sent < total) {
        const nonce = String(sent++)
        const { status, body } = await ask(tenant, nonce).catch(() => ({ status: 0, body: '' }))
        if (status === 200) {
          answered += 1
          if (!body.includes(tenant)) foreign += 1
          // Its own words, a moment late: no client of HTTP/1.1 can tell, until the upstream is found out.
          if (body !== `${tenant}-${nonce}`) mistaken += 1
        } else if (body.includes('tenant_')) foreign += 1
      }
    }
    const workers = Array.from({ length: 50 }, (_, at) =>
      worker(at % 2 === 0 ? 'tenant_abc123' : 'tenant_xyz789'),
    )
    await Promise.all(workers)
    expect(foreign).toBe(0)
    expect(mistaken).toBeLessThan(total / 100)
    expect(answered).toBeGreaterThan(total / 2)
  }, 240_000)
})
