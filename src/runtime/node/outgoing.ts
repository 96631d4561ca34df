/**
 * An answer on its way out: `ServerResponse`, with the gate's headers laid over the answer's own in
 * one flat list, and the connection ended properly when the request was not read to its end.
 *
 * The danger is the rest of an unread body: it must not be taken for the next request, and closing
 * at once would take the answer away from a client that is still sending (threats R13).
 */
import { type OutgoingHttpHeader, type OutgoingHttpHeaders, ServerResponse } from 'node:http'
import type { Connection } from './connection.ts'
import type { NodeExchange } from './exchange.ts'
import type { Incoming } from './incoming.ts'

type HeadersGiven = OutgoingHttpHeaders | OutgoingHttpHeader[]
type Chunk = string | Uint8Array
type Written = (error?: Error | null) => void

export class Outgoing extends ServerResponse<Incoming> {
  exchange: NodeExchange | null = null
  /** The request announces a body; whether all of it is here shows once the parser has returned. */
  hasBody = false
  /** Sends another answer when this one's head cannot be written (a line break in a header). */
  onBadHead: (() => void) | null = null
  #connection: Connection | null = null
  #bodyBytes = 0
  #badHead = false
  #ending = false

  /** Takes its place among the unanswered requests of its connection. */
  enter(exchange: NodeExchange, connection: Connection): void {
    this.exchange = exchange
    exchange.outgoing = this
    this.hasBody = exchange.bodyBytes !== 0
    this.#connection = connection
    connection.pending += 1
    connection.current = this
  }

  /**
   * Takes over from Node what becomes of `Expect: 100-continue`. Node ends every connection whose
   * client was sent no 100, without a word to us, and a request that had come behind, and begun, would
   * have no answer. Whether the connection must end shows in whether a body is still to come.
   */
  takeExpectation(): void {
    // Node's own, and not in its types.
    Reflect.set(this, '_expect_continue', false)
  }

  /** Other requests of the connection are still unanswered: the client pipelines. */
  get isBehind(): boolean {
    return this.#connection !== null && this.#connection.pending > 1
  }

  /** Answered, or never to be. The connection it stood on, or null when it had left before. */
  leave(): Connection | null {
    this.sent()
    const connection = this.#connection
    this.#connection = null
    if (connection === null) return null
    connection.pending -= 1
    if (connection.pending === 0) connection.current = null
    return connection
  }

  /** Leaves the connection to a WebSocket. Nothing of this answer is sent, and nothing logged of it. */
  surrender(): void {
    this.exchange = null
    this.onBadHead = null
    if (this.socket !== null) this.detachSocket(this.socket)
    this.leave()
  }

  override writeHead(status: number, reason?: string | HeadersGiven, given?: HeadersGiven): this {
    const own = typeof reason === 'object' ? reason : given
    const headers = this.#layOver(pairsOf(own), this.exchange?.headers ?? {})
    this.#closeIfLast()
    try {
      return super.writeHead(status, headers)
    } catch (error) {
      if (this.onBadHead === null || this.headersSent) throw error
      this.statusMessage = ''
      this.#badHead = true
      return this
    }
  }

  /**
   * Writes the head of an upstream's answer: names and values in turn, which are final (`layAnswer`).
   * They are the bytes of a parsed message, and nothing is added but what is of the connection.
   */
  writeAnswer(status: number, reason: string, headers: string[]): void {
    this.#closeIfLast()
    super.writeHead(status, reason, headers)
  }

  /**
   * Ends with an upstream's answer that is whole: its head and its body, which are latin-1, in one piece
   * of text. The framing is in `headers` already. Node would make the same head in three times the time;
   * what is unusual about the connection is left to it all the same.
   */
  endAnswer(status: number, reason: string, headers: string[], body: string): void {
    this.#closeIfLast()
    const head = this.#isUsual ? usualHead(status, reason, headers, this.#keepAlive) : null
    if (head === null) super.writeHead(status, reason, headers)
    else {
      this.statusCode = status
      // Node's own, and not in its types: the head that goes out with the first piece of the body.
      Reflect.set(this, '_header', head)
    }
    this.end(body, 'latin1')
  }

