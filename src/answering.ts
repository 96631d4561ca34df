/**
 * What answers a call that may pass: the mock of its platform, an upstream, or a handler of this
 * process, whose writes a rehearsal takes back. One answers, and which is decided by the route and the
 * environment alone.
 *
 * It asks no check of its own: whoever calls it has asked them all. The danger is a test key that
 * reaches what is live, so its environment is asked before anything is sent or written (threats O5).
 */
import { Agents } from './agents/agents.ts'
import type { Runs } from './agents/runs.ts'
import { bodiless, readJson } from './body.ts'
import type {
  Exchange,
  OpenSocket,
  Platform,
  Ports,
  Principal,
  Route,
  Scope,
  SecretHeader,
  Sql,
} from './context.ts'
import { createAgentStore } from './db/agents.ts'
import { discarding } from './db/discard.ts'
import { createMasterRegistry, everyScope } from './db/master-keys.ts'
import { bindDb } from './db/scope.ts'
import { createSecretStore } from './db/secrets.ts'
import { createWorld } from './db/world.ts'
import { type Handlers, mountHandlers } from './handler.ts'
import type { Mock } from './mock/mock.ts'
import { answerMock, worldSeconds } from './mocking.ts'
import { Problem } from './problem.ts'
import type { Balancers } from './proxy/balance.ts'
import type { Identity } from './proxy/identity.ts'
import { compileRewrite, type Rewrite } from './proxy/rewrite.ts'
import { placeSecrets } from './proxy/secrets.ts'
import { type Check, createProxy } from './proxy/send.ts'
import { createExpiry } from './vault/expiry.ts'
import { Keyring, type Masters } from './vault/masters.ts'
import { Vault } from './vault/vault.ts'
import { must, type Visit } from './visit.ts'

/** How long what a discarded call wrote may stand. */
const discardMs = 5000

/** A call that has passed every check. */
export type PassedCall = {
  readonly platform: Platform
  readonly route: Route
  readonly principal: Principal
  readonly method: string
  /** Canonical. */
  readonly path: string
  /** The raw query with its `?`, or empty. */
  readonly search: string
  readonly exchange: Exchange
  /** Told of the WebSocket that the call becomes; what it answers is called when that has closed. */
  onOpen(socket: OpenSocket): () => void
}

export type AnsweringOptions = {
  readonly platforms: readonly Platform[]
  readonly identity: Pick<Identity, 'tokenFor'>
  /** All versions of the master key: what secrets of sessions are sealed under. */
  readonly masters: Masters
  /** What is known of upstreams' targets; it outlives a gateway. */
  readonly balancers: Balancers
  /** The mock of a platform; null: it has no document. */
  mockOf(platform: string): Mock | null
  /** The agents that run in this process; it outlives a gateway. */
  readonly runs: Runs
}

export type Answering = {
  /** Answers a call. Throws, or rejects with, the `Problem` of what does not. */
  answer(call: PassedCall, visit: Visit): Response | Promise<Response>
  /** The upstreams whose targets want to be asked whether they are well. */
  readonly checks: readonly Check[]
  /** Destroys what sessions held that are past their time: a round. Rejects when a store is down. */
  expire(): Promise<void>
}

