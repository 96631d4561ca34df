/**
 * Path patterns by segments: literals, `:name` for one segment, `*` for one without a name, and a
 * last `**` for all the rest (also nothing). No regular expressions: a lookup visits each node of the tree at most once, so
 * its cost is bounded by the patterns and not by the path (threats P17).
 */

export type Segment =
  | { readonly kind: 'literal'; readonly text: string }
  /** Takes one segment that is not empty. null: written `*`, and nobody asks what it took. */
  | { readonly kind: 'parameter'; readonly name: string | null }
  | { readonly kind: 'rest' }

const segmentsMax = 20
const literalText = /^[\w~!$&'()*+,=:@.%-]+$/
const parameterName = /^[A-Za-z_]\w*$/

/** Reads a pattern such as `/v1/items/:id`, or says in half a sentence what is wrong with it. */
export function parsePattern(pattern: string): readonly Segment[] | string {
  if (!pattern.startsWith('/')) return 'must start with /'
  if (pattern === '/') return []
  const texts = pattern.slice(1).split('/')
  if (texts.length > segmentsMax) return `has more than ${segmentsMax} segments`
  const segments: Segment[] = []
  const names = new Set<string>()
  for (const [index, text] of texts.entries()) {
    const segment = parseSegment(text, index === texts.length - 1)
    if (typeof segment === 'string') return segment
    segments.push(segment)
    if (segment.kind !== 'parameter' || segment.name === null) continue
    if (names.size === names.add(segment.name).size) return `names :${segment.name} twice`
  }
  return segments
}

function parseSegment(text: string, last: boolean): Segment | string {
  if (text === '') return 'has an empty segment'
  if (text === '**') return last ? { kind: 'rest' } : 'has ** before its last segment'
  if (text === '*') return { kind: 'parameter', name: null }
  if (text.includes('*')) return 'has a * inside a segment; * is a whole one, a last ** the rest'
  if (text.startsWith(':')) {
    const name = text.slice(1)
    return parameterName.test(name)
      ? { kind: 'parameter', name }
      : `has a parameter named "${name}"; use letters, digits and _`
  }
  return literalText.test(text)
    ? { kind: 'literal', text }
    : `has "${text}", which no path can hold`
}

type Node<T> = {
  readonly literals: Map<string, Node<T>>
  parameter: Node<T> | null
  /** What stands at a pattern that ends here, and at one that ends here with `**`. */
  here: T | null
  rest: T | null
}

const createNode = <T>(): Node<T> => ({
  literals: new Map(),
  parameter: null,
  here: null,
  rest: null,
})

/** Values kept under patterns; patterns that differ only in parameter names are one place. */
export type SegmentTree<T> = {
  /** The value at the pattern's place; `make` makes it when there is none yet. */
  place(segments: readonly Segment[], make: () => T): T
  /** The value of the most exact pattern: at each segment literal, then parameter, then `**`. */
  find(path: string): T | null
}

/** Creates an empty tree. `find` takes canonical paths; a trailing slash is a segment of its own. */
export function createSegmentTree<T>(): SegmentTree<T> {
  const root = createNode<T>()
  // Patterns without parameters are the most exact there are, so one lookup settles them.
  const exact = new Map<string, T>()
  let depth = 0

  return {
    place(segments, make) {
      depth = Math.max(depth, segments.length)
      let node = root
      for (const segment of segments) {
        if (segment.kind === 'rest') {
          node.rest ??= make()
          return node.rest
        }
        node = segment.kind === 'literal' ? belowLiteral(node, segment.text) : belowAny(node)
      }
      node.here ??= make()
      if (segments.every((segment) => segment.kind === 'literal')) {
        exact.set(`/${segments.map((segment) => segment.text).join('/')}`, node.here)
      }
      return node.here
    },
    find(path) {
      // No pattern looks at more segments than the deepest has, plus one that says "there is more".
      return exact.get(path) ?? walk(root, path === '/' ? [''] : path.split('/', depth + 2), 1)
    },
  }
}

function belowLiteral<T>(node: Node<T>, text: string): Node<T> {
  const found = node.literals.get(text) ?? createNode<T>()
  node.literals.set(text, found)
  return found
}

function belowAny<T>(node: Node<T>): Node<T> {
  node.parameter ??= createNode()
  return node.parameter
}

function walk<T>(node: Node<T>, segments: readonly string[], at: number): T | null {
  const segment = segments[at]
  if (segment === undefined) return node.here ?? node.rest
  const literal = node.literals.get(segment)
  const found = literal === undefined ? null : walk(literal, segments, at + 1)
  if (found !== null) return found
  if (node.parameter !== null && segment !== '') {
    const taken = walk(node.parameter, segments, at + 1)
    if (taken !== null) return taken
  }
  return node.rest
}
