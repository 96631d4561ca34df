import { once } from 'node:events'
import { request } from 'node:http'
import { afterAll, describe, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { startEcho } from '../../../src/runtime/node/echo.ts'
import { openLine, readAnswers, talk } from '../raw.ts'
import { handshake } from './sockets.ts'

const echo = await startEcho()
afterAll(() => echo.close())

const url = `http://127.0.0.1:${echo.port}`

describe('a request', () => {
  test.each(['GET', 'DELETE', 'PROPFIND', 'QUERY'])('with %s is described', async (method) => {
    const asked = request(`${url}/echo/a%2Fb?c=d&c`, { method, headers: { 'X-A': ['1', '2'] } })
    asked.end()
    const [answer] = await once(asked, 'response')
    let text = ''
    for await (const chunk of answer) text += chunk
    expect(answer.headers['content-type']).toBe('application/json')
    const said = JSON.parse(text)
    expect(said).toMatchObject({ method, path: '/echo/a%2Fb?c=d&c', bodyBytes: 0 })
    expect(said.headers).toMatchObject({ host: `127.0.0.1:${echo.port}`, 'x-a': ['1', '2'] })
  })

  test('with HEAD has the length of what GET answers, and no body', async () => {
    const head = 'HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n'
    const [answer, body] = (await talk(echo.port, head)).split('\r\n\r\n')
    expect(body).toBe('')
    expect(answer).toMatch(/^HTTP\/1\.1 200 OK/)
    expect(answer).toMatch(/content-length: [1-9]/i)
  })

  test('with a body has it counted, as long as it may be', async () => {
    const pieces = new ReadableStream({
      start(controller) {
        for (let n = 0; n < 64; n += 1) controller.enqueue(new Uint8Array(100_000))
        controller.close()
      },
    })
    // The type of Node's fetch does not know `duplex`, without which a stream is no body.
    const init = { method: 'POST', body: pieces, duplex: 'half' } as RequestInit
    const said = await (await fetch(`${url}/echo`, init)).json()
    expect(said).toMatchObject({ method: 'POST', bodyBytes: 6_400_000 })
    expect(said.headers['transfer-encoding']).toBe('chunked')
  })

  test('with a header of 20 KiB, which is more than a client may send', async () => {
    const said = await (await fetch(url, { headers: { 'x-large': 'a'.repeat(20_480) } })).json()
    expect(said.headers['x-large']).toHaveLength(20_480)
  })

  test('for another protocol is a request', async () => {
    const get = 'GET /x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, close\r\nUpgrade: h2c\r\n\r\n'
    const [answer] = readAnswers(await talk(echo.port, get))
    expect(JSON.parse(answer?.body ?? '')).toMatchObject({ method: 'GET', path: '/x' })
  })
})

async function openSocket(protocols: string[] = []): Promise<WebSocket> {
  const socket = new WebSocket(`ws://127.0.0.1:${echo.port}/echo`, protocols)
  await once(socket, 'open')
  return socket
}

async function echoed(socket: WebSocket): Promise<[Buffer, boolean]> {
  const [data, binary] = await once(socket, 'message')
  return [data, binary]
}

describe('a WebSocket', () => {
  test.each<[what: string, data: string | Buffer]>([
    ['a text', 'grüße'],
    ['nothing', ''],
    ['126 bytes', Buffer.alloc(126, 1)],
    ['65 536 bytes', Buffer.alloc(65_536, 2)],
    ['1 MiB', Buffer.alloc(1_048_576, 3)],
  ])('sends back %s as it came', async (_, sent) => {
    const socket = await openSocket()
    socket.send(sent)
    const [data, binary] = await echoed(socket)
    expect(binary).toBe(typeof sent !== 'string')
    expect(data.equals(Buffer.from(sent))).toBe(true)
    socket.close(4000, 'thank you')
    const [code] = await once(socket, 'close')
    expect(code).toBe(4000)
  })

  test('puts a message in pieces together, with a ping in between', async () => {
    const socket = await openSocket()
    socket.send('one ', { fin: false })
    socket.ping('are you there')
    socket.send('two ', { fin: false })
    socket.send('three', { fin: true })
    const [[pong], [data, binary]] = await Promise.all([once(socket, 'pong'), echoed(socket)])
    expect([String(pong), String(data), binary]).toEqual(['are you there', 'one two three', false])
    socket.terminate()
  })

  test('takes the first protocol that is offered', async () => {
    const socket = await openSocket(['a.v1', 'b'])
    expect(socket.protocol).toBe('a.v1')
    socket.close()
    const [code] = await once(socket, 'close')
    // A close without a code is answered with the one for it.
    expect(code).toBe(1000)
  })

  const masked = (first: number, ...rest: number[]): Buffer => Buffer.from([first, ...rest])
  const mask = [0, 0, 0, 0]
  test.each<[what: string, frame: Buffer, code: number]>([
    ['no mask', masked(0x81, 1, 65), 1002],
    ['a reserved bit', masked(0xc1, 0x80, ...mask), 1002],
    ['a reserved opcode', masked(0x83, 0x80, ...mask), 1002],
    ['a ping in pieces', masked(0x09, 0x80, ...mask), 1002],
    ['a long ping', masked(0x89, 0xfe, 0, 126, ...mask), 1002],
    ['a piece of nothing', masked(0x80, 0x80, ...mask), 1002],
    ['a message within another', Buffer.concat(Array(2).fill(masked(1, 0x80, ...mask))), 1002],
    ['a text that is none', masked(0x81, 0x81, ...mask, 0xff), 1007],
    ['a message too long', masked(0x82, 0xff, 0, 0, 0, 0, 0, 0x10, 0, 1, ...mask), 1009],
    ['a length past all numbers', masked(0x82, 0xff, ...Array(8).fill(255), ...mask), 1009],
    ['a close of half a code', masked(0x88, 0x81, ...mask, 3), 1002],
    ['a close with a code nobody sends', masked(0x88, 0x82, ...mask, 0x03, 0xed), 1002],
  ])('%s ends it, and says which rule was broken', async (_, frame, code) => {
    const line = await openLine(echo.port)
    line.send(handshake('/echo') + frame.toString('latin1'))
    const text = await line.closed()
    const answer = Buffer.from(text.slice(text.indexOf('\r\n\r\n') + 4), 'latin1')
    expect([...answer]).toEqual([0x88, 2, code >> 8, code & 255])
  })

  test('pieces that together are too long', async () => {
    const socket = await openSocket()
    socket.send(Buffer.alloc(1_048_576), { fin: false })
    socket.send('x', { fin: true })
    const [code] = await once(socket, 'close')
    expect(code).toBe(1009)
  })

  test('a frame byte by byte', async () => {
    const line = await openLine(echo.port)
    line.send(handshake('/echo'))
    const head = await line.until('\r\n\r\n')
    for (const byte of masked(0x81, 0x82, 1, 2, 3, 4, 65 ^ 1, 66 ^ 2)) {
      line.socket.write(Buffer.from([byte]))
      await new Promise((resolve) => setImmediate(resolve))
    }
    expect(await line.until('AB')).toBe(`${head}\x81\x02AB`)
    line.socket.destroy()
  })
})

test('closes with open connections and WebSockets', async () => {
  const other = await startEcho()
  const socket = new WebSocket(`ws://127.0.0.1:${other.port}/`)
  await once(socket, 'open')
  await (await fetch(`http://127.0.0.1:${other.port}/`)).text()
  const closed = once(socket, 'close')
  await other.close()
  expect((await closed)[0]).toBe(1006)
})
