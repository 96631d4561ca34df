/** Both ends of WebSockets for tests: a front that forwards them, and upstreams that say what they get. */
import { once } from 'node:events'
import { request } from 'node:http'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { WebSocketServer } from 'ws'
import { type Exchange, HopFault, type OpenSocket } from '../../../src/context.ts'
import { acceptOf, acceptUpgrade } from '../../../src/runtime/node/accept.ts'
import { type Handle, startFront, type TestFront } from '../raw.ts'

export const sampleKey = 'dGhlIHNhbXBsZSBub25jZQ=='

/** A handshake as text. Lines in `more` end with CRLF. */
export const handshake = (path: string, more = 'x-api-key: good\r\n', key = sampleKey): string =>
  `GET ${path} HTTP/1.1\r\nHost: gw\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
  `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\n${more}\r\n`

/** Items that come one by one, and can be waited for. */
export class Queue<T> {
  readonly items: T[] = []
  #wake: (() => void)[] = []

  push(item: T): void {
    this.items.push(item)
    for (const wake of this.#wake.splice(0)) wake()
  }

  async next(): Promise<T> {
    while (this.items.length === 0) await new Promise<void>((resolve) => this.#wake.push(resolve))
    return this.items.shift() as T // there is one: the loop has ended
  }
}

export type SocketGate = TestFront & {
  readonly opened: Queue<OpenSocket>
  /** How many open WebSockets were told to be closed. */
  closedCount(): number
  /** Requests for `/hold`, which are not answered until the test does. */
  readonly held: Queue<PromiseWithResolvers<void>>
  /** The requests as Node has them, for as long as somebody else holds them. */
  readonly requests: WeakRef<object>[]
}

/** A front that asks for `x-api-key: good`, and forwards WebSockets to a port of loopback. */
export async function startSocketGate(upstreamPort: number): Promise<SocketGate> {
  const opened = new Queue<OpenSocket>()
  const held = new Queue<PromiseWithResolvers<void>>()
  const requests: WeakRef<object>[] = []
  let closed = 0
  const onOpen = (socket: OpenSocket) => {
    opened.push(socket)
    return () => {
      closed += 1
    }
  }
  const handle: Handle = async (incoming, exchange, reply) => {
    const { pathname } = new URL(incoming.url)
    requests.push(new WeakRef(exchange.requestHeaders ?? exchange))
    if (incoming.headers.get('x-api-key') !== 'good') return reply('who?', { status: 401 })
    if (pathname === '/hold') {
      const hold = Promise.withResolvers<void>()
      held.push(hold)
      await hold.promise
    }
    if (pathname === '/large') return reply(largeAnswer(), { status: 403 })
    if (!exchange.upgrade) return reply(`upgrade ${exchange.upgrade}`)
    try {
      return reply(await forward(upstreamPort, handshakeOf(incoming), exchange, onOpen))
    } catch (error) {
      if (error instanceof HopFault) return reply(error.failure, { status: 502 })
      throw error
    }
  }
  const front = await startFront(handle)
  return { ...front, opened, held, requests, closedCount: () => closed }
}

function largeAnswer(): ReadableStream<Uint8Array> {
  let left = 64
  return new ReadableStream({
    pull(controller) {
      if (left-- > 0) controller.enqueue(new Uint8Array(65_536).fill(97))
      else controller.close()
    },
  })
}

const handshakeOf = ({ headers }: Request): Record<string, string> =>
  Object.fromEntries(
    ['connection', 'upgrade', 'sec-websocket-key', 'sec-websocket-version'].map((name) => [
      name,
      headers.get(name) ?? '',
    ]),
  )

/** The part of a forwarder that opens a WebSocket. */
async function forward(
  port: number,
  headers: Record<string, string>,
  exchange: Exchange,
  onOpen: (socket: OpenSocket) => () => void,
): Promise<Response> {
  const asked = request({ port, host: '127.0.0.1', headers, agent: false }).end()
  return new Promise((resolve, reject) => {
    asked.on('error', () => reject(new HopFault('connection_refused', true, 'refused')))
    asked.on('response', (answer) => {
      answer.resume()
      resolve(new Response('the upstream says no', { status: answer.statusCode }))
    })
    asked.on('upgrade', (answer, socket, head) => {
      try {
        resolve(acceptUpgrade(exchange, answer.rawHeaders, socket, head, onOpen))
      } catch (error) {
        reject(error)
      }
    })
  })
}

export type RawUpstream = {
  readonly port: number
  /** Connections that were answered 101, with the handshake read. */
  readonly sockets: Queue<Socket>
  close(): void
}

/** An upstream that answers 101 with the accept of `answerTo`, and leaves the socket to the test. */
export async function startRawUpstream(
  answerTo: (key: string) => string = acceptOf,
): Promise<RawUpstream> {
  const sockets = new Queue<Socket>()
  const all: Socket[] = []
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    all.push(socket)
    socket.on('error', () => {})
    let head = ''
    socket.on('data', function read(chunk: Buffer) {
      head += chunk.toString('latin1')
      const end = head.indexOf('\r\n\r\n')
      if (end < 0) return
      socket.off('data', read)
      socket.pause()
      if (head.length > end + 4) socket.unshift(Buffer.from(head.slice(end + 4), 'latin1'))
      const key = /sec-websocket-key: *(\S+)/i.exec(head)?.[1] ?? ''
      socket.write(
        'HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n' +
          `X-Kept: yes\r\nSec-WebSocket-Accept: ${answerTo(key)}\r\n\r\n`,
      )
      sockets.push(socket)
    })
  })
  const port = await listening(server)
  return {
    port,
    sockets,
    close() {
      server.close()
      for (const socket of all) socket.destroy()
    },
  }
}

async function listening(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port // it listens on a port, not on a path
}

/** An independent WebSocket server that sends every message back. */
export async function startWsUpstream(): Promise<{ server: WebSocketServer; port: number }> {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1' })
  server.on('connection', (socket) => {
    socket.on('error', () => {})
    socket.on('message', (data, binary) => socket.send(data, { binary }))
  })
  await once(server, 'listening')
  return { server, port: (server.address() as AddressInfo).port } // as above
}

/** All that a socket sends, as latin-1, once it contains `text` or has ended. */
export async function readUntil(socket: Socket, text: string | null): Promise<string> {
  let all = ''
  if (socket.closed || socket.readableEnded) return all
  socket.resume()
  return new Promise((resolve) => {
    const done = (): void => {
      socket.off('data', take)
      resolve(all)
    }
    const take = (chunk: Buffer): void => {
      all += chunk.toString('latin1')
      if (text !== null && all.includes(text)) done()
    }
    socket.on('data', take)
    socket.once('end', done)
    socket.once('close', done)
  })
}
