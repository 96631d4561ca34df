/**
 * What is a request counted against? From a platform, a route, an API key and a tenant to the nodes
 * that are charged together, and from nodes to the counters behind them.
 *
 * Counting is keyed by the id of the API key, never by its secret, so rotation neither resets nor
 * doubles anything. The shard is platform and environment: test traffic cannot touch a live counter
 * (L17), and a tree never spans two Redis slots (L10).
 */
import type { CounterNode, CounterTree, KeyRecord, Limit, Platform, Route } from '../context.ts'

/** A tree, and for each of its limits (in node order) the name that callers see. */
export type NamedTree = {
  readonly tree: CounterTree
  readonly names: readonly string[]
  /** Per node: how a sentence names it. */
  readonly owners: readonly string[]
}

/** The limits a key is held to: its own, else its class's, else its environment's. */
export function effectiveLimits(platform: Platform, record: KeyRecord): readonly Limit[] {
  return (
    record.limits ??
    platform.limits.classes[record.class] ??
    platform.limits.environments[record.environment].key
  )
}

/**
 * Builds the tree tenant -> API key -> route. A node without limits is left out; so is the tenant
 * where the platform has none. A limit is called after its node, and after itself where the node has
 * several: `key`, or `key-burst` and `key-minute`.
 */
export function treeFor(
  platform: Platform,
  route: Route,
  record: KeyRecord,
  tenant: string | null,
): NamedTree {
  const nodes: CounterNode[] = []
  const names: string[] = []
  const owners: string[] = []
  const add = (name: string, owner: string, key: string, limits: readonly Limit[]): void => {
    if (limits.length === 0) return
    nodes.push({ key, limits })
    owners.push(owner)
    for (const limit of limits) {
      names.push(unique(limits.length === 1 ? name : `${name}-${limit.name}`, names))
    }
  }
  const { tenant: perTenant } = platform.limits.environments[record.environment]
  if (tenant !== null) add('tenant', 'this tenant', join('tenant', tenant), perTenant)
  add('key', 'this API key', join('key', record.id), effectiveLimits(platform, record))
  add('route', 'this API key on this route', join('route', record.id, route.id), route.limits)
  return { tree: { shard: `${platform.id}:${record.environment}`, nodes }, names, owners }
}

/**
 * Joins parts so that no two lists of parts give the same string: each part after its length, as
 * netstrings do. `a:b` + `c` and `a` + `b:c` stay apart (T16).
 */
export function join(...parts: readonly string[]): string {
  let joined = ''
  for (const part of parts) joined += `${part.length}:${part}`
  return joined
}

function unique(name: string, taken: readonly string[]): string {
  let candidate = name
  for (let n = 2; taken.includes(candidate); n++) candidate = `${name}-${n}`
  return candidate
}

/** One count: a place and a window length. `quota` is the smallest of the limits that share it. */
export type PlannedCounter = {
  readonly key: string
  readonly windowSeconds: number
  readonly quota: number
  /** One of those limits says `exact`: no unit of it is ever lent. */
  readonly exact: boolean
  /** The limit with that quota, and its node: what a refusal names. */
  readonly limit: Limit
  readonly node: number
}

/** The counters behind a tree, each once, and for each limit in node order the counter it reads. */
export type Plan = {
  readonly counters: readonly PlannedCounter[]
  readonly limits: readonly {
    readonly limit: Limit
    readonly node: number
    readonly counter: number
  }[]
}

/** Works out the counters of a tree. Two limits of one node and one window length share a counter. */
export function planTree(tree: CounterTree): Plan {
  const counters: PlannedCounter[] = []
  const limits: Plan['limits'][number][] = []
  tree.nodes.forEach((node, at) => {
    for (const limit of node.limits) {
      const { quota, windowSeconds } = limit
      const key = `${join(node.key)}:${windowSeconds}`
      let counter = counters.findIndex((other) => other.key === key)
      const known = counters[counter]
      const exact = limit.counting === 'exact' || known?.exact === true
      const planned = { key, windowSeconds, quota, exact, limit, node: at }
      if (known === undefined) counter = counters.push(planned) - 1
      else counters[counter] = quota < known.quota ? planned : { ...known, exact }
      limits.push({ limit, node: at, counter })
    }
  })
  return { counters, limits }
}
