/**
 * What Workers knows of one exchange: the URL in place of a target, and Cloudflare's word for the
 * client. Header lines are joined and the path is normalised before we see them (threats section 6),
 * and the connection is not ours, so nothing here ends one.
 *
 * The danger is `cf-connecting-ip`: it is Cloudflare's own only where Cloudflare is in front, and
 * any client's elsewhere. This entry runs nowhere else.
 */
import type { Exchange, Outcome } from '../../context.ts'
import { inspectJoined } from '../../frame.ts'
import { parseAddress } from '../../lib/address.ts'
import { Problem, type Refusal } from '../../problem.ts'
import { upgradeOf } from '../../proxy/websocket.ts'
import { rawFieldsOf } from './fields.ts'
import { type Broken, lengthOf, Relay, type Watch } from './relay.ts'

/** Whoever sends an answer on is told of its steps, and says in the end what to log as its cause. */
export type AnswerWatch = Watch & { over(broken: Broken | null): string | null }

export class WorkerExchange implements Exchange {
  readonly method: string
  readonly target: string
  readonly host: string
  /** There are no listeners to tell apart: a platform is found by its host. */
  readonly port = 0
  readonly clientAddress: string
  readonly secure: boolean
  readonly upgrade: boolean
  readonly hasBody: boolean
  /** Why this is no request to answer; null when it is one. */
  readonly flaw: Refusal | null
  readonly request: Request
  /** Announced, or read so far where nothing was. */
  #requestBytes: number
  #bodyBytesMax = Number.POSITIVE_INFINITY
  readonly #startedMs = Date.now()
  readonly #sent: (outcome: Outcome) => void
  readonly #defer: (work: Promise<unknown>) => void
  #expected: { readonly response: Response; readonly watch: AnswerWatch } | null = null

  /** `sent` is told of the outcome when the answer is over; `defer` keeps the request until then. */
  constructor(
    request: Request,
    sent: (outcome: Outcome) => void,
    defer: (work: Promise<unknown>) => void,
  ) {
    const { headers, url, method } = request
    const path = url.indexOf('/', url.indexOf('://') + 3)
    this.target = path < 0 ? '/' : url.slice(path)
    this.host = new URL(url).hostname
    this.secure = url.startsWith('https:')
    this.clientAddress = addressOf(headers.get('cf-connecting-ip'))
    this.method = method
    this.hasBody = request.body !== null
    this.request = request
    this.#requestBytes = lengthOf(headers) ?? 0
    this.#sent = sent
    this.#defer = defer
    const asked = inspectRequest(request) ?? handshakeOf(request)
    this.upgrade = asked === 'websocket'
    this.flaw = typeof asked === 'object' ? asked : null
  }

  get requestHeaders(): Headers {
    return this.request.headers
  }

  get origin(): string {
    const { url } = this.request
    return url.slice(0, url.length - this.target.length)
  }

  get rawHeaders(): readonly string[] {
    return rawFieldsOf(this.request.headers)
  }

  get bodyUsed(): boolean {
    return this.request.bodyUsed
  }

  /** Holds what is forwarded. What a handler reads is counted where it reads it (body.ts). */
  limitBody(bytesMax: number): boolean {
    this.#bodyBytesMax = bytesMax
    return (lengthOf(this.request.headers) ?? 0) <= bytesMax
  }

  /** Calls `left` when the client leaves before its answer. */
  onLeave(left: () => void): void {
    this.request.signal.addEventListener('abort', left, { once: true })
  }

  /**
   * The request's body, to be sent on as it comes; null where there is none. It breaks, and `refused`
   * is told, when more comes than is allowed.
   */
  upload(watch: Watch & { refused(problem: Problem): void }): Relay | null {
    const { body, headers } = this.request
    if (body === null) return null
    const relay = new Relay(body, lengthOf(headers), {
      arrived: (bytes) => {
        try {
          this.#count(bytes)
        } catch (error) {
          if (error instanceof Problem) watch.refused(error)
          throw error
        }
        watch.arrived?.(bytes)
      },
    })
    this.#defer(relay.over)
    return relay
  }

  /** Reads the request's body to its end and keeps nothing. Throws the `Problem` of one too large. */
  async countBody(): Promise<number> {
    let bytes = 0
    for await (const piece of this.request.body ?? []) {
      bytes += piece.byteLength
      this.#count(bytes)
    }
    return bytes
  }

  #count(bytes: number): void {
    const most = this.#bodyBytesMax
    this.#requestBytes = Math.max(this.#requestBytes, bytes)
    if (bytes <= most) return
    throw new Problem('request/too_large', {
      detail: `The body may have at most ${most} bytes here.`,
    })
  }

  /** Has `watch` told of how `response` is sent, once it is replied. */
  expect(response: Response, watch: AnswerWatch): void {
    this.#expected = { response, watch }
  }

  reply(response: Response, headers: Record<string, string>, outcome: Outcome): Response {
    const merged = new Headers(response.headers)
    for (const name in headers) merged.set(name, headers[name] ?? '')
    const { status, statusText, webSocket, body } = response
    const watch = this.#expected?.response === response ? this.#expected.watch : null
    const over = (bytes: number, broken: Broken | null): void => {
      const cause = watch?.over(broken) ?? null
      outcome.cause ??= cause
      this.#over(outcome, status, bytes)
    }
    const init = { status, statusText, headers: merged, encodeBody: 'manual', webSocket } as const
    if (body === null || this.method === 'HEAD') {
      body?.cancel().catch(() => undefined)
      over(0, null)
      return new Response(null, init)
    }
    const relay = new Relay(body, lengthOf(merged), watch ?? {})
    this.#defer(relay.over.then((broken) => over(relay.bytes, broken)))
    return new Response(relay.readable, init)
  }

  #over(outcome: Outcome, status: number, bytes: number): void {
    outcome.status = status
    outcome.requestBytes = this.#requestBytes
    outcome.responseBytes = bytes
    outcome.durationMs = Date.now() - this.#startedMs
    this.#sent(outcome)
  }
}

/** What is no address is nobody: it meets no IP restriction and shares one count of failures. */
function addressOf(value: string | null): string {
  return value !== null && parseAddress(value) !== null ? value : 'unknown'
}

const allow = 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS'

/** Is this one well-formed request, as far as can be seen once the header lines are joined? */
function inspectRequest({ method, headers }: Request): Refusal | null {
  if (method === 'TRACE' || method === 'CONNECT') {
    return { code: 'route/method_not_allowed', headers: { allow } }
  }
  return inspectJoined(headers)
}

/** What the runtime keeps to itself of a handshake, it has judged. */
const handshake: ReadonlyMap<string, string> = new Map([
  ['connection', 'upgrade'],
  ['sec-websocket-version', '13'],
  ['sec-websocket-key', 'AAAAAAAAAAAAAAAAAAAAAA=='],
])

const handshakeOf = ({ method, headers }: Request): 'none' | 'websocket' | Refusal =>
  upgradeOf(method, '1.1', {
    get: (name) => headers.get(name) ?? handshake.get(name) ?? null,
  })
