/**
 * Each request from the parser to its answer.
 *
 * Whatever does not frame as one clear request is refused before a `Request` is made of it, and the
 * path in that `Request` is the canonical one. The danger is the connection: what is left on it after
 * a refusal must never be read as the next request (threats R1-R15), and no answer may go to
 * another's question.
 */
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response'
import type { Exchange, Outcome } from '../../context.ts'
import { inspectFrame } from '../../frame.ts'
import { Problem, type ProblemCode, type Refusal } from '../../problem.ts'
import { upgradeOf } from '../../proxy/websocket.ts'
import { canonicalPath } from '../../routing.ts'
import { type ClientAddress, createClientAddress } from './client-address.ts'
import { Connection } from './connection.ts'
import { NodeExchange } from './exchange.ts'
import { Handshake } from './handshake.ts'
import type { BodyLimits, Incoming } from './incoming.ts'
import { Outgoing } from './outgoing.ts'
import { messageOf, nextTurn, send } from './send.ts'
import { Upgraded } from './upgraded.ts'

export type IntakeOptions = {
  /** Answers a well-framed request. What it throws becomes a refusal. */
  fetch(exchange: Exchange): Response | Promise<Response>
  /** Answers what never became a request, or broke. Must not throw. */
  refuse(refusal: Refusal, exchange: Exchange): Response
  log(outcome: Outcome): void
  /** Addresses and CIDR ranges whose `X-Forwarded-*` is believed. */
  readonly trustedProxies: readonly string[]
}

/** What a server's listeners are. Throws when a trusted proxy is neither an address nor a range. */
export class Intake {
  /** Set to have every connection end with its next answer. */
  draining = false
  /** The last lines of a head whose connection is kept. */
  readonly keepAlive: string
  readonly upgraded = new Upgraded()
  readonly #options: IntakeOptions
  readonly #limits: BodyLimits
  readonly #clients: ClientAddress
  readonly #connections = new WeakMap<Socket, Connection>()
  #turn: Promise<void> | null = null

  constructor(options: IntakeOptions, limits: BodyLimits, keepAliveMs: number) {
    this.#options = options
    this.#limits = limits
    const seconds = Math.floor(keepAliveMs / 1000)
    this.keepAlive = `connection: keep-alive\r\nkeep-alive: timeout=${seconds}\r\n\r\n`
    this.#clients = createClientAddress(options.trustedProxies)
  }

  /** One request, as far as its headers. */
  receive(incoming: Incoming, outgoing: Outgoing, handshake: Handshake | null = null): void {
    const connection = this.#connectionOf(incoming.socket)
    // Unanswered: the connection is closed after the answer that made it deaf.
    if (connection.deaf) return
    incoming.limits = this.#limits
    incoming.bytesMax = this.#limits.bodyBytesMax
    const { method = '', url = '', httpVersion, rawHeaders } = incoming
    const frame = inspectFrame({ method, target: url, httpVersion, rawHeaders })
    const refused = 'code' in frame
    const exchange = new NodeExchange(
      refused ? { target: url, host: '', bodyBytes: null } : frame,
      connection.port,
      this.#clients.clientOf(connection.peer, rawHeaders),
      incoming,
      this.#options.log,
    )
    exchange.handshake = handshake
    outgoing.enter(exchange, connection)
    outgoing.onBadHead = () => this.#giveUp(outgoing, badHead)
    outgoing.on('close', () => this.#left(outgoing))
    if (incoming.headers.upgrade !== undefined) {
      // Node's parser drops what came in one piece with such a request, and would read on after it.
      connection.deaf = true
      outgoing.shouldKeepAlive = false
    }
    const canonical = refused
      ? frame
      : (misledUpgrade(incoming, handshake) ?? canonicalPath(frame.target, { encodedSlash: true }))
    if ('code' in canonical) {
      connection.deaf ||= canonical.headers?.connection === 'close'
      this.#giveUp(outgoing, canonical)
      return
    }
    incoming.url = canonical.path + canonical.search
    void this.#answer(outgoing, exchange)
  }

  /** `Expect: 100-continue`: 100 is sent when somebody reads the body, and not before (threats H9). */
  readonly receiveExpecting = (incoming: Incoming, outgoing: Outgoing): void => {
    outgoing.takeExpectation()
    incoming.onWanted = () => {
      if (!outgoing.headersSent) outgoing.writeContinue()
    }
    this.receive(incoming, outgoing)
  }

  /**
   * Whether a request leaves HTTP: a handshake that is one, with no answer before it on its way and
   * no body after it. What does not comes to `receive`, in its turn.
   */
  readonly takesUpgrade = (incoming: Incoming): boolean => {
    const { deaf, pending } = this.#connectionOf(incoming.socket)
    if (deaf || pending > 0 || hasBody(incoming)) return false
    return askedUpgrade(incoming) === 'websocket'
  }

  /** A request for a WebSocket, whose connection Node has let go of. `head`: what followed it. */
  readonly receiveUpgrade = (incoming: Incoming, _socket: Duplex, head: Buffer): void => {
    const outgoing = new Outgoing(incoming)
    const { drainMs } = this.#limits
    this.receive(incoming, outgoing, new Handshake(outgoing, head, this.upgraded, drainMs))
  }

  #connectionOf(socket: Socket): Connection {
    const known = this.#connections.get(socket)
    if (known !== undefined) return known
    const made = new Connection(this.#clients.peerOf(socket), socket.localPort ?? 0, this)
    this.#connections.set(socket, made)
    return made
  }

  #left(outgoing: Outgoing): void {
    outgoing.exchange?.hop?.clientLeft()
    const connection = outgoing.leave()
    const refusal = connection?.refusal ?? null
    if (connection === null || connection.pending > 0 || refusal === null) return
    void this.#refuseRaw(outgoing.req.socket, connection, refusal)
  }

