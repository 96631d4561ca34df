import { once } from 'node:events'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { closeFrame, serverFrame } from '../../../src/proxy/websocket.ts'
import { openLine, readAnswers, talk } from '../raw.ts'
import {
  handshake,
  readUntil,
  sampleKey,
  startRawUpstream,
  startSocketGate,
  startWsUpstream,
} from './sockets.ts'

const raw = await startRawUpstream()
const gw = await startSocketGate(raw.port)
const ws = await startWsUpstream()
const wsGate = await startSocketGate(ws.port)

beforeEach(() => {
  for (const gate of [gw, wsGate]) {
    gate.reached.length = 0
    gate.outcomes.length = 0
  }
})
afterAll(async () => {
  await Promise.all([gw.front.drain(0), wsGate.front.drain(0)])
  raw.close()
  ws.server.close()
})

/** Waits until nobody holds any of them. */
async function collected(refs: readonly WeakRef<object>[]): Promise<void> {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void // what the flag has put there
  while (refs.some((ref) => ref.deref() !== undefined)) {
    await new Promise((resolve) => setImmediate(resolve))
    collect()
  }
}

const latin1 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1')
const smuggled = 'GET /smuggled HTTP/1.1\r\nHost: gw\r\nx-api-key: good\r\n\r\n'

/** An open WebSocket byte by byte: the client's line, and the upstream's socket. */
async function openRaw(gate = gw, upstream = raw) {
  const line = await openLine(gate.port)
  line.send(handshake('/ws'))
  const [socket, open] = await Promise.all([upstream.sockets.next(), gate.opened.next()])
  const head = await line.until('\r\n\r\n')
  return { line, socket, open, head }
}

describe('R23: what does not become a WebSocket', () => {
  test.each<[what: string, status: number, bytes: string]>([
    ['no key', 401, handshake('/ws', '')],
    ['a bad Sec-WebSocket-Key', 400, handshake('/ws', 'x-api-key: good\r\n', 'short')],
    ['no path', 400, handshake('/../ws')],
    ['a header twice', 400, handshake('/ws', 'x-tn: a\r\nx-tn: b\r\n')],
    ['a body', 400, handshake('/ws', 'x-api-key: good\r\nContent-Length: 3\r\n')],
    ['a chunked body', 400, handshake('/ws', 'x-api-key: good\r\nTransfer-Encoding: chunked\r\n')],
    ['another version', 400, handshake('/ws').replace('Version: 13', 'Version: 8')],
    ['another method', 400, handshake('/ws').replace('GET', 'POST')],
  ])(
    '%s: an answer like any other, and what follows is never a request',
    async (_, status, sent) => {
      const [answer, ...others] = readAnswers(await talk(gw.port, sent + smuggled))
      expect(others).toEqual([])
      expect(answer).toMatchObject({ status })
      expect(answer?.headers.get('connection')).toBe('close')
      expect(answer?.headers.get('x-request-id')).toMatch(/^req_/)
      expect(gw.reached).not.toContain('GET /smuggled')
      await gw.logged(1)
      expect(gw.outcomes).toMatchObject([{ status }])
    },
  )

  test('a version that is not spoken is told which one is', async () => {
    const sent = handshake('/ws').replace('Version: 13', 'Version: 8')
    const [answer] = readAnswers(await talk(gw.port, sent))
    expect(answer?.headers.get('sec-websocket-version')).toBe('13')
  })

  const h2c = 'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAM\r\n\r\n'
  test.each([
    ['h2c', h2c],
    ['an Upgrade that no Connection names', 'Upgrade: websocket\r\n\r\n'],
  ])('%s is ignored, and the request is the last of its connection', async (_, lines) => {
    const line = await openLine(gw.port)
    line.send(`GET /plain HTTP/1.1\r\nHost: gw\r\nx-api-key: good\r\n${lines}`)
    // The parser drops what came with such a request: the rest of it would pass for a request.
    line.send('POST /next HTTP/1.1\r\nHost: gw\r\nContent-Length: 99\r\n\r\n')
    await line.until('\r\n\r\n')
    line.send(smuggled)
    const answers = readAnswers(await line.closed())
    expect(answers).toMatchObject([{ status: 200, body: 'upgrade false' }])
    expect(answers[0]?.headers.get('connection')).toBe('close')
    expect(gw.reached).toEqual(['GET /plain'])
  })

  test('R15: one that is pipelined behind another request comes after its answer, and is refused', async () => {
    const line = await openLine(gw.port)
    line.send(`GET /hold HTTP/1.1\r\nHost: gw\r\nx-api-key: good\r\n\r\n${handshake('/ws')}`)
    const hold = await gw.held.next()
    hold.resolve()
    const [first, second, ...others] = readAnswers(await line.closed())
    expect([first?.status, second?.status, others.length]).toEqual([200, 400, 0])
    expect(gw.reached).toEqual(['GET /hold'])
  })

  test('the refusal of the upstream, and an answer larger than the socket takes at once', async () => {
    const [answer] = readAnswers(await talk(gw.port, handshake('/large')).then(unchunked))
    expect(answer).toMatchObject({ status: 403 })
    expect(answer?.body.length).toBe(64 * 65_536)
  })

  test('an upstream that answers 101 to another handshake', async () => {
    const wrong = await startRawUpstream(() => 'AAAAAAAAAAAAAAAAAAAAAAAAAAA=')
    const gate = await startSocketGate(wrong.port)
    const [answer] = readAnswers(await talk(gate.port, handshake('/ws')))
    expect(answer).toMatchObject({ status: 502, body: 'http_protocol_error' })
    const cut = await wrong.sockets.next()
    expect(await readUntil(cut, null)).toBe('')
    await gate.front.drain(0)
    wrong.close()
  })
})

