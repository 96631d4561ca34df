/**
 * The connections to upstreams, kept for as long as their upstream stands in the config as it is.
 *
 * A connection is used again only for the credential and tenant it was made for. HTTP/1.1 answers are
 * told apart by their order alone, so an upstream that answers twice, and late, hands its second answer
 * to whoever asks next on that connection; here that can only be the same caller (threats R24). Once it
 * is seen to have sent what nobody asked for, its connections serve one request each for a while. A
 * config that is read again keeps what has not changed in it; the rest finishes what it has begun.
 */
import { type Dispatcher, errors, Pool } from 'undici'
import type { Platform, Target, Upstream } from '../../../context.ts'
import { createConnector, createEchoConnector, type Lookup } from './connect.ts'

/** A request that waits for its turn at a target. */
export type Guest = {
  /** Called once, when its turn has come. */
  start(): void
}

const headerBytesMax = 65_536
/** Owners whose connections are kept open at one target. */
const ownersMax = 1024
const keepAliveMs = 4000
const distrustMs = 600_000

/** One target of one upstream: who is with it, who waits, and the connections by their owner. */
export class TargetPool {
  readonly #origin: string
  readonly #options: Pool.Options
  readonly #activeMax: number
  readonly #waitingMax: number
  readonly #inside = new Set<Guest>()
  readonly #waiting = new Set<Guest>()
  readonly #byOwner = new Map<string, Pool>()
  readonly #retired = new Map<Pool, Promise<void>>()
  #distrustedUntilMs = 0
  #closed = false

  constructor(upstream: Upstream, origin: string, connect: Pool.Options['connect']) {
    this.#origin = origin
    this.#activeMax = upstream.connectionsMax
    this.#waitingMax = upstream.queueMax
    this.#options = {
      connect,
      connections: upstream.connectionsMax,
      pipelining: 1,
      allowH2: false,
      maxHeaderSize: headerBytesMax,
      keepAliveTimeout: keepAliveMs,
      keepAliveMaxTimeout: 10 * keepAliveMs,
      // Time is kept by the hop: undici's own clock ticks twice a second.
      headersTimeout: 0,
      bodyTimeout: 0,
    }
  }

  /** Starts a request now or when its turn comes; false when too many wait already. */
  enter(guest: Guest): boolean {
    if (this.#inside.size < this.#activeMax) {
      this.#inside.add(guest)
      guest.start()
      return true
    }
    if (this.#waiting.size >= this.#waitingMax) return false
    this.#waiting.add(guest)
    return true
  }

  /** Ends a request's stay, wherever it was, and lets the next one in. */
  leave(guest: Guest): void {
    if (this.#waiting.delete(guest) || !this.#inside.delete(guest)) return
    for (const next of this.#waiting) {
      this.#waiting.delete(next)
      this.#inside.add(next)
      next.start()
      return
    }
  }

  dispatch(
    owner: string,
    options: Dispatcher.DispatchOptions,
    handler: Dispatcher.DispatchHandler,
  ) {
    const once = this.#distrustedUntilMs > 0 && performance.now() < this.#distrustedUntilMs
    this.#poolOf(owner).dispatch(once ? { ...options, reset: true } : options, handler)
    // One that waited while its upstream left the config: its connection is for it alone.
    if (this.#closed) this.retire()
  }

  #poolOf(owner: string): Pool {
    const known = this.#byOwner.get(owner)
    if (known !== undefined) return known
    for (const [oldest, pool] of this.#byOwner) {
      if (this.#byOwner.size < ownersMax) break
      this.#byOwner.delete(oldest)
      this.#retire(pool)
    }
    const pool = new Pool(this.#origin, this.#options)
    pool.on('disconnect', (_, __, error) => {
      if (error instanceof errors.HTTPParserError) {
        this.#distrustedUntilMs = performance.now() + distrustMs
      }
    })
    this.#byOwner.set(owner, pool)
    return pool
  }

  #retire(pool: Pool): void {
    this.#retired.set(
      pool,
      pool.close().finally(() => this.#retired.delete(pool)),
    )
  }

  /** Takes nothing in any more: what is under way or waits ends in order, and its connections then. */
  retire(): void {
    this.#closed = true
    for (const pool of this.#byOwner.values()) this.#retire(pool)
    this.#byOwner.clear()
  }

  /** Whether there is anything left to end. */
  get isIdle(): boolean {
    return this.#inside.size === 0 && this.#waiting.size === 0 && this.#retired.size === 0
  }

  /** Cuts every connection. */
  async destroy(): Promise<void> {
    this.retire()
    await Promise.all([...this.#retired.keys()].map((pool) => pool.destroy()))
  }
}

export type Pools = {
  /** Opens what is new among these platforms' upstreams, and closes what is there no more. */
  adopt(platforms: readonly Platform[]): void
  /** Throws for an upstream that was not adopted. */
  of(upstream: Upstream, target: Target): TargetPool
  /** Cuts every connection: by then nobody waits for an answer, and a health check is not waited for. */
  close(): Promise<void>
}

export type PoolsOptions = {
  /** The port of loopback where the built-in upstream listens; asked when it is first needed. */
  echoPort(): Promise<number>
  readonly lookup?: Lookup
}

type UpstreamPools = ReadonlyMap<string, TargetPool>

/** Creates an empty set of pools. Connections are made when they are first needed. */
export function createPools({ echoPort, lookup }: PoolsOptions): Pools {
  let kept = new Map<string, UpstreamPools>()
  // Weak: a request that began under the config before still finds its own.
  const byUpstream = new WeakMap<Upstream, UpstreamPools>()
  /** No longer in the config, and not at their end when that was last looked at. */
  let retired: TargetPool[] = []

  function open(upstream: Upstream): UpstreamPools {
    const echo = upstream.builtin === 'echo'
    const connect = echo ? createEchoConnector(echoPort) : createConnector(upstream, lookup)
    const { targets } = upstream
    return new Map(targets.map(({ origin }) => [origin, new TargetPool(upstream, origin, connect)]))
  }

  return {
    adopt(platforms) {
      const next = new Map<string, UpstreamPools>()
      for (const { id, upstreams } of platforms) {
        for (const upstream of upstreams) {
          const name = `${id}\n${JSON.stringify(upstream)}`
          const pools = next.get(name) ?? kept.get(name) ?? open(upstream)
          next.set(name, pools)
          byUpstream.set(upstream, pools)
        }
      }
      retired = retired.filter((pool) => !pool.isIdle)
      for (const [name, pools] of kept) {
        if (next.has(name)) continue
        for (const pool of pools.values()) {
          pool.retire()
          retired.push(pool)
        }
      }
      kept = next
    },
    of(upstream, target) {
      const pool = byUpstream.get(upstream)?.get(target.origin)
      if (pool === undefined) throw new Error(`upstream ${upstream.name} has no pool`)
      return pool
    },
    async close() {
      const all = [...retired, ...[...kept.values()].flatMap((pools) => [...pools.values()])]
      kept = new Map()
      retired = []
      await Promise.all(all.map((pool) => pool.destroy()))
    },
  }
}
