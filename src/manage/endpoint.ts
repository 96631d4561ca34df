/**
 * What an endpoint of the management API is: its shape for the OpenAPI document, and what the gate
 * demands before it runs. Both are said once, where its handler stands; the gate's routes are read
 * from the same definitions, so none can be served that was not described.
 */
import { createRoute, type RouteConfig, z } from '@hono/zod-openapi'
import type { KeyRecord, Platform, Route } from '../context.ts'
import { permits } from '../keys/authorize.ts'
import type { ManageApp } from './call.ts'

/** What a caller must hold, in the words of the platform's own tree. */
export type Asks =
  /** `admin:keys`. */
  | 'keys'
  /** `admin:usage` where the tree has it, else `admin:keys`. */
  | 'usage'
  /** `admin:audit` where the tree has it, else `admin:keys`. */
  | 'audit'
  /** Any permission of the service `admin`. */
  | 'any'
  /** `admin:keys`, or `self:rotate` and the caller's own id. */
  | 'rotate'

type Demanded = { readonly asks: Asks; readonly bodyBytesMax?: number; readonly ndjson?: boolean }

const extension = 'x-postern'

/** A refusal's body, as problem.ts writes it: the component `Problem` of the document. */
export const problemObject = z.object({
  type: z.string(),
  title: z.string(),
  status: z.int(),
  detail: z.string(),
  instance: z.string().nullable(),
  code: z.string(),
  requestId: z.string(),
  success: z.literal(false),
  message: z.string(),
  error: z.object({
    type: z.string(),
    code: z.string(),
    message: z.string(),
    param: z.string().nullable(),
    doc_url: z.string(),
    request_id: z.string(),
  }),
  errors: z.array(
    z.object({
      location: z.string(),
      code: z.string(),
      message: z.string(),
      fix: z.string().optional(),
    }),
  ),
})

/** For `responses` of an endpoint: every refusal has one shape. */
export const refusals = {
  default: {
    description: 'A refusal. `code` says which; its page is at `error.doc_url`.',
    // Not the schema itself, or every handler would have to be able to answer one.
    content: {
      'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } },
    },
  },
} as const

/** Describes an endpoint. `path` is relative to the base path, with `{name}` for parameters. */
export const endpoint = <const Config extends RouteConfig>(demanded: Demanded, config: Config) =>
  createRoute({ ...config, [extension]: demanded })

const bodyBytesMax = 262_144

/** The gate's routes of all endpoints, and what each asks for. */
export function routesOf(app: ManageApp): ReadonlyMap<Route, Asks> {
  const routes = new Map<Route, Asks>()
  for (const definition of app.openAPIRegistry.definitions) {
    if (definition.type !== 'route') continue
    const { method, path } = definition.route
    // Put there by `endpoint`; the document's type knows extensions as anything.
    const demanded = definition.route[extension] as Demanded
    const route = routeOf(method.toUpperCase(), path.replaceAll(/\{(\w+)\}/g, ':$1'), demanded)
    routes.set(route, demanded.asks)
  }
  return routes
}

function routeOf(method: string, path: string, demanded: Demanded): Route {
  return {
    id: `${method} ${path}`,
    hosts: [],
    path,
    methods: [method],
    handler: null,
    upstream: null,
    sandbox: null,
    secrets: null,
    rewrite: null,
    cors: null,
    permission: null,
    classes: ['secret'],
    environments: ['test', 'live'],
    cost: 1,
    limits: [],
    bodyBytesMax: demanded.bodyBytesMax ?? bodyBytesMax,
    jsonOnly: demanded.ndjson !== true,
    requireHttps: false,
    encodedSlash: false,
  }
}

/**
 * The permission that this caller must hold for what a route asks; null: it holds what is needed.
 * `id` is the API key that the path names.
 */
export function demandOf(
  asks: Asks,
  { permissions: tree }: Platform,
  { permissions, id: own }: KeyRecord,
  id: string | undefined,
): string | null {
  if (asks === 'any') {
    return permissions.some((one) => one === '*' || one.startsWith('admin:')) ? null : 'admin:keys'
  }
  if (asks === 'rotate') {
    const itself = id === own || id === 'self'
    return itself && permits(permissions, 'self:rotate') ? null : 'admin:keys'
  }
  const wanted = `admin:${asks}`
  return tree.includes(wanted) ? wanted : 'admin:keys'
}
