/**
 * One hop under way on Node: the answer of a target on its way into the client's `ServerResponse`,
 * piece by piece, with nothing in between.
 *
 * Until the answer's head has been written, a hop that fails is a value for whoever sent it, and may be
 * sent elsewhere. After that the client holds half an answer, and the only honest end is to cut its
 * connection: an end that looks clean would make the half a whole (threats R25).
 */
import type { Socket } from 'node:net'
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import { type Hop, type HopFailure, HopFault } from '../../../context.ts'
import type { Problem } from '../../../problem.ts'
import { layAnswer } from '../../../proxy/headers.ts'
import { acceptUpgrade } from '../accept.ts'
import type { NodeExchange } from '../exchange.ts'
import type { Incoming } from '../incoming.ts'
import type { Outgoing } from '../outgoing.ts'
import { type Block, takeBlock } from './blocks.ts'
import { faultOf } from './fault.ts'
import type { Guest, TargetPool } from './pool.ts'
import { isUnsized, requestHead } from './request.ts'
import type { Rider, Wire } from './wire.ts'

/** A client that takes nothing for this long is cut off. */
const stallMs = 60_000
/** Up to here copying a body costs less than a second piece does. */
const shortBytesMax = 16_384
/** 1xx answers before the real one; more is a flood. */
const informationalMax = 16

export class HopHandler implements Rider, Guest {
  deadlineMs = Number.POSITIVE_INFINITY
  place = -1
  readonly #hop: Hop
  readonly #exchange: NodeExchange
  readonly #outgoing: Outgoing
  readonly #body: Incoming | null
  readonly #at: TargetPool
  readonly #resolve: (response: Response) => void
  readonly #reject: (fault: HopFault | Problem) => void
  #wire: Wire | null = null
  /** What the deadline is for. */
  #waitsFor: HopFailure = 'connection_timeout'
  #informational = 0
  /** The answer's head, for as long as it has not been written. */
  #head: { readonly status: number; readonly reason: string; readonly list: string[] } | null = null
  #bodyBytes = -1
  /** The client has been given the last byte. */
  #ended = false
  #over = false

  constructor(
    hop: Hop,
    exchange: NodeExchange,
    outgoing: Outgoing,
    at: TargetPool,
    resolve: (response: Response) => void,
    reject: (fault: HopFault | Problem) => void,
  ) {
    this.#hop = hop
    this.#exchange = exchange
    this.#outgoing = outgoing
    this.#body = hop.hasBody ? outgoing.req : null
    this.#at = at
    this.#resolve = resolve
    this.#reject = reject
  }

  /** Queues at the target, or is refused there. */
  enter(): void {
    const { upstream, target } = this.#hop
    if (!this.#at.enter(this)) {
      const cause = `${upstream.connectionsMax} requests are with ${target.origin}, and ${upstream.queueMax} wait`
      this.#fail(new HopFault('connection_limit_reached', true, cause))
    } else if (this.#wire === null && !this.#over) {
      // It waits for its turn or for a connection, and not for ever.
      this.#wait(upstream.connectMs, 'connection_timeout')
    }
  }

  start(): void {
    this.#at.carry(this.#hop.owner, this, this.#hop.upgrade)
  }

