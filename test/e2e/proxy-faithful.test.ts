/**
 * What a client and an upstream say to each other arrives as it was said: every test makes the same
 * exchange directly and through the gate, or looks at both ends of it.
 */
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import {
  request as httpRequest,
  type IncomingMessage,
  METHODS,
  type RequestOptions,
} from 'node:http'
import { gzipSync } from 'node:zlib'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { type ProxyGate, startProxyGate } from '../proxy-gate.ts'
import { openLine } from '../runtime/raw.ts'
import { type HttpUpstream, startHttpUpstream } from '../upstream.ts'

type Listener = Parameters<typeof startHttpUpstream>[0]

let upstream: HttpUpstream
let gate: ProxyGate
let answer: Listener = (_, response) => void response.end()

beforeAll(async () => {
  upstream = await startHttpUpstream((request, response) => answer(request, response))
  gate = await startProxyGate(upstream.url)
})
afterAll(async () => {
  await gate?.stop()
  await upstream?.stop()
})
afterEach(() => {
  upstream.seen.length = 0
})

type Told = { readonly response: IncomingMessage; readonly body: Buffer }

/** One request with Node's own client, which changes nothing of an answer. */
async function tell(
  options: RequestOptions & { readonly informed?: (status: number, headers: unknown) => void },
  body: Buffer | string | null = null,
): Promise<Told> {
  const sent = httpRequest(gate.url, {
    ...options,
    path: `/up${options.path ?? '/'}`,
    headers: { ...gate.headers, ...options.headers },
  })
  if (options.informed !== undefined) {
    sent.on('information', ({ statusCode, headers }) => options.informed?.(statusCode, headers))
  }
  sent.end(body ?? undefined)
  const [response] = (await once(sent, 'response')) as [IncomingMessage]
  const pieces: Buffer[] = []
  for await (const piece of response) pieces.push(piece)
  return { response, body: Buffer.concat(pieces) }
}

describe('requests', () => {
  const passed = METHODS.filter((method) => !['CONNECT', 'TRACE'].includes(method))

  test.each(passed)('%s reaches the upstream as it is', async (method) => {
    answer = (_, response) => void response.end()
    const { response } = await tell({ method, path: '/a/b?x=1&x=2&y=%20%2F' })
    expect(response.statusCode).toBe(200)
    expect(upstream.seen).toMatchObject([{ method, url: '/a/b?x=1&x=2&y=%20%2F' }])
  })

  test('P15: the query keeps its bytes, its order and its repetitions', async () => {
    const query = '?b=2&a=1&a=1&c=%e2%82%ac+%20&&=&d'
    await tell({ path: `/q${query}` })
    expect(upstream.seen[0]?.url).toBe(`/q${query}`)
  })

  test.each([
    ['with a length', { 'content-length': '1000000' }],
    ['in chunks', { 'transfer-encoding': 'chunked' }],
  ])('a body %s arrives byte for byte, framed as it was sent', async (_, headers) => {
    const body = randomBytes(1_000_000)
    answer = async (request, response) => {
      const hash = createHash('sha256')
      for await (const piece of request) hash.update(piece)
      response.end(hash.digest('hex'))
    }
    const told = await tell(
      { method: 'PUT', headers: { ...headers, 'content-encoding': 'x-own' } },
      body,
    )
    expect(told.body.toString()).toBe(createHash('sha256').update(body).digest('hex'))
    expect(upstream.seen[0]?.headers).toMatchObject({ ...headers, 'content-encoding': 'x-own' })
  })

  test('a body flows while it is sent: the upstream answers the first half before the second', async () => {
    answer = (request, response) => {
      request.once('data', () => response.write('got it'))
      request.once('end', () => response.end())
    }
    const sent = httpRequest(`${gate.url}/up/half`, { method: 'POST', headers: gate.headers })
    sent.write('first')
    const [response] = (await once(sent, 'response')) as [IncomingMessage]
    const [piece] = await once(response, 'data')
    expect(String(piece)).toBe('got it')
    sent.end('second')
    response.resume()
    await once(response, 'end')
  })

  test('H9: 100 Continue comes when the upstream is reached, and the expectation stays here', async () => {
    answer = async (request, response) => {
      let text = ''
      for await (const piece of request) text += piece
      response.end(text)
    }
    const line = await openLine(gate.port)
    line.send(
      `POST /up/x HTTP/1.1\r\nHost: a\r\n${gate.credentials}Expect: 100-continue\r\nContent-Length: 5\r\nConnection: close\r\n\r\n`,
    )
    await line.until('HTTP/1.1 100 Continue\r\n\r\n')
    line.send('hello')
    expect(await line.closed()).toMatch(/\r\n\r\nhello$/)
    expect(upstream.seen[0]?.headers.expect).toBeUndefined()
  })

  test('H9: with a bad key there is a 401 and no 100', async () => {
    const line = await openLine(gate.port)
    line.send(
      'POST /up/x HTTP/1.1\r\nHost: a\r\nx-api-key: sk_live_no\r\nx-tn: tenant_abc123\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n',
    )
    const text = await line.closed()
    expect(text).toMatch(/^HTTP\/1\.1 401 /)
    expect(upstream.seen).toEqual([])
  })

  test('H10: a GET has no body upstream, and the next request of the connection is read rightly', async () => {
    const line = await openLine(gate.port)
    line.send(
      `GET /up/one HTTP/1.1\r\nHost: a\r\n${gate.credentials}Content-Length: 3\r\n\r\nabcGET /up/two HTTP/1.1\r\nHost: a\r\nConnection: close\r\n${gate.credentials}\r\n`,
    )
    await line.closed()
    expect(upstream.seen.map(({ url }) => url)).toEqual(['/one', '/two'])
    expect(upstream.seen[0]?.headers['content-length']).toBeUndefined()
  })

  test('a client that leaves ends the request at the upstream', async () => {
    const left = new Promise<void>((resolve) => {
      answer = (_, response) => {
        response.once('close', resolve)
        response.write('begun')
      }
    })
    const sent = httpRequest(`${gate.url}/up/leave`, { headers: gate.headers })
    sent.on('error', () => {})
    sent.end()
    const [response] = (await once(sent, 'response')) as [IncomingMessage]
    response.on('error', () => {})
    await once(response, 'data')
    sent.destroy()
    await left
  })
})

