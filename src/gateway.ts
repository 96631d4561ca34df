/**
 * The life of a request, top to bottom. Read this first.
 *
 * Each step asks one room one question. A room answers with a value or a refusal; `must` turns a
 * refusal into the way out. No cheaper check follows a dearer one, and nothing reaches a handler
 * before every check has passed. The rooms do not know each other: they meet here.
 */
import { type AnsweringOptions, canonicalRequest, createAnswering } from './answering.ts'
import { checkBody } from './body.ts'
import type { Change, Exchange, Platform, Ports } from './context.ts'
import {
  answerHeaders,
  createCors,
  isShared,
  type PageCall,
  preflightOf,
  preflightVaries,
} from './cors.ts'
import { createRoot } from './db/root.ts'
import type { Handlers } from './handler.ts'
import { credentialOf, principalOf, readCredential } from './keys/authenticate.ts'
import { authorize } from './keys/authorize.ts'
import { createOrigins, type OriginsOptions } from './keys/origins.ts'
import { createTenants, impliedBy, readTenant, type TenantsOptions } from './keys/tenant.ts'
import { createTrust, type TrustOptions } from './keys/trust.ts'
import { createVerifier, type VerifierOptions } from './keys/verify.ts'
import { createSocketWatch } from './keys/watch.ts'
import { createLimiter, type LimiterOptions } from './limits/limiter.ts'
import { createManagement, type ManagementOptions } from './manage/management.ts'
import { isKeySet, keySetAnswer, ownPath } from './own-paths.ts'
import { Problem, type Refusal } from './problem.ts'
import { createIdentity } from './proxy/identity.ts'
import type { Check } from './proxy/send.ts'
import { canonicalPath, createRouter } from './routing.ts'
import { isFailedProof, must, refusalOf, Visit } from './visit.ts'

type Ours = 'findKey' | 'findTenant' | 'findOrigin' | 'rehash' | 'defer' | 'trust' | 'silentMs'
type KeysOptions = VerifierOptions & TenantsOptions & OriginsOptions & TrustOptions

export type GatewayOptions = Omit<AnsweringOptions, 'identity'> & {
  readonly keys: Omit<KeysOptions, Ours>
  readonly limits: Omit<LimiterOptions, 'counter'>
  readonly management: Pick<ManagementOptions, 'basePath' | 'hosts' | 'rotationMs' | 'readScript'>
  /** 32 bytes, from which the keys that sign identity tokens are made. */
  readonly masterKey: Uint8Array
  /** How callers reach the gateway, without a slash at its end; null: as they named it. */
  readonly publicUrl: string | null
}

export type Gateway = {
  /** Answers a request whose framing has passed. Never rejects. */
  fetch(exchange: Exchange): Promise<Response>
  /** Answers what was refused before there was a request to speak of. */
  refuse(refusal: Refusal, exchange: Exchange): Response
  /** The upstreams whose targets want to be asked whether they are well. */
  readonly checks: readonly Check[]
  /** Does what falls due by itself, on every platform; to be called every minute or so. */
  sweep(): Promise<void>
  /**
   * Forgets what a change in the store has made untrue, before it returns, and has open WebSockets
   * judged anew; null: everything (the `signal` port's listener). Never throws.
   */
  heard(change: Change | null): void
  /** Another gateway hears from here on: what this one remembers is gone by no more unasked. */
  retire(): void
}

