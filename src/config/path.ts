/**
 * What a route's path may look like, and which two paths are the same one. The grammar is that of
 * lib/segments.ts, no patterns of the user's (threats P17); here it is held against what a request's
 * path can be at all, and against the gateway's own paths.
 */
import { parsePattern } from '../lib/segments.ts'
import { ownPaths } from '../own-paths.ts'
import { canonicalPath } from '../routing.ts'

const lengthMax = 1024
const wildcardsMax = 10

/** What is wrong with a route's path, or null. */
export function pathFault(path: string): string | null {
  if (path.length > lengthMax) return `is longer than ${lengthMax} characters`
  const segments = parsePattern(path)
  if (typeof segments === 'string') return segments
  const literals = segments.flatMap((segment) => (segment.kind === 'literal' ? [segment.text] : []))
  if (segments.length - literals.length > wildcardsMax)
    return `has more than ${wildcardsMax} wildcards`
  const joined = `/${literals.join('/')}`
  const canonical = canonicalPath(joined)
  if ('code' in canonical || canonical.path !== joined) {
    return 'is not in the form that requests are brought to, so it would never match'
  }
  return collision(path)
}

/** Wildcards that could also match an own path are no collision: own paths are asked first. */
function collision(path: string): string | null {
  const own = ownPaths.find((candidate) => path === candidate || path.startsWith(`${candidate}/`))
  return own === undefined ? null : `is the gateway's own (${own})`
}

/** What is wrong with the path that the management API stands below, or null. */
export function basePathFault(path: string): string | null {
  if (!/^(?:\/[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?){1,4}$/.test(path)) {
    return 'must be one to four segments of a-z 0-9 -, such as /v1 or /admin/v1'
  }
  return collision(path)
}

/** Equal for two paths exactly when they match the same requests: names do not matter. */
export const pathShape = (path: string): string =>
  path.replaceAll(/(?<=\/)(?::[^/]+|\*(?![^/]))/g, ':')
