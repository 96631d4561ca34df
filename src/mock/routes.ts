/**
 * Which routes and permissions would guard what a document describes? A proposal to be reviewed: one
 * route for each path and permission, permissions from the document's scopes where they read
 * `service:action`, else from the path and whether a method reads or writes.
 */
import type { ApiDocument, Operation } from './document.ts'
import { snake } from './realistic.ts'
import type { Note } from './sources.ts'
import { routePath } from './template.ts'

export type ProposedRoute = {
  readonly path: string
  readonly methods: readonly string[]
  readonly upstream: string
  readonly permission?: string
}

export type Proposal = {
  readonly permissions: Readonly<Record<string, readonly string[]>>
  readonly upstreams: readonly { readonly name: string; readonly url: string }[]
  readonly routes: readonly ProposedRoute[]
  /** What was left out of the routes, and why. */
  readonly leftOut: readonly Note[]
}

const reads = new Set(['GET', 'HEAD', 'OPTIONS'])
const servable = new Set(['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'QUERY'])

/** Proposes what stands in postern.yaml for a document. `upstream`: the name its service gets. */
export function proposeRoutes(document: ApiDocument, upstream: string): Proposal {
  const routes = new Map<string, { path: string; methods: string[]; permission: string | null }>()
  const taken = new Map<string, string>()
  const leftOut: Note[] = []
  for (const operation of document.operations) {
    const { method, at, isOpen } = operation
    const path = routePath(operation.template)
    // Two templates that differ in names alone are one route.
    const shape = `${method} ${path.replaceAll(/:\w+/g, ':')}`
    const before = taken.get(shape)
    if (!servable.has(method)) leftOut.push({ at, says: `${method} is not served` })
    else if (before !== undefined && before !== path) {
      leftOut.push({ at, says: `takes the same requests as ${before}` })
    } else {
      taken.set(shape, path)
      if (isOpen)
        leftOut.push({ at, says: 'needs no key in the document; here every route takes one' })
      const permission = isOpen ? null : permissionOf(operation)
      const key = `${path} ${permission}`
      const route = routes.get(key) ?? { path, methods: [], permission }
      if (!route.methods.includes(method)) route.methods.push(method)
      routes.set(key, route)
    }
  }
  const proposed = [...routes.values()]
  return {
    permissions: treeOf(proposed.flatMap(({ permission }) => permission ?? [])),
    upstreams: [{ name: upstream, url: originOf(document.servers[0]) }],
    routes: proposed.map(({ path, methods, permission }) => ({
      path,
      methods,
      upstream,
      ...(permission !== null && { permission }),
    })),
    leftOut,
  }
}

const originOf = (url: string | undefined): string =>
  (url === undefined ? null : URL.parse(url))?.origin ?? 'https://service.example.com'

/** 1 to 32 of a-z 0-9 _ -, starting with a letter: what postern.yaml takes. */
function word(text: string): string | null {
  const plain = snake(text)
    .replace(/^[^a-z]+/, '')
    .replaceAll(/_+$/g, '')
    .slice(0, 32)
  return plain === '' ? null : plain
}

function permissionOf({ scopes, template, tags, method }: Operation): string {
  for (const scope of scopes) {
    const [, service = '', action = ''] =
      /^([A-Za-z][\w-]*)[:./]([A-Za-z][\w-]*)$/.exec(scope) ?? []
    const [first, second] = [word(service), word(action)]
    if (first !== null && second !== null) return `${first}:${second}`
  }
  const literals = template.parts.flatMap((part) => (part.length === 1 ? part : []))
  const named = literals.find(
    (text) => word(text) !== null && !/^(?:v\d+(?:\.\d+)*|api|rest)$/i.test(text),
  )
  const service = word(named ?? tags[0] ?? '') ?? 'api'
  return `${service}:${reads.has(method) ? 'read' : method === 'DELETE' ? 'delete' : 'write'}`
}

function treeOf(permissions: readonly string[]): Record<string, string[]> {
  const tree: Record<string, string[]> = {}
  for (const permission of [...new Set(permissions)].sort()) {
    const [service = '', action = ''] = permission.split(':')
    const actions = tree[service] ?? []
    tree[service] = [...actions, action]
  }
  return tree
}
