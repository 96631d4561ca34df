/**
 * Forwards one request that may pass: builds what the target is to get, chooses the target, tries
 * again where that can do no harm, and says what went wrong in words that a caller may read.
 *
 * It knows no socket; the runtime's `forward` port does. The danger is the second try: a request that
 * may have reached an upstream must not reach it twice unless twice is the same as once (RFC 9110
 * 9.2.2), and a body that has begun to be read is gone (threats R26).
 */
import {
  type Exchange,
  type Forward,
  type Hop,
  HopFault,
  type OpenSocket,
  type Platform,
  type Principal,
  type Route,
  type Target,
  type Upstream,
} from '../context.ts'
import { Problem } from '../problem.ts'
import type { Balancer, Balancers, TargetState } from './balance.ts'
import { refusalOfFault, unreachable } from './fault.ts'
import { type RequestFacts, requestHeaders } from './headers.ts'
import { type Placed, withSecrets } from './secrets.ts'

/** A request that has passed every check. */
export type Call = RequestFacts & {
  readonly platform: Platform
  /** Its `upstream` is one of the platform's. */
  readonly route: Route
  readonly method: string
  /** Canonical, as the caller sent it; the route's rewrite is applied here. */
  readonly path: string
  /** The raw query with its `?`, or empty. */
  readonly search: string
  /** Names and values in turn, as they arrived. */
  readonly rawHeaders: readonly string[]
  /** What the route places in the request; null: nothing. */
  readonly placed: Placed | null
  /** The gateway's headers for the answer. */
  readonly gate: Readonly<Record<string, string>>
  readonly exchange: Exchange
  onOpen(socket: OpenSocket): () => void
}

export type ProxyOptions = {
  readonly platforms: readonly Platform[]
  /** Kept by the deployment, so that a change of configuration forgets no failing target. */
  readonly balancers: Balancers
  readonly forward: Forward
  /** The signed token for the upstream. Throws or rejects where it cannot be signed. */
  identityFor(
    platform: Platform,
    upstream: Upstream,
    principal: Principal,
  ): string | Promise<string>
  /** What a route makes of a canonical path; null: the path stays. Called once for each route. */
  rewriteFor(route: Route): ((path: string) => string) | null
  /** Milliseconds of a clock that never goes back. */
  now?(): number
  /** Told of each try that came to nothing, also when a later one is answered. */
  onFault?(call: Call, target: Target, fault: HopFault): void
}

/** An upstream and where its active health check reports to: `balancer.mark`. */
export type Check = {
  readonly platform: Platform
  readonly upstream: Upstream
  readonly balancer: Balancer
}

export type Proxy = {
  /**
   * Forwards a call and resolves with the port's answer. Rejects with a `Problem`: 502, 503 or 504
   * with `Proxy-Status` (RFC 9209) when no target answered, or the port's own when the request's body
   * went wrong.
   */
  send(call: Call): Promise<Response>
  /** The upstreams whose configuration asks for an active check. */
  readonly checks: readonly Check[]
  /** For health pages: each upstream's targets, by platform id and upstream name. */
  states(): readonly {
    readonly platform: string
    readonly upstream: string
    readonly targets: readonly TargetState[]
  }[]
}

type Plan = {
  /** For calls with test keys; null: this one. */
  readonly sandbox: Plan | null
  readonly upstream: Upstream
  readonly balancer: Balancer
  readonly rewrite: ((path: string) => string) | null
}

const none: readonly Target[] = []

