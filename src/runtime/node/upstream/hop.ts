/**
 * One hop under way on Node: the answer of a target on its way from undici's parser into the client's
 * `ServerResponse`, piece by piece, with nothing in between.
 *
 * Until the answer's head has been written, a hop that fails is a value for whoever sent it, and may be
 * sent elsewhere. After that the client holds half an answer, and the only honest end is to cut its
 * connection: an end that looks clean would make the half a whole (threats R25).
 */
import type { Duplex } from 'node:stream'
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import type { Dispatcher } from 'undici'
import { type Hop, type HopFailure, HopFault } from '../../../context.ts'
import type { Problem } from '../../../problem.ts'
import { layAnswer } from '../../../proxy/headers.ts'
import { acceptUpgrade } from '../accept.ts'
import type { NodeExchange } from '../exchange.ts'
import type { Incoming } from '../incoming.ts'
import type { Outgoing } from '../outgoing.ts'
import { faultOf } from './fault.ts'
import type { Guest, TargetPool } from './pools.ts'
import { lengthOf, textsOf, trailersOf } from './raw-headers.ts'

type Controller = Dispatcher.DispatchController
type Timer = ReturnType<typeof setTimeout>

/** A client that takes nothing for this long is cut off. */
const stallMs = 60_000
const nothing = Buffer.alloc(0)
/** Up to here copying a body costs less than a second piece does. */
const shortBytesMax = 16_384
/** 1xx answers before the real one; more is a flood. */
const informationalMax = 16

