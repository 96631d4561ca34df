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
import type { Refusal } from '../../problem.ts'

export class WorkerExchange implements Exchange {
  readonly method: string
  readonly target: string
  readonly host: string
  /** There are no listeners to tell apart: a platform is found by its host. */
  readonly port = 0
  readonly clientAddress: string
  readonly secure: boolean
  readonly upgrade = false
  readonly hasBody: boolean
  readonly #request: Request
  readonly #requestBytes: number
  readonly #startedMs = Date.now()
  readonly #sent: (outcome: Outcome) => void
  readonly #defer: (work: Promise<unknown>) => void

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
    this.#request = request
    // A body without a length is not counted here: what was read of it the handler knows.
    this.#requestBytes = Number(headers.get('content-length') ?? 0)
    this.#sent = sent
    this.#defer = defer
  }

  get rawHeaders(): readonly string[] {
    return [...this.#request.headers].flat()
  }

  get bodyUsed(): boolean {
    return this.#request.bodyUsed
  }

  reply(response: Response, headers: Record<string, string>, outcome: Outcome): Response {
    const merged = new Headers(response.headers)
    for (const name in headers) merged.set(name, headers[name] ?? '')
    const { status, statusText } = response
    const over = (bytes: number) => this.#over(outcome, status, bytes)
    const body = this.method === 'HEAD' ? null : this.#counted(response.body, over)
    if (body === null) over(0)
    return new Response(body, { status, statusText, headers: merged })
  }

  /** The same bytes; `over` is told how many have been passed on, also when the client leaves. */
  #counted(body: ReadableStream | null, over: (bytes: number) => void): ReadableStream | null {
    if (body === null) return null
    let bytes = 0
    const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>({
      transform(piece, controller) {
        bytes += piece.byteLength
        controller.enqueue(piece)
      },
    })
    this.#defer(
      body.pipeTo(writable).then(
        () => over(bytes),
        () => over(bytes),
      ),
    )
    return readable
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
export function inspectRequest({ method, headers }: Request): Refusal | null {
  if (method === 'TRACE' || method === 'CONNECT') {
    return { code: 'route/method_not_allowed', headers: { allow } }
  }
  return inspectJoined(headers)
}