  async #answer(outgoing: Outgoing, exchange: NodeExchange): Promise<void> {
    try {
      const isLater = outgoing.hasBody || outgoing.isBehind
      if (isLater) await this.#whenRead(outgoing)
      const response = await this.#options.fetch(exchange)
      if (response === RESPONSE_ALREADY_SENT) return
      if (!isLater) await this.#turnEnd()
      await send(response, outgoing)
    } catch (error) {
      if (outgoing.headersSent) outgoing.breakOff('the body of the answer failed')
      else this.#giveUp(outgoing, refusalOf(error))
    }
  }

  /**
   * Only once the parser is done with what has arrived does it show whether a body is whole, or bad.
   * What is pipelined behind it waits too, so that requests start in the order they were sent.
   */
  async #whenRead(outgoing: Outgoing): Promise<void> {
    await nextTurn()
    const { failure } = outgoing.req
    if (failure !== null) throw failure
  }

  /**
   * The end of this turn of the event loop. What a turn has answered goes out together: a client, or
   * a load balancer, that waits for answers is then woken once and not once for each.
   */
  #turnEnd(): Promise<void> {
    this.#turn ??= new Promise((resolve) => {
      setImmediate(() => {
        this.#turn = null
        resolve()
      })
    })
    return this.#turn
  }

  /** Answers what never became a request, or broke before its answer began. */
  #giveUp(outgoing: Outgoing, refusal: Refusal): void {
    const { exchange } = outgoing
    outgoing.onBadHead = null
    if (exchange === null) return
    if (refusal.headers?.connection === 'close') outgoing.shouldKeepAlive = false
    const response = this.#options.refuse(refusal, exchange)
    nextTurn()
      .then(() => send(response, outgoing))
      .catch(() => outgoing.destroy())
  }

  /** What the parser or the clock has against a connection. */
  readonly clientError = (error: NodeJS.ErrnoException, socket: Socket): void => {
    const connection = this.#connectionOf(socket)
    if (connection.refusal !== null) return
    if (!socket.writable || error.code === 'ECONNRESET' || socket.bytesRead === 0) {
      socket.destroy()
      return
    }
    const refusal: Refusal = { code: parserCodes[error.code ?? ''] ?? 'request/malformed' }
    connection.deaf = true
    connection.refusal = refusal
    // A body at fault: whoever reads it answers. Else what came before is answered first.
    if (connection.current !== null) connection.current.req.fail(Problem.of(refusal))
    else void this.#refuseRaw(socket, connection, refusal)
  }

  /** Answers on the bare socket, where there is no request to answer. */
  async #refuseRaw(socket: Socket, connection: Connection, refusal: Refusal): Promise<void> {
    if (!socket.writable) return
    const { port, peer } = connection
    const exchange = new NodeExchange(nowhere, port, peer, null, this.#options.log)
    const response = this.#options.refuse(refusal, exchange)
    const { head, body } = await messageOf(response, exchange.headers ?? {})
    if (!socket.writable) return
    socket.write(head, 'latin1')
    socket.end(body)
    exchange.sent(response.status, body.length, null)
    const timer = setTimeout(() => socket.destroy(), this.#limits.drainMs)
    socket.once('close', () => clearTimeout(timer))
  }
}

const askedUpgrade = (incoming: Incoming): 'none' | 'websocket' | Refusal =>
  upgradeOf(incoming.method ?? '', incoming.httpVersion, incoming)

const hasBody = ({ headers }: Incoming): boolean =>
  headers['content-length'] !== undefined || headers['transfer-encoding'] !== undefined

/** Why a request that did not leave HTTP should not have asked to; null when it did not ask. */
function misledUpgrade(incoming: Incoming, handshake: Handshake | null): Refusal | null {
  if (handshake !== null || incoming.headers.upgrade === undefined) return null
  const asked = askedUpgrade(incoming)
  if (asked === 'none') return null
  return asked === 'websocket' ? behind : asked
}

const behind: Refusal = {
  code: 'request/malformed',
  detail: 'Open a WebSocket on a connection with no other request under way.',
  headers: { connection: 'close' },
}

const nowhere = { target: '', host: '', bodyBytes: 0 }
const badHead: Refusal = { code: 'internal/error', cause: 'a header that cannot be written' }

const parserCodes: Readonly<Record<string, ProblemCode>> = {
  HPE_HEADER_OVERFLOW: 'request/headers_too_large',
  HPE_CHUNK_EXTENSIONS_OVERFLOW: 'request/too_large',
  ERR_HTTP_REQUEST_TIMEOUT: 'request/timeout',
}

/** A message may hold what was bound to a statement (threats F9), so only the error's name is kept. */
function refusalOf(error: unknown): Refusal {
  if (error instanceof Problem) return error.refusal
  return { code: 'internal/error', cause: error instanceof Error ? error.name : typeof error }
}
