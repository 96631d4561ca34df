/**
 * The built-in echo upstream: a real HTTP server on loopback, so that a request to it is forwarded
 * like any other, over a socket. It answers every request with what it got, and holds no body.
 */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { echoOf } from '../../proxy/echo.ts'
import { upgradeOf } from '../../proxy/websocket.ts'
import { acceptOf } from './accept.ts'
import { echoFrames } from './echo-socket.ts'

export type EchoServer = {
  readonly port: number
  /** Ends every connection, open WebSockets too. */
  close(): Promise<void>
}

/** Starts the echo on a free port of 127.0.0.1. */
export async function startEcho(): Promise<EchoServer> {
  const sockets = new Set<Socket>()
  const server = createServer({
    // What the gateway adds comes on top of all that a client may send.
    maxHeaderSize: 65_536,
    // Whoever sends slowly is the gateway's to judge.
    requestTimeout: 0,
    keepAliveTimeout: 60_000,
    shouldUpgradeCallback: isHandshake,
  })
  server.on('request', answer)
  server.on('upgrade', (incoming: IncomingMessage, _stream: Duplex, head: Buffer) => {
    const { socket } = incoming
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
    openSocket(incoming, head)
  })
  // Its own even where several processes share the ports of the gateway.
  server.listen({ port: 0, host: '127.0.0.1', exclusive: true })
  await once(server, 'listening')
  const address = server.address()
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    async close() {
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
}

function answer(incoming: IncomingMessage, outgoing: ServerResponse): void {
  let bodyBytes = 0
  incoming.on('data', (chunk: Buffer) => {
    bodyBytes += chunk.length
  })
  incoming.on('error', () => outgoing.destroy())
  incoming.on('end', () => {
    const { method = '', url = '', rawHeaders } = incoming
    const body = JSON.stringify(echoOf(method, url, rawHeaders, bodyBytes))
    outgoing.writeHead(200, {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(body),
    })
    outgoing.end(body)
  })
}

const isHandshake = ({ method = '', httpVersion, headers }: IncomingMessage): boolean => {
  const get = (name: string): string | null => {
    const value = headers[name]
    return typeof value === 'string' ? value : null
  }
  return upgradeOf(method, httpVersion, { get }) === 'websocket'
}

function openSocket({ headers, socket }: IncomingMessage, head: Buffer): void {
  // A client that offers protocols demands that one is taken (RFC 6455 section 4.2.2).
  const [protocol] = headers['sec-websocket-protocol']?.split(',') ?? []
  const lines = [
    'HTTP/1.1 101 Switching Protocols',
    'Connection: Upgrade',
    'Upgrade: websocket',
    `Sec-WebSocket-Accept: ${acceptOf(headers['sec-websocket-key'] ?? '')}`,
    ...(protocol === undefined ? [] : [`Sec-WebSocket-Protocol: ${protocol.trim()}`]),
  ]
  socket.write(`${lines.join('\r\n')}\r\n\r\n`, 'latin1')
  echoFrames(socket, head)
}
