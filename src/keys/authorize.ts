/**
 * May this key do that? Asked once the key is verified: its class, its environment and its
 * permissions against the route, then the restrictions of its own. Every refusal is a 403.
 */
import type { KeyRecord, Route } from '../context.ts'
import type { Refusal } from '../problem.ts'
import { type Call, checkRestrictions } from './restrictions.ts'

/** What of a route a key is held to. */
export type Demand = Pick<Route, 'permission' | 'classes' | 'environments'>

const wrongClass: Refusal = Object.freeze({ code: 'auth/class_not_allowed' })
const wrongEnvironment: Refusal = Object.freeze({ code: 'auth/wrong_environment' })
const inBrowser: Refusal = Object.freeze({ code: 'auth/secret_key_in_browser' })

/**
 * Whether a verified key may make this call. null when it may; else a 403: `auth/class_not_allowed`,
 * `auth/wrong_environment`, `auth/insufficient_permission`, `auth/secret_key_in_browser`, or what
 * `checkRestrictions` says. Never throws.
 */
export function authorize(record: KeyRecord, demand: Demand, call: Call): Refusal | null {
  if (!demand.classes.includes(record.class)) return wrongClass
  if (!demand.environments.includes(record.environment)) return wrongEnvironment
  if (demand.permission !== null && !permits(record.permissions, demand.permission)) {
    return {
      code: 'auth/insufficient_permission',
      detail: `This call demands the permission ${demand.permission}, which the key does not hold.`,
      param: demand.permission,
    }
  }
  if (record.class === 'secret' && fromBrowser(call)) return inBrowser
  return checkRestrictions(record.restrictions, call)
}

/** Every header that `authorize` looks at, for whoever has to keep a call for later. */
export const judgedHeaders = [
  ...['origin', 'referer'],
  ...['sec-fetch-site', 'sec-fetch-mode', 'sec-fetch-dest'],
] as const

/** Whether one of the grants is the permission (`vec:read`), its group (`vec:*`), or `*`. */
export function permits(grants: readonly string[], permission: string): boolean {
  if (grants.includes(permission) || grants.includes('*')) return true
  return grants.includes(`${permission.slice(0, permission.indexOf(':') + 1)}*`)
}

/**
 * Browsers send `Sec-Fetch-*` with everything, and `Origin` with what a script asks of another site
 * or changes. One alone proves little: the `fetch` of servers sends `Sec-Fetch-Mode` too, and
 * proxies and test tools send `Origin`.
 */
function fromBrowser({ headers }: Call): boolean {
  if (headers.get('origin') === null) return false
  return (
    headers.get('sec-fetch-site') !== null ||
    headers.get('sec-fetch-mode') !== null ||
    headers.get('sec-fetch-dest') !== null
  )
}
