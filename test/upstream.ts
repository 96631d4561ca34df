/**
 * Upstreams of tests: one that speaks HTTP and notes what it was asked, and one that sends whatever
 * bytes a test wants, at the moment it wants.
 */
import { once } from 'node:events'
import {
  createServer as createHttpServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
} from 'node:http'
import { type AddressInfo, createServer as createTcpServer, type Socket } from 'node:net'

export type HttpUpstream = {
  readonly server: Server
  readonly url: string
  /** Every request whose head has arrived, in order. */
  readonly seen: IncomingMessage[]
  stop(): Promise<void>
}

/** Starts a real HTTP server on a free port of loopback. */
export async function startHttpUpstream(listener: RequestListener): Promise<HttpUpstream> {
  const seen: IncomingMessage[] = []
  const server = createHttpServer((request, response) => {
    seen.push(request)
    listener(request, response)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    server,
    url: `http://127.0.0.1:${portOf(server)}`,
    seen,
    async stop() {
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      await closed
    },
  }
}

/** One connection that the gateway made, and what has come on it so far, as latin-1. */
export type RawConnection = {
  readonly socket: Socket
  /** The head and body bytes received since the last `take`. */
  take(): string
  /** Resolves once what has come since the last `take` holds `text`, or the connection has ended. */
  until(text: string): Promise<string>
  /** Resolves when the gateway has closed it. */
  readonly closed: Promise<void>
}

export type RawUpstream = {
  readonly url: string
  readonly port: number
  readonly connections: RawConnection[]
  stop(): Promise<void>
}

/** Starts a TCP server; `talk` speaks on each connection. What it throws fails the test run. */
export async function startRawUpstream(
  talk: (connection: RawConnection, index: number) => Promise<void> | void,
): Promise<RawUpstream> {
  const connections: RawConnection[] = []
  const server = createTcpServer({ noDelay: true }, (socket) => {
    const connection = rawConnection(socket)
    connections.push(connection)
    void talk(connection, connections.length - 1)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const port = portOf(server)
  return {
    port,
    url: `http://127.0.0.1:${port}`,
    connections,
    async stop() {
      const closed = once(server, 'close')
      server.close()
      for (const { socket } of connections) socket.destroy()
      await closed
    },
  }
}

function rawConnection(socket: Socket): RawConnection {
  let text = ''
  let over = false
  let wake = (): void => {}
  socket.on('data', (piece: Buffer) => {
    text += piece.toString('latin1')
    wake()
  })
  socket.on('error', () => {})
  const closed = new Promise<void>((resolve) => {
    socket.once('close', () => {
      over = true
      wake()
      resolve()
    })
  })
  return {
    socket,
    closed,
    take() {
      const taken = text
      text = ''
      return taken
    },
    async until(expected) {
      while (!text.includes(expected) && !over) {
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      }
      return text
    },
  }
}

const portOf = (server: { address(): unknown }): number => (server.address() as AddressInfo).port
