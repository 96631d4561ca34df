/** What can be wrong between an upstream, the routes that lead to it, and the rest of the platform. */
import { presets, testModeOf } from '../keys/schemes.ts'
import { parseRange } from '../lib/address.ts'
import { compileRewrite } from '../proxy/rewrite.ts'
import { allowFault, originFault } from '../proxy/target.ts'
import { has, judgement, oneOf, repeated, textsAt } from './between.ts'
import { itemsAt, type Seen, valueAt } from './document.ts'
import { pathFault } from './path.ts'
import { type Fault, type Path, pathText } from './report.ts'
import { bodyBytes, handlerMethods } from './route-schema.ts'

/** Every fault of a platform's upstreams. `platform` is its path. */
export function upstreamFaults(seen: Seen, platform: Path): Fault[] {
  const upstreams = itemsAt(seen, [...platform, 'upstreams'])
  return [
    ...repeated(
      seen,
      upstreams.map((path) => [...path, 'name']),
      'upstream',
    ),
    ...upstreams.flatMap((path) => [
      ...oneOf(seen, path, ['url', 'targets', 'builtin']),
      ...targetFaults(seen, path),
      ...tlsFaults(seen, path),
      ...builtinFaults(seen, path),
      ...authorizationFaults(seen, platform, path),
    ]),
  ]
}

const targetsOf = (seen: Seen, upstream: Path): Path[] =>
  [
    [...upstream, 'url'],
    ...itemsAt(seen, [...upstream, 'targets']).map((path) => [...path, 'url']),
  ].filter((path) => typeof valueAt(seen.value, path) === 'string')

function targetFaults(seen: Seen, upstream: Path): Fault[] {
  const ranges = itemsAt(seen, [...upstream, 'allow'])
  const targets = targetsOf(seen, upstream)
  // The unreadable ones are told of already.
  const allow = textsAt(seen, ranges).filter((text) => parseRange(text) !== null)
  const judge = (path: Path, fault: (text: string) => string | null): Fault[] => {
    const [text] = textsAt(seen, [path])
    const message = text === undefined ? null : fault(text)
    return message === null ? [] : [judgement(seen, path, message)]
  }
  return [
    ...ranges.flatMap((path) => judge(path, allowFault)),
    ...targets.flatMap((path) => judge(path, (url) => originFault(url, allow))),
    ...repeated(seen, targets, 'target'),
  ]
}

function tlsFaults(seen: Seen, upstream: Path): Fault[] {
  if (!has(seen, upstream, 'tls')) return []
  const path = [...upstream, 'tls']
  const faults: Fault[] = []
  if (has(seen, path, 'cert') !== has(seen, path, 'key')) {
    faults.push({ path, message: 'must have cert and key together' })
  }
  const plain = targetsOf(seen, upstream).find(
    (target) => !String(valueAt(seen.value, target)).startsWith('https:'),
  )
  if (plain !== undefined) {
    const message = `is for https targets, and ${pathText(plain)} is none`
    faults.push({ path, message })
  }
  return faults
}

/** Nothing is connected to, so what is said of connections would be ignored. */
function builtinFaults(seen: Seen, upstream: Path): Fault[] {
  if (!has(seen, upstream, 'builtin')) return []
  return ['allow', 'health', 'tls']
    .filter((field) => has(seen, upstream, field))
    .map((field) => ({ path: [...upstream, field], message: 'says nothing of a builtin' }))
}

/** A header cannot be both the gateway's credential, which is taken out, and the upstream's own. */
function authorizationFaults(seen: Seen, platform: Path, upstream: Path): Fault[] {
  const path = [...upstream, 'keepAuthorization']
  if (valueAt(seen.value, path) !== true || !headersOf(seen, platform).includes('authorization')) {
    return []
  }
  const message = 'is for platforms whose keys come in x-api-key alone'
  return [{ path, message, fix: 'narrow the scheme: { preset: azotte, headers: [x-api-key] }' }]
}

/** Where a platform's keys may come, as config.ts will read it. */
function headersOf(seen: Seen, platform: Path): readonly unknown[] {
  const headers = valueAt(seen.value, [...platform, 'scheme', 'headers'])
  return Array.isArray(headers) ? headers : presets.azotte.headers
}

/** Every fault between a route of `platform` and what answers it. */
export function forwardingFaults(seen: Seen, platform: Path, route: Path): Fault[] {
  return [
    ...oneOf(seen, route, ['handler', 'upstream']),
    ...(has(seen, route, 'upstream')
      ? [
          ...rewriteFaults(seen, route),
          ...discardFaults(seen, platform, route),
          ...secretsFaults(seen, platform, route),
        ]
      : handlerFaults(seen, route)),
  ]
}

/** Nothing takes back what an upstream did. */
function discardFaults(seen: Seen, platform: Path, route: Path): Fault[] {
  if (testModeAt(seen, platform) !== 'discard' || has(seen, route, 'sandbox')) return []
  const environments = valueAt(seen.value, [...route, 'environments'])
  if (Array.isArray(environments) && !environments.includes('test')) return []
  const message = 'would do for test keys what cannot be discarded'
  const fix = 'name a sandbox upstream, or environments: [live], or another test mode'
  return [{ path: [...route, 'upstream'], message, fix }]
}

/** Secrets are of sessions, and sessions of tenants. */
function secretsFaults(seen: Seen, platform: Path, route: Path): Fault[] {
  const tenancy = valueAt(seen.value, [...platform, 'scheme', 'tenant'])
  if (tenancy !== 'none' || !has(seen, route, 'secrets')) return []
  const message = 'sessions are of tenants, and this platform has none'
  return [{ path: [...route, 'secrets'], message }]
}

/** As config.ts will read it. */
function testModeAt(seen: Seen, platform: Path): unknown {
  const mode = valueAt(seen.value, [...platform, 'environments', 'test', 'mode'])
  const scheme = valueAt(seen.value, [...platform, 'scheme'])
  const preset = typeof scheme === 'string' ? scheme : valueAt(scheme, ['preset'])
  return mode ?? testModeOf(preset, has(seen, platform, 'openapi'))
}

function rewriteFaults(seen: Seen, route: Path): Fault[] {
  const path = [...route, 'rewrite']
  const [template] = textsAt(seen, [path])
  if (template === undefined) return []
  const single = [...route, 'path']
  for (const pattern of [single, ...itemsAt(seen, single)]) {
    const [text] = textsAt(seen, [pattern])
    if (text === undefined || pathFault(text) !== null) continue
    const rewrite = compileRewrite(text, template)
    if (typeof rewrite !== 'string') continue
    const of = pattern.length > single.length ? ` (${pathText(pattern)})` : ''
    return [judgement(seen, path, rewrite + of)]
  }
  return []
}

function handlerFaults(seen: Seen, route: Path): Fault[] {
  const faults: Fault[] = []
  for (const path of itemsAt(seen, [...route, 'methods'])) {
    if (handlerMethods.includes(String(valueAt(seen.value, path)))) continue
    faults.push({ path, message: `a handler answers ${handlerMethods.join(', ')}` })
  }
  const maxBytes = [...route, 'body', 'maxBytes']
  const bytes = valueAt(seen.value, maxBytes)
  const { most } = bodyBytes.handler
  if (typeof bytes === 'number' && bytes > most) {
    faults.push({ path: maxBytes, message: `must be a whole number from 0 to ${most}` })
  }
  for (const field of ['rewrite', 'sandbox', 'secrets'].filter((one) => has(seen, route, one))) {
    faults.push({ path: [...route, field], message: 'is for routes with an upstream' })
  }
  return faults
}
