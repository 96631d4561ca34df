/**
 * May a script of this page call here, and read the answer? CORS as the Fetch standard asks it
 * (section 3.3), answered by the gateway for the routes that have `cors`, whatever stands behind them.
 *
 * It knows no key and no store: who else than the route's own list allows an origin is asked of
 * whoever made it. `Origin` proves nothing, since only browsers are bound by it (threats C4), so
 * nothing is granted here but a browser's leave to call and to read. The danger is an origin that
 * merely looks like one of the list: origins are compared whole and byte for byte, what was sent is
 * given back only once it has been found, and neither `*` nor credentials are ever said.
 */
import type { Cors, Platform, Route } from './context.ts'
import type { Refusal } from './problem.ts'

/** The headers of a request, by lower-case name. */
type HeaderReader = { get(name: string): string | null }

/** A route that the gateway owns CORS on. */
export type SharedRoute = Route & { readonly cors: Cors }

/** A call of such a route: what a preflight asks leave for, or what a page has sent. */
export type PageCall = {
  readonly platform: Platform
  readonly route: SharedRoute
  /** As it was sent; null: no page says that it is calling. */
  readonly origin: string | null
  /** The method of the call itself, not `OPTIONS`. */
  readonly method: string
  /** Canonical. */
  readonly path: string
  readonly clientAddress: string
}

/** Headers to lay over an answer. */
export type Leave = Readonly<Record<string, string>>

export type CorsOptions = {
  /**
   * Whether some key of the platform may make this call from this origin: null when one may, else
   * `auth/origin_not_allowed` (403), or a 503 when that cannot be found out.
   */
  judgeOrigin(
    call: PageCall & { readonly origin: string },
  ): Refusal | null | Promise<Refusal | null>
  /** Charges work that is done for somebody without a key. null: do it; else seconds to wait. */
  chargePreflight(clientAddress: string): Promise<number | null>
}

export type CorsGate = {
  /**
   * The headers of the 204 that grants a preflight. Refuses with `auth/origin_not_allowed` (403),
   * `rate_limit/exceeded` (429) with `Retry-After`, or as `judgeOrigin` does. Needs no key.
   */
  preflight(call: PageCall): Promise<Leave | Refusal>
  /**
   * The headers of an answer to a caller who has not been proven: a page may read why it was refused
   * where its preflight would be granted. Looking that up is charged like a preflight. Never rejects.
   */
  unproven(call: PageCall): Promise<Leave>
}

/** What an answer without leave says: a cache may not give it to a page that has leave. */
const varies: Leave = Object.freeze({ vary: 'Origin' })

/** What every answer to a preflight varies by, granted or not. */
export const preflightVaries: Leave = Object.freeze({
  vary: 'Origin, Access-Control-Request-Method, Access-Control-Request-Headers',
})

/** What one client may ask without a key: preflights, and whether a page may read a refusal. */
export const preflightShare = { count: 300, windowSeconds: 60 } as const

const notAllowed: Refusal = Object.freeze({ code: 'auth/origin_not_allowed' })