describe('answers', () => {
  test.each([
    ['200 with a length', 200, { 'content-length': '5' }, 'hello'],
    ['200 in chunks', 200, {}, 'hello'],
    ['201 with nothing', 201, { 'content-length': '0' }, ''],
    ['206 of a range', 206, { 'content-range': 'bytes 0-4/10', 'content-length': '5' }, 'hello'],
    ['404 of its own', 404, { 'content-type': 'text/x-own' }, 'not here'],
    ['418', 418, {}, 'short and stout'],
    ['503 of its own', 503, { 'retry-after': '7' }, '{"theirs":true}'],
    ['599', 599, {}, 'whatever'],
  ])('%s passes as it is', async (_, status, headers, body) => {
    answer = (__, response) => void response.writeHead(status, 'Its Own Words', headers).end(body)
    const told = await tell({ path: '/as-it-is' })
    expect(told.response.statusCode).toBe(status)
    expect(told.response.statusMessage).toBe('Its Own Words')
    expect(told.response.headers).toMatchObject(headers)
    expect(told.response.headers['proxy-status']).toBeUndefined()
    expect(told.body.toString()).toBe(body)
  })

  test('a redirect is the client’s to follow', async () => {
    answer = (_, response) =>
      void response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end()
    const { response } = await tell({})
    expect([response.statusCode, response.headers.location]).toEqual([302, 'http://127.0.0.1:1/'])
  })

  test.each([
    ['HEAD with the length that GET has', 'HEAD', 200, { 'content-length': '1234' }],
    ['304 with a tag', 'GET', 304, { etag: '"a"' }],
    ['204', 'GET', 204, {}],
  ])('%s has no body, and the connection goes on', async (_, method, status, headers) => {
    answer = (__, response) => void response.writeHead(status, headers).end()
    const line = await openLine(gate.port)
    const ask = `${method} /up/x HTTP/1.1\r\nHost: a\r\n${gate.credentials}`
    line.send(`${ask}\r\n${ask}Connection: close\r\n\r\n`)
    const text = await line.closed()
    expect(text.match(new RegExp(`^HTTP/1.1 ${status} `, 'gm'))).toHaveLength(2)
    for (const [name, value] of Object.entries(headers))
      expect(text).toContain(`${name}: ${value}\r\n`)
    expect(text.endsWith('\r\n\r\n')).toBe(true)
  })

  test('several Set-Cookie stay several, and every header keeps its case and its bytes', async () => {
    answer = (_, response) => {
      response.sendDate = false
      response.writeHead(200, [
        ...[
          'Set-Cookie',
          'a=1; Path=/',
          'X-MiXeD',
          '\xe9t\xe9',
          'set-cookie',
          'b=2',
          'ETag',
          'W/"x"',
        ],
        ...['Date', 'Thu, 01 Jan 2026 00:00:00 GMT', 'Vary', 'Accept', 'vary', 'Cookie'],
      ])
      response.end('x')
    }
    const { rawHeaders } = (await tell({})).response
    const shown = rawHeaders.join('|')
    expect(shown).toContain(
      'Set-Cookie|a=1; Path=/|X-MiXeD|\xe9t\xe9|set-cookie|b=2|ETag|W/"x"|Date|Thu, 01 Jan 2026 00:00:00 GMT|Vary|Accept|vary|Cookie',
    )
  })

  test('R22: an encoded answer is not decoded on the way', async () => {
    const zipped = gzipSync(randomBytes(20_000))
    answer = (_, response) =>
      void response.writeHead(200, { 'content-encoding': 'gzip' }).end(zipped)
    const told = await tell({ headers: { 'accept-encoding': 'gzip' } })
    expect(told.response.headers['content-encoding']).toBe('gzip')
    expect(told.body.equals(zipped)).toBe(true)
  })

  test('events arrive one by one, while the answer is still open', async () => {
    let push = (_: string): void => {}
    let end = (): void => {}
    answer = (_, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' }).flushHeaders()
      push = (text) => void response.write(`data: ${text}\n\n`)
      end = () => void response.end()
    }
    const sent = httpRequest(`${gate.url}/up/events`, { headers: gate.headers })
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

  test('early hints and 102 come before the answer', async () => {
    answer = (_, response) => {
      response.writeProcessing()
      response.writeEarlyHints(
        { link: '</a.css>; rel=preload; as=style' },
        () => void response.end('x'),
      )
    }
    const informed: [number, unknown][] = []
    const told = await tell({
      informed: (status, headers) => void informed.push([status, headers]),
    })
    expect(informed).toMatchObject([
      [102, {}],
      [103, { link: '</a.css>; rel=preload; as=style' }],
    ])
    expect(told.body.toString()).toBe('x')
  })

  test('trailers pass', async () => {
    answer = (_, response) => {
      response.writeHead(200, { trailer: 'x-sum, x-more' })
      response.write('body')
      response.addTrailers({ 'x-sum': 'abc', 'x-more': 'def' })
      response.end()
    }
    const { response, body } = await tell({ headers: { te: 'trailers' } })
    expect(body.toString()).toBe('body')
    expect(response.headers.trailer).toBe('x-sum, x-more')
    expect(response.trailers).toEqual({ 'x-sum': 'abc', 'x-more': 'def' })
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
    const sent = httpRequest(`${gate.url}/up/large`, { headers: gate.headers })
    sent.end()
    const [response] = (await once(sent, 'response')) as [IncomingMessage]
    // Nothing is read yet: what the upstream could write is what sockets hold, not the whole.
    let before = -1
    while (before !== written) {
      before = written
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
    expect(written).toBeLessThan(size)
    let got = 0
    for await (const piece of response) got += piece.length
    expect(got).toBe(size)
  })

  test('an upstream that dies within the body cuts the client, which sees no clean end', async () => {
    answer = (_, response) => {
      response.writeHead(200, { 'content-length': '10' })
      response.write('half', () => response.destroy())
    }
    const line = await openLine(gate.port)
    line.send(`GET /up/dies HTTP/1.1\r\nHost: a\r\n${gate.credentials}\r\n`)
    const text = await line.closed()
    expect(text).toMatch(/content-length: 10\r\n[\s\S]*\r\n\r\nhalf$/)
  })

  test('an upstream that dies within chunks sends no last chunk', async () => {
    answer = (_, response) => {
      response.writeHead(200)
      response.write('half', () => response.destroy())
    }
    const line = await openLine(gate.port)
    line.send(`GET /up/dies HTTP/1.1\r\nHost: a\r\n${gate.credentials}\r\n`)
    expect(await line.closed()).not.toContain('\r\n0\r\n')
  })
})
