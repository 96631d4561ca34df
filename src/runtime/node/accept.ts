/**
 * The 101: an upstream has opened the WebSocket that a client asked for, and from here on the two are
 * joined. The danger is an upstream that says 101 and means something else: what the client then sends
 * would be read as requests that nobody has checked (threats R23).
 */
import { createHash } from 'node:crypto'
import { validateHeaderName, validateHeaderValue } from 'node:http'
import type { Duplex } from 'node:stream'
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import { type Exchange, HopFault, type OpenSocket } from '../../context.ts'
import { NodeExchange } from './exchange.ts'
import { pipeUpgrade } from './pipe.ts'

/**
 * Answers 101 to the client of an exchange whose upstream has, and joins the two sockets; both are
 * taken, and `upstream` is destroyed when this throws. `answerHeaders` are names and values in turn,
 * as the client gets them; those of the connection are written here. `onOpen` is told of the
 * WebSocket, and what it answers is called when that has closed, which is when the exchange is logged.
 * Answers a response that stands for what was sent.
 *
 * Throws a `HopFault`: `http_protocol_error` when this is no answer to the handshake (RFC 6455 section
 * 4.1), `connection_terminated` when the upstream has gone, `client_gone` when the client has. Throws
 * a TypeError for an exchange that asked for no WebSocket.
 */
export function acceptUpgrade(
  exchange: Exchange,
  answerHeaders: readonly string[],
  upstream: Duplex,
  upstreamHead: Uint8Array,
  onOpen: (socket: OpenSocket) => () => void,
): Response {
  try {
    return open(exchange, answerHeaders, upstream, upstreamHead, onOpen)
  } catch (error) {
    upstream.destroy()
    throw error
  }
}

function open(
  exchange: Exchange,
  answerHeaders: readonly string[],
  upstream: Duplex,
  upstreamHead: Uint8Array,
  onOpen: (socket: OpenSocket) => () => void,
): Response {
  if (!(exchange instanceof NodeExchange) || exchange.handshake === null) {
    throw new TypeError('an exchange that asked for no WebSocket')
  }
  const { handshake } = exchange
  const head = headOf(handshake.challenge, answerHeaders)
  if (upstream.destroyed) {
    throw new HopFault('connection_terminated', false, 'the upstream left after its 101')
  }
  const client = handshake.accept()
  if (client === null) {
    throw new HopFault('client_gone', false, 'the client left during the handshake')
  }
  exchange.forgetRequest()
  client.socket.write(head, 'latin1')
  const sides = { client: client.socket, clientHead: client.head, upstream, upstreamHead }
  let closed = (): void => {}
  const socket = pipeUpgrade(sides, ({ toClientBytes, toUpstreamBytes, cause }) => {
    closed()
    exchange.sent(101, toClientBytes, cause, toUpstreamBytes)
    handshake.over()
  })
  closed = onOpen(socket)
  handshake.opened(socket)
  return RESPONSE_ALREADY_SENT
}

/** The 101 as it goes out. */
function headOf(challenge: string, headers: readonly string[]): string {
  let head = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n'
  const accepts: string[] = []
  for (let at = 0; at < headers.length; at += 2) {
    const name = headers[at] ?? ''
    const value = headers[at + 1] ?? ''
    const lower = name.toLowerCase()
    if (ours.has(lower)) continue
    if (lower === 'sec-websocket-accept') accepts.push(value)
    if (!isHeader(name, value)) throw badAnswer('a header that cannot be written')
    head += `${name}: ${value}\r\n`
  }
  if (accepts.length === 1 && accepts[0] === acceptOf(challenge)) return `${head}\r\n`
  throw badAnswer('a 101 without the Sec-WebSocket-Accept of this handshake')
}

const badAnswer = (cause: string): HopFault => new HopFault('http_protocol_error', false, cause)

const ours: ReadonlySet<string> = new Set([
  ...['connection', 'upgrade', 'keep-alive', 'content-length', 'transfer-encoding'],
  ...['server', 'x-powered-by'],
])

function isHeader(name: string, value: string): boolean {
  try {
    validateHeaderName(name)
    validateHeaderValue(name, value)
    return true
  } catch {
    return false
  }
}

/** The answer to a handshake's `Sec-WebSocket-Key` (RFC 6455 section 4.2.2): proof of having read it. */
export function acceptOf(challenge: string): string {
  return createHash('sha1')
    .update(`${challenge}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
    .digest('base64')
}
