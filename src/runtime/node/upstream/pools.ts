/**
 * The connections to upstreams, kept for as long as their upstream stands in the config as it is.
 *
 * A config that is read again keeps what has not changed in it; the rest finishes what it has begun.
 * What is kept is bounded by the config: a pool for each target.
 */
import type { Platform, Target, Upstream } from '../../../context.ts'
import { createConnect, createEchoConnect, type Lookup } from './connect.ts'
import { TargetPool } from './pool.ts'

export type Pools = {
  /** Opens what is new among these platforms' upstreams, and closes what is there no more. */
  adopt(platforms: readonly Platform[]): void
  /** Throws for an upstream that was not adopted. */
  of(upstream: Upstream, target: Target): TargetPool
  /** Cuts every connection: by then nobody waits for an answer, and a health check is not waited for. */
  close(): void
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
    const connectTo = (target: Target) =>
      echo ? createEchoConnect(echoPort) : createConnect(upstream, target, lookup)
    return new Map(
      upstream.targets.map((target) => [
        target.origin,
        new TargetPool(upstream, connectTo(target)),
      ]),
    )
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
    close() {
      const all = [...retired, ...[...kept.values()].flatMap((pools) => [...pools.values()])]
      kept = new Map()
      retired = []
      for (const pool of all) pool.destroy()
    },
  }
}