export class HopHandler implements Dispatcher.DispatchHandler, Guest {
  readonly #hop: Hop
  readonly #exchange: NodeExchange
  readonly #outgoing: Outgoing
  readonly #body: Incoming | null
  readonly #at: TargetPool
  readonly #resolve: (response: Response) => void
  readonly #reject: (fault: HopFault | Problem) => void
  #controller: Controller | null = null
  #timer: Timer | null = null
  /** What the running timer waits for. */
  #waitsFor: HopFailure = 'connection_timeout'
  #informational = 0
  /** The answer's head, for as long as it has not been written. */
  #head: { readonly status: number; readonly reason: string; readonly list: string[] } | null = null
  #bodyBytes = -1
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
    } else if (this.#controller === null && !this.#over) {
      // It waits for its turn or for a connection, and not for ever.
      this.#wait(upstream.connectMs, 'connection_timeout')
    }
  }

  start(): void {
    const { owner, method, path, headers, upgrade } = this.#hop
    this.#at.dispatch(
      owner,
      {
        path,
        method: method as Dispatcher.HttpMethod, // the type names some; undici sends every token
        headers: headers as string[], // not written to
        body: this.#body,
        upgrade: upgrade ? 'websocket' : null,
      },
      this,
    )
  }

  /** The client has gone, or what it sends is no good: nobody waits for an answer any more. */
  clientLeft(): void {
    // Told of every request, and an error is dear to make.
    if (this.#over) return
    this.#fail(new HopFault('client_gone', this.#controller === null, 'the client went away'))
  }

  onRequestStart(controller: Controller): void {
    this.#controller = controller
    if (this.#over) controller.abort(new Error('nobody waits for this request any more'))
    else this.#wait(this.#hop.upstream.headersMs, 'http_response_timeout')
  }

  /** A piece of the body has gone: a slow upload is no slow answer. */
  onBodySent(): void {
    this.#timer?.refresh()
  }

  onRequestUpgrade(controller: Controller, _: number, __: unknown, socket: Duplex): void {
    if (this.#over) {
      socket.destroy()
      return
    }
    const { onOpen } = this.#hop
    const list = layAnswer(textsOf(controller.rawHeaders), this.#hop)
    this.#stop()
    try {
      // The connection stays taken for as long as the WebSocket is open.
      const response = acceptUpgrade(this.#exchange, list, socket, nothing, (open) => {
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

  onResponseStart(controller: Controller, status: number, _: unknown, reason = ''): void {
    if (this.#over) return
    const raw = textsOf(controller.rawHeaders)
    if (status < 200) {
      this.#inform(status, raw)
      return
    }
    this.#bodyBytes = lengthOf(raw)
    this.#head = { status, reason, list: layAnswer(raw, this.#hop) }
    // A short answer is whole by then, and goes out with its head in one write.
    process.nextTick(flushLater, this)
  }

  onResponseData(controller: Controller, piece: Buffer): void {
    if (this.#over) return
    const outgoing = this.#outgoing
    if (this.#head !== null) {
      this.#writeHead()
      if (piece.length === this.#bodyBytes) {
        this.#finish()
        // Text goes out in one piece with the head, and a Buffer in a second one.
        if (piece.length > shortBytesMax) outgoing.end(piece)
        else outgoing.end(piece.toString('latin1'), 'latin1')
        return
      }
    }
    this.#timer?.refresh()
    if (outgoing.write(piece)) return
    controller.pause()
    this.#wait(stallMs, 'client_gone')
    outgoing.once('drain', () => {
      if (this.#over) return
      this.#wait(this.#hop.upstream.idleMs, 'http_response_incomplete')
      controller.resume()
    })
  }

  onResponseEnd(_: Controller, trailers: Record<string, string | string[]>): void {
    if (this.#over) return
    if (this.#head !== null) this.#writeHead()
    this.#finish()
    const list = trailersOf(trailers)
    if (list.length > 0) this.#outgoing.addTrailers(list)
    this.#outgoing.end()
  }

  onResponseError(_: Controller | null, error: Error): void {
    this.#fail(faultOf(error, this.#controller === null))
  }

  /** Sends what there is of the answer, though it is not whole. */
  flush(): void {
    if (this.#head === null || this.#over) return
    this.#writeHead()
    this.#outgoing.flushHeaders()
    this.#wait(this.#hop.upstream.idleMs, 'http_response_incomplete')
  }

  #writeHead(): void {
    const head = this.#head
    if (head === null) return
    this.#head = null
    this.#outgoing.writeAnswer(head.status, head.reason, head.list)
    this.#resolve(RESPONSE_ALREADY_SENT)
  }

  #inform(status: number, raw: readonly string[]): void {
    this.#informational += 1
    if (this.#informational > informationalMax) {
      this.#fail(new HopFault('http_protocol_error', false, 'a flood of 1xx answers'))
    } else this.#outgoing.writeInformational(status, raw)
  }

  /** Gives up when nothing happens for this long; takes the place of what was waited for before. */
  #wait(ms: number, failure: HopFailure): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#waitsFor = failure
    this.#timer = setTimeout(timeOut, ms, this)
  }

  timedOut(): void {
    // The target has all there is so far, and its time begins when the body has ended. How long the
    // client may pause is the body's own to judge.
    if (this.#waitsFor === 'http_response_timeout' && this.#waitsForClient()) {
      this.#wait(this.#hop.upstream.headersMs, 'http_response_timeout')
      return
    }
    const cause = `nothing happened in time (${this.#waitsFor})`
    this.#fail(new HopFault(this.#waitsFor, this.#controller === null, cause))
  }

  #waitsForClient(): boolean {
    const body = this.#body
    return body !== null && !body.complete && !body.isPaused() && body.wanted
  }

  /** Nothing more is done, nor waited for. */
  #stop(): void {
    this.#over = true
    if (this.#timer !== null) clearTimeout(this.#timer)
  }

  #finish(): void {
    this.#stop()
    this.#at.leave(this)
  }

  #fail(fault: HopFault | Problem): void {
    if (this.#over) return
    this.#finish()
    this.#controller?.abort(fault)
    if (this.#outgoing.headersSent) this.#outgoing.breakOff(fault.message)
    else this.#reject(fault)
  }
}

// Functions of the module, so that a request makes no closure for its timers.
const flushLater = (handler: HopHandler): void => handler.flush()
const timeOut = (handler: HopHandler): void => handler.timedOut()