/** Creates the proxy of one configuration; `platforms` must be the one whose routes it is given. */
export function createProxy(options: ProxyOptions): Proxy {
  const { platforms, forward, identityFor, onFault } = options
  const now = options.now ?? (() => performance.now())
  const balancers = options.balancers.adopt(platforms)
  const plans = planRoutes(options, balancers)
  const pools = platforms.flatMap((platform) =>
    platform.upstreams.flatMap((upstream) => {
      const balancer = balancers.get(upstream)
      return balancer === undefined ? [] : [{ platform, upstream, balancer }]
    }),
  )

  async function send(call: Call): Promise<Response> {
    const found = plans.get(call.route)
    if (found === undefined) {
      throw new Problem('gateway/misconfigured', { cause: `${call.route.id} has no upstream` })
    }
    const plan = (call.principal.environment === 'test' ? found.sandbox : null) ?? found
    const { upstream, balancer } = plan
    const signed = identityFor(call.platform, upstream, call.principal)
    const identity = typeof signed === 'string' ? signed : await signed
    const path = (plan.rewrite === null ? call.path : plan.rewrite(call.path)) + call.search
    let target = balancer.pick(now(), null)
    if (target === null) throw Problem.of(unreachable(upstream))
    let tried: readonly Target[] = none
    for (;;) {
      const hop = hopTo(target, path, identity, plan, call)
      try {
        const response = await forward(hop, call.exchange)
        balancer.succeeded(target)
        return response
      } catch (thrown) {
        tried = [...tried, target]
        const next = after(thrown, target, tried, plan, call)
        if (next === null) throw thrown instanceof HopFault ? problemOf(thrown, hop, tried) : thrown
        target = next
      }
    }
  }

  /** Tells the balancer what a throw says of the target. The target of another try, or null. */
  function after(
    thrown: unknown,
    target: Target,
    tried: readonly Target[],
    { upstream, balancer }: Plan,
    call: Call,
  ): Target | null {
    const fault = thrown instanceof HopFault ? thrown : null
    if (fault === null || !blamesTarget(fault)) balancer.released(target)
    else balancer.failed(target, now())
    if (fault === null) return null
    onFault?.(call, target, fault)
    if (tried.length > upstream.retries || !mayRepeat(fault, call)) return null
    const next = balancer.pick(now(), tried)
    if (next !== null || fault.failure !== 'connection_terminated') return next
    // A kept connection that the target had closed meanwhile says little of the target itself.
    return balancer.pick(now(), null)
  }

  return {
    send,
    checks: pools.filter(({ upstream }) => upstream.health !== null),
    states: () =>
      pools.map(({ platform, upstream, balancer }) => ({
        platform: platform.id,
        upstream: upstream.name,
        targets: balancer.states(now()),
      })),
  }
}

function planRoutes(
  { platforms, rewriteFor }: ProxyOptions,
  balancers: ReadonlyMap<Upstream, Balancer>,
): ReadonlyMap<Route, Plan> {
  const plans = new Map<Route, Plan>()
  const planOf = (upstream: Upstream, route: Route, sandbox: Plan | null): Plan => {
    const balancer = balancers.get(upstream)
    // Config makes them one object; two would balance apart, and never be checked.
    if (balancer === undefined) throw new Error(`${route.id} has an upstream of no platform`)
    return { sandbox, upstream, balancer, rewrite: rewriteFor(route) }
  }
  for (const route of platforms.flatMap((platform) => platform.routes)) {
    const { upstream, sandbox } = route
    if (upstream === null) continue
    plans.set(route, planOf(upstream, route, sandbox && planOf(sandbox, route, null)))
  }
  return plans
}

/** Throws a `Problem` when the request runs in a circle. */
function hopTo(target: Target, path: string, identity: string, plan: Plan, call: Call): Hop {
  const { upstream } = plan
  const headers = requestHeaders(call.rawHeaders, call, upstream, target, identity)
  if (!Array.isArray(headers)) {
    plan.balancer.released(target)
    throw Problem.of(headers)
  }
  return {
    owner: ownerOf(call.principal),
    upstream,
    target,
    method: call.method,
    path,
    headers: call.placed === null ? headers : withSecrets(headers, call.placed),
    hasBody: call.hasBody,
    upgrade: call.upgrade,
    gate: call.gate,
    ownsCors: call.route.cors !== null,
    covered: call.placed === null ? null : call.placed.covered,
    onOpen: call.onOpen,
  }
}

// By the shared object of the key memory, and gone with it.
const owners = new WeakMap<Principal, string>()

function ownerOf(principal: Principal): string {
  const known = owners.get(principal)
  if (known !== undefined) return known
  const { environment, tenant, credential } = principal
  const owner = `${environment}/${tenant ?? ''}/${credential.id}`
  owners.set(principal, owner)
  return owner
}

/** Our own limit, our own guard and the client's leaving are not the target's doing. */
function blamesTarget({ failure }: HopFault): boolean {
  return (
    failure !== 'connection_limit_reached' &&
    failure !== 'destination_ip_prohibited' &&
    failure !== 'client_gone'
  )
}

/** Methods whose effect is the same the second time (RFC 9110 9.2.2, 4918, 3253, 5323). */
const idempotent: ReadonlySet<string> = new Set([
  ...['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE', 'PROPFIND', 'REPORT', 'SEARCH', 'QUERY'],
])

function mayRepeat({ failure, untouched }: HopFault, call: Call): boolean {
  if (failure === 'client_gone' || call.exchange.bodyUsed) return false
  // A handshake that was heard may have begun something: only the method is a GET.
  return untouched || (idempotent.has(call.method) && !call.hasBody && !call.upgrade)
}

function problemOf(fault: HopFault, { upstream, target }: Hop, tried: readonly Target[]): Problem {
  const tries = tried.length === 1 ? '' : `, try ${tried.length}`
  const where = `upstream ${upstream.name}, target ${target.origin}${tries}`
  return Problem.of(refusalOfFault(fault, where))
}