/** One chunked answer, as one with a length. */
function unchunked(text: string): string {
  const end = text.indexOf('\r\n\r\n') + 4
  const body = text.slice(end).replace(/[0-9a-f]+\r\n(a*)\r\n/g, '$1')
  return `${text.slice(0, end - 2)}Content-Length: ${body.length}\r\n\r\n${body}`
}

describe('R23: a client that leaves before it is answered', () => {
  test.each(['end', 'resetAndDestroy'] as const)(
    'with %s: is logged, and is let go',
    async (how) => {
      const line = await openLine(gw.port)
      line.send(handshake('/hold'))
      const hold = await gw.held.next()
      line.socket[how]()
      await line.closed()
      hold.resolve()
      await gw.logged(1)
      expect(gw.outcomes).toMatchObject([{ cause: 'the client went away', responseBytes: 0 }])
      expect(gw.opened.items).toEqual([])
      // What the upstream had opened already is cut.
      const upstream = await raw.sockets.next()
      expect(await readUntil(upstream, null)).toBe('')
    },
  )

  test('nothing of a refused handshake is kept', async () => {
    const gate = await startSocketGate(raw.port)
    const bad = [handshake('/ws', ''), handshake('/ws', '', 'short')]
    for (let n = 0; n < 10; n += 1) await talk(gate.port, bad[n % 2] ?? '')
    await gate.logged(10)
    // The front holds on to the last one, which it may have to answer itself.
    const refused = gate.seen.slice(0, 8)
    await collected(refused)
    expect(gate.seen).toHaveLength(10)
    await gate.front.drain(0)
  })
})

