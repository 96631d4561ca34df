/**
 * Which route is this? One canonical path for a request target, then host, method and path to a
 * `Route`.
 *
 * It knows nothing of credentials, and it never repairs a path: what two programs could read in two
 * ways is refused (threats P1-P12). The danger is a second meaning: the string that comes out of
 * `canonicalPath` is what is matched, limited, logged and sent on, and nobody looks at the target again.
 */
import type { Platform, Route } from './context.ts'
import { createSegmentTree, parsePattern, type Segment, type SegmentTree } from './lib/segments.ts'
import type { Refusal } from './problem.ts'

const pathBytesMax = 4096
const searchBytesMax = 8192

/** `search` is empty, or the query byte for byte with its `?`. */
export type CanonicalPath = { readonly path: string; readonly search: string }

// RFC 3986 pchar without `;` and `%`, in non-empty segments that are not `.` or `..`. Each character
// has one way to match, so the test is linear.
const plainPath = /^(?:\/(?!\.{1,2}(?:\/|$))[\w~!$&'()*+,=:@.-]+)*\/?$/
const pathCharacters = /^[\w~!$&'()*+,=:@.%/-]+$/
const searchCharacters = /^[!"$-~]*$/

/**
 * The only path anyone sees: percent-encoded unreserved characters decoded, other escapes in upper
 * case (RFC 3986 section 6.2.2). Refuses with `request/invalid_path` what could be read otherwise
 * elsewhere, and with `request/uri_too_long` a path over 4 KiB or a query over 8 KiB.
 *
 * With `encodedSlash`, `%2F` and `%25` may stand in it as characters of a segment; `match` then
 * refuses the path unless its route has opted in. They stay escaped, so a path that is accepted with
 * and without the option comes out the same.
 */
export function canonicalPath(
  target: string,
  allow: { readonly encodedSlash: boolean } = { encodedSlash: false },
): CanonicalPath | Refusal {
  // The front asks first, and the gateway again of the same target.
  if (target !== last.target || allow.encodedSlash !== last.encodedSlash) {
    last = { target, encodedSlash: allow.encodedSlash, found: canonical(target, allow) }
  }
  return last.found
}

let last: { target: string; encodedSlash: boolean; found: CanonicalPath | Refusal } = {
  target: '',
  encodedSlash: false,
  found: { code: 'request/invalid_path' },
}

function canonical(
  target: string,
  allow: { readonly encodedSlash: boolean },
): CanonicalPath | Refusal {
  const query = target.indexOf('?')
  const path = query < 0 ? target : target.slice(0, query)
  const search = query < 0 ? '' : target.slice(query)
  if (path.length > pathBytesMax || search.length > searchBytesMax + 1) {
    return { code: 'request/uri_too_long' }
  }
  if (!searchCharacters.test(search)) return invalid('a character that no query holds')
  if (plainPath.test(path) && path !== '') return { path, search }
  const spelled = spell(path, allow.encodedSlash)
  return typeof spelled === 'string' ? { path: spelled, search } : spelled
}

const invalid = (cause: string): Refusal => ({ code: 'request/invalid_path', cause })

function spell(path: string, encodedSlash: boolean): string | Refusal {
  if (!path.startsWith('/')) return invalid('not in origin-form')
  if (!pathCharacters.test(path)) return invalid('a character that no path holds')
  let refused = false
  const spelled = path.replace(/%([0-9A-Fa-f]{2})?/g, (written, hex: string | undefined) => {
    const byte = hex === undefined ? 0 : Number.parseInt(hex, 16)
    refused ||= isForbidden(byte, encodedSlash)
    const character = String.fromCharCode(byte)
    return /[\w~-]/.test(character) ? character : written.toUpperCase()
  })
  if (refused) return invalid('a malformed or forbidden escape')
  // A second decoding further on must find nothing to decode.
  if (/%25[0-9A-Fa-f]{2}/.test(spelled)) return invalid('an escape within an escape')
  if (!isUtf8(spelled)) return invalid('escapes that are not UTF-8')
  return checkSegments(spelled) ?? spelled
}

function isForbidden(byte: number, encodedSlash: boolean): boolean {
  if (byte < 0x20 || byte === 0x7f) return true
  if (byte === 0x2f || byte === 0x25) return !encodedSlash // / %
  return byte === 0x5c || byte === 0x2e // \ .
}

function isUtf8(path: string): boolean {
  try {
    decodeURIComponent(path) // refuses overlong forms and surrogates too
    return true
  } catch {
    return false
  }
}

/** An encoded slash is a slash to somebody further on, so what stands around it is checked alike. */
function checkSegments(path: string): Refusal | null {
  const segments = path.split(/\/|%2F/)
  for (const [index, segment] of segments.entries()) {
    const last = index === segments.length - 1
    // A slash may end a path; an encoded one would move inwards when a rewrite adds to it.
    const mayBeEmpty = index === 0 || (last && path.endsWith('/'))
    if (segment === '' && !mayBeEmpty) return invalid('an empty segment')
    // `..;x` is `..` to servers that know path parameters.
    if (/^\.{1,2}(?:%3B|$)/.test(segment)) return invalid('a dot segment')
  }
  return null
}

/** The routes whose patterns are the same but for the names of parameters. */
type Place = {
  readonly routes: Map<string, Route>
  /** The route that takes every method no other names. */
  any: Route | null
  allow: string
}

export type Router = {
  /** By own port, then by host, then the only platform when it names no hosts. null is a 421. */
  platformFor(host: string, port: number): Platform | null
  /**
   * The route of a canonical path. Routes that name the host go first: the others are asked where
   * none of them has a place for the path. The most exact pattern decides, and then the method: 404
   * `route/not_found`, 405 `route/method_not_allowed` with `Allow`, 400 `request/invalid_path` for an
   * encoded slash where the route has not opted in. Throws for a platform the router was not given.
   */
  match(platform: Platform, method: string, path: string, host: string): Route | Refusal
  /** The decoded values of the route's `:name` segments, for a path that `match` gave this route. */
  paramsOf(route: Route, path: string): Readonly<Record<string, string>>
}

/** Compiles the routes once. Throws an `Error` naming the route when two collide or one is malformed. */
export function createRouter(platforms: readonly Platform[]): Router {
  const trees = new Map(platforms.map((platform) => [platform, compile(platform)]))
  const byHost = new Map<string, Platform>()
  const byPort = new Map<number, Platform>()
  for (const platform of platforms) {
    for (const host of platform.hosts) claim(byHost, host, platform)
    if (platform.port !== null) claim(byPort, platform.port, platform)
  }
  const [first] = platforms
  const only = platforms.length === 1 && first?.hosts.length === 0 ? first : null
  return {
    platformFor(host, port) {
      const named = byHost.get(host)
      const own = byPort.get(port)
      if (own === undefined) return named ?? only
      // A port has one owner, whatever the Host says, unless it names somebody else.
      return named === undefined || named === own ? own : null
    },
    match(platform, method, path, host) {
      const found = trees.get(platform)
      if (found === undefined) throw new Error(`the router does not know platform ${platform.id}`)
      const { ofHosts, ofAll } = found
      const own = ofHosts?.get(host)?.find(path) ?? null
      return matchAt(own ?? ofAll.find(path), method, path)
    },
    paramsOf,
  }
}

function claim<K>(owners: Map<K, Platform>, name: K, platform: Platform): void {
  const owner = owners.get(name) ?? platform
  if (owner !== platform) throw new Error(`${owner.slug} and ${platform.slug} both claim ${name}`)
  owners.set(name, platform)
}

function matchAt(place: Place | null, method: string, path: string): Route | Refusal {
  const route = place?.routes.get(method) ?? place?.any ?? null
  if (path.includes('%') && !route?.encodedSlash && /%2F|%25/.test(path)) {
    return invalid('an encoded slash or percent sign')
  }
  if (place === null) return { code: 'route/not_found' }
  return route ?? { code: 'route/method_not_allowed', headers: { allow: place.allow } }
}

type Trees = {
  /** null: no route names a host, so nothing is looked up. */
  readonly ofHosts: ReadonlyMap<string, SegmentTree<Place>> | null
  readonly ofAll: SegmentTree<Place>
}

function compile(platform: Platform): Trees {
  const ofHosts = new Map<string, SegmentTree<Place>>()
  const ofAll = createSegmentTree<Place>()
  for (const route of platform.routes) {
    const segments = segmentsOf(route)
    for (const tree of route.hosts.length === 0 ? [ofAll] : route.hosts.map(treeOf)) {
      addRoute(
        tree.place(segments, () => ({ routes: new Map(), any: null, allow: '' })),
        route,
      )
    }
  }
  return { ofHosts: ofHosts.size === 0 ? null : ofHosts, ofAll }

  function treeOf(host: string): SegmentTree<Place> {
    const tree = ofHosts.get(host) ?? createSegmentTree<Place>()
    ofHosts.set(host, tree)
    return tree
  }
}

function segmentsOf(route: Route): readonly Segment[] {
  const segments = parsePattern(route.path)
  if (typeof segments === 'string') throw new Error(`route ${route.id}: its path ${segments}`)
  const literals = segments.filter((segment) => segment.kind === 'literal')
  const path = `/${literals.map((segment) => segment.text).join('/')}`
  const canonical = canonicalPath(path, route)
  // Such a pattern would never match, and a rule that never matches is a rule that is not kept.
  if ('code' in canonical || canonical.path !== path) {
    throw new Error(`route ${route.id}: its path is not in canonical form`)
  }
  return segments
}

function addRoute(place: Place, route: Route): void {
  const collide = (): never => {
    throw new Error(`route ${route.id}: its path and methods are another route's`)
  }
  if (route.methods === null) {
    if (place.any !== null) collide()
    place.any = route
    return
  }
  for (const method of route.methods) {
    // HEAD that GET implies gives way to a HEAD that is named.
    const implied =
      method === 'HEAD' && place.routes.get('HEAD')?.methods?.includes('HEAD') === false
    if (place.routes.has(method) && !implied) collide()
    place.routes.set(method, route)
  }
  if (route.methods.includes('GET') && !place.routes.has('HEAD')) place.routes.set('HEAD', route)
  place.allow = [...place.routes.keys()].join(', ')
}

function paramsOf(route: Route, path: string): Readonly<Record<string, string>> {
  // Without a prototype, so that a parameter may be named `constructor`.
  const params: Record<string, string> = Object.create(null)
  const values = path.split('/')
  for (const [index, name] of route.path.split('/').entries()) {
    if (name.startsWith(':')) params[name.slice(1)] = decodeURIComponent(values[index] ?? '')
  }
  return params
}
