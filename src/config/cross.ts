/**
 * What the shape alone cannot say: names given twice, routes that hide one another, permissions and
 * handlers that are not there. It looks at the values as they were written, whether or not the rest
 * of the file is good, so that everything wrong is found at once.
 */
import { presets } from '../keys/schemes.ts'
import { isManagementPath } from '../own-paths.ts'
import { repeated } from './between.ts'
import { itemsAt, type Seen, valueAt } from './document.ts'
import { durationMs } from './fields.ts'
import { upstreamFaults } from './forwarding.ts'
import type { Fault, Path } from './report.ts'
import { pathsOf, routeFaults } from './routes.ts'

/** What lies outside the file: the names of handlers, and the port of the deployment. */
export type Around = { readonly handlers: readonly string[]; readonly port: number }

/** Every fault between fields. */
export function crossFaults(seen: Seen, around: Around): Fault[] {
  const platforms = itemsAt(seen, ['platforms'])
  const each = (field: string) => platforms.map((path) => [...path, field])
  return [
    ...repeated(seen, each('id'), 'platform id'),
    ...repeated(seen, each('slug'), 'slug'),
    ...repeated(seen, each('port'), 'port'),
    ...repeated(seen, each('issuer'), 'issuer'),
    ...repeated(
      seen,
      each('hosts').flatMap((path) => itemsAt(seen, path)),
      'host',
    ),
    ...unreachable(seen, around.port),
    ...staleFaults(seen),
    ...platforms.flatMap((path) => managementFaults(seen, path)),
    ...platforms.flatMap((path) => [
      ...schemeFaults(seen, path),
      ...seedFaults(seen, path),
      ...mockFaults(seen, path),
      ...upstreamFaults(seen, path),
      ...routeFaults(seen, path, around.handlers),
    ]),
  ]
}

/** Of several platforms, each must be told apart by its hosts or by a port of its own. */
function unreachable(seen: Seen, deploymentPort: number): Fault[] {
  const platforms = itemsAt(seen, ['platforms'])
  const ports = platforms.map((path) => valueAt(seen.value, [...path, 'port']))
  const faults: Fault[] = []
  for (const [index, path] of platforms.entries()) {
    const hosts = valueAt(seen.value, [...path, 'hosts'])
    const hasHosts = Array.isArray(hosts) ? hosts.length > 0 : hosts !== undefined
    if (platforms.length > 1 && ports[index] === undefined && !hasHosts) {
      const message = 'several platforms need hosts, or each a port, to be told apart'
      faults.push({ path, message, fix: 'add hosts: [api.example.com], or port: 8801' })
    }
    if (ports[index] === deploymentPort && ports.includes(undefined)) {
      const message = `${deploymentPort} is the port of the platforms that have none of their own`
      faults.push({ path: [...path, 'port'], message, fix: 'take another, or set PORT' })
    }
  }
  return faults
}

/** A node that is cut off from everything cannot be believed for longer than one that hears. */
function staleFaults(seen: Seen): Fault[] {
  const msOf = (field: string, preset: string): number =>
    durationMs(String(valueAt(seen.value, ['keys', field]) ?? preset))
  if (!(msOf('stale', '1min') > msOf('outage', '15min'))) return []
  const message = 'must not be longer than keys.outage'
  const fix = 'lower it, or raise keys.outage (15min where it is not set)'
  return [{ path: ['keys', 'stale'], message, fix }]
}

/** Routes that the management API would hide: it is asked first, on its hosts or on all. */
function managementFaults(seen: Seen, platform: Path): Fault[] {
  const basePath = valueAt(seen.value, ['management', 'basePath']) ?? '/v1'
  const own = textsAt(seen, ['management', 'hosts'])
  const hosts = textsAt(seen, [...platform, 'hosts'])
  if (typeof basePath !== 'string') return []
  if (own.length > 0 && !hosts.some((host) => own.includes(host))) return []
  return itemsAt(seen, [...platform, 'routes'])
    .flatMap((route) => pathsOf(seen, route))
    .filter((path) => isManagementPath(String(valueAt(seen.value, path)), basePath))
    .map((path) => ({
      path,
      message: `is the management API's own (${basePath})`,
      fix: 'move that with management: { basePath: /admin/v1 }, or give it a host of its own',
    }))
}