describe('an open WebSocket', () => {
  test('has the answer of the upstream, and bytes that came with the handshake', async () => {
    const line = await openLine(gw.port)
    line.send(`${handshake('/ws')}early`)
    const [socket, open] = await Promise.all([raw.sockets.next(), gw.opened.next()])
    line.send(' late')
    expect(await readUntil(socket, 'late')).toBe('early late')
    const head = await line.until('\r\n\r\n')
    expect(head).toMatch(/^HTTP\/1\.1 101 Switching Protocols\r\n/)
    expect(head.match(/^(?:connection|upgrade):.*$/gim)).toEqual([
      'Connection: Upgrade',
      'Upgrade: websocket',
    ])
    expect(head).toContain('X-Kept: yes')
    open.close(1000, '')
    await line.closed()
  })

  test('gets all that was sent too early, however much', async () => {
    const line = await openLine(gw.port)
    line.send(handshake('/hold'))
    const hold = await gw.held.next()
    line.send(`${'e'.repeat(2_000_000)}.`)
    line.send('late')
    hold.resolve()
    const [socket, open] = await Promise.all([raw.sockets.next(), gw.opened.next()])
    expect(await readUntil(socket, 'late')).toBe(`${'e'.repeat(2_000_000)}.late`)
    open.close(1000, '')
    await line.closed()
    await gw.logged(1)
  })

  test('does not hold on to its request, whose headers have the key', async () => {
    const gate = await startSocketGate(raw.port)
    const sockets = [await openRaw(gate), await openRaw(gate), await openRaw(gate)]
    // The front holds on to the last one.
    await collected(gate.requests.slice(0, 2))
    for (const { open } of sockets) open.close(1000, '')
    await Promise.all(sockets.map(({ line }) => line.closed()))
    await gate.logged(3)
    expect(gate.outcomes).toMatchObject(Array(3).fill({ method: 'GET', status: 101 }))
    await gate.front.drain(0)
  })

  test('comes after other requests of its connection', async () => {
    const line = await openLine(gw.port)
    line.send('GET /plain HTTP/1.1\r\nHost: gw\r\nx-api-key: good\r\n\r\n')
    await line.until('upgrade false')
    line.send(handshake('/ws'))
    await line.until('101 Switching')
    const open = await gw.opened.next()
    await raw.sockets.next()
    open.close(1000, '')
    await line.closed()
  })

  test('carries messages of 1 MB both ways, and is logged once', async () => {
    const client = new WebSocket(`ws://127.0.0.1:${wsGate.port}/ws`, {
      headers: { 'x-api-key': 'good' },
    })
    await once(client, 'open')
    await wsGate.opened.next()
    const sent = Array.from({ length: 8 }, (_, n) => Buffer.alloc(1_048_576, n))
    const got: Buffer[] = []
    const all = new Promise<void>((resolve) => {
      client.on('message', (data: Buffer) => {
        if (got.push(data) === sent.length) resolve()
      })
    })
    for (const message of sent) client.send(message)
    await all
    expect(got.every((data, n) => data.equals(sent[n] ?? Buffer.alloc(0)))).toBe(true)
    expect(wsGate.outcomes).toEqual([])
    client.close(1000)
    await once(client, 'close')
    await wsGate.logged(1)
    const [outcome] = wsGate.outcomes
    expect(outcome).toMatchObject({ status: 101, cause: null })
    expect(outcome?.requestBytes).toBeGreaterThan(8 * 1_048_576)
    expect(outcome?.responseBytes).toBeGreaterThan(8 * 1_048_576)
    expect(wsGate.closedCount()).toBe(1)
  })

  test('a client that has ended its side still gets what was on its way', async () => {
    const { line, socket } = await openRaw()
    line.socket.end('last words')
    expect(await readUntil(socket, null)).toBe('last words')
    socket.end('heard')
    expect(await line.closed()).toMatch(/heard$/)
    await gw.logged(1)
    expect(gw.outcomes).toMatchObject([{ status: 101, cause: null, requestBytes: 10 }])
  })

  test('an upstream that has ended its side has ended the client', async () => {
    const { line, socket } = await openRaw()
    socket.end('goodbye')
    expect(await line.closed()).toMatch(/goodbye$/)
    await gw.logged(1)
  })

  test.each([
    ['upstream', 'the upstream broke off'],
    ['client', 'the client broke off'],
  ] as const)('when the %s breaks off, the other is cut', async (who, cause) => {
    const { line, socket } = await openRaw()
    if (who === 'upstream') socket.resetAndDestroy()
    else line.socket.resetAndDestroy()
    await Promise.all([line.closed(), readUntil(socket, null)])
    await gw.logged(1)
    expect(gw.outcomes).toMatchObject([{ status: 101, cause }])
    expect(gw.closedCount()).toBeGreaterThan(0)
  })
})