/** Builds the gateway. Everything but `ports` is fixed here: a new Config means a new gateway. */
export function createGateway(options: GatewayOptions, ports: Ports, handlers: Handlers): Gateway {
  const { platforms, keys, publicUrl } = options
  const root = createRoot(ports.gatewaySql)
  const router = createRouter(platforms)
  let isRetired = false
  const silentMs = () => (isRetired ? Number.POSITIVE_INFINITY : ports.signal.silentMs())
  const trust = createTrust({ ...keys, silentMs })
  const verifier = createVerifier({ ...keys, ...root, trust, defer: ports.defer })
  const tenants = createTenants({ ...keys, ...root, trust })
  const origins = createOrigins({ ...keys, ...root, trust })
  const cors = createCors({
    judgeOrigin: (call) => origins.judge(call),
    chargePreflight: (clientAddress) => ports.chargePreflight(clientAddress),
  })
  const limiter = createLimiter({ ...options.limits, counter: ports.counter })
  const watch = createSocketWatch({ verifier, tenants, trust, defer: ports.defer })
  const identity = createIdentity(options)
  const answering = createAnswering({ ...options, identity }, ports, handlers)
  const management = createManagement({
    ...options.management,
    ...{ platforms, router, verifier, binder: tenants, masterKey: options.masterKey },
    ...{ pepper: currentPepper(keys), sql: ports.gatewaySql, defer: ports.defer },
    announce: (change, waitMs) => ports.signal.announce(change, waitMs),
  })

  // The order of checks. The runtime's front has judged the framing: 400 417 431 501. What a room
  // answers from memory is no promise, and awaiting it would still cost a turn of the queue.
  async function pass(exchange: Exchange, visit: Visit): Promise<Response> {
    const { method, target, host, port, clientAddress, requestHeaders: headers } = exchange
    const now = Date.now()
    const own = ownPath(exchange, ports.health) // 404 405 503
    if (own !== null) return own
    const named = router.platformFor(host, port)
    const platform = visit.at(named ?? management.platformAt(host)) // 421
    if (isKeySet(target)) return keySetAnswer(await identity.jwks(platform, now))
    const { path, search } = must(canonicalPath(target, { encodedSlash: true })) // 400 414
    if (management.has(host, path)) return manage(exchange, visit, platform, path, search)
    if (named === null) throw new Problem('route/not_found') // the host has management alone
    const asked = preflightOf(method, headers)
    const wanted = asked === null ? null : router.match(platform, asked, path, host)
    const found = isShared(wanted) ? wanted : router.match(platform, method, path, host)
    const route = visit.on(path, found) // 400 404 405
    must(checkBody(route, exchange)) // 403 413 415
    if (isShared(route)) {
      const origin = headers.get('origin')
      visit.page = { platform, route, origin, method: asked ?? method, path, clientAddress }
      if (route === wanted) return preflight(visit, visit.page) // 403 429 503
    }
    const { key } = must(readCredential(headers, platform.scheme, search)) // 400 401
    const since = watch.changes
    const proof = verifier.verify(key, platform, now, clientAddress)
    const { record } = must(proof instanceof Promise ? await proof : proof) // 401 429 503
    visit.shown(credentialOf(record), record.environment, headers.get('origin'))
    if (visit.page !== null) visit.shows(answerHeaders(visit.page, record.restrictions.origins))
    if (ports.shed(record.environment)) throw Problem.of(shedding()) // 503: nothing is charged
    const sent = must(readTenant(headers, platform.scheme)) // 400
    const binding = tenants.bind(record, sent.tenant, platform)
    const { tenant } = must(binding instanceof Promise ? await binding : binding) // 400 403 503
    const principal = visit.as(principalOf(record, tenant))
    const call = { method, path, clientAddress, headers }
    must(authorize(record, route, call)) // 403
    const charge = limiter.charge(platform, route, record, tenant)
    visit.charged(charge instanceof Promise ? await charge : charge, route.cost) // 429 503
    const onOpen = exchange.upgrade
      ? watch.opener({ key, record, platform, tenant, route, call, since })
      : neverOpen
    const passed = { platform, route, principal, method, path, search, exchange, onOpen }
    return answering.answer(passed, visit) // what answers has codes of its own
  }

  /** A preflight carries no key: it is granted to the origins that keys may be used from. */
  async function preflight(visit: Visit, call: PageCall): Promise<Response> {
    visit.shows(preflightVaries)
    visit.shows(must(await cors.preflight(call)))
    return new Response(null, { status: 204 })
  }

  // The same checks in the same order, for the management API. What is remembered of the key and of
  // its rights is not asked: a key that was revoked a moment ago makes no other (threats V9).
  async function manage(
    exchange: Exchange,
    visit: Visit,
    named: Platform,
    path: string,
    search: string,
  ): Promise<Response> {
    const { method, clientAddress, requestHeaders: headers } = exchange
    const now = Date.now()
    const open = management.open(exchange, path) // 404 405
    if (open !== null) return open
    const route = visit.on(path, management.match(method, path)) // 404 405
    must(checkBody(route, exchange)) // 413 415
    const scheme = management.schemeOf(named)
    const { key } = must(readCredential(headers, scheme, search)) // 400 401
    const platform = visit.at(management.platformOf(key, named, search))
    const { record } = must(await verifier.verifyNow(key, platform, now, clientAddress)) // 401 429 503
    visit.shown(credentialOf(record), record.environment, headers.get('origin'))
    const sent = must(readTenant(headers, scheme)).tenant ?? impliedBy(record) // 400
    const bound = sent === null ? null : must(await tenants.bind(record, sent, platform)) // 403 503
    const tenant = bound?.tenant ?? null
    visit.as(principalOf(record, tenant))
    const demand = management.demandOf(route, path, platform, record)
    must(authorize(record, demand, { method, path, clientAddress, headers })) // 403
    visit.charged(await limiter.charge(platform, route, record, tenant), route.cost) // 429 503
    const passed = { record, named, clientAddress, requestId: visit.outcome.requestId }
    const asking = canonicalRequest(exchange.request, path, search)
    return management.handle(route, asking, path, passed)
  }

  /** A failed proof is charged to the client's address; past its share it is no longer heard. */
  async function heard(refusal: Refusal, { clientAddress }: Exchange): Promise<Refusal> {
    const waitSeconds = isFailedProof(refusal) ? await ports.chargeFailure(clientAddress) : null
    if (waitSeconds === null) return refusal
    const headers = { 'retry-after': String(waitSeconds) }
    return { code: 'auth/too_many_failures', headers, cause: refusal.code }
  }

  return {
    checks: answering.checks,
    async fetch(exchange) {
      const visit = new Visit(exchange)
      try {
        return visit.answer(await pass(exchange, visit))
      } catch (thrown) {
        const refusal = await heard(refusalOf(thrown), exchange)
        if (visit.page !== null) visit.shows(await cors.unproven(visit.page))
        return visit.refuse(refusal, publicUrl ?? exchange.origin)
      }
    },
    refuse: (refusal, exchange) => new Visit(exchange).refuse(refusal, publicUrl ?? ''),
    async sweep() {
      await management.sweep()
      await answering.expire()
    },
    heard(change) {
      if (change === null || change.kind === 'key') {
        verifier.forget(change?.id)
        origins.forget()
      }
      if (change === null) tenants.forget()
      else if (change.kind === 'tenant') tenants.forget(change.platform, change.id)
      watch.heard(change)
    },
    retire() {
      isRetired = true
    },
  }
}

/** Those who are turned away together should not come back together. */
const shedding = (): Refusal => sheddings[Math.floor(Math.random() * 3)] ?? sheddings[0]
const sheddings = [sheddingFor('1'), sheddingFor('2'), sheddingFor('3')] as const

function sheddingFor(seconds: string): Refusal {
  return { code: 'gateway/overloaded', headers: { 'retry-after': seconds } }
}

const neverOpen = () => () => {}

/** What new secrets are stored under; the verifier has made sure that it is there. */
function currentPepper({ peppers }: Pick<VerifierOptions, 'peppers'>) {
  const { current: version, versions } = peppers
  return { version, bytes: versions.get(version) ?? new Uint8Array() }
}
