/**
 * The paths that are the gateway's own on every host and port, before any platform is known. Config
 * refuses a route that collides with one of them.
 */
import type { Exchange, Health } from './context.ts'
import { docsPage } from './docs/pages.ts'
import { Problem } from './problem.ts'

/** Paths of the gateway's own, each with all that lies below it. One segment each. */
export const ownPaths = ['/livez', '/readyz', '/docs', '/.well-known'] as const

const firstSegments: ReadonlySet<string> = new Set(ownPaths)

/** Where the public keys of identity tokens are. Each platform has its own. */
const keySetPath = '/.well-known/jwks.json'

/** Names below `management.basePath` that are the gateway's own, each with all that lies below it. */
export const managementNames = [
  ...['api-keys', 'tenants', 'permissions', 'platforms', 'audit-events'],
  ...['openapi.json', 'docs'],
] as const

const managementSegments: ReadonlySet<string> = new Set(managementNames)

/**
 * Whether a canonical path, or the path of a route, lies in the management API. Wildcards that could
 * match such a path do not.
 */
export function isManagementPath(path: string, basePath: string): boolean {
  if (!path.startsWith(`${basePath}/`)) return false
  const start = basePath.length + 1
  const end = path.indexOf('/', start)
  return managementSegments.has(end < 0 ? path.slice(start) : path.slice(start, end))
}

const fresh = { 'content-type': 'application/json', 'cache-control': 'no-store' }

/**
 * Answers a request for an own path; null when the target is not one, or leads to the key set, for
 * which the platform has to be known (`isKeySet`). Throws `route/not_found` for
 * a page that does not exist below one, and `route/method_not_allowed` for anything but GET, HEAD.
 */
export function ownPath(
  { method, target, requestHeaders }: Pick<Exchange, 'method' | 'target' | 'requestHeaders'>,
  health: () => Promise<Health>,
): Response | Promise<Response> | null {
  if (!isOwnPath(target)) return null
  const path = pathOf(target)
  if (method !== 'GET' && method !== 'HEAD') {
    throw new Problem('route/method_not_allowed', { headers: { allow: 'GET, HEAD' } })
  }
  if (path === '/livez') return new Response('{"status":"alive"}', { headers: fresh })
  if (path === '/readyz') return ready(health)
  if (path === keySetPath) return null
  const page = docsPage(path, requestHeaders.get('accept'))
  if (page === null) throw new Problem('route/not_found')
  return new Response(page.body, { status: page.status, headers: page.headers })
}

/** Whether a request target leads to an own path, so that no platform is asked. */
export function isOwnPath(target: string): boolean {
  const end = target.slice(1).search(/[/?]/)
  return firstSegments.has(end < 0 ? target : target.slice(0, end + 1))
}

/** Whether a request target leads to the key set of the platform it is sent to. */
export const isKeySet = (target: string): boolean =>
  target.startsWith(keySetPath) && pathOf(target) === keySetPath

/**
 * The answer that carries a key set (RFC 7517 section 5). It may be kept for an hour: each key stands
 * in it for 30 days before it is used.
 */
export function keySetAnswer(keySet: { readonly keys: readonly object[] }): Response {
  const headers = {
    'content-type': 'application/json',
    'cache-control': 'public, max-age=3600',
  }
  return new Response(JSON.stringify(keySet), { headers })
}

function pathOf(target: string): string {
  const query = target.indexOf('?')
  return query < 0 ? target : target.slice(0, query)
}

/** Degraded still takes traffic: 200, and the body says what is missing. */
async function ready(health: () => Promise<Health>): Promise<Response> {
  const found = await health()
  const status = found.status === 'ready' || found.status === 'degraded' ? 200 : 503
  return new Response(JSON.stringify(found), { status, headers: fresh })
}