  board(wire: Wire): boolean {
    if (this.#over) return false
    const hop = this.#hop
    const { method, path, headers, hasBody, upgrade } = hop
    const body = this.#body
    const unsized = body !== null && isUnsized(hop)
    const wholeBytes = unsized && body.isWhole ? body.readableLength : null
    const isLast = this.#at.isOnce
    let head: string
    try {
      head = requestHead({ method, path, headers, hasBody, upgrade, wholeBytes, isLast })
    } catch (error) {
      this.#fail(faultOf(error, true))
      return false
    }
    this.#wire = wire
    this.#wait(hop.upstream.headersMs, 'http_response_timeout')
    wire.send(this, head, body, unsized && wholeBytes === null, method === 'HEAD', upgrade)
    return true
  }

  /** The client has gone, or what it sends is no good: nobody waits for an answer any more. */
  clientLeft(): void {
    // Told of every request, and an error is dear to make.
    if (this.#over) return
    this.#fail(new HopFault('client_gone', this.#wire === null, 'the client went away'))
  }

  /** A slow upload is no slow answer. */
  onSent(): void {
    if (this.#waitsFor === 'http_response_timeout') {
      this.#wait(this.#hop.upstream.headersMs, 'http_response_timeout')
    }
  }

  onSwitch(headers: string[], socket: Socket, rest: Buffer): void {
    if (this.#over) {
      socket.destroy()
      return
    }
    const { onOpen } = this.#hop
    this.#stop()
    try {
      // The connection stays taken for as long as the WebSocket is open.
      const list = layAnswer(headers, this.#hop)
      const response = acceptUpgrade(this.#exchange, list, socket, rest, (open) => {
        const closed = onOpen(open)
        return () => {
          this.#at.leave(this)
          closed()
        }
      })
      this.#resolve(response)
    } catch (error) {
      this.#at.leave(this)
      this.#reject(faultOf(error, false))
    }
  }

  onInformation(status: number, headers: string[]): void {
    if (this.#over) return
    this.#informational += 1
    if (this.#informational > informationalMax) {
      this.#fail(new HopFault('http_protocol_error', false, 'a flood of 1xx answers'))
    } else this.#outgoing.writeInformational(status, headers)
  }

  onHead(status: number, reason: string, headers: string[], bodyBytes: number): void {
    if (this.#over) return
    this.#bodyBytes = bodyBytes
    // A short answer is whole by the end of this read, and goes out with its head in one write.
    this.#head = { status, reason, list: layAnswer(headers, this.#hop) }
  }

  onBody(bytes: Buffer, from: number, to: number): void {
    if (this.#over) return
    const outgoing = this.#outgoing
    const head = this.#head
    if (head !== null && to - from === this.#bodyBytes && to - from <= shortBytesMax) {
      this.#head = null
      this.#ended = true
      // Text goes out in one piece with the head, and a Buffer in a second one.
      const body = bytes.toString('latin1', from, to)
      outgoing.endAnswer(head.status, head.reason, head.list, body)
      this.#resolve(RESPONSE_ALREADY_SENT)
      return
    }
    this.#writeHead()
    const block = to - from > shortBytesMax ? takeBlock() : null
    const ready =
      block === null
        ? outgoing.write(bytes.toString('latin1', from, to), 'latin1')
        : writeBlock(outgoing, block, bytes, from, to)
    if (ready) {
      this.#wait(this.#hop.upstream.idleMs, 'http_response_incomplete')
      return
    }
    if (this.#waitsFor === 'client_gone') return
    const wire = this.#wire
    wire?.pause()
    this.#wait(stallMs, 'client_gone')
    outgoing.once('drain', () => {
      if (this.#over) return
      this.#wait(this.#hop.upstream.idleMs, 'http_response_incomplete')
      wire?.resume()
    })
  }

  onPause(): void {
    if (this.#head === null || this.#over) return
    this.#writeHead()
    this.#outgoing.flushHeaders()
    this.#wait(this.#hop.upstream.idleMs, 'http_response_incomplete')
  }

  /** `rest`: of the body, what somebody on the way has kept until its end was certain. */
  onEnd(trailers: string[], rest?: Uint8Array): void {
    if (this.#over) return
    this.#writeHead()
    this.#finish()
    if (this.#ended) return
    if (trailers.length > 0) this.#outgoing.addTrailers(pairsOf(trailers))
    if (rest !== undefined && rest.length > 0) this.#outgoing.write(rest)
    this.#outgoing.end()
  }

  onFault(fault: HopFault | Problem): void {
    this.#fail(fault)
  }

  #writeHead(): void {
    const head = this.#head
    if (head === null) return
    this.#head = null
    this.#outgoing.writeAnswer(head.status, head.reason, head.list)
    this.#resolve(RESPONSE_ALREADY_SENT)
  }

  /** Gives up when nothing happens for this long; takes the place of what was waited for before. */
  #wait(ms: number, failure: HopFailure): void {
    this.#waitsFor = failure
    this.deadlineMs = performance.now() + ms
  }

  timedOut(): void {
    // The target has all there is so far, and its time begins when the body has ended. How long the
    // client may pause is the body's own to judge.
    if (this.#waitsFor === 'http_response_timeout' && this.#waitsForClient()) {
      this.#wait(this.#hop.upstream.headersMs, 'http_response_timeout')
      return
    }
    const cause = `nothing happened in time (${this.#waitsFor})`
    this.#fail(new HopFault(this.#waitsFor, this.#wire === null, cause))
  }

  #waitsForClient(): boolean {
    const body = this.#body
    return body !== null && !body.complete && !body.isPaused() && body.wanted
  }

  /** Nothing more is done, nor waited for. */
  #stop(): void {
    this.#over = true
    this.deadlineMs = Number.POSITIVE_INFINITY
  }

  #finish(): void {
    this.#stop()
    this.#at.leave(this)
  }

  #fail(fault: HopFault | Problem): void {
    if (this.#over) return
    this.#wire?.destroy()
    this.#finish()
    if (this.#outgoing.headersSent) this.#outgoing.breakOff(fault.message)
    else this.#reject(fault)
  }
}

function writeBlock(
  outgoing: Outgoing,
  block: Block,
  bytes: Buffer,
  from: number,
  to: number,
): boolean {
  return outgoing.write(block.fill(bytes, from, to), block.release)
}

/** Names and values in turn, as `addTrailers` takes them. */
function pairsOf(list: readonly string[]): [string, string][] {
  const pairs: [string, string][] = []
  for (let at = 0; at < list.length; at += 2) pairs.push([list[at] ?? '', list[at + 1] ?? ''])
  return pairs
}
