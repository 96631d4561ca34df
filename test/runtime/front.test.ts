import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import type { Socket } from 'node:net'
import fc from 'fast-check'
import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import { NodeExchange } from '../../src/runtime/node/exchange.ts'
import { type Handle, openLine, readAnswers, startFront, talk } from './raw.ts'

const numRuns = Math.ceil(Number(process.env.FUZZ_RUNS ?? 2000) / 10)
const host = 'Host: gw\r\n'
const next = `GET /next HTTP/1.1\r\n${host}Connection: close\r\n\r\n`
const post = `POST /text HTTP/1.1\r\n${host}`
const chunked = `${post}Transfer-Encoding: chunked\r\n\r\n`

const encoder = new TextEncoder()
const streamOf = (pull: (turn: number) => string | null): ReadableStream => {
  let turn = 0
  return new ReadableStream({
    async pull(controller) {
      await new Promise((resolve) => setImmediate(resolve))
      const piece = pull(turn++)
      if (piece === null) controller.close()
      else controller.enqueue(encoder.encode(piece))
    },
  })
}
const fails = (): never => {
  throw new Error('a secret message')
}

const handlers: Record<string, Handle> = {
  '/text': async (request, _exchange, reply) => reply(`read ${(await request.text()).length}`),
  '/stream-in': async (request, _exchange, reply) => {
    let bytes = 0
    for await (const chunk of request.body ?? []) bytes += chunk.byteLength
    return reply(`read ${bytes}`)
  },
  '/refuse': (_request, _exchange, reply) => reply('refused', { status: 401 }),
  '/later': async (_request, _exchange, reply) => {
    await new Promise((resolve) => setImmediate(resolve))
    return reply('later', { status: 429 })
  },
  '/tenant': (request, _exchange, reply) => reply(request.headers.get('x-tn')),
  '/url': (request, exchange, reply) => reply(`${request.url} ${exchange.target}`),
  '/throw': fails,
  '/bad-head': (_request, _exchange, reply) => reply('x', { headers: { 'x-a': 'a\u00ff\u2028' } }),
  '/own': (_request, _exchange, reply) =>
    reply('own', {
      headers: [
        ['Server', 'mine'],
        ['X-Powered-By', 'mine'],
        ['X-Request-Id', 'mine'],
        ['X-Kept', 'yes'],
        ['Set-Cookie', 'a=1'],
        ['Set-Cookie', 'b=2'],
      ],
    }),
  '/out': (_request, _exchange, reply) => reply(streamOf((turn) => (turn < 3 ? 'abc' : null))),
  '/out-fails': (_request, _exchange, reply) => reply(streamOf(fails)),
  '/out-breaks': (_request, _exchange, reply) =>
    reply(streamOf((turn) => (turn < 3 ? 'abc' : fails()))),
}
handlers['/limit'] = async (request, exchange, reply) => {
  if (exchange.limitBody?.(10) === false) return reply('announced too large', { status: 413 })
  return request.headers.has('x-stream')
    ? (handlers['/stream-in'] as Handle)(request, exchange, reply)
    : (handlers['/text'] as Handle)(request, exchange, reply)
}

const handle: Handle = (request, exchange, reply) => {
  const handler = handlers[new URL(request.url).pathname]
  return handler ? handler(request, exchange, reply) : reply(`ok ${request.url}`)
}

const gw = await startFront(handle)
beforeEach(() => {
  gw.reached.length = 0
  gw.outcomes.length = 0
})
afterAll(() => gw.front.drain(0))

/** Statuses of the answers to these bytes, all that came until the server closed. */
const statuses = async (bytes: string): Promise<number[]> =>
  readAnswers(await talk(gw.port, bytes)).map((answer) => answer.status)

