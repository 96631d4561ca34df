/**
 * The management API as the gate sees it: which paths are its own, what each demands of a caller, and
 * what stands behind it. Its calls pass the gate's checks in the gate's order (gateway.ts), with other
 * answers at four of them, which are given here: the platform may be named, operators are known, the
 * tenant is optional, and what is demanded is said in the words of the platform's own tree.
 *
 * The danger is a second door: nothing here verifies a key or reads a header that says who calls.
 */
import { HTTPException } from 'hono/http-exception'
import { bodiless, readJson, readText } from '../body.ts'
import type { KeyRecord, LimitPlan, Platform, Route, Scheme, Sql } from '../context.ts'
import { createAuditStore } from '../db/audit.ts'
import { createIdempotencyStore } from '../db/idempotency.ts'
import { createKeyStore } from '../db/keys.ts'
import { createTenantStore } from '../db/tenants.ts'
import { createUsageStore } from '../db/usage.ts'
import type { Demand } from '../keys/authorize.ts'
import { operatorPlatformId, presets } from '../keys/schemes.ts'
import { hmacSha256 } from '../lib/digest.ts'
import { isManagementPath } from '../own-paths.ts'
import { Problem, type Refusal } from '../problem.ts'
import { createRouter } from '../routing.ts'
import { apiKeys } from './api-keys.ts'
import { auditEvents } from './audit.ts'
import { type Caller, createPart, type ManageApp, type ManageContext } from './call.ts'
import type { Desk } from './desk.ts'
import { demandOf, routesOf } from './endpoint.ts'
import { createIdempotency } from './idempotency.ts'
import { keyStates } from './key-state.ts'
import { moving } from './move.ts'
import { createCursors } from './page.ts'
import { platforms as platformsPart } from './platforms.ts'
import { type Asked, createReference, type ReadScript } from './reference.ts'
import { rotations } from './rotate.ts'
import { createSweep } from './sweep.ts'
import { tenants } from './tenants.ts'
import { keyUsage } from './usage.ts'
import { verification } from './verify.ts'

export type ManagementOptions = Pick<
  Desk,
  'rotationMs' | 'announce' | 'defer' | 'verifier' | 'binder' | 'router'
> & {
  readonly platforms: readonly Platform[]
  /** `/v1`. */
  readonly basePath: string
  /** The hosts that have the management API; empty: every host. */
  readonly hosts: readonly string[]
  readonly pepper: Desk['pepper']
  /** 32 bytes, from which cursors are keyed and answers sealed. */
  readonly masterKey: Uint8Array
  /** Speaks as the gateway role. */
  readonly sql: Sql
  /** Reads the script of the reference page; null where there is none. */
  readonly readScript: ReadScript | null
}

/** Who calls, as far as the gate has found out when it asks for the handler. */
export type Passed = Omit<Caller, 'body' | 'operator'>

export type Management = {
  /** Whether a canonical path on this host is the management API's. */
  has(host: string, path: string): boolean
  /** The platform of a host that is for management alone; null: it is none. */
  platformAt(host: string): Platform | null
  /** What is answered without a key: the document and its page. Throws 404 and 405. */
  open(asked: Asked, path: string): Promise<Response> | null
  match(method: string, path: string): Route | Refusal
  /** How keys look here: the platform's, and the operators'. */
  schemeOf(named: Platform): Scheme
  /** The platform that a key must belong to, if it is one of what `named` or the query says. */
  platformOf(key: string, named: Platform, search: string): Platform
  /** What a caller needs for this route: of its class, its environment and its permissions. */
  demandOf(route: Route, path: string, platform: Platform, record: KeyRecord): Demand
  /** Runs what stands behind the route. */
  handle(route: Route, request: Request, path: string, passed: Passed): Promise<Response>
  /** Does what falls due by itself; to be called every minute or so. */
  sweep(): Promise<void>
}

const operatorLimits: LimitPlan = {
  environments: {
    test: { key: [], tenant: [] },
    live: {
      key: [{ name: 'minute', quota: 1000, windowSeconds: 60, onStoreDown: 'local' }],
      tenant: [],
    },
  },
  classes: {},
}