describe('R23: a WebSocket that the gateway ends', () => {
  const goodbye = latin1(closeFrame(4401, 'auth/key_revoked'))
  const message = serverFrame(2, new Uint8Array(100_000).fill(7))

  test('says why, to an independent client', async () => {
    const client = new WebSocket(`ws://127.0.0.1:${wsGate.port}/ws`, {
      headers: { 'x-api-key': 'good' },
    })
    await once(client, 'open')
    const open = await wsGate.opened.next()
    open.close(4401, 'auth/key_revoked')
    open.close(4403, 'a second word is not heard')
    const [code, reason] = await once(client, 'close')
    expect([code, String(reason)]).toEqual([4401, 'auth/key_revoked'])
    await wsGate.logged(1)
    expect(wsGate.outcomes).toMatchObject([
      { status: 101, cause: 'closed with 4401: auth/key_revoked' },
    ])
  })

  test('at once between two frames, and nothing the client then sends gets through', async () => {
    const { line, socket, open, head } = await openRaw()
    open.close(4401, 'auth/key_revoked')
    line.send('not any more')
    expect(await readUntil(socket, null)).toBe('')
    expect(await line.closed()).toBe(head + goodbye)
  })

  test('after the frame that has begun, and before the one behind it', async () => {
    const { line, socket, open, head } = await openRaw()
    socket.write(message.subarray(0, 50_000))
    await line.until(latin1(message.subarray(0, 50_000)))
    open.close(4401, 'auth/key_revoked')
    socket.write(Buffer.concat([message.subarray(50_000), message]))
    const all = await line.closed()
    expect(all === head + latin1(message) + goodbye).toBe(true)
  })

  test('without a word when the frame does not end in time', async () => {
    const { line, socket, open, head } = await openRaw()
    socket.write(message.subarray(0, 3))
    await line.until(latin1(message.subarray(0, 3)))
    open.close(4401, 'auth/key_revoked')
    expect(await line.closed()).toBe(head + latin1(message.subarray(0, 3)))
    await readUntil(socket, null)
  })
})

describe('Q11: a drain', () => {
  test('ends open WebSockets with 1001, also one that opens meanwhile, and is over', async () => {
    const gate = await startSocketGate(ws.port)
    const opening = (path: string) =>
      new WebSocket(`ws://127.0.0.1:${gate.port}${path}`, { headers: { 'x-api-key': 'good' } })
    const [open, late] = [opening('/ws'), opening('/hold')]
    await once(open, 'open')
    const hold = await gate.held.next()
    const drained = gate.front.drain(60_000)
    const [code] = await once(open, 'close')
    hold.resolve()
    const [lateCode] = await once(late, 'close')
    expect([code, lateCode]).toEqual([1001, 1001])
    await drained
    expect(gate.outcomes).toMatchObject(Array(2).fill({ cause: 'closed with 1001: going away' }))
  })

  test('cuts what is left, handshakes too', async () => {
    const gate = await startSocketGate(raw.port)
    const line = await openLine(gate.port)
    line.send(handshake('/hold'))
    const hold = await gate.held.next()
    const { line: stubborn, socket } = await openRaw(gate)
    socket.write(serverFrame(2, new Uint8Array(8)).subarray(0, 3))
    await stubborn.until('\x08')
    await gate.front.drain(10)
    expect(await line.closed()).toBe('')
    await stubborn.closed()
    hold.resolve()
    await raw.sockets.next()
  })
})

test('the key of the handshake is the one of RFC 6455 section 1.3', async () => {
  const { head, open, line } = await openRaw()
  expect(sampleKey).toBe('dGhlIHNhbXBsZSBub25jZQ==')
  expect(head).toContain('s3pPLMBiTxaQ9kYGzzhZRbK+xOo=')
  open.close(1000, '')
  await line.closed()
})