describe('refused before any handler, with the error body, and nothing after it is answered', () => {
  const rows: [threat: string, status: number, bytes: string][] = [
    ['R1', 400, `${post}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
    ['R1', 400, `${post}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n`],
    ['R2', 400, `${post}Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc`],
    ['R2', 400, `${post}Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc`],
    ['R2', 400, `${post}Content-Length: 3, 3\r\n\r\nabc`],
    ['R2', 400, `${post}Content-Length: +3\r\n\r\nabc`],
    ['R2', 400, `${post}Content-Length: -1\r\n\r\nabc`],
    ['R2', 400, `${post}Content-Length: 0x3\r\n\r\nabc`],
    ['R2', 400, `${post}Content-Length:\r\n\r\nabc`],
    ['R2', 400, `${post}Content-Length: 99999999999999999999\r\n\r\nabc`],
    ['R3', 400, `${post}Content-Length: 003\r\n\r\nabc`],
    ['R4', 501, `${post}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n`],
    ['R4', 400, `${post}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n`],
    ['R4', 400, `${post}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
    ['R4', 400, `${post}Transfer-Encoding: \vchunked\r\n\r\n0\r\n\r\n`],
    ['R4', 400, `${post}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n`],
    ['R5', 501, `${post}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`],
    ['R6', 400, `POST / HTTP/1.0\r\n${host}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
    ['R7', 400, `GET / HTTP/1.1\r\n${host}x-tn: a\r\n b\r\n\r\n`],
    ['R7', 400, `${post}Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n`],
    ['R8', 400, `GET / HTTP/1.1\nHost: gw\n\n`],
    ['R8', 400, `GET / HTTP/1.1\r\n${host}x: a\rb\r\n\r\n`],
    ['R8', 400, `GET / HTTP/1.1\r\n${host}x: a\0b\r\n\r\n`],
    ['R8', 400, `GET / HTTP/1.1\r\n x: a\r\n${host}\r\n`],
    ['R10', 400, `${chunked}0x3\r\nabc\r\n0\r\n\r\n`],
    ['R10', 400, `${chunked}-1\r\nabc\r\n0\r\n\r\n`],
    ['R10', 400, `${chunked}ffffffffffffffffff\r\nabc\r\n0\r\n\r\n`],
    ['R10', 400, `${chunked}3\nabc\n0\n\n`],
    ['R10', 400, `${chunked}3;a\nb\r\nabc\r\n0\r\n\r\n`],
    ['R9', 413, `${chunked}3;${'a'.repeat(20_000)}\r\nabc\r\n0\r\n\r\n`],
    ['R11', 400, 'GET /\r\n\r\n'],
    ['R12', 405, `TRACE / HTTP/1.1\r\n${host}\r\n`],
    ['R12', 400, `get / HTTP/1.1\r\n${host}\r\n`],
    ['R12', 400, `NONSENSE / HTTP/1.1\r\n${host}\r\n`],
    ['R12', 400, `GET / HTTP/1.2\r\n${host}\r\n`],
    ['R19', 431, `GET / HTTP/1.1\r\n${host}x: ${'a'.repeat(20_000)}\r\n\r\n`],
    ['R19', 431, `GET / HTTP/1.1\r\n${host}${'x: a\r\n'.repeat(100)}\r\n`],
    ['T12', 431, `GET / HTTP/1.1\r\n${host}${'x: a\r\n'.repeat(1500)}x-tn: a\r\n\r\n`],
    ['H5', 400, `GET / HTTP/1.1\r\n${host}Host: gw\r\n\r\n`],
    ['H5', 400, 'GET / HTTP/1.1\r\nHost:\r\n\r\n'],
    ['H5', 400, 'GET / HTTP/1.1\r\n\r\n'],
    ['H5', 400, 'GET / HTTP/1.1\r\nHost: a@b\r\n\r\n'],
    ['H5', 400, 'GET / HTTP/1.1\r\nHost: a/../x\r\n\r\n'],
    ['H5', 400, `GET http://evil/abs HTTP/1.1\r\n${host}\r\n`],
    ['H9', 417, `${post}Expect: foo\r\nContent-Length: 3\r\n\r\nabc`],
    [
      'R23',
      400,
      `${post}Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 3\r\n\r\nabc`,
    ],
    ['T7', 400, `GET / HTTP/1.1\r\n${host}x-tn: a\r\nx_tn: evil\r\n\r\n`],
    ['P', 400, `OPTIONS * HTTP/1.1\r\n${host}\r\n`],
  ]
  test.each(rows)('%s: %i for %j', async (_threat, status, bytes) => {
    const [answer, ...others] = readAnswers(await talk(gw.port, bytes + next))
    expect(others).toEqual([])
    expect(gw.reached).toEqual([])
    expect(answer).toMatchObject({ status })
    expect(answer?.headers.get('connection')).toBe('close')
    expect(answer?.headers.get('content-type')).toBe('application/problem+json')
    const body = JSON.parse(answer?.body ?? '')
    expect(body).toMatchObject({ status, requestId: answer?.headers.get('x-request-id') })
    await gw.logged(1)
    expect(gw.outcomes).toMatchObject([{ status, code: body.code }])
  })

  test('R12: CONNECT is closed without a word', async () => {
    expect(await talk(gw.port, `CONNECT gw:80 HTTP/1.1\r\n${host}\r\n`)).toBe('')
  })
})

describe('refused before any handler, and the next request is answered', () => {
  const rows: [threat: string, status: number, line: string][] = [
    ['T1', 400, `GET / HTTP/1.1\r\n${host}x-tn: a\r\nX-TN: b\r\n\r\n`],
    ['T1', 400, `POST / HTTP/1.1\r\n${host}x-tn: a\r\nX-TN: b\r\nContent-Length: 3\r\n\r\nabc`],
    ['F5', 400, `GET / HTTP/1.1\r\n${host}Authorization: a\r\nAuthorization: b\r\n\r\n`],
    ...[
      '/ad%0dmin/x',
      '/x%5c..%5cadmin%5cx',
      '/x\\..\\admin',
      '//evil.example/x',
      '/pub/..%2fadmin',
      '/pub/../admin',
      '/pub/%2e%2e/admin',
      '/user/..;foo=bar/admin',
      '/%c0%ae%c0%ae/admin',
      '/a%00b',
      '/pub%252f..%252fadmin',
    ].map((path): [string, number, string] => [
      'P1-P12',
      400,
      `GET ${path} HTTP/1.1\r\n${host}\r\n`,
    ]),
    ['P', 414, `GET /${'a'.repeat(5000)} HTTP/1.1\r\n${host}\r\n`],
    ['P', 414, `GET /?${'a'.repeat(9000)} HTTP/1.1\r\n${host}\r\n`],
  ]
  test.each(rows)('%s: %i for %.60j', async (_threat, status, bytes) => {
    expect(await statuses(bytes + next)).toEqual([status, 200])
    expect(gw.reached).toEqual(['GET /next'])
  })
})

describe('what reaches a handler', () => {
  const bodyOf = async (bytes: string): Promise<string | undefined> =>
    readAnswers(await talk(gw.port, bytes + next))[0]?.body

  test('P8: the path in its canonical form, and the target as it was sent', async () => {
    const bytes = `GET /%75rl?a=%61&a=%7E HTTP/1.1\r\n${host}\r\n`
    expect(await bodyOf(bytes)).toBe('http://gw/url?a=%61&a=%7E /%75rl?a=%61&a=%7E')
  })

  test('an absolute-form target that agrees with Host, as its path', async () => {
    expect(await bodyOf(`GET http://gw/url?x HTTP/1.1\r\n${host}\r\n`)).toBe(
      'http://gw/url?x /url?x',
    )
  })

  test('HTTP/1.0 without Host', async () => {
    expect(await statuses('GET /a HTTP/1.0\r\n\r\n')).toEqual([200])
  })

  test('T10: the header, and not a trailer of the same name', async () => {
    const head = `POST /tenant HTTP/1.1\r\n${host}x-tn: a\r\nTransfer-Encoding: chunked\r\n\r\n`
    expect(await bodyOf(`${head}3\r\nabc\r\n0\r\nx-tn: b\r\n\r\n`)).toBe('a')
  })

  test('T11: a header that Connection names', async () => {
    const head = `GET /tenant HTTP/1.1\r\n${host}Connection: keep-alive, x-tn\r\nx-tn: a\r\n\r\n`
    expect(await bodyOf(head)).toBe('a')
  })

  test('R28: a request with a header named __proto__', async () => {
    const head = `GET /tenant HTTP/1.1\r\n${host}__proto__: x\r\n__proto__: y\r\nx-tn: a\r\n\r\n`
    expect(await bodyOf(head)).toBe('a')
  })

  test('R9: a chunked body with extensions, without them', async () => {
    expect(await bodyOf(`${chunked}3;a=b\r\nabc\r\n0\r\n\r\n`)).toBe('read 3')
  })

  test('R23: an upgrade to h2c is not heard, and is the last request of its connection', async () => {
    const line = await openLine(gw.port)
    line.send(`${post}Connection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 3\r\n\r\nabc`)
    await line.until('read 3')
    line.send(next)
    expect(readAnswers(await line.closed()).map((answer) => answer.status)).toEqual([200])
  })
})

describe('a body that nobody reads', () => {
  test.each(['/refuse', '/later'])(
    'R13: %s answers at once with Connection: close, and no byte of the body is a request',
    async (path) => {
      const smuggled = `GET /smug HTTP/1.1\r\n${host}\r\n`
      const head = `POST ${path} HTTP/1.1\r\n${host}Content-Length: 100\r\n\r\n`
      const answers = readAnswers(await talk(gw.port, head + smuggled))
      expect(answers).toHaveLength(1)
      expect(answers[0]?.headers.get('connection')).toBe('close')
      expect(gw.reached).toEqual([`POST ${path}`])
    },
  )

  test('R13: what follows the rest of it is no request either', async () => {
    const line = await openLine(gw.port)
    line.send(`POST /refuse HTTP/1.1\r\n${host}Content-Length: 6\r\n\r\nabc`)
    await line.until('refused')
    line.send(`def${next}`)
    expect(readAnswers(await line.closed())).toHaveLength(1)
    expect(gw.reached).toEqual(['POST /refuse'])
  })

  test('R13: no more of it is read than 64 KiB and what one read takes', async () => {
    const sockets: Socket[] = []
    const note = (message: unknown): void => {
      sockets.push((message as { socket: Socket }).socket) // the shape Node documents
    }
    subscribe('http.server.request.start', note)
    const small = await startFront(handle, { drainMs: 300 })
    const head = `POST /refuse HTTP/1.1\r\n${host}Content-Length: 50000000\r\n\r\n`
    const text = await talk(small.port, head + 'a'.repeat(20_000_000))
    unsubscribe('http.server.request.start', note)
    expect(readAnswers(text)[0]).toMatchObject({ status: 401, body: 'refused' })
    expect(sockets).toHaveLength(1)
    expect(sockets[0]?.bytesRead).toBeLessThanOrEqual(3 * 65_536)
    await small.front.drain(0)
  })

  test('R13: a client that sends it all before it looks still finds the answer', async () => {
    const patient = await startFront(handle, { drainMs: 60_000 })
    const line = await openLine(patient.port)
    line.socket.pause()
    line.send(`POST /refuse HTTP/1.1\r\n${host}Content-Length: 10000\r\n\r\n`)
    await patient.logged(1)
    line.send('a'.repeat(5000))
    await talk(patient.port, next)
    line.send('a'.repeat(5000))
    await talk(patient.port, next)
    line.socket.resume()
    expect(readAnswers(await line.closed())).toMatchObject([{ status: 401, body: 'refused' }])
    await patient.front.drain(0)
  })

  test.each([
    ['Content-Length: 3\r\n\r\nabc'],
    ['Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n'],
  ])('R14: when it is whole, the next request gets its own answer: %j', async (body) => {
    const text = await talk(gw.port, `POST /refuse HTTP/1.1\r\n${host}${body}${next}`)
    const answers = readAnswers(text)
    expect(answers.map((answer) => answer.body)).toEqual(['refused', 'ok http://gw/next'])
    expect(answers[0]?.headers.get('connection')).toBe('keep-alive')
  })
})

describe('pipelining', () => {
  test('R15: 50 requests of all kinds are started and answered in order', async () => {
    const kinds = [
      (id: number) => `GET /${id} HTTP/1.1\r\n${host}\r\n`,
      (id: number) => `POST /refuse?${id} HTTP/1.1\r\n${host}Content-Length: 3\r\n\r\nabc`,
      (id: number) => `GET /later?${id} HTTP/1.1\r\n${host}\r\n`,
      (id: number) => `GET /a%00b?${id} HTTP/1.1\r\n${host}\r\n`,
      (id: number) => `${post.replace('/text', `/text?${id}`)}Content-Length: 3\r\n\r\nabc`,
    ]
    const bytes = Array.from({ length: 50 }, (_, id) => kinds[id % 5]?.(id)).join('')
    const answers = readAnswers(await talk(gw.port, bytes + next))
    const expected = Array.from({ length: 10 }, () => [200, 401, 429, 400, 200]).flat()
    expect(answers.map((answer) => answer.status)).toEqual([...expected, 200])
    expect(gw.reached).toEqual([
      ...Array.from({ length: 10 }, (_, at) => [
        `GET /${at * 5}`,
        'POST /refuse',
        'GET /later',
        'POST /text',
      ]).flat(),
      'GET /next',
    ])
  })

  test('bytes that are no request are answered after what came before them', async () => {
    const bytes = `GET /later HTTP/1.1\r\n${host}\r\n\0\0\r\n\r\n`
    expect(await statuses(bytes)).toEqual([429, 400])
  })
})

describe('Expect: 100-continue', () => {
  const head = (path: string): string =>
    `POST ${path} HTTP/1.1\r\n${host}Expect: 100-continue\r\nContent-Length: 3\r\n\r\n`

  test('H9: a refusal comes without a 100, and ends the connection', async () => {
    expect(await statuses(head('/refuse'))).toEqual([401])
  })

  test('H9: the 100 comes when the handler reads the body, and then the answer', async () => {
    const line = await openLine(gw.port)
    line.send(head('/text'))
    await line.until('HTTP/1.1 100 Continue\r\n\r\n')
    line.send(`abc${next}`)
    expect(readAnswers(await line.closed()).map((answer) => answer.status)).toEqual([100, 200, 200])
  })
})

test.each([
  ['with no body at all', `GET /text HTTP/1.1\r\n${host}Expect: 100-continue\r\n\r\n`, [200, 200]],
  [
    'whose body came unasked, and nobody reads it',
    `POST /refuse HTTP/1.1\r\n${host}Expect: 100-continue\r\nContent-Length: 3\r\n\r\nabc`,
    [401, 200],
  ],
])(
  'H9 R14: an expectation %s: what came behind it is answered too',
  async (_, request, expected) => {
    expect(await statuses(request + next)).toEqual(expected)
  },
)

describe('limitBody', () => {
  const limited = `POST /limit HTTP/1.1\r\n${host}`
  const streamed = `${limited}x-stream: 1\r\n`

  test('R20: a Content-Length over the cap is known before a byte is read', async () => {
    expect(await statuses(`${limited}Content-Length: 11\r\n\r\nabc`)).toEqual([413])
  })

  test.each([limited, streamed])(
    'R20: chunks over the cap are a 413 for the reader, never a shorter body: %j',
    async (start) => {
      const line = await openLine(gw.port)
      line.send(`${start}Transfer-Encoding: chunked\r\n\r\n8\r\nabcdefgh\r\n`)
      while (gw.reached.length === 0) await new Promise((resolve) => setImmediate(resolve))
      line.send(`8\r\nabcdefgh\r\n0\r\n\r\n${next}`)
      const [answer, ...others] = readAnswers(await line.closed())
      expect(answer).toMatchObject({ status: 413 })
      expect(JSON.parse(answer?.body ?? '')).toMatchObject({ code: 'request/too_large' })
      expect(others).toEqual([])
    },
  )

  test.each([limited, streamed])('R20: a body at the cap is read: %j', async (start) => {
    const chunks = '5\r\nabcde\r\n5\r\nabcde\r\n0\r\n\r\n'
    const text = await talk(gw.port, `${start}Transfer-Encoding: chunked\r\n\r\n${chunks}${next}`)
    expect(readAnswers(text)[0]).toMatchObject({ status: 200, body: 'read 10' })
  })

  test('R20: chunks that have all come before the route is known are a 413 too', async () => {
    const chunks = '8\r\nabcdefgh\r\n8\r\nabcdefgh\r\n0\r\n\r\n'
    expect(await statuses(`${limited}Transfer-Encoding: chunked\r\n\r\n${chunks}${next}`)).toEqual([
      413, 200,
    ])
  })

  test.each(['', 'x-stream: 1\r\n'])(
    'R20: whoever starts to read after the cap was passed sees that, and no shorter body: %j',
    async (header) => {
      let read = (): void => {}
      const waiting = new Promise<void>((resolve) => {
        read = resolve
      })
      const late = await startFront(async (request, exchange, reply) => {
        if (request.method === 'GET') return reply('x')
        expect(exchange.limitBody?.(10)).toBe(true)
        await waiting
        const handler = handlers[request.headers.has('x-stream') ? '/stream-in' : '/text']
        return handler ? handler(request, exchange, reply) : reply(null)
      })
      const line = await openLine(late.port)
      line.send(`${post}${header}Transfer-Encoding: chunked\r\n\r\n8\r\nabcdefgh\r\n`)
      while (late.reached.length === 0) await new Promise((resolve) => setImmediate(resolve))
      line.send('8\r\nabcdefgh\r\n0\r\n\r\n')
      // A whole other request, so that all of this one has arrived.
      await talk(late.port, next)
      read()
      await line.until('"request/too_large"')
      expect((await line.until('')).slice(0, 12)).toBe('HTTP/1.1 413')
      line.socket.destroy()
      await late.front.drain(0)
    },
  )

  test('R20: without a word from the route, the cap of the front holds', async () => {
    const small = await startFront(handle, { bodyBytesMax: 4 })
    const line = await openLine(small.port)
    line.send(`${chunked}3\r\nabc\r\n`)
    while (small.reached.length === 0) await new Promise((resolve) => setImmediate(resolve))
    line.send('3\r\nabc\r\n')
    expect(readAnswers(await line.closed())[0]).toMatchObject({ status: 413 })
    await small.front.drain(0)
  })
})

describe('slow clients', () => {
  test('R16: headers that do not come to an end are a 408, and others are served meanwhile', async () => {
    const slow = await startFront(handle, { headersMs: 100 })
    const lines = await Promise.all(Array.from({ length: 50 }, () => openLine(slow.port)))
    for (const line of lines) line.send('GET / HTTP/1.1\r\nHost:')
    expect(readAnswers(await talk(slow.port, next))[0]).toMatchObject({ status: 200 })
    for (const line of lines)
      expect(readAnswers(await line.closed())[0]).toMatchObject({ status: 408 })
    expect(slow.reached).toEqual(['GET /next'])
    await slow.front.drain(0)
  })

  test('R16: a connection on which nothing ever came is closed without a word', async () => {
    const slow = await startFront(handle, { headersMs: 50 })
    expect(await talk(slow.port, '')).toBe('')
    await slow.front.drain(0)
  })

  test.each(['/text', '/stream-in'])('R17: a body that stalls is a 408 for %s', async (path) => {
    const slow = await startFront(handle, { bodyIdleMs: 50 })
    const text = await talk(
      slow.port,
      `POST ${path} HTTP/1.1\r\n${host}Content-Length: 9\r\n\r\nabc`,
    )
    expect(readAnswers(text)).toMatchObject([{ status: 408 }])
    expect(slow.outcomes).toMatchObject([{ status: 408, code: 'request/timeout', requestBytes: 3 }])
    await slow.front.drain(0)
  })

  test('R17: a body that is passed on may pause for as long as its upstream says', async () => {
    const slow = await startFront(
      (request, exchange, reply) => {
        const incoming = exchange instanceof NodeExchange ? exchange.outgoing?.req : undefined
        if (incoming && request.headers.has('x-passed-on')) incoming.passedOn = { idleMs: 60_000 }
        return handle(request, exchange, reply)
      },
      { bodyIdleMs: 50 },
    )
    const body = 'Connection: close\r\nContent-Length: 9\r\n\r\nabc'
    const line = await openLine(slow.port)
    line.send(`${post}X-Passed-On: yes\r\n${body}`)
    // One that is not passed on, and begins later, is given up: so much time has passed.
    expect(readAnswers(await talk(slow.port, post + body))).toMatchObject([{ status: 408 }])
    line.send('defghi')
    expect(readAnswers(await line.closed())).toMatchObject([{ status: 200, body: 'read 9' }])
    await slow.front.drain(0)
  })

  test('R17: a whole request that takes too long is a 408, however steady', async () => {
    const slow = await startFront(handle, { headersMs: 50, requestMs: 50 })
    const text = await talk(slow.port, `${post}Content-Length: 9\r\n\r\nabc`)
    expect(readAnswers(text)).toMatchObject([{ status: 408 }])
    await slow.front.drain(0)
  })
})

describe('answers', () => {
  const answerTo = async (path: string, method = 'GET') => {
    const text = await talk(
      gw.port,
      `${method} ${path} HTTP/1.1\r\n${host}Connection: close\r\n\r\n`,
    )
    await gw.logged(1)
    return text
  }

  test('the gate wins over the handler, and nobody says what runs here', async () => {
    const [answer] = readAnswers(await answerTo('/own'))
    expect(Object.fromEntries(answer?.headers ?? [])).toMatchObject({
      'x-request-id': 'req_1'.replace('1', answer?.headers.get('x-request-id')?.slice(4) ?? ''),
      'x-kept': 'yes',
      'set-cookie': 'a=1 | b=2',
    })
    expect(answer?.headers.get('x-request-id')).not.toContain('mine')
    expect(answer?.headers.has('server')).toBe(false)
    expect(answer?.headers.has('x-powered-by')).toBe(false)
  })

  test('a stream goes out in chunks', async () => {
    const text = await answerTo('/out')
    expect(text).toContain('Transfer-Encoding: chunked')
    expect(text).toMatch(/\r\n\r\n3\r\nabc\r\n3\r\nabc\r\n3\r\nabc\r\n0\r\n\r\n$/)
    expect(gw.outcomes).toMatchObject([{ status: 200, responseBytes: 9, cause: null }])
  })

  test('HEAD of a stream has no body, and the connection goes on', async () => {
    const text = await talk(gw.port, `HEAD /out HTTP/1.1\r\n${host}\r\n${next}`)
    expect(text.match(/HTTP\/1\.1 200 OK/g)).toHaveLength(2)
    expect(text).not.toContain('abc')
  })

  test.each(['/throw', '/out-fails', '/bad-head'])(
    'F9: %s is a 500 with the error body, and no word of what happened',
    async (path) => {
      const text = await talk(gw.port, `GET ${path} HTTP/1.1\r\n${host}\r\n${next}`)
      const answers = readAnswers(text)
      expect(answers.map((answer) => answer.status)).toEqual([500, 200])
      expect(JSON.parse(answers[0]?.body ?? '')).toMatchObject({ code: 'internal/error' })
      expect(text + JSON.stringify(gw.outcomes)).not.toMatch(/secret|Error:/)
      expect(gw.outcomes[0]).toMatchObject({ status: 500, code: 'internal/error' })
    },
  )

  test('a stream that breaks off later cuts the connection and does not look whole', async () => {
    const text = await answerTo('/out-breaks')
    expect(text).not.toMatch(/0\r\n\r\n$/)
    expect(text).not.toContain('secret')
    expect(gw.outcomes).toMatchObject([{ status: 200, cause: 'the body of the answer failed' }])
  })
})

describe('the outcome', () => {
  test('is logged once, with what was sent', async () => {
    await talk(gw.port, `${post}Content-Length: 3\r\n\r\nabc${next}`)
    await gw.logged(2)
    expect(gw.outcomes).toMatchObject([
      { status: 200, requestBytes: 3, responseBytes: 6, clientAddress: '127.0.0.1', cause: null },
      { status: 200, requestBytes: 0, responseBytes: 17 },
    ])
    expect(gw.outcomes.every((outcome) => outcome.durationMs >= 0)).toBe(true)
  })

  test('is logged once when the client has gone before the answer', async () => {
    let answer = (): void => {}
    const waiting = new Promise<void>((resolve) => {
      answer = resolve
    })
    const slow = await startFront(async (request, _exchange, reply) => {
      if (request.url.endsWith('/wait')) await waiting
      return reply('x')
    })
    const line = await openLine(slow.port)
    line.send(`GET /wait HTTP/1.1\r\n${host}\r\n`)
    while (slow.reached.length === 0) await new Promise((resolve) => setImmediate(resolve))
    line.socket.destroy()
    // A whole other request, so that the front has seen the first connection close.
    await talk(slow.port, next)
    expect(slow.outcomes).toHaveLength(1)
    answer()
    await slow.logged(2)
    expect(slow.outcomes[1]).toMatchObject({ cause: 'the client went away', responseBytes: 0 })
    await slow.front.drain(0)
  })

  test('H4: names the client a trusted proxy speaks for', async () => {
    const behind = await startFront(handle, {}, ['127.0.0.0/8'])
    await talk(
      behind.port,
      next.replace('Connection', 'X-Forwarded-For: 203.0.113.5\r\nConnection'),
    )
    await behind.logged(1)
    expect(behind.outcomes).toMatchObject([{ clientAddress: '203.0.113.5' }])
    await behind.front.drain(0)
  })
})

describe('drain', () => {
  const waiter = async () => {
    let answer = (): void => {}
    const waiting = new Promise<void>((resolve) => {
      answer = resolve
    })
    const front = await startFront(async (request, _exchange, reply) => {
      if (request.url.endsWith('/wait')) await waiting
      return reply('x')
    })
    const idle = await openLine(front.port)
    idle.send(`GET /first HTTP/1.1\r\n${host}\r\n`)
    await idle.until('\r\n\r\nx')
    const busy = await openLine(front.port)
    busy.send(`GET /wait HTTP/1.1\r\n${host}\r\n`)
    while (front.reached.length < 2) await new Promise((resolve) => setImmediate(resolve))
    return { front, idle, busy, answer }
  }

  test('closes idle connections, takes no new ones, and lets the last answer say so', async () => {
    const { front, idle, busy, answer } = await waiter()
    const drained = front.front.drain(60_000)
    await idle.closed()
    await expect(openLine(front.port)).rejects.toThrow('ECONNREFUSED')
    answer()
    const [last] = readAnswers(await busy.closed())
    expect(last).toMatchObject({ status: 200, body: 'x' })
    expect(last?.headers.get('connection')).toBe('close')
    await drained
  })

  test('cuts what is left when the grace is over', async () => {
    const { front, busy } = await waiter()
    await front.front.drain(0)
    expect(await busy.closed()).toBe('')
  })
})

test('a port that is taken is an error', async () => {
  await expect(gw.front.listen(gw.port, '127.0.0.1')).rejects.toThrow('EADDRINUSE')
})

test('whatever bytes arrive, no answer is a breakage and the front goes on', async () => {
  const pieces = fc.oneof(
    fc.constantFrom(
      'GET / HTTP/1.1\r\n',
      'POST /text HTTP/1.1\r\n',
      'POST /stream-in HTTP/1.1\r\n',
      'GET /out HTTP/1.1\r\n',
      host,
      'Content-Length: 3\r\n',
      'Transfer-Encoding: chunked\r\n',
      'Connection: close\r\n',
      'Expect: 100-continue\r\n',
      'Upgrade: h2c\r\n',
      'x-tn: a\r\n',
      '\r\n',
      'abc',
      '3\r\nabc\r\n',
      '0\r\n\r\n',
      '\n',
      '\0',
      '%2f..',
      'Host: [::1]:0\r\n',
    ),
    fc.string({ unit: 'binary-ascii', maxLength: 5 }),
  )
  const quick = await startFront(handle, {
    bodyIdleMs: 20,
    headersMs: 20,
    requestMs: 20,
    drainMs: 5,
  })
  await fc.assert(
    fc.asyncProperty(fc.array(pieces, { maxLength: 12 }), async (parts) => {
      const line = await openLine(quick.port)
      line.send(parts.join(''))
      // Every third client is gone before it is answered.
      if (parts.length % 3 === 0) line.socket.destroy()
      else line.socket.end()
      const text = await line.closed()
      const found = [...text.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map((match) => Number(match[1]))
      expect(found.filter((status) => status >= 500 && status !== 501)).toEqual([])
    }),
    { numRuns },
  )
  expect(readAnswers(await talk(quick.port, next))[0]).toMatchObject({ status: 200 })
  await quick.front.drain(0)
})
