import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { HopFault } from '../../../../src/context.ts'
import { Problem } from '../../../../src/problem.ts'
import { Incoming } from '../../../../src/runtime/node/incoming.ts'
import { type Sender, Upload } from '../../../../src/runtime/node/upstream/upload.ts'
import { type RawUpstream, startRawUpstream } from '../../../upstream.ts'

let raw: RawUpstream
let front: Server
/** A client in the middle of its request. */
let client: Socket
/** The connection to the upstream. */
let socket: Socket

beforeEach(async () => {
  raw = await startRawUpstream(() => {})
  front = createServer({ IncomingMessage: Incoming })
  front.listen(0, '127.0.0.1')
  await once(front, 'listening')
  client = connect((front.address() as AddressInfo).port, '127.0.0.1')
  socket = connect(raw.port, '127.0.0.1')
  client.on('error', () => {})
  await once(socket, 'connect')
})
afterEach(async () => {
  client.destroy()
  socket.destroy()
  front.close()
  front.closeAllConnections()
  await raw.stop()
})

async function start(bytes: string): Promise<Incoming> {
  const asked = once(front, 'request') as Promise<[Incoming]>
  client.write(`POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${bytes}`)
  const [incoming] = await asked
  incoming.limits = { ...generous, bodyBytesMax: 1e9, drainBytesMax: 1e9 }
  return incoming
}

const generous = { bodyIdleMs: 60_000, requestMs: 60_000, drainMs: 60_000 }
const chunk = (text: string): string => `${text.length.toString(16)}\r\n${text}\r\n`
const quiet: Sender = { onSent: () => {}, onFault: () => {} }

test.each([
  ['the client breaks off', () => client.destroy(), HopFault],
  ['a chunk is none', (body: Incoming) => body.fail(new Problem('request/malformed')), Problem],
])('R20: when %s, the body is not ended', async (_, happen, kind) => {
  const body = await start(chunk('half'))
  const failed = new Promise((resolve) => {
    new Upload(socket, 'head\r\n\r\n', body, true, { ...quiet, onFault: resolve })
  })
  await raw.connections[0]?.until('half')
  happen(body)
  expect(await failed).toBeInstanceOf(kind)
  socket.end()
  await raw.connections[0]?.closed
  expect(raw.connections[0]?.take()).toBe(`head\r\n\r\n${chunk('half')}`)
})

test('a large body arrives byte for byte, and the memory of its pieces is given back', async () => {
  const large = Array.from({ length: 40 }, (_, at) =>
    String.fromCharCode(97 + (at % 26)).repeat(20_000),
  )
  const body = await start('')
  const pieces: Buffer[] = []
  body.on('data', (piece: Buffer) => void pieces.push(piece))
  const upload = new Upload(socket, 'head\r\n\r\n', body, false, quiet)
  client.write(`${large.map(chunk).join('')}0\r\n\r\n`)
  await once(body, 'end')
  expect(upload.isDone).toBe(true)
  socket.end()
  await raw.connections[0]?.closed
  expect(raw.connections[0]?.take() === `head\r\n\r\n${large.join('')}`).toBe(true)
  const held = pieces.filter(({ length }) => length > 0)
  expect(held.reduce((sum, { length }) => sum + length, 0)).toBeLessThan(400_000)
})