const textsAt = (seen: Seen, path: Path): unknown[] =>
  itemsAt(seen, path).map((item) => valueAt(seen.value, item))

function schemeFaults(seen: Seen, platform: Path): Fault[] {
  const scheme = valueAt(seen.value, [...platform, 'scheme']) ?? 'azotte'
  const path = [...platform, 'scheme']
  const faults: Fault[] = []
  if (typeof scheme === 'object') {
    const both = Object.hasOwn(scheme, 'preset') === Object.hasOwn(scheme, 'prefixes')
    if (both) faults.push({ path, message: 'must have either preset or prefixes' })
  }
  if (scheme === 'operator' || valueAt(scheme, ['preset']) === 'operator') {
    faults.push({ path, message: 'operator keys belong to no platform' })
  }
  const own = itemsAt(seen, [...path, 'prefixes'])
  const adopted = itemsAt(seen, [...platform, 'adopted'])
  const prefixOf = (entry: Path) => [...entry, 'prefix']
  return [
    ...faults,
    ...repeated(seen, own.map(prefixOf), 'prefix'),
    ...repeated(seen, adopted.map(prefixOf), 'prefix'),
    ...reserved(seen, [...own, ...adopted].map(prefixOf)),
    ...disagreeing(seen, adopted, issuedBy(scheme)),
  ]
}

function reserved(seen: Seen, paths: readonly Path[]): Fault[] {
  const taken = presets.operator.prefixes.map((prefix) => prefix.prefix)
  return paths
    .filter((path) => taken.some((prefix) => prefix === valueAt(seen.value, path)))
    .map((path) => ({ path, message: 'belongs to the operators of Postern' }))
}

function issuedBy(scheme: unknown): unknown {
  const name = typeof scheme === 'string' ? scheme : valueAt(scheme, ['preset'])
  const preset = Object.values(presets).find((candidate) => candidate.name === name)
  return preset?.prefixes ?? valueAt(scheme, ['prefixes'])
}

/** A prefix may be issued and adopted at once (old keys beside new), but must mean one thing. */
function disagreeing(seen: Seen, adopted: readonly Path[], issued: unknown): Fault[] {
  const own: readonly unknown[] = Array.isArray(issued) ? issued : []
  const get = (value: unknown, field: string) => valueAt(value, [field])
  const faults: Fault[] = []
  for (const path of adopted) {
    const value = valueAt(seen.value, path)
    const twin = own.find((entry) => get(entry, 'prefix') === get(value, 'prefix'))
    if (twin === undefined || get(value, 'prefix') === undefined) continue
    for (const field of ['class', 'environment']) {
      if (get(twin, field) === get(value, field)) continue
      const fix = `make it ${String(get(twin, field))}`
      faults.push({ path: [...path, field], message: 'is not what the scheme issues it for', fix })
    }
  }
  return faults
}

/** Mocks come from a document, and from nowhere else. */
function mockFaults(seen: Seen, platform: Path): Fault[] {
  const path = [...platform, 'environments', 'test', 'mode']
  if (valueAt(seen.value, path) !== 'mock') return []
  if (valueAt(seen.value, [...platform, 'openapi']) !== undefined) return []
  const message = 'needs an OpenAPI document for mocks to come from'
  return [{ path, message, fix: 'add openapi: openapi.yaml to the platform' }]
}

function seedFaults(seen: Seen, platform: Path): Fault[] {
  const path = [...platform, 'seed']
  const seeds = itemsAt(seen, path)
  const scheme = valueAt(seen.value, [...platform, 'scheme'])
  const ids = seeds.map((seed) => [...seed, 'id'])
  const faults = repeated(seen, ids, 'tenant')
  if (seeds.length > 0 && valueAt(scheme, ['tenant']) === 'none') {
    faults.push({ path, message: 'this platform has no tenants' })
  }
  return faults
}