  get #isUsual(): boolean {
    return this.shouldKeepAlive && this.req.httpVersionMinor === 1 && !this.headersSent
  }

  /** What this connection's answers say of it. */
  get #keepAlive(): string {
    return this.#connection?.keepAlive ?? ''
  }

  /** Passes on a 102 or 103 (RFC 8297); to HTTP/1.0, and of other kinds, nothing. */
  writeInformational(status: number, headers: readonly string[]): void {
    if (this.req.httpVersion !== '1.1' || this.headersSent) return
    if (status === 102) this.writeProcessing()
    if (status !== 103) return
    const hints: Record<string, string | string[]> = {}
    for (let at = 0; at < headers.length; at += 2) {
      const name = (headers[at] ?? '').toLowerCase()
      const value = headers[at + 1] ?? ''
      // A hint is Link; what else stands in a 103 is seldom meant for the last hop.
      if (name === 'link') hints.link = 'link' in hints ? [hints.link, value].flat() : value
    }
    try {
      if (hints.link !== undefined) this.writeEarlyHints(hints)
    } catch {
      // Not a Link that Node takes: a hint that is left away harms nobody.
    }
  }

  #closeIfLast(): void {
    if (this.#unread || this.#connection?.ending) this.shouldKeepAlive = false
    // What follows a last answer is not to be executed: nobody would be told.
    if (!this.shouldKeepAlive && this.#connection !== null) this.#connection.deaf = true
  }

  get #unread(): boolean {
    return this.hasBody && !this.req.complete
  }

  /** The gate's headers win over the answer's own; those of the connection are Node's to write. */
  #layOver(own: OutgoingHttpHeaders, gate: Record<string, string>): OutgoingHttpHeader[] {
    const list: OutgoingHttpHeader[] = []
    for (const name in own) {
      const value = own[name]
      const lower = name.toLowerCase()
      if (lower === 'connection' && value === 'close') this.shouldKeepAlive = false
      if (value === undefined || neverSent.has(lower) || Object.hasOwn(gate, lower)) continue
      list.push(name, value)
    }
    for (const name in gate) list.push(name, gate[name] ?? '')
    return list
  }

  override write(chunk: Chunk, encoding?: BufferEncoding | Written, written?: Written): boolean {
    this.#bodyBytes += bytesOf(chunk, typeof encoding === 'string' ? encoding : 'utf8')
    return typeof encoding === 'string'
      ? super.write(chunk, encoding, written)
      : super.write(chunk, encoding ?? written)
  }

  /**
   * Ends the answer. While the request's body is still coming, the answer goes out at once and its
   * end is held back until that body has been drained, within the limits: Node then closes.
   */
  override end(chunk?: Chunk | (() => void), encoding?: BufferEncoding | (() => void)): this {
    if (this.#badHead) {
      this.#badHead = false
      this.onBadHead?.()
      return this
    }
    if (this.#ending) return this
    this.#ending = true
    const last = typeof chunk === 'function' ? undefined : chunk
    const coding = typeof encoding === 'string' ? encoding : 'utf8'
    if (!this.#unread || this.destroyed) {
      if (last === undefined) return super.end()
      this.#bodyBytes += bytesOf(last, coding)
      return super.end(last, coding)
    }
    if (last === undefined) this.flushHeaders()
    else this.write(last, coding)
    this.sent()
    this.req.discard(() => super.end())
    return this
  }

  /** Cuts an answer that cannot be finished, so that it does not look whole. */
  breakOff(cause: string): void {
    this.sent(cause)
    this.destroy()
  }

  /** Hands the outcome to the log, the first time it is called. */
  sent(cause = 'the client went away'): void {
    const whole = this.#ending && (this.writableFinished || this.#unread)
    const bytes = this.req.method === 'HEAD' ? 0 : this.#bodyBytes
    const status = this.headersSent ? this.statusCode : 0
    this.exchange?.sent(status, bytes, whole ? null : cause)
  }
}

/** A head of HTTP/1.1 on a connection that is kept; null where a value is not fit to stand in one. */
function usualHead(
  status: number,
  reason: string,
  headers: readonly string[],
  keepAlive: string,
): string | null {
  let head = `HTTP/1.1 ${status} ${reason}\r\n`
  let dated = false
  for (let at = 0; at < headers.length; at += 2) {
    const name = headers[at] ?? ''
    const value = headers[at + 1] ?? ''
    if (unfit.test(value)) return null
    dated ||= name.length === 4 && name.toLowerCase() === 'date'
    head += `${name}: ${value}\r\n`
  }
  if (!dated) head += dateLine()
  return head + keepAlive
}

/** Field content (RFC 9110 5.5): what lies outside ends the line, or the message. */
const unfit = /[^\t\x20-\x7e\x80-\xff]/

let dated = { second: 0, line: '' }

/** RFC 9110 6.6.1, to the second. */
function dateLine(): string {
  const second = Math.floor(Date.now() / 1000)
  if (second !== dated.second) {
    dated = { second, line: `date: ${new Date(second * 1000).toUTCString()}\r\n` }
  }
  return dated.line
}

const bytesOf = (chunk: Chunk, encoding: BufferEncoding): number =>
  typeof chunk === 'string' ? Buffer.byteLength(chunk, encoding) : chunk.length

/** Names and values; Node itself gives a list now and then. */
function pairsOf(headers: HeadersGiven | undefined): OutgoingHttpHeaders {
  if (!Array.isArray(headers)) return headers ?? {}
  const pairs: OutgoingHttpHeaders = {}
  for (let at = 0; at < headers.length; at += 2) pairs[String(headers[at])] = headers[at + 1]
  return pairs
}

const neverSent: ReadonlySet<string> = new Set([
  'server',
  'x-powered-by',
  'connection',
  'keep-alive',
  'transfer-encoding',
  'upgrade',
])
