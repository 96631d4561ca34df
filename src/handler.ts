/**
 * What an in-process handler is given, and how handlers stand behind routes. A handler names no
 * tenant: `c.var.db` sees one tenant's rows and nothing else, and there is no other door to the
 * database.
 */
import { type Context, Hono } from 'hono'
import type { SessionAgents } from './agents/agents.ts'
import type { ReadBody } from './body.ts'
import type { Platform, Principal, Route } from './context.ts'
import type { TenantDb } from './db/scope.ts'
import { Problem } from './problem.ts'
import type { SessionVault } from './vault/vault.ts'

export type HandlerVariables = {
  /** Bound to the principal's platform, environment and tenant. */
  db: TenantDb
  principal: Principal
  /** Secrets of this tenant's sessions: it takes values and gives none back. */
  vault: SessionVault
  /** Programs that run in this tenant's sessions. */
  agents: SessionAgents
  /** `req_…`, as in the answer's headers and in the log. */
  requestId: string
  /** The JSON body, checked by lib/json.ts; undefined when the request has none. */
  body: unknown
}

export type HandlerEnv = { Bindings: Given; Variables: HandlerVariables }
export type Handler = Hono<HandlerEnv>
/** By the name that `handler:` in postern.yaml uses. */
export type Handlers = Readonly<Record<string, Handler>>

/** What the gate hands over with a request. */
export type Given = Omit<HandlerVariables, 'body'> & { body: ReadBody | null }

/** An empty handler: add `.get('/')`, `.get('/:id')`, … relative to the route's path. */
export const createHandler = (): Handler => new Hono<HandlerEnv>()

/** Runs what stands behind a route. */
export type Handle = (route: Route, request: Request, given: Given) => Response | Promise<Response>

/**
 * Puts each route's own handler behind the literal part of its path, so that the rule that was
 * checked and the code that runs are of one route, however patterns overlap. What a handler throws
 * comes out as it was thrown; a path below a route that its handler does not take throws
 * `route/not_found`. Throws at once when a route names a handler that is not there.
 */
export function mountHandlers(platforms: readonly Platform[], handlers: Handlers): Handle {
  const apps = new Map<Route, Handler>()
  for (const route of platforms.flatMap((platform) => platform.routes)) {
    if (route.handler === null) continue
    const handler = handlers[route.handler]
    if (handler === undefined) throw new Error(`route ${route.id}: no handler "${route.handler}"`)
    apps.set(route, mount(route, handler))
  }
  return (route, request, given) => {
    const app = apps.get(route)
    if (app === undefined) throw new Error(`route ${route.id} was not mounted`)
    return app.fetch(request, given)
  }
}

function mount(route: Route, handler: Handler): Handler {
  const app = createHandler()
  app.onError((error) => {
    throw error
  })
  app.notFound(() => {
    throw new Problem('route/not_found')
  })
  // Not `app.use(give)`: with one function for a path Hono needs no middleware chain.
  const inner = createHandler().route(route.path.replace(/\/\*\*$/, '') || '/', handler)
  for (const { method, path, handler: run } of inner.routes) {
    app.on(method, path, (c, next) => {
      give(c)
      return run(c, next)
    })
  }
  return app
}

function give(c: Context<HandlerEnv>): void {
  const { db, principal, vault, agents, requestId, body } = c.env
  c.set('db', db)
  c.set('principal', principal)
  c.set('vault', vault)
  c.set('agents', agents)
  c.set('requestId', requestId)
  c.set('body', body?.value)
  // The bytes have been read; `c.req.json()` and `c.req.text()` go on working from the copy.
  // (Hono keeps promises here; its type shows what they resolve to.)
  if (body !== null) Object.assign(c.req.bodyCache, { text: Promise.resolve(body.text) })
}
