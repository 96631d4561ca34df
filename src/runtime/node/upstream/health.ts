/**
 * Is each target well? Asked at its own pace, over the same guarded connections as requests, and told
 * to the balancer once several answers in a row say so.
 *
 * A check says nothing to a caller and costs no caller anything. The danger is a check that hangs: each
 * has a time of its own, and the next one waits for it.
 */
import type { Socket } from 'node:net'
import type { HealthCheck, Target, Upstream } from '../../../context.ts'
import { hostFor } from '../../../proxy/headers.ts'
import type { Check } from '../../../proxy/send.ts'
import type { TargetPool } from './pool.ts'
import type { Pools } from './pools.ts'
import { requestHead } from './request.ts'
import type { Rider, Wire } from './wire.ts'

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
    const headers = ['host', hostFor(upstream, target), 'user-agent', 'postern-health']
    const isLast = at.isOnce
    const head = requestHead({
      method: 'GET',
      path,
      headers,
      hasBody: false,
      upgrade: false,
      wholeBytes: null,
      isLast,
    })
    at.carry('health', new Probe(head, timeoutMs, resolve), false)
  })
}

class Probe implements Rider {
  readonly #head: string
  readonly #settle: (good: boolean) => void
  readonly #timer: ReturnType<typeof setTimeout>
  #wire: Wire | null = null
  #status = 0
  #over = false

  constructor(head: string, timeoutMs: number, settle: (good: boolean) => void) {
    this.#head = head
    this.#settle = settle
    this.#timer = setTimeout(() => {
      this.#wire?.destroy()
      this.#end(false)
    }, timeoutMs)
  }

  board(wire: Wire): boolean {
    if (this.#over) return false
    this.#wire = wire
    wire.send(this, this.#head, null, false, false, false)
    return true
  }

  onHead(status: number): void {
    this.#status = status
  }

  onEnd(): void {
    this.#end(this.#status >= 200 && this.#status < 400)
  }

  onFault(): void {
    this.#end(false)
  }

  onSwitch(_: string[], socket: Socket): void {
    socket.destroy()
    this.#end(false)
  }

  onBody(): void {}
  onInformation(): void {}
  onPause(): void {}
  onSent(): void {}

  #end(good: boolean): void {
    this.#over = true
    clearTimeout(this.#timer)
    this.#settle(good)
  }
}
