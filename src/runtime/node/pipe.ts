/**
 * The bytes of an open WebSocket, from the client to the upstream and back, each side held back by
 * the other's pace, until both have closed. It reads no message. All it knows of the protocol is
 * where a frame ends on the way to the client, so that the gateway can say goodbye there.
 *
 * The danger is a side that stays behind: whatever happens to one, the other is ended too, at once
 * when it broke and within seconds when it ended in order.
 */
import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { OpenSocket } from '../../context.ts'
import { closeFrame, createFrameTracker } from '../../proxy/websocket.ts'

/** What went through. `cause` is null when both sides ended in order. */
export type PipeEnd = {
  readonly toClientBytes: number
  readonly toUpstreamBytes: number
  readonly cause: string | null
}

/** The two connections, and what had been read of each before it was known what follows. */
export type PipeSides = {
  readonly client: Socket
  readonly clientHead: Uint8Array
  readonly upstream: Duplex
  readonly upstreamHead: Uint8Array
}

/** For a frame to end before a close frame, and then for the client to close. */
const graceMs = 1000
/** For the second side to end when the first has. No WebSocket goes on one way (RFC 6455 7.1.1). */
const halfClosedMs = 5000
/** Idle time after which the system asks whether the other machine is still there. */
const keepAliveMs = 60_000

/**
 * Pipes both ways until it is over, and calls `onOver` once, when both sides have closed. Takes both
 * sockets: nobody else may read, write or close them. `close` of what is answered drops whatever the
 * client still sends, puts a close frame at the next end of a frame, and cuts what is left after 1 s.
 */
export function pipeUpgrade(sides: PipeSides, onOver: (end: PipeEnd) => void): OpenSocket {
  return new Pipe(sides, onOver)
}

class Pipe implements OpenSocket {
  readonly #client: Socket
  readonly #upstream: Duplex
  readonly #onOver: (end: PipeEnd) => void
  readonly #tracker = createFrameTracker()
  #toClientBytes = 0
  #toUpstreamBytes = 0
  #cause: string | null = null
  #farewell: Uint8Array | null = null
  /** The farewell is on its way, and the upstream no longer matters. */
  #leaving = false
  #timer: NodeJS.Timeout | undefined
  #openSides = 2

  constructor(sides: PipeSides, onOver: (end: PipeEnd) => void) {
    const { client, upstream } = sides
    this.#client = client
    this.#upstream = upstream
    this.#onOver = onOver
    client.setTimeout(0)
    for (const side of [client, upstream]) {
      if (side instanceof Socket) side.setNoDelay(true).setKeepAlive(true, keepAliveMs)
      // 'close' follows, and says enough.
      side.on('error', () => {})
    }
    client.on('data', (chunk: Buffer) => this.#fromClient(chunk))
    upstream.on('data', (chunk: Buffer) => this.#fromUpstream(chunk))
    client.on('drain', () => upstream.resume())
    upstream.on('drain', () => client.resume())
    client.on('end', () => this.#ended(upstream))
    upstream.on('end', () => this.#ended(client))
    client.on('close', () => this.#closed(client, upstream, 'the client broke off'))
    upstream.on('close', () => this.#closed(upstream, client, 'the upstream broke off'))
    this.#fromUpstream(sides.upstreamHead)
    this.#fromClient(sides.clientHead)
    client.resume()
    upstream.resume()
  }

  close(code: number, reason: string): void {
    if (this.#farewell !== null || this.#openSides === 0) return
    this.#farewell = closeFrame(code, reason)
    this.#cause ??= `closed with ${code}: ${reason}`
    if (!this.#client.writable) this.#cut()
    else if (this.#tracker.atBoundary) this.#leave(this.#farewell)
    else this.#cutAfter(graceMs)
  }

  #fromClient(chunk: Uint8Array): void {
    if (this.#farewell !== null || !this.#upstream.writable || chunk.length === 0) return
    this.#toUpstreamBytes += chunk.length
    if (!this.#upstream.write(chunk)) this.#client.pause()
  }

  #fromUpstream(chunk: Uint8Array): void {
    if (this.#leaving || !this.#client.writable || chunk.length === 0) return
    const farewell = this.#farewell
    if (farewell === null) this.#tracker.take(chunk)
    const piece = farewell === null ? chunk : chunk.subarray(0, this.#tracker.takeToBoundary(chunk))
    this.#toClientBytes += piece.length
    if (!this.#client.write(piece)) this.#upstream.pause()
    if (farewell !== null && this.#tracker.atBoundary) this.#leave(farewell)
  }

  /** Ends with a close frame. Closing at once would take it away from a client that still sends. */
  #leave(farewell: Uint8Array): void {
    this.#leaving = true
    this.#upstream.destroy()
    this.#toClientBytes += farewell.length
    this.#client.end(farewell)
    this.#client.resume()
    this.#cutAfter(graceMs)
  }

  #ended(other: Duplex): void {
    if (this.#leaving) return
    // In the middle of a frame: there will be no better place for the farewell.
    if (this.#farewell !== null) this.#cut()
    else {
      other.end()
      this.#cutAfter(halfClosedMs, 'one side ended, and the other did not')
    }
  }

  #closed(side: Duplex, other: Duplex, cause: string): void {
    this.#openSides -= 1
    if (!side.readableEnded && !this.#leaving) {
      this.#cause ??= cause
      other.destroy()
    }
    // Nobody takes what it still sends; it is read, so that its end is seen.
    other.resume()
    if (this.#openSides > 0) return
    clearTimeout(this.#timer)
    const [toClientBytes, toUpstreamBytes] = [this.#toClientBytes, this.#toUpstreamBytes]
    this.#onOver({ toClientBytes, toUpstreamBytes, cause: this.#cause })
  }

  #cutAfter(ms: number, cause: string | null = null): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => {
      this.#cause ??= cause
      this.#cut()
    }, ms)
  }

  #cut(): void {
    this.#client.destroy()
    this.#upstream.destroy()
  }
}
