/**
 * Is each target well? Asked at its own pace, over the same guarded connections as requests, and told
 * to the balancer once several answers in a row say so.
 *
 * A check says nothing to a caller and costs no caller anything. The danger is a check that hangs: each
 * has a time of its own, and the next one waits for it.
 */
import type { Dispatcher } from 'undici'
import type { HealthCheck, Target, Upstream } from '../../../context.ts'
import { hostFor } from '../../../proxy/headers.ts'
import type { Check } from '../../../proxy/send.ts'
import type { Pools, TargetPool } from './pools.ts'

/** Told when the opinion of a target changes. */
export type OnChange = (upstream: Upstream, target: Target, well: boolean) => void

/** Starts asking every target of these upstreams. Call what it answers to stop. */
export function startHealthChecks(
  checks: readonly Check[],
  pools: Pools,
  onChange: OnChange,
): () => void {
  const timers = new Set<ReturnType<typeof setTimeout>>()
  let stopped = false

  function watch({ upstream, balancer }: Check, target: Target, health: HealthCheck): void {
    const at = pools.of(upstream, target)
    let well = true
    let against = 0
    const ask = async (): Promise<void> => {
      const good = await probe(at, upstream, target, health)
      if (stopped) return
      against = good === well ? 0 : against + 1
      if (against >= (well ? health.unhealthyAfter : health.healthyAfter)) {
        well = good
        against = 0
        balancer.mark(target, well)
        onChange(upstream, target, well)
      }
      later()
    }
    const later = (): void => {
      const timer = setTimeout(() => {
        timers.delete(timer)
        void ask()
      }, health.intervalMs)
      timer.unref()
      timers.add(timer)
    }
    void ask()
  }

  for (const check of checks) {
    const { health, targets } = check.upstream
    if (health !== null) for (const target of targets) watch(check, target, health)
  }
  return () => {
    stopped = true
    for (const timer of timers) clearTimeout(timer)
  }
}

/** Whether one GET is answered with 2xx or 3xx, in time and to its end. Never rejects. */
function probe(
  at: TargetPool,
  upstream: Upstream,
  target: Target,
  { path, timeoutMs }: HealthCheck,
): Promise<boolean> {
  return new Promise((resolve) => {
    let controller: Dispatcher.DispatchController | null = null
    let status = 0
    const settle = (good: boolean): void => {
      clearTimeout(timer)
      resolve(good)
    }
    const timer = setTimeout(() => {
      settle(false)
      controller?.abort(new Error('the check took too long'))
    }, timeoutMs)
    const headers = ['host', hostFor(upstream, target), 'user-agent', 'postern-health']
    at.dispatch(
      'health',
      { path, method: 'GET', headers },
      {
        onRequestStart(started) {
          controller = started
        },
        onResponseStart(_, code) {
          status = code
        },
        // undici takes no handler without one, and answers with an error.
        onResponseData() {},
        onResponseEnd: () => settle(status >= 200 && status < 400),
        onResponseError: () => settle(false),
      },
    )
  })
}
