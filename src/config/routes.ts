/** What can be wrong between a route and the rest of its platform. */

import { repeated, textsAt, unknownName } from './between.ts'
import { itemsAt, type Seen, valueAt } from './document.ts'
import { shortName } from './fields.ts'
import { forwardingFaults } from './forwarding.ts'
import { pathShape } from './path.ts'
import { type Fault, type Path, pathText } from './report.ts'

/** Every fault between the fields of a platform's routes and limits. `platform` is its path. */
export function routeFaults(seen: Seen, platform: Path, handlers: readonly string[]): Fault[] {
  const permissions = permissionsOf(valueAt(seen.value, [...platform, 'permissions']))
  const hosts = textsAt(seen, itemsAt(seen, [...platform, 'hosts']))
  const upstreams = itemsAt(seen, [...platform, 'upstreams']).map((path) => [...path, 'name'])
  const routes = itemsAt(seen, [...platform, 'routes'])
  return [
    ...routes.flatMap((path) => [
      ...unknownName(seen, [...path, 'handler'], handlers, 'handler'),
      ...unknownName(seen, [...path, 'upstream'], textsAt(seen, upstreams), 'upstream'),
      ...unknownName(seen, [...path, 'sandbox'], textsAt(seen, upstreams), 'upstream'),
      ...unknownName(seen, [...path, 'permission'], permissions, 'permission'),
      ...hostFaults(seen, [...path, 'hosts'], hosts),
      ...forwardingFaults(seen, platform, path),
      ...publishableAdmin(seen, path),
      ...repeatedNames(seen, [...path, 'limits']),
      ...tooDear(seen, path),
    ]),
    ...hidden(seen, routes),
    ...limitsOf(platform).flatMap((path) => repeatedNames(seen, path)),
  ]
}

function permissionsOf(tree: unknown): string[] {
  if (typeof tree !== 'object' || tree === null) return []
  return Object.entries(tree).flatMap(([service, actions]) =>
    Array.isArray(actions) ? actions.map((action) => `${service}:${String(action)}`) : [],
  )
}

function hostFaults(seen: Seen, list: Path, hosts: readonly string[]): Fault[] {
  const paths = itemsAt(seen, list)
  return [
    ...paths.flatMap((path) => unknownName(seen, path, hosts, 'host of the platform')),
    ...repeated(seen, paths, 'host'),
  ]
}

/** A publishable key may be in a browser: it never administers (its source says the same). */
function publishableAdmin(seen: Seen, route: Path): Fault[] {
  const permission = valueAt(seen.value, [...route, 'permission'])
  const path = [...route, 'classes']
  const classes = valueAt(seen.value, path)
  if (typeof permission !== 'string' || !permission.split(':').includes('admin')) return []
  if (!Array.isArray(classes) || !classes.includes('publishable')) return []
  return [{ path, message: 'a publishable key cannot hold an admin permission' }]
}

/** Where a platform's limits stand, other than in its routes. */
function limitsOf(platform: Path): Path[] {
  const environments = ['test', 'live'].flatMap((name) =>
    ['key', 'tenant'].map((node) => [...platform, 'environments', name, 'limits', node]),
  )
  const classes = ['secret', 'publishable'].map((name) => [...platform, 'classes', name, 'limits'])
  return [...environments, ...classes]
}

function repeatedNames(seen: Seen, list: Path): Fault[] {
  const first = new Map<string, Path>()
  const faults: Fault[] = []
  for (const path of itemsAt(seen, list)) {
    const limit = valueAt(seen.value, path)
    const name = typeof limit === 'string' ? shortName(limit) : valueAt(limit, ['name'])
    if (typeof name !== 'string') continue
    const earlier = first.get(name)
    if (earlier === undefined) first.set(name, path)
    else {
      const message = `has the name of ${pathText(earlier)}`
      const fix = 'write it out with another name: { name, quota, window }'
      faults.push({ path, message, fix })
    }
  }
  return faults
}

/** A call that costs more than a quota of its own route could never pass. */
function tooDear(seen: Seen, route: Path): Fault[] {
  const path = [...route, 'cost']
  const cost = valueAt(seen.value, path)
  if (typeof cost !== 'number') return []
  const dear = itemsAt(seen, [...route, 'limits']).find((limit) => quotaAt(seen, limit) < cost)
  if (dear === undefined) return []
  return [{ path, message: `is more than the quota of ${pathText(dear)}: no call could pass` }]
}

function quotaAt(seen: Seen, path: Path): number {
  const limit = valueAt(seen.value, path)
  if (typeof limit === 'string') return Number.parseInt(limit, 10)
  const quota = valueAt(limit, ['quota'])
  return typeof quota === 'number' ? quota : Number.POSITIVE_INFINITY
}

/** Two routes that take the same requests: one of them would never be asked. */
function hidden(seen: Seen, routes: readonly Path[]): Fault[] {
  const taken = new Map<string, Path>()
  const faults: Fault[] = []
  for (const path of routes.flatMap((route) => pathsOf(seen, route))) {
    const shape = pathShape(String(valueAt(seen.value, path)))
    const places = placesOf(seen, path.slice(0, 4)).map((place) => `${place} ${shape}`)
    const earlier = places.map((place) => taken.get(place)).find((found) => found !== undefined)
    if (earlier !== undefined) {
      const message = `takes the same requests as ${pathText(earlier)}`
      faults.push({ path, message, fix: 'give them different methods, or remove one' })
    }
    for (const place of places) taken.set(place, path)
  }
  return faults
}

/** Where the paths of a route stand: one, or a list of them. */
export function pathsOf(seen: Seen, route: Path): Path[] {
  const path = [...route, 'path']
  return typeof valueAt(seen.value, path) === 'string' ? [path] : itemsAt(seen, path)
}

/** Host and method, each `*` where a route names none: it takes what no other names (routing.ts). */
function placesOf(seen: Seen, route: Path): string[] {
  const named = (field: string): string[] => {
    const values = valueAt(seen.value, [...route, field])
    return Array.isArray(values) ? values.map(String) : ['*']
  }
  const methods = named('methods')
  return [...new Set(named('hosts'))].flatMap((host) =>
    methods.map((method) => `${host} ${method}`),
  )
}
