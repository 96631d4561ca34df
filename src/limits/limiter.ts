/**
 * May this caller go now? Charges a request to its tenant, its API key and its route at once, and
 * says what the caller is told. It runs after the key has been verified, so a wrong secret costs
 * nobody's quota (L14). It does not know who the caller is, nor where the counts are kept.
 *
 * The danger is the store. When it does not answer, each limit says by name what happens: `local`
 * counts this node's share in memory, `allow` stops counting, `deny` refuses. While the store does
 * answer, this node also counts what it let through, so an outage begins with that and not with
 * nothing. What was counted here is not told to the store afterwards: the window with the outage in
 * it may hold twice the quota, even when the store comes back empty (L6); and a little under three
 * times when each part of that traffic came through other nodes.
 */
import type {
  Borrowed,
  Counter,
  CounterTree,
  KeyRecord,
  Limit,
  Platform,
  Route,
} from '../context.ts'
import { StoreDown } from '../context.ts'
import type { Refusal } from '../problem.ts'
import { type HeaderPlan, planHeaders, rateLimitHeaders } from './headers.ts'
import type { MemoryCounter } from './memory.ts'
import { type NamedTree, treeFor } from './tree.ts'

/** The verdict, and the RateLimit headers that go with either. `Retry-After` is in the refusal. */
export type Charge =
  | { readonly ok: true; readonly headers: Record<string, string> }
  | {
      readonly ok: false
      readonly refusal: Refusal
      readonly headers: Record<string, string>
    }

export type Limiter = {
  /**
   * Charges `route.cost` to every node at once, or to none. Synchronous when the counter is.
   * Refuses with `rate_limit/exceeded` or, when the store is down, `limits/unavailable`.
   */
  charge(
    platform: Platform,
    route: Route,
    record: KeyRecord,
    tenant: string | null,
  ): Charge | Promise<Charge>
}

export type LimiterOptions = {
  readonly counter: Counter
  /** A counter in memory of this node's own. The same object as `counter` where there is no store. */
  readonly local: MemoryCounter
  /** The part of each quota this node enforces while the store is down: 1 / nodes. */
  readonly nodeShare: number
}

/** A tree that is charged, with what its answers need. */
type Prepared = { readonly tree: CounterTree; readonly headers: HeaderPlan }

type Entry = Prepared & {
  readonly named: NamedTree
  /** While the store is down: what this node counts, or null when nothing says `local`. */
  readonly local: Prepared | null
  /** The name of a limit that says `deny`, or null. */
  readonly denying: string | null
}

/** With more tenants than this under one record and route, their trees are built anew. */
const tenantsMax = 1000

/** Builds the limiter. It keeps built trees for as long as their key records are cached elsewhere. */
export function createLimiter({ counter, local, nodeShare }: LimiterOptions): Limiter {
  const mirrors = counter !== local
  const entries = new WeakMap<KeyRecord, Map<Route, Map<string | null, Entry>>>()

  function entryFor(
    platform: Platform,
    route: Route,
    record: KeyRecord,
    tenant: string | null,
  ): Entry {
    const known = entries.get(record)?.get(route)?.get(tenant)
    if (known !== undefined) return known
    const routes = entries.get(record) ?? new Map<Route, Map<string | null, Entry>>()
    let tenants = routes.get(route)
    if (tenants === undefined || tenants.size >= tenantsMax) tenants = new Map()
    const entry = prepare(treeFor(platform, route, record, tenant), nodeShare)
    entries.set(record, routes.set(route, tenants.set(tenant, entry)))
    return entry
  }

  /** Counts here too what the store granted, so that an outage does not begin at nothing. */
  function granted(entry: Entry, cost: number, borrowed: Borrowed): Charge {
    if (mirrors && borrowed.granted && entry.local !== null) local.note(entry.local.tree, cost)
    return answer(entry, entry, cost, borrowed)
  }

  /** The store did not answer: what each limit says about that. */
  function withoutStore(entry: Entry, cost: number, error: unknown): Charge | Promise<Charge> {
    if (!(error instanceof StoreDown)) throw error
    if (entry.denying !== null) return unavailable(`"${entry.denying}" denies: ${error.message}`)
    if (entry.local === null) return { ok: true, headers: {} }
    const { local: share } = entry
    const borrowed = local.borrow(share.tree, cost)
    if (!(borrowed instanceof Promise)) return answer(entry, share, cost, borrowed)
    return borrowed.then(
      (value) => answer(entry, share, cost, value),
      () => unavailable('neither the store nor this node can count'),
    )
  }

  return {
    charge(platform, route, record, tenant) {
      const entry = entryFor(platform, route, record, tenant)
      const { cost } = route
      if (entry.tree.nodes.length === 0) return { ok: true, headers: {} }
      const borrowed = counter.borrow(entry.tree, cost)
      if (!(borrowed instanceof Promise)) return granted(entry, cost, borrowed)
      return borrowed.then(
        (value) => granted(entry, cost, value),
        (error: unknown) => withoutStore(entry, cost, error),
      )
    },
  }
}

