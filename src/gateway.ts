/**
 * The life of a request, top to bottom. Read this first.
 *
 * Each step asks one room one question. A room answers with a value or a refusal; `must` turns a
 * refusal into the way out. No cheaper check follows a dearer one, and nothing reaches a handler
 * before every check has passed. The rooms do not know each other: they meet here.
 */
import { Agents } from './agents/agents.ts'
import type { Runs } from './agents/runs.ts'
import { bodiless, checkBody, readJson } from './body.ts'
import type {
  Change,
  Exchange,
  Platform,
  Ports,
  Principal,
  Route,
  Scope,
  SecretHeader,
  Sql,
} from './context.ts'
import {
  answerHeaders,
  createCors,
  isShared,
  type PageCall,
  preflightOf,
  preflightVaries,
} from './cors.ts'
import { createAgentStore } from './db/agents.ts'
import { discarding } from './db/discard.ts'
import { createMasterRegistry } from './db/master-keys.ts'
import { createRoot } from './db/root.ts'
import { bindDb } from './db/scope.ts'
import { createSecretStore } from './db/secrets.ts'
import { createWorld } from './db/world.ts'
import { type Handlers, mountHandlers } from './handler.ts'
import { credentialOf, principalOf, readCredential } from './keys/authenticate.ts'
import { authorize } from './keys/authorize.ts'
import { createOrigins, type OriginsOptions } from './keys/origins.ts'
import { createTenants, impliedBy, readTenant, type TenantsOptions } from './keys/tenant.ts'
import { createTrust, type TrustOptions } from './keys/trust.ts'
import { createVerifier, type VerifierOptions } from './keys/verify.ts'
import { createSocketWatch } from './keys/watch.ts'
import { createLimiter, type LimiterOptions } from './limits/limiter.ts'
import { createManagement, type ManagementOptions } from './manage/management.ts'
import type { Mock } from './mock/mock.ts'
import { answerMock, worldSeconds } from './mocking.ts'
import { isKeySet, keySetAnswer, ownPath } from './own-paths.ts'
import { Problem, type Refusal } from './problem.ts'
import type { Balancers } from './proxy/balance.ts'
import { createIdentity } from './proxy/identity.ts'
import { compileRewrite, type Rewrite } from './proxy/rewrite.ts'
import { type Placed, placeSecrets } from './proxy/secrets.ts'
import { type Check, createProxy } from './proxy/send.ts'
import { canonicalPath, createRouter } from './routing.ts'
import { Keyring, type Masters } from './vault/masters.ts'
import { Vault } from './vault/vault.ts'
import { isFailedProof, must, refusalOf, Visit } from './visit.ts'

/** How long what a discarded call wrote may stand. */
const discardMs = 5000

type Ours = 'findKey' | 'findTenant' | 'findOrigin' | 'rehash' | 'defer' | 'trust' | 'silentMs'
type KeysOptions = VerifierOptions & TenantsOptions & OriginsOptions & TrustOptions

export type GatewayOptions = {
  readonly platforms: readonly Platform[]
  readonly keys: Omit<KeysOptions, Ours>
  readonly limits: Omit<LimiterOptions, 'counter'>
  readonly management: Pick<ManagementOptions, 'basePath' | 'hosts' | 'rotationMs' | 'readScript'>
  /** 32 bytes, from which the keys that sign identity tokens are made. */
  readonly masterKey: Uint8Array
  /** All versions of it: what secrets of sessions are sealed under. */
  readonly masters: Masters
  /** What is known of upstreams' targets; it outlives a gateway. */
  readonly balancers: Balancers
  /** The mock of a platform; null: it has no document. */
  mockOf(platform: string): Mock | null
  /** The agents that run in this process; it outlives a gateway. */
  readonly runs: Runs
  /** How callers reach the gateway, without a slash at its end; null: as they named it. */
  readonly publicUrl: string | null
}

