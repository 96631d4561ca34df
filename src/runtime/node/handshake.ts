/**
 * A client that has asked for a WebSocket: from its request to the 101, or to the answer that refuses.
 *
 * Node lets go of the connection when it hands such a request over: no parser, no time limit, nobody
 * who listens for an error or sees the client leave. Until it is answered, all of that is here. What
 * is not a 101 leaves through `Outgoing`, like any other answer, and the connection ends with it: the
 * bytes that follow were meant for a WebSocket (threats R23).
 */
import type { Socket } from 'node:net'
import type { OpenSocket } from '../../context.ts'
import type { Outgoing } from './outgoing.ts'
import type { Upgraded } from './upgraded.ts'

/** Sent ahead of the 101, which no client should do. Past this, reading waits for the answer. */
const earlyBytesMax = 65_536

export class Handshake {
  /** The key that the client challenges the server with (RFC 6455 section 4.2.1). */
  readonly challenge: string
  readonly #socket: Socket
  /** null once accepted: it has the request, and the key with it. */
  #outgoing: Outgoing | null
  readonly #upgraded: Upgraded
  readonly #drainMs: number
  #early: Buffer[]
  #earlyBytes: number

  /** Takes over the socket of an upgrade request, with `head`, what came after the request. */
  constructor(outgoing: Outgoing, head: Buffer, upgraded: Upgraded, drainMs: number) {
    const { socket } = outgoing.req
    this.challenge = outgoing.req.get('sec-websocket-key') ?? ''
    this.#socket = socket
    this.#outgoing = outgoing
    this.#upgraded = upgraded
    this.#drainMs = drainMs
    this.#early = [head]
    this.#earlyBytes = head.length
    upgraded.add(socket)
    // 'close' follows. Without a listener, a client that resets would end the process.
    socket.on('error', () => {})
    socket.on('data', this.#keep)
    socket.on('end', this.#leave)
    socket.on('drain', this.#drained)
    outgoing.shouldKeepAlive = false
    outgoing.assignSocket(socket)
    outgoing.once('finish', this.#refused)
  }

  /** Takes the socket out of HTTP. null when the client has gone. */
  accept(): { readonly socket: Socket; readonly head: Buffer } | null {
    const socket = this.#socket
    const outgoing = this.#outgoing
    if (outgoing === null || outgoing.headersSent || socket.destroyed) return null
    socket.off('data', this.#keep)
    socket.off('end', this.#leave)
    socket.off('drain', this.#drained)
    outgoing.off('finish', this.#refused)
    outgoing.surrender()
    this.#outgoing = null
    const head = Buffer.concat(this.#early)
    this.#early = []
    return { socket, head }
  }

  /** The WebSocket stands, and takes part in a drain until `over`. */
  opened(open: OpenSocket): void {
    this.#upgraded.opened(this.#socket, open)
  }

  /** The WebSocket is over, and in the log. */
  over(): void {
    this.#upgraded.remove(this.#socket)
  }

  readonly #keep = (chunk: Buffer): void => {
    this.#early.push(chunk)
    this.#earlyBytes += chunk.length
    if (this.#earlyBytes > earlyBytesMax) this.#socket.pause()
  }

  // Who ends before the answer does not want it: no WebSocket can be closed in order any more.
  readonly #leave = (): void => {
    this.#socket.destroy()
  }

  readonly #drained = (): void => {
    this.#outgoing?.emit('drain')
  }

  /** The answer was another one, and all of it is written. What still comes is dropped, for a while. */
  readonly #refused = (): void => {
    const socket = this.#socket
    this.#early = []
    socket.off('data', this.#keep)
    socket.off('end', this.#leave)
    socket.end()
    socket.resume()
    const timer = setTimeout(() => socket.destroy(), this.#drainMs)
    socket.once('close', () => clearTimeout(timer))
  }
}