/** Builds the management API of a deployment. */
export function createManagement(options: ManagementOptions): Management {
  const { platforms, basePath, hosts, sql, masterKey } = options
  const desk: Desk = {
    ...options,
    keys: createKeyStore(sql),
    tenants: createTenantStore(sql),
    audit: createAuditStore(sql),
    usage: createUsageStore(sql),
    cursors: createCursors(deriveKey(masterKey, 'postern/cursor/v1')),
  }
  const app = appOf(desk, basePath)
  const asks = routesOf(app)
  const operators = operatorsOf(hosts, [...asks.keys()])
  const router = createRouter([operators])
  const idempotency = createIdempotencyStore(sql)
  const runOnce = createIdempotency(idempotency, masterKey)
  const schemes = new Map([...platforms, operators].map((one) => [one, jointScheme(one.scheme)]))
  const [operatorPrefix] = presets.operator.prefixes
  const only = platforms.length === 1 ? platforms[0] : undefined

  return {
    has: (host, path) =>
      isManagementPath(path, basePath) && (hosts.length === 0 || hosts.includes(host)),
    platformAt: (host) => (hosts.includes(host) ? (only ?? operators) : null),
    open: createReference(app, basePath, options.readScript),
    match: (method, path) => router.match(operators, method, path, ''),
    schemeOf: (named) => schemes.get(named) ?? operators.scheme,
    platformOf(key, named, search) {
      if (operatorPrefix !== undefined && key.startsWith(operatorPrefix.prefix)) return operators
      if (named !== operators) return named
      const slug = new URLSearchParams(search).get('platform')
      return platforms.find((one) => one.slug === slug || one.id === slug) ?? operators
    },
    demandOf(route, path, platform, record) {
      const { classes, environments } = route
      const ask = asks.get(route) ?? 'keys'
      const { id } = router.paramsOf(route, path)
      return { permission: demandOf(ask, platform, record, id), classes, environments }
    },
    async handle(route, request, path, { record, named, clientAddress, requestId }) {
      const body = await bodyOf(route, request)
      const operator = record.platform === operators.id
      const caller: Caller = {
        ...{ record, operator, clientAddress, requestId, body },
        named: named === operators ? null : named,
      }
      const run = async () => app.fetch(request, { platforms, caller })
      const header = request.headers.get('idempotency-key')
      if (request.method !== 'POST' || header === null) return run()
      const search = new URL(request.url).search
      const platform = operator ? operators.id : record.platform
      const scope = { platform, credential: record.id, method: 'POST', path }
      return runOnce({ scope, header, sent: `${search}\n${body?.text ?? ''}` }, run)
    },
    sweep: createSweep({ ...desk, platforms, idempotency }),
  }
}

/** What was sent, of any type that the route takes: an import comes in lines. */
async function bodyOf(route: Route, request: Request): Promise<Caller['body']> {
  if (bodiless(request.method)) return null
  const json = await readJson(route, request)
  if (json !== null || route.jsonOnly || request.bodyUsed) return json
  return { text: await readText(route, request), value: undefined }
}

function appOf(desk: Desk, basePath: string): ManageApp {
  const app = createPart()
  app.use(cacheBody)
  app.onError((error) => {
    throw error instanceof HTTPException ? toProblem(error) : error
  })
  app.notFound(() => {
    throw new Problem('route/not_found')
  })
  // Before `/api-keys/{id}`, of which `/api-keys/export` could be one.
  for (const part of [moving(desk), verification(desk), rotations(desk), keyUsage(desk)]) {
    app.route(basePath, part)
  }
  const others = [apiKeys(desk), keyStates(desk), tenants(desk), platformsPart(), auditEvents(desk)]
  for (const part of others) {
    app.route(basePath, part)
  }
  return app
}

/** The bytes have been read; Hono's validators go on working from the copy. */
async function cacheBody(c: ManageContext, next: () => Promise<void>): Promise<void> {
  const { body } = c.env.caller
  const empty = c.req.header('content-type') === undefined ? '' : '{}'
  Object.assign(c.req.bodyCache, { text: Promise.resolve(body?.text ?? empty) })
  // Most answers tell of keys, some show one.
  c.header('cache-control', 'no-store')
  await next()
}

/** What Hono's validators throw by themselves. */
const toProblem = ({ status, message }: HTTPException): Problem =>
  status === 415
    ? new Problem('request/unsupported_media_type')
    : new Problem('request/malformed', { cause: message })

/** The people who run Postern, as a platform: what their keys belong to. */
function operatorsOf(hosts: readonly string[], routes: readonly Route[]): Platform {
  return {
    id: operatorPlatformId,
    slug: 'operator',
    name: 'Postern',
    scheme: presets.operator,
    hosts,
    port: null,
    vocabulary: 'slash',
    docsUrl: null,
    issuer: `urn:postern:${operatorPlatformId}`,
    permissions: [],
    limits: operatorLimits,
    upstreams: [],
    testMode: 'sandbox',
    openapi: null,
    routes,
  }
}

/** A platform's scheme with the operators' prefix, in either header, and the tenant left open. */
const jointScheme = (scheme: Scheme): Scheme => ({
  ...scheme,
  prefixes: [...new Set([...scheme.prefixes, ...presets.operator.prefixes])],
  headers: presets.operator.headers,
  tenancy: scheme.tenancy === 'none' ? 'none' : 'implied',
})

/** HKDF-SHA-256 (RFC 5869) without a salt, for 32 bytes: one block. */
function deriveKey(masterKey: Uint8Array, label: string): Uint8Array {
  const pseudorandom = hmacSha256(new Uint8Array(32), masterKey)
  return hmacSha256(pseudorandom, new TextEncoder().encode(`${label}\x01`))
}