const token = /^[\w!#$%&'*+.^`|~-]{1,32}$/

/**
 * The method that a preflight asks leave for; null when the request is none. A preflight is OPTIONS
 * with `Origin` and a well-formed `Access-Control-Request-Method`; any other OPTIONS is a call.
 */
export function preflightOf(method: string, headers: HeaderReader): string | null {
  if (method !== 'OPTIONS' || headers.get('origin') === null) return null
  const wanted = headers.get('access-control-request-method')
  return wanted !== null && token.test(wanted) ? wanted : null
}

/** Whether the gateway owns CORS on what the router found. */
export const isShared = (found: Route | Refusal | null): found is SharedRoute =>
  found !== null && 'cors' in found && found.cors !== null

/** Creates the gate of preflights. It holds nothing itself. */
export function createCors({ judgeOrigin, chargePreflight }: CorsOptions): CorsGate {
  return {
    async preflight(call) {
      const waitSeconds = await chargePreflight(call.clientAddress)
      if (waitSeconds !== null) {
        const headers = { 'retry-after': String(waitSeconds) }
        return { code: 'rate_limit/exceeded', headers, cause: 'too many preflights' }
      }
      const { route, origin, method } = call
      if (origin === null) return notAllowed
      if (!isListed(origin, route.cors.origins)) {
        const refusal = isOrigin(origin) ? await judgeOrigin({ ...call, origin }) : notAllowed
        if (refusal !== null) return refusal
      }
      return preflightLeave(route, origin, method)
    },
    async unproven(call) {
      const { route, origin } = call
      if (origin === null || !isOrigin(origin)) return varies
      if (isListed(origin, route.cors.origins)) return leave(route.cors, origin)
      try {
        if ((await chargePreflight(call.clientAddress)) !== null) return varies
        return (await judgeOrigin({ ...call, origin })) === null
          ? leave(route.cors, origin)
          : varies
      } catch {
        // The refusal itself must go out, whoever may read it.
        return varies
      }
    },
  }
}

/**
 * The headers of an answer to a proven caller, granted or refused. `keyOrigins` are those that the
 * key itself is restricted to: a page has leave where they or the route name its origin. Another
 * key's origins are no leave.
 */
export function answerHeaders(call: PageCall, keyOrigins: readonly string[] | null): Leave {
  const { origin, route } = call
  if (origin === null) return varies
  const allowed =
    isListed(origin, route.cors.origins) || (keyOrigins !== null && isListed(origin, keyOrigins))
  return allowed ? leave(route.cors, origin) : varies
}

/**
 * The answer without what a handler or an upstream says of CORS, which `gate`, laid over it, does
 * not replace. The same response where there is nothing to remove.
 */
export function withoutCors(response: Response, gate: Leave): Response {
  const { status, statusText, body } = response
  const foreign = [...response.headers.keys()].filter(
    (name) => name.startsWith('access-control-') && !Object.hasOwn(gate, name),
  )
  if (foreign.length === 0) return response
  const headers = new Headers(response.headers)
  for (const name of foreign) headers.delete(name)
  return new Response(body, { status, statusText, headers })
}

/** `Vary` of an answer with ours appended, each field once; `*` says everything already. */
export function varyOf(own: string | null, ours: string): string {
  if (own === null) return ours
  const fields = own.split(',').map((field) => field.trim().toLowerCase())
  if (fields.includes('*')) return own
  const missing = ours.split(', ').filter((field) => !fields.includes(field.toLowerCase()))
  return [own, ...missing].join(', ')
}

// A serialised origin of a host (RFC 6454 section 6.2). So `null`, `*`, two origins that were joined
// and a whole URL are none, even if a list should hold such a word.
const serialised = /^[a-z][a-z0-9+.-]*:\/\/[^\s/?#@\\,*]+$/
const originLengthMax = 300

const isOrigin = (origin: string): boolean =>
  origin.length <= originLengthMax && serialised.test(origin)

const isListed = (origin: string, list: readonly string[]): boolean =>
  list.includes(origin) && isOrigin(origin)

function leave({ exposedHeaders }: Cors, origin: string): Leave {
  const granted = { 'access-control-allow-origin': origin, ...varies }
  if (exposedHeaders.length === 0) return granted
  return { ...granted, 'access-control-expose-headers': exposedHeaders.join(', ') }
}

/**
 * The headers that a script may send are said as the route lists them: the list that was asked for is
 * never read, so no spelling of it can cost anything (threats C5).
 */
function preflightLeave({ cors, methods }: SharedRoute, origin: string, method: string): Leave {
  const granted = {
    'access-control-allow-origin': origin,
    'access-control-allow-methods': methods?.join(', ') ?? method,
    'access-control-max-age': String(cors.maxAgeSeconds),
    ...preflightVaries,
  }
  if (cors.requestHeaders.length === 0) return granted
  return { ...granted, 'access-control-allow-headers': cors.requestHeaders.join(', ') }
}