export type Gateway = {
  /** Answers a request whose framing has passed. Never rejects. */
  fetch(request: Request, exchange: Exchange): Promise<Response>
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
  const proxy = createProxy({
    platforms,
    balancers: options.balancers,
    forward: ports.forward,
    identityFor: (platform, upstream, principal) =>
      identity.tokenFor(platform, upstream, principal, Date.now()),
    rewriteFor,
  })
  const handle = mountHandlers(platforms, handlers)
  const keyring = new Keyring(options.masters, createMasterRegistry(ports.gatewaySql))
  const vault = new Vault(createSecretStore(ports.tenantSql, ports.saltSql), keyring)
  const agentsOf = (sql: Sql, secrets: Vault) =>
    new Agents({
      ...{ store: createAgentStore(sql), sandbox: ports.sandbox, runs: options.runs },
      openSecrets: (scope, session, names) => secrets.openSecrets(scope, session, names),
    })
  const agents = agentsOf(ports.tenantSql, vault)
  const management = createManagement({
    ...options.management,
    ...{ platforms, router, verifier, binder: tenants, masterKey: options.masterKey },
    ...{ pepper: currentPepper(keys), sql: ports.gatewaySql, defer: ports.defer },
    announce: (change, waitMs) => ports.signal.announce(change, waitMs),
  })

  // The order of checks. The runtime's front has judged the framing: 400 417 431 501. What a room
  // answers from memory is no promise, and awaiting it would still cost a turn of the queue.
  async function pass(request: Request, exchange: Exchange, visit: Visit): Promise<Response> {
    const { method } = request
    const { target, host, port, clientAddress, requestHeaders } = exchange
    const headers = requestHeaders ?? request.headers
    const now = Date.now()
    const own = ownPath(request, target, ports.health) // 404 405 503
    if (own !== null) return own
    const named = router.platformFor(host, port)
    const platform = visit.at(named ?? management.platformAt(host)) // 421
    if (isKeySet(target)) return keySetAnswer(await identity.jwks(platform, now))
    const { path, search } = must(canonicalPath(target, { encodedSlash: true })) // 400 414
    if (management.has(host, path)) return manage(request, exchange, visit, platform, path, search)
    if (named === null) throw new Problem('route/not_found') // the host has management alone
    const asked = preflightOf(method, headers)
    const wanted = asked === null ? null : router.match(platform, asked, path, host)
    const found = isShared(wanted) ? wanted : router.match(platform, method, path, host)
    const route = visit.on(path, found) // 400 404 405
    must(checkBody(route, request, exchange)) // 403 413 415
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
    const { requestId } = visit.outcome
    if (platform.testMode === 'mock' && principal.environment === 'test') {
      visit.outcome.mocked = true
      const hasBody = exchange.hasBody && !bodiless(method)
      const read = hasBody ? await readJson(route, request) : null // 400 408 413 415
      const scope = scopeOf(principal)
      const world = createWorld(bindDb(ports.tenantSql, scope), worldSeconds)
      const mocked = { method, path, search, headers, body: read?.value, hasBody, scope }
      return answerMock(options.mockOf(platform.id), world, mocked, Date.now()) // any
    }
    if (route.upstream !== null) {
      const onOpen = exchange.upgrade
        ? watch.opener({ key, record, platform, tenant, route, call, since })
        : neverOpen
      const placed =
        route.secrets === null
          ? null
          : must(await place(route.secrets, exchange, headers, principal)) // 400 403 503
      const facts = { platform, route, principal, method, path, search, requestId, placed, onOpen }
      const answer = proxy.send({ ...facts, ...sentBy(exchange), gate: visit.headers })
      return visit.forwarded(await answer) // 408 413 502 503 504
    }
    const body = bodiless(method) ? null : await readJson(route, request) // 400 408 413 415
    const asking = canonicalRequest(request, path, search)
    const answer = (sql: Sql, secrets: Vault, programs: Agents) => {
      const scope = scopeOf(principal)
      const held = { vault: secrets.of(scope), agents: programs.of(scope) }
      return handle(route, asking, { db: bindDb(sql, scope), principal, ...held, body, requestId })
    }
    const discards = platform.testMode === 'discard' && principal.environment === 'test'
    return discards ? rehearse(answer) : answer(ports.tenantSql, vault, agents) // the handler's own
  }

  /** What a route's headers carry is of the session that the caller names, in its own tenant. */
  function place(
    wanted: readonly SecretHeader[],
    { upgrade }: Exchange,
    headers: Pick<Headers, 'get'>,
    principal: Principal,
  ): Promise<Placed | Refusal> {
    const scope = scopeOf(principal)
    const asked = { session: headers.get('postern-session'), upgrade }
    return placeSecrets(wanted, asked, (session, names) => vault.openSecrets(scope, session, names))
  }

  /** Answers truly, and takes back what was written before the answer goes. */
  async function rehearse(
    answer: (sql: Sql, secrets: Vault, programs: Agents) => Response | Promise<Response>,
  ): Promise<Response> {
    const { sql, end } = discarding(ports.tenantSql, discardMs)
    try {
      const secrets = new Vault(createSecretStore(sql, null), keyring)
      return await answer(sql, secrets, agentsOf(sql, secrets))
    } finally {
      await end()
    }
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
    request: Request,
    exchange: Exchange,
    visit: Visit,
    named: Platform,
    path: string,
    search: string,
  ): Promise<Response> {
    const { method } = request
    const { clientAddress, requestHeaders } = exchange
    const headers = requestHeaders ?? request.headers
    const now = Date.now()
    const open = management.open(request, path) // 404 405
    if (open !== null) return open
    const route = visit.on(path, management.match(method, path)) // 404 405
    must(checkBody(route, request, exchange)) // 413 415
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
    return management.handle(route, canonicalRequest(request, path, search), path, passed)
  }

  /** A failed proof is charged to the client's address; past its share it is no longer heard. */
  async function heard(refusal: Refusal, { clientAddress }: Exchange): Promise<Refusal> {
    const waitSeconds = isFailedProof(refusal) ? await ports.chargeFailure(clientAddress) : null
    if (waitSeconds === null) return refusal
    const headers = { 'retry-after': String(waitSeconds) }
    return { code: 'auth/too_many_failures', headers, cause: refusal.code }
  }

  return {
    checks: proxy.checks,
    async fetch(request, exchange) {
      const visit = new Visit(exchange)
      try {
        return visit.answer(await pass(request, exchange, visit))
      } catch (thrown) {
        const refusal = await heard(refusalOf(thrown), exchange)
        if (visit.page !== null) visit.shows(await cors.unproven(visit.page))
        return visit.refuse(refusal, publicUrl ?? originOf(request.url))
      }
    },
    refuse: (refusal, exchange) => new Visit(exchange).refuse(refusal, publicUrl ?? ''),
    sweep: management.sweep,
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

/**
 * The canonical path is the only one anyone sees, so a request that spelt it otherwise is remade.
 * Its query may differ from what was sent: a URL writes `"` as `%22`.
 */
function canonicalRequest(request: Request, path: string, search: string): Request {
  const { url, method, headers, bodyUsed } = request
  const origin = originOf(url)
  const rest = url.charAt(origin.length + path.length)
  if (url.startsWith(path, origin.length) && (rest === '' || rest === '?')) return request
  // A body that has been read is in `given`, and cannot be read again from a copy.
  const body = bodyUsed ? null : request.body
  // The type of Node's fetch does not know `duplex`, without which a stream is no body.
  return new Request(origin + path + search, {
    method,
    headers,
    body,
    duplex: 'half',
  } as RequestInit)
}

/** What of an exchange is sent on. A GET has no body upstream (RFC 9110 9.3.1). */
function sentBy(exchange: Exchange) {
  const { rawHeaders, secure, clientAddress, host, upgrade } = exchange
  const hasBody = exchange.hasBody && !bodiless(exchange.method)
  return { rawHeaders, secure, clientAddress, host, upgrade, hasBody, exchange }
}

function rewriteFor({ id, path, rewrite }: Route): Rewrite | null {
  if (rewrite === null) return null
  const compiled = compileRewrite(path, rewrite)
  if (typeof compiled === 'string') throw new Error(`route ${id}: its rewrite ${compiled}`)
  return compiled
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

function scopeOf({ platform, environment, tenant }: Principal): Scope {
  if (tenant !== null) return { platform, environment, tenant }
  const cause = "rows and secrets are a tenant's, and this platform has none"
  throw new Problem('gateway/misconfigured', { cause })
}

const originOf = (url: string): string => url.slice(0, url.indexOf('/', url.indexOf('://') + 3))
