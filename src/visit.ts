/**
 * One request's stay: what has been learned of it so far, and the way out. Every answer, granted or
 * refused, leaves through here, so each has a request id and exactly one outcome.
 */
import {
  type Credential,
  type EnvironmentName,
  type Exchange,
  type Outcome,
  type Platform,
  type Principal,
  type Route,
  StoreDown,
} from './context.ts'
import { type Leave, type PageCall, varyOf, withoutCors } from './cors.ts'
import { DatabaseFault } from './db/fault.ts'
import { newRequestId } from './lib/id.ts'
import { Problem, problems, type Refusal, renderProblem } from './problem.ts'

export class Visit {
  readonly exchange: Exchange
  readonly outcome: Outcome
  /** Laid over the answer's own. Flat and built once: a `Headers` for each request is dear. */
  readonly #headers: Record<string, string>
  /** A call of a route with CORS, until it is known what its answer says to the page. */
  page: PageCall | null = null
  #platform: Platform | null = null
  /** The gateway alone says who may read the answer. */
  #ownsCors = false
  #forwarded: Response | null = null

  constructor(exchange: Exchange) {
    const requestId = newRequestId()
    this.exchange = exchange
    this.outcome = openOutcome(requestId, exchange)
    this.#headers = {
      'x-request-id': requestId,
      'request-id': requestId,
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'no-referrer',
    }
    // RFC 6797 7.2: never over plain HTTP.
    if (exchange.secure) this.#headers['strict-transport-security'] = 'max-age=31536000'
  }

  /** Notes the platform that is called; its words are used from here on. null is a 421. */
  at(platform: Platform | null): Platform {
    if (platform === null) throw new Problem('platform/unknown_host')
    this.#platform = platform
    this.outcome.platform = platform.id
    return platform
  }

  /** Notes the canonical path and the route that will serve it. */
  on(path: string, found: Route | Refusal): Route {
    this.outcome.path = path
    const route = must(found)
    this.outcome.route = route.id
    return route
  }

  /** Notes which key is good, whatever else is found: what it is refused is its use too. */
  shown(credential: Credential, environment: EnvironmentName, origin: string | null): void {
    this.outcome.credential = credential
    this.outcome.environment = environment
    this.outcome.origin = origin
  }

  /** Notes who is calling. Answers of the test environment say so from here on. */
  as(principal: Principal): Principal {
    this.outcome.tenant = principal.tenant
    if (principal.environment === 'test') this.#headers['postern-mode'] = 'test'
    return principal
  }

  /** Notes what the limits said. Their headers go with either answer. */
  charged(charge: Charged, cost: number): void {
    Object.assign(this.#headers, charge.headers)
    must(charge)
    this.outcome.cost = cost
  }

  /** The gate's headers for the answer, as far as they are known. */
  get headers(): Readonly<Record<string, string>> {
    return this.#headers
  }

  /** Notes what either answer says to the page that called, in place of all that others say of it. */
  shows(leave: Leave): void {
    Object.assign(this.#headers, leave)
    this.#ownsCors = true
    this.page = null
  }

  /** Notes an answer that has the gate's headers already, and may be on its way. */
  forwarded(response: Response): Response {
    this.#forwarded = response
    return response
  }

  /** Sends a response with the gate's headers over its own. */
  answer(response: Response): Response {
    this.outcome.status = response.status
    if (response === this.#forwarded) return this.exchange.reply(response, {}, this.outcome)
    return this.exchange.reply(this.#owned(response), this.#headers, this.outcome)
  }

  #owned(response: Response): Response {
    if (!this.#ownsCors) return response
    const headers = this.#headers
    // Ours is laid over the answer's own, which must not lose what it varies by (threats C6).
    headers.vary = varyOf(response.headers.get('vary'), headers.vary ?? '')
    return withoutCors(response, headers)
  }

  /** Sends a refusal as the one error body. `baseUrl`: where the gateway's own pages are reached. */
  refuse(refusal: Refusal, baseUrl: string): Response {
    const docsUrl = this.#platform?.docsUrl ?? null
    const problem = renderProblem(refusal, {
      requestId: this.outcome.requestId,
      instance: this.outcome.path,
      vocabulary: this.#platform?.vocabulary ?? 'slash',
      docsBase: docsUrl ?? `${baseUrl}/docs/errors`,
      ownDocs: docsUrl === null,
    })
    this.outcome.code = refusal.code
    this.outcome.cause = refusal.cause ?? null
    const { body, status, headers } = problem
    return this.answer(new Response(body, { status, headers }))
  }
}

type Charged = ({ readonly ok: true } | Denied) & { readonly headers: Record<string, string> }

function openOutcome(requestId: string, { method, clientAddress }: Exchange): Outcome {
  return {
    requestId,
    method,
    path: null,
    route: null,
    platform: null,
    environment: null,
    tenant: null,
    credential: null,
    clientAddress,
    origin: null,
    status: 0,
    code: null,
    cause: null,
    cost: 0,
    mocked: false,
    requestBytes: 0,
    responseBytes: 0,
    durationMs: 0,
  }
}

/** Whether a refusal is a failed proof, which is charged to the client's address. */
export const isFailedProof = (refusal: Refusal): boolean =>
  problems[refusal.code].status === 401 && refusal.code !== 'auth/missing_key'

type Denied = { readonly ok: false; readonly refusal: Refusal }

/** Lets a room's answer through, or throws the refusal that it is. */
export function must<T extends object | null>(verdict: T): Exclude<T, Refusal | Denied> {
  if (verdict !== null && 'refusal' in verdict) throw Problem.of(verdict.refusal as Refusal)
  if (verdict !== null && 'code' in verdict) throw Problem.of(verdict as Refusal)
  // Every member of the union that is a refusal, or carries one, has left.
  return verdict as Exclude<T, Refusal | Denied>
}

/**
 * The refusal that a throw becomes. What broke is told to the log as `cause`; the caller of a 500
 * learns its request id and nothing else.
 */
export function refusalOf(thrown: unknown): Refusal {
  if (thrown instanceof Problem) return thrown.refusal
  if (thrown instanceof StoreDown) return { code: 'storage/unavailable', cause: thrown.message }
  if (thrown instanceof DatabaseFault) return faultRefusal(thrown)
  const cause = thrown instanceof Error ? (thrown.stack ?? thrown.message) : typeof thrown
  return { code: 'internal/error', cause }
}

/** SQLSTATE classes that are the request's doing (PostgreSQL appendix A), or worth another try. */
function faultRefusal({ code, message }: DatabaseFault): Refusal {
  if (code === '23505') return { code: 'resource/conflict', cause: message }
  if (code === '40001' || code === '40P01') return { code: 'storage/unavailable', cause: message }
  if (!/^2[23]/.test(code)) return { code: 'internal/error', cause: message }
  return { code: 'request/invalid', detail: 'A value cannot be stored as it is.', cause: message }
}