function prepare(named: NamedTree, nodeShare: number): Entry {
  const { tree, names } = named
  const limits = tree.nodes.flatMap((node) => node.limits)
  const at = limits.findIndex((limit) => limit.onStoreDown === 'deny')
  return {
    named,
    tree,
    headers: planHeaders(names, limits),
    local: shareOf(named, nodeShare),
    denying: at < 0 ? null : names[at]!,
  }
}

/** The limits that say `local`, each with this node's share of its quota, at least 1. */
function shareOf({ tree, names }: NamedTree, nodeShare: number): Prepared | null {
  const scale = (limit: Limit): Limit => ({
    ...limit,
    quota: Math.max(1, Math.floor(limit.quota * nodeShare)),
  })
  const isLocal = (limit: Limit): boolean => limit.onStoreDown === 'local'
  const all = tree.nodes.flatMap((node) => node.limits)
  // Nodes keep their places, with or without limits, so that a refusal names the same node.
  const nodes = tree.nodes.map(({ key, limits }) => ({
    key,
    limits: limits.filter(isLocal).map(scale),
  }))
  const limits = nodes.flatMap((node) => node.limits)
  if (limits.length === 0) return null
  const localNames = names.filter((_, i) => isLocal(all[i]!))
  return { tree: { shard: tree.shard, nodes }, headers: planHeaders(localNames, limits) }
}

function answer(entry: Entry, charged: Prepared, cost: number, borrowed: Borrowed): Charge {
  const headers = rateLimitHeaders(charged.headers, borrowed)
  if (borrowed.granted) return { ok: true, headers }
  const { node, limit, retryAfterSeconds } = borrowed
  const owner = entry.named.owners[node]!
  if (retryAfterSeconds !== Number.POSITIVE_INFINITY) {
    const detail = `The limit "${limit.name}" of ${owner} (${limit.quota} per ${limit.windowSeconds} s) is used up. Try again in ${retryAfterSeconds} s.`
    const refusal: Refusal = {
      code: 'rate_limit/exceeded',
      detail,
      headers: { 'retry-after': String(retryAfterSeconds) },
    }
    return { ok: false, refusal, headers }
  }
  // Never, on this node: but the whole quota may have room for it once the store is back.
  if (charged !== entry) return unavailable(`a cost of ${cost} is more than this node's share`)
  const detail = `This route costs ${cost}, more than the limit "${limit.name}" of ${owner} ever allows (${limit.quota} per ${limit.windowSeconds} s).`
  return { ok: false, refusal: { code: 'rate_limit/exceeded', detail }, headers }
}

function unavailable(cause: string): Charge {
  const headers = { 'retry-after': '1' }
  return { ok: false, refusal: { code: 'limits/unavailable', cause, headers }, headers: {} }
}