/** Throws where a route names a handler that is not there, or has a rewrite that cannot be. */
export function createAnswering(
  options: AnsweringOptions,
  ports: Ports,
  handlers: Handlers,
): Answering {
  const { platforms, identity, balancers } = options
  const proxy = createProxy({
    ...{ platforms, balancers, rewriteFor, forward: ports.forward },
    identityFor: (platform, upstream, principal) =>
      identity.tokenFor(platform, upstream, principal, Date.now()),
  })
  const handle = mountHandlers(platforms, handlers)
  const keyring = new Keyring(options.masters, createMasterRegistry(ports.gatewaySql))
  const secretStore = createSecretStore(ports.tenantSql, ports.saltSql)
  const vault = new Vault(secretStore, keyring)
  const agentsOf = (sql: Sql, secrets: Vault) =>
    new Agents({
      ...{ store: createAgentStore(sql), sandbox: ports.sandbox, runs: options.runs },
      openSecrets: (scope, session, names) => secrets.openSecrets(scope, session, names),
    })
  const agents = agentsOf(ports.tenantSql, vault)

  /** From the document alone: no upstream hears of it, and no handler. */
  async function mock(call: PassedCall, visit: Visit): Promise<Response> {
    const { platform, route, method, path, search, exchange } = call
    visit.outcome.mocked = true
    const scope = scopeOf(call.principal)
    const hasBody = exchange.hasBody && !bodiless(method)
    const read = hasBody ? await readJson(route, exchange.request) : null // 400 408 413 415
    const world = createWorld(bindDb(ports.tenantSql, scope), worldSeconds)
    const headers = exchange.requestHeaders
    const asked = { method, path, search, headers, body: read?.value, hasBody, scope }
    return answerMock(options.mockOf(platform.id), world, asked, Date.now()) // any
  }

  async function forward(call: PassedCall, visit: Visit): Promise<Response> {
    const { platform, route, principal, method, path, search, exchange, onOpen } = call
    const { rawHeaders, secure, clientAddress, host, upgrade } = exchange
    const placed = route.secrets === null ? null : await place(route.secrets, call) // 400 403 503
    const answer = await proxy.send({
      ...{ platform, route, principal, method, path, search, placed, onOpen },
      ...{ rawHeaders, secure, clientAddress, host, upgrade, exchange },
      // A GET has no body upstream (RFC 9110 9.3.1).
      hasBody: exchange.hasBody && !bodiless(method),
      requestId: visit.outcome.requestId,
      gate: visit.headers,
    }) // 408 413 502 503 504
    return visit.forwarded(answer)
  }

  /** What a route's headers carry is of the session that the caller names, in its own tenant. */
  async function place(wanted: readonly SecretHeader[], { principal, exchange }: PassedCall) {
    const scope = scopeOf(principal)
    const session = exchange.requestHeaders.get('postern-session')
    const asked = { session, upgrade: exchange.upgrade }
    return must(
      await placeSecrets(wanted, asked, (id, names) => vault.openSecrets(scope, id, names)),
    )
  }

  /** By a handler of this process, which gets the one tenant's rows. */
  async function serve(call: PassedCall, visit: Visit, keeps: boolean): Promise<Response> {
    const { route, principal, method, path, search, exchange } = call
    const body = bodiless(method) ? null : await readJson(route, exchange.request) // 400 408 413 415
    const asking = canonicalRequest(exchange.request, path, search)
    const { requestId } = visit.outcome
    const run = (sql: Sql, secrets: Vault, programs: Agents) => {
      const scope = scopeOf(principal)
      const held = { vault: secrets.of(scope), agents: programs.of(scope) }
      return handle(route, asking, { db: bindDb(sql, scope), principal, ...held, body, requestId })
    }
    return keeps ? run(ports.tenantSql, vault, agents) : rehearse(run)
  }

  /** Answers truly, and takes back what was written before the answer goes. */
  async function rehearse(
    run: (sql: Sql, secrets: Vault, programs: Agents) => Response | Promise<Response>,
  ): Promise<Response> {
    const { sql, end } = discarding(ports.tenantSql, discardMs)
    try {
      const secrets = new Vault(createSecretStore(sql, null), keyring)
      return await run(sql, secrets, agentsOf(sql, secrets))
    } finally {
      await end()
    }
  }

  const ids = platforms.map(({ id }) => id)
  return {
    checks: proxy.checks,
    expire: createExpiry({
      store: secretStore,
      scopes: () => everyScope(ports.gatewaySql, ids),
      onEnded: (scope, session) => options.runs.stopSession(scope, session),
    }),
    answer(call, visit) {
      const testMode = call.principal.environment === 'test' ? call.platform.testMode : null
      if (testMode === 'mock') return mock(call, visit)
      if (call.route.upstream !== null) return forward(call, visit)
      return serve(call, visit, testMode !== 'discard') // the handler's own
    },
  }
}

function scopeOf({ platform, environment, tenant }: Principal): Scope {
  if (tenant !== null) return { platform, environment, tenant }
  const cause = "rows and secrets are a tenant's, and this platform has none"
  throw new Problem('gateway/misconfigured', { cause })
}

function rewriteFor({ id, path, rewrite }: Route): Rewrite | null {
  if (rewrite === null) return null
  const compiled = compileRewrite(path, rewrite)
  if (typeof compiled === 'string') throw new Error(`route ${id}: its rewrite ${compiled}`)
  return compiled
}

/**
 * The canonical path is the only one a handler sees, so a request that spelt it otherwise is remade.
 * Its query may differ from what was sent: a URL writes `"` as `%22`.
 */
export function canonicalRequest(request: Request, path: string, search: string): Request {
  const { url, method, headers, bodyUsed } = request
  const origin = url.slice(0, url.indexOf('/', url.indexOf('://') + 3))
  const rest = url.charAt(origin.length + path.length)
  if (url.startsWith(path, origin.length) && (rest === '' || rest === '?')) return request
  // A body that has been read is in `given`, and cannot be read again from a copy.
  const body = bodyUsed ? null : request.body
  // The type of Node's fetch does not know `duplex`, without which a stream is no body.
  const init = { method, headers, body, duplex: 'half' } as RequestInit
  return new Request(origin + path + search, init)
}
