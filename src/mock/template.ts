/**
 * Path templates of OpenAPI: which operation does a path call, and what did it put in the braces? A
 * segment may have text around its parameter (`/files/{name}.json`), which the gateway's own patterns
 * cannot say, so the place is found by whole segments and the texts are compared there.
 */
import { createSegmentTree, parsePattern, type Segment } from '../lib/segments.ts'

/** Literal texts and parameters in turn: `['', 'name', '.json']`; a literal segment is one text. */
type Parts = readonly string[]

export type Template = {
  readonly names: readonly string[]
  readonly parts: readonly Parts[]
  readonly segments: readonly Segment[]
}

const literal = /^[\w~!$&'()+,=:@.%-]*$/

/** Reads `/v1/things/{id}`, or says in half a sentence what is wrong with it. */
export function parseTemplate(path: string): Template | string {
  if (!path.startsWith('/') || path.length > 1000) return 'is no path that can be served'
  const parts = path
    .slice(1)
    .split('/')
    .map((segment) => segment.split(/\{([^{}]*)\}/))
  const names = parts.flatMap((segment) => segment.filter((_, i) => i % 2 === 1))
  if (names.includes('')) return 'has a parameter without a name'
  if (new Set(names).size < names.length) return 'names a parameter twice'
  if (!parts.every((segment) => segment.every((text, i) => i % 2 === 1 || literal.test(text)))) {
    return 'has a segment that no path can hold'
  }
  const segments = parsePattern(routePath({ parts }))
  return typeof segments === 'string' ? segments : { names, parts, segments }
}

/** The pattern of postern.yaml for a template: `/v1/things/:id`. */
export function routePath({ parts }: Pick<Template, 'parts'>): string {
  const taken = new Set<string>()
  return `/${parts.map((segment) => routeSegment(segment, taken)).join('/')}`
}

function routeSegment(parts: Parts, taken: Set<string>): string {
  const [before = '', name, after] = parts
  if (name === undefined) return before
  // A name has letters, digits and `_` there; what is around it is told apart here alone.
  const plain = name.replaceAll(/\W/g, '_')
  if (parts.length > 3 || before !== '' || after !== '') return '*'
  if (!/^[A-Za-z_]/.test(plain) || taken.has(plain)) return '*'
  taken.add(plain)
  return `:${plain}`
}

/** A template that matched, and the decoded texts of its parameters by name. */
export type Matched<T> = { readonly value: T; readonly parameters: ReadonlyMap<string, string> }

export type Templates<T> = {
  add(method: string, template: Template, value: T): void
  /** The value of the most exact template of the method. null: none. */
  find(method: string, path: string): Matched<T> | null
}

type Candidate<T> = { readonly method: string; readonly template: Template; readonly value: T }

/** Creates an empty table of templates. Its `find` takes canonical paths. */
export function createTemplates<T>(): Templates<T> {
  const tree = createSegmentTree<Candidate<T>[]>()
  return {
    add(method, template, value) {
      const here = tree.place(template.segments, () => [])
      here.push({ method, template, value })
      // More literal text is more exact: `/files/{name}.json` goes before `/files/{name}`.
      here.sort((a, b) => literalLength(b.template) - literalLength(a.template))
    },
    find(method, path) {
      const segments = path.slice(1).split('/')
      for (const one of tree.find(path) ?? []) {
        if (one.method !== method) continue
        const parameters = new Map<string, string>()
        const { parts } = one.template
        if (parts.every((part, i) => takeSegment(part, segments[i] ?? '', parameters))) {
          return { value: one.value, parameters }
        }
      }
      return null
    },
  }
}

const literalLength = ({ parts }: Template): number =>
  parts.reduce(
    (sum, part) => sum + part.reduce((n, text, i) => (i % 2 === 0 ? n + text.length : n), 0),
    0,
  )

/** Each parameter takes at least one character, up to the first place where the next text stands. */
function takeSegment(parts: Parts, segment: string, into: Map<string, string>): boolean {
  if (parts.length === 1) return parts[0] === segment
  if (!segment.startsWith(parts[0] ?? '')) return false
  let at = parts[0]?.length ?? 0
  for (let i = 1; i < parts.length; i += 2) {
    const next = parts[i + 1] ?? ''
    const isLast = i + 2 >= parts.length
    const end = next === '' || isLast ? segment.length - next.length : segment.indexOf(next, at + 1)
    if (end <= at || !segment.startsWith(next, end)) return false
    into.set(parts[i] ?? '', decoded(segment.slice(at, end)))
    at = end + next.length
  }
  return at === segment.length
}

function decoded(text: string): string {
  if (!text.includes('%')) return text
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
