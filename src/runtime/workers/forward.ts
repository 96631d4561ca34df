/**
 * The forward port on Workers: one hop to one target by `fetch`, streamed in both directions.
 *
 * It decides nothing: which target, which headers and what a failure means is the proxy room's. What
 * it cannot do is `fetch`'s: the connection, its `Host` and its TLS are not ours, names are resolved
 * where we do not see it, and of a connection that failed it is not said how (docs/workers.md).
 *
 * The danger is what `fetch` does unasked: it would answer from Cloudflare's cache, which knows an answer
 * by its URL and no tenant (threats T15), follow a redirect to wherever an upstream points (S4), and
 * unpack what the client is to unpack (R22). All three are switched off here.
 */
import { type Forward, type Hop, HopFault } from '../../context.ts'
import { createMask, type Mask } from '../../lib/mask.ts'
import { Problem } from '../../problem.ts'
import { coverFields, coverText, encodedAnswer } from '../../proxy/cover.ts'
import { layAnswer } from '../../proxy/headers.ts'
import { answerEcho } from './echo.ts'
import { WorkerExchange } from './exchange.ts'
import { headersOf, rawFieldsOf } from './fields.ts'
import type { Broken, Relay } from './relay.ts'

type Timer = ReturnType<typeof setTimeout>

/** The port. For use within an errand. */
export const forward: Forward = async (hop, exchange) => {
  if (!(exchange instanceof WorkerExchange)) throw new TypeError('not an exchange of this front')
  if (hop.upstream.builtin === 'echo') return answerEcho(hop, exchange)
  return new Crossing(hop, exchange).send()
}

class Crossing {
  readonly #hop: Hop
  readonly #exchange: WorkerExchange
  readonly #abort = new AbortController()
  #timer: Timer | undefined
  /** Why it was given up, which is more than `fetch` says. */
  #fault: HopFault | Problem | null = null
  #upload: Relay | null = null
  #answered = false

  constructor(hop: Hop, exchange: WorkerExchange) {
    this.#hop = hop
    this.#exchange = exchange
  }

  async send(): Promise<Response> {
    const { method, headers, upgrade, upstream } = this.#hop
    const url = urlOf(this.#hop)
    const fields = headersOf(headers, notOurs)
    if (upgrade) fields.set('upgrade', 'websocket')
    this.#exchange.onLeave(() => {
      this.#give(new HopFault('client_gone', false, 'the client went away'))
    })
    // What is seen from here is one time: until a connection stands, and until it is answered.
    this.#wait(upstream.connectMs + upstream.headersMs, 'http_response_timeout')
    try {
      const answer = await fetch(url, {
        method,
        headers: fields,
        body: this.#body(),
        cache: 'no-store',
        redirect: 'manual',
        signal: this.#abort.signal,
        encodeResponseBody: 'manual',
      })
      this.#answered = true
      return this.#pass(answer)
    } catch (error) {
      throw this.#fault ?? faultOf(error)
    } finally {
      clearTimeout(this.#timer)
      if (!this.#answered) this.#upload?.stop('to', new Error('there will be no answer'))
    }
  }

  /** The client's body as it comes. */
  #body(): ReadableStream<Uint8Array> | null {
    if (!this.#hop.hasBody) return null
    const { headersMs } = this.#hop.upstream
    this.#upload = this.#exchange.upload({
      // A slow upload is no slow answer.
      arrived: () => {
        if (!this.#answered) this.#wait(headersMs, 'http_response_timeout')
      },
      refused: (problem) => this.#give(problem),
    })
    return this.#upload?.readable ?? null
  }

  #pass(answer: Response): Response {
    const { status, statusText, webSocket } = answer
    const { covered } = this.#hop
    const raw = rawFieldsOf(answer.headers)
    const problem = covered === null ? null : encodedAnswer(raw, this.#hop)
    if (problem !== null) {
      answer.body?.cancel().catch(ignore)
      throw problem
    }
    const fields = covered === null ? raw : coverFields(raw, covered)
    const headers = headersOf(layAnswer(fields, this.#hop))
    if (status === 101) {
      // Whoever had asked for nothing else would take what follows for an answer (threats R25).
      if (!this.#hop.upgrade || webSocket == null) {
        throw new HopFault('http_protocol_error', false, 'a 101 that nobody asked for')
      }
      return new Response(null, { status, headers, webSocket })
    }
    const body = bodiless.has(status) ? null : answer.body
    if (body === null) answer.body?.cancel().catch(ignore)
    const reason = covered === null ? statusText : coverText(statusText, covered)
    const init = { status, statusText: reason, headers, encodeBody: 'manual' } as const
    const response = new Response(body, init)
    this.#exchange.expect(response, {
      waiting: () => this.#wait(this.#hop.upstream.idleMs, 'http_response_incomplete'),
      arrived: () => clearTimeout(this.#timer),
      over: (broken) => this.#over(broken),
      mask: covered === null ? null : maskOf(covered),
    })
    return response
  }

  /** The answer is whole, or never will be. Answers why, for the log. */
  #over(broken: Broken | null): string | null {
    clearTimeout(this.#timer)
    // What an upstream did not want to read is of no use to anybody.
    this.#upload?.stop('to', new Error('the answer is over'))
    if (broken === null) return null
    if (this.#fault !== null) return this.#fault.message
    if (broken.side === 'to') {
      this.#give(new HopFault('client_gone', false, 'the client went away'))
      return 'the client went away'
    }
    return `the answer broke off: ${messageOf(broken.error)}`
  }

  /** Gives up when nothing happens for this long; takes the place of what was waited for before. */
  #wait(ms: number, failure: 'http_response_timeout' | 'http_response_incomplete'): void {
    clearTimeout(this.#timer)
    const cause = `nothing happened in time (${failure})`
    this.#timer = setTimeout(() => this.#give(new HopFault(failure, false, cause)), ms)
  }

  #give(fault: HopFault | Problem): void {
    this.#fault ??= fault
    this.#abort.abort(fault)
  }
}

/** `fetch` writes host and framing itself, and passes no trailer on, so none is asked for. */
const notOurs: ReadonlySet<string> = new Set(['host', 'te', 'content-length'])

/** RFC 9110 15: answers that end with their head. */
const bodiless: ReadonlySet<number> = new Set([204, 205, 304])

/** Throws where the path would lead to another origin: nothing has been sent then. */
function urlOf({ target, path }: Hop): string {
  const url = target.origin + path
  if (new URL(url).origin !== target.origin) {
    throw new Error('the path of a hop leads away from its target')
  }
  return url
}

/** A connection that was refused, reset, or spoke no HTTP: `fetch` has one error for all of them. */
function faultOf(error: unknown): unknown {
  // What it says of its arguments is a mistake of ours.
  if (error instanceof HopFault || error instanceof Problem || error instanceof TypeError) {
    return error
  }
  return new HopFault('connection_terminated', false, messageOf(error))
}

const messageOf = (error: unknown): string =>
  error instanceof Error ? error.message : 'no error was given'

function maskOf(covered: readonly string[]): Mask {
  const encoder = new TextEncoder()
  return createMask(covered.map((text) => encoder.encode(text)))
}

const ignore = (): void => {}
