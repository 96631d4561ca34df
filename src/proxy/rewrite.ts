/**
 * Which path does the upstream get? A route's `rewrite` template, filled with what its pattern took.
 *
 * It works on the segments of a canonical path as they stand, still escaped, and moves only whole
 * ones: nothing is decoded, joined or cut, so what comes out is canonical again (threats P14) and no
 * segment can become an authority or a dot segment (S5).
 */
import { parsePattern, type Segment } from '../lib/segments.ts'

/** Takes a canonical path that the pattern matches. It may grow past the length a caller may send. */
export type Rewrite = (path: string) => string

/**
 * Compiles a template such as `/api/:id/**` for the paths of a pattern, or says in half a sentence
 * what is wrong with it. `:name` is what the pattern's `:name` took, a last `**` what its `**` took,
 * which may be nothing; anything else is a literal, without escapes.
 */
export function compileRewrite(pattern: string, template: string): Rewrite | string {
  const taken = parsePattern(pattern)
  if (typeof taken === 'string') return `cannot be made of a path that ${taken}`
  const wanted = parsePattern(template)
  if (typeof wanted === 'string') return wanted
  const fault = wanted.map((segment) => segmentFault(segment, taken)).find((said) => said !== null)
  if (fault !== undefined) return fault
  const before = taken.filter(({ kind }) => kind !== 'rest').length
  const rest = wanted.at(-1)?.kind === 'rest'
  const parts = wanted
    .filter((segment) => segment.kind !== 'rest')
    .map((segment) => (segment.kind === 'literal' ? segment.text : placeOf(segment, taken)))
  const head = parts.some((part) => typeof part === 'number') ? null : joined(parts, [])
  return (path) => {
    const start = head ?? joined(parts, path.split('/', before + 1))
    return (rest ? start + restOf(path, before) : start) || '/'
  }
}

function segmentFault(segment: Segment, taken: readonly Segment[]): string | null {
  if (segment.kind === 'rest') {
    return taken.at(-1)?.kind === 'rest' ? null : 'has a ** that the path does not have'
  }
  if (segment.kind === 'literal') {
    if (segment.text.includes('%')) return 'has an escape in a literal'
    return /^\.{1,2}$/.test(segment.text) ? 'has a dot segment' : null
  }
  if (segment.name === null) return 'has a *, which has no name to take it by'
  return placeOf(segment, taken) > 0 ? null : `has a :${segment.name} that the path does not have`
}

/** Where in `path.split('/')` the value of a parameter stands; 0 when the pattern has none such. */
const placeOf = (wanted: Segment, taken: readonly Segment[]): number =>
  taken.findIndex(
    (segment) =>
      segment.kind === 'parameter' && wanted.kind === 'parameter' && segment.name === wanted.name,
  ) + 1

/** Literals, and the places of values among those of the path. */
function joined(parts: readonly (string | number)[], values: readonly string[]): string {
  let text = ''
  for (const part of parts) text += `/${typeof part === 'string' ? part : values[part]}`
  return text
}

/** What stands behind a number of segments, from its slash on; '' when there is nothing. */
function restOf(path: string, segments: number): string {
  if (path === '/') return ''
  let at = 0
  for (let passed = 0; passed < segments && at >= 0; passed++) at = path.indexOf('/', at + 1)
  return at < 0 ? '' : path.slice(at)
}
