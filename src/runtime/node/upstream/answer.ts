/**
 * Reads the answers on one connection to an upstream: where the head ends, where the body does, and
 * whether another request may follow (RFC 9112). Nothing of a body is kept.
 *
 * The danger is the end of an answer. One that is taken to be shorter than it is leaves bytes that
 * look like the next answer, which is somebody else's; one that only breaks off must not look whole.
 * So an answer has exactly one framing, or it is refused: a length twice, a length beside a coding,
 * a coding that is not `chunked` alone (threats R24, R25).
 */
import { HopFault } from '../../../context.ts'
import { type BodySink, Chunks } from './chunks.ts'
import { Section } from './section.ts'

/** Told of an answer as it arrives. */
export type AnswerSink = BodySink & {
  /** An answer before the real one (1xx, never 101). Names and values in turn, here and below. */
  onInformation(status: number, headers: string[]): void
  /** `bodyBytes`: what the body will have; -1 where that is not said. */
  onHead(status: number, reason: string, headers: string[], bodyBytes: number): void
}

/** How the end of a body shows. `nothing`: no answer is expected. */
type Framing = 'nothing' | 'head' | 'length' | 'chunks' | 'close'

export class AnswerParser {
  readonly #section = new Section()
  readonly #chunks = new Chunks()
  #sink: AnswerSink | null = null
  #isHead = false
  #upgrade = false
  #framing: Framing = 'nothing'
  #leftBytes = 0
  #closes = false
  #keeps = false
  /** The upstream will take another request on this connection. Known with the head. */
  persists = false
  /** How long the upstream says that it keeps an idle connection; null: it does not say. */
  keepAliveSeconds: number | null = null
  /** The headers of a 101 that was asked for; what follows it is not HTTP. */
  switched: string[] | null = null

  /**
   * Expects an answer from here on. `isHead`: it has no body whatever its head says. `upgrade`: 101
   * is an answer.
   */
  expect(sink: AnswerSink, isHead: boolean, upgrade: boolean): void {
    this.#sink = sink
    this.#isHead = isHead
    this.#upgrade = upgrade
    this.#framing = 'head'
    this.#section.begin(true)
  }

  /** Nothing of the answer has arrived. */
  get isUntouched(): boolean {
    return this.#framing === 'head' && !this.#section.isBegun
  }

  /**
   * Reads up to `to`. The index behind the answer's end, which is before `to` when there are bytes
   * that nobody asked for; -1 when the answer is not over. Throws a `HopFault`.
   */
  take(bytes: Buffer, to: number): number {
    let at = 0
    while (this.#framing === 'head') {
      at = this.#section.take(bytes, at, to)
      if (at < 0) return -1
      this.#readHead()
      if (this.#isOver) return at
      if (at === to) return -1
    }
    return this.#takeBody(bytes, at, to)
  }

  get #isOver(): boolean {
    return this.#framing === 'nothing'
  }

  #takeBody(bytes: Buffer, from: number, to: number): number {
    const sink = this.#sink
    if (sink === null) return from
    if (this.#framing === 'close') {
      sink.onBody(bytes, from, to)
      return -1
    }
    if (this.#framing === 'chunks') {
      const end = this.#chunks.take(bytes, from, to, sink)
      if (end >= 0) this.#framing = 'nothing'
      return end
    }
    const end = Math.min(to, from + this.#leftBytes)
    this.#leftBytes -= end - from
    if (this.#leftBytes === 0) this.#framing = 'nothing'
    sink.onBody(bytes, from, end)
    return this.#leftBytes === 0 ? end : -1
  }

  /** The upstream has closed: that ends a body without a framing, and breaks off any other. */
  end(): void {
    if (this.#framing === 'close') {
      this.#framing = 'nothing'
      return
    }
    if (this.isUntouched) {
      throw new HopFault('connection_terminated', false, 'the upstream closed without an answer')
    }
    if (this.#framing === 'head') throw bad('the upstream closed within the head of its answer')
    throw new HopFault('http_response_incomplete', false, 'the upstream closed within its answer')
  }

  /** The trailers of an answer that is over. */
  trailers(): string[] {
    return this.#chunks.trailers()
  }

  #readHead(): void {
    const line = statusLine.exec(this.#section.statusLine)
    if (line === null) throw bad('no status line of HTTP/1.x')
    const status = Number(line[2])
    const headers = this.#section.fields()
    if (status === 101) this.#switch(headers)
    else if (status < 200) {
      this.#sink?.onInformation(status, headers)
      this.#section.begin(true)
    } else {
      const bodyBytes = this.#frame(line[1] === '1', status, headers)
      this.#sink?.onHead(status, line[3] ?? '', headers, bodyBytes)
    }
  }

  #switch(headers: string[]): void {
    if (!this.#upgrade) throw bad('a 101 that nobody asked for')
    this.#framing = 'nothing'
    this.persists = false
    this.switched = headers
  }

  /** RFC 9112 6.3. Answers the bytes of the body, -1 where they are not said. */
  #frame(isCurrent: boolean, status: number, headers: readonly string[]): number {
    let length = -1
    let chunked = false
    this.#closes = false
    this.#keeps = isCurrent
    this.keepAliveSeconds = null
    this.#chunks.begin()
    for (let at = 0; at < headers.length; at += 2) {
      const name = headers[at] ?? ''
      const value = headers[at + 1] ?? ''
      switch (name.length) {
        case 14:
          if (!is(name, 'content-length')) break
          if (length >= 0 || !digits.test(value))
            throw bad('a length that is none, or a second one')
          length = Number(value)
          break
        case 17:
          if (!is(name, 'transfer-encoding')) break
          // HTTP/1.0 knows no coding: who says one all the same is not to be understood (6.1).
          if (chunked || !isCurrent || !is(value, 'chunked'))
            throw bad('an unknown transfer coding')
          chunked = true
          break
        case 10:
          if (is(name, 'connection')) this.#readConnection(value)
          else if (is(name, 'keep-alive')) this.keepAliveSeconds = secondsOf(value)
          break
      }
    }
    if (chunked && length >= 0) throw bad('a transfer coding and a length')
    const empty = this.#isHead || status === 204 || status === 304
    if (empty || length === 0) this.#framing = 'nothing'
    else if (chunked) this.#framing = 'chunks'
    else if (length > 0) this.#framing = 'length'
    else this.#framing = 'close'
    this.persists = this.#keeps && !this.#closes && this.#framing !== 'close'
    this.#leftBytes = length
    return empty ? 0 : length
  }

  #readConnection(value: string): void {
    const options = value.toLowerCase()
    if (options === 'keep-alive') this.#keeps = true
    else if (/(?:^|,)[\t ]*close[\t ]*(?:,|$)/.test(options)) this.#closes = true
  }
}

const statusLine = /^HTTP\/1\.([01]) ([1-9]\d\d)(?: (.*))?$/
/** Up to 2^53, and no number in any other spelling. */
const digits = /^\d{1,15}$/

/** Compares with a lower-case word of the same length. */
const is = (text: string, word: string): boolean => text === word || text.toLowerCase() === word

function secondsOf(value: string): number | null {
  const seconds = /(?:^|[,;\t ])timeout="?(\d{1,9})/i.exec(value)?.[1]
  return seconds === undefined ? null : Number(seconds)
}

const bad = (cause: string): HopFault => new HopFault('http_protocol_error', false, cause)
