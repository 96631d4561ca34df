/**
 * Which target of an upstream gets the next request? Smooth weighted round robin over those that are
 * fit, so that a heavy target's turns are spread between the others'. Not fit is a target that the
 * active check calls unwell, and one that has failed several times in a row: that is left alone for a
 * time, then tried with one request, whose fate decides.
 *
 * It asks nobody and waits for nothing; time is a parameter, in milliseconds of a clock that never
 * goes back. The danger is a trial of which nothing is ever heard (Workers may end a request at any
 * point): it must not shut its target out for good, so a trial runs out.
 */
import type { Platform, Target, Upstream } from '../context.ts'

/** A target as a health page shows it. */
export type TargetState = {
  readonly origin: string
  /** The active check's word; true where there is none. */
  readonly well: boolean
  readonly breaker: 'closed' | 'open' | 'half_open'
  /** Failures in a row. */
  readonly failures: number
}

/** Targets are known by their origin, so those of a newer configuration are the same ones. */
export type Balancer = {
  /**
   * The target whose turn it is, or null when none is fit. Targets in `tried` are passed over. A
   * target whose breaker is half open is given out once: say what became of it.
   */
  pick(nowMs: number, tried: readonly Target[] | null): Target | null
  /** It answered, whatever it answered: its failures are forgotten. */
  succeeded(target: Target): void
  /** It could not be reached, or made no sense. After `breaker.failures` in a row its breaker opens. */
  failed(target: Target, nowMs: number): void
  /** The try says nothing of the target (the client left). Another trial may begin. */
  released(target: Target): void
  /** The active check's word. With all targets unwell, requests fail at once. */
  mark(target: Target, well: boolean): void
  states(nowMs: number): TargetState[]
}

type Seat = {
  readonly target: Target
  weight: number
  current: number
  well: boolean
  failures: number
  /** 0: the breaker is closed. */
  openUntilMs: number
  /** 0: no trial is under way. */
  trialUntilMs: number
}

/** Creates the balancer of one upstream. Nothing in it grows. */
export function createBalancer(upstream: Pick<Upstream, Relevant>): Balancer {
  const { breaker, connectMs, headersMs } = upstream
  const trialMs = Math.max(breaker.openMs, connectMs + headersMs)
  const seats = seatsOf(upstream.targets)
  const seatOf = ({ origin }: Target): Seat | undefined =>
    seats.find((seat) => seat.target.origin === origin)

  return {
    pick(nowMs, tried) {
      let best: Seat | null = null
      let total = 0
      for (const seat of seats) {
        if (!isFit(seat, nowMs) || (tried !== null && isAmong(seat.target, tried))) continue
        total += seat.weight
        seat.current += seat.weight
        if (best === null || seat.current > best.current) best = seat
      }
      if (best === null) return null
      best.current -= total
      if (best.openUntilMs > 0) best.trialUntilMs = nowMs + trialMs
      return best.target
    },
    succeeded(target) {
      const seat = seatOf(target)
      if (seat === undefined) return
      seat.failures = 0
      seat.openUntilMs = 0
      seat.trialUntilMs = 0
    },
    failed(target, nowMs) {
      const seat = seatOf(target)
      if (seat === undefined) return
      seat.failures += 1
      seat.trialUntilMs = 0
      if (seat.failures >= breaker.failures) seat.openUntilMs = nowMs + breaker.openMs
    },
    released(target) {
      const seat = seatOf(target)
      if (seat !== undefined) seat.trialUntilMs = 0
    },
    mark(target, well) {
      const seat = seatOf(target)
      if (seat !== undefined) seat.well = well
    },
    states: (nowMs) =>
      seats.map((seat) => ({
        origin: seat.target.origin,
        well: seat.well,
        breaker:
          seat.openUntilMs === 0 ? 'closed' : nowMs < seat.openUntilMs ? 'open' : 'half_open',
        failures: seat.failures,
      })),
  }
}

type Relevant = 'targets' | 'breaker' | 'connectMs' | 'headersMs'

/** One seat for each origin: a target that is named twice has both its shares. */
function seatsOf(targets: readonly Target[]): Seat[] {
  const seats = new Map<string, Seat>()
  for (const target of targets) {
    const { origin, weight } = target
    const seat = seats.get(origin)
    if (seat !== undefined) seat.weight += weight
    else seats.set(origin, { target, weight, ...fresh })
  }
  return [...seats.values()]
}

const fresh = { current: 0, well: true, failures: 0, openUntilMs: 0, trialUntilMs: 0 }

function isFit(seat: Seat, nowMs: number): boolean {
  if (!seat.well) return false
  return seat.openUntilMs === 0 || (nowMs >= seat.openUntilMs && nowMs >= seat.trialUntilMs)
}

function isAmong({ origin }: Target, tried: readonly Target[]): boolean {
  for (const target of tried) if (target.origin === origin) return true
  return false
}

/** The balancers of a deployment. They outlive a change of configuration that does not touch them. */
export class Balancers {
  #kept = new Map<string, Balancer>()

  /**
   * The balancer of each upstream: the one there was, where nothing that it knows has changed. Those
   * that nobody asked for are let go, so what is kept is bounded by the configuration.
   */
  adopt(platforms: readonly Pick<Platform, 'id' | 'upstreams'>[]): Map<Upstream, Balancer> {
    const adopted = new Map<Upstream, Balancer>()
    const kept = new Map<string, Balancer>()
    for (const { id, upstreams } of platforms) {
      for (const upstream of upstreams) {
        const key = keyOf(id, upstream)
        const balancer = this.#kept.get(key) ?? createBalancer(upstream)
        kept.set(key, balancer)
        adopted.set(upstream, balancer)
      }
    }
    this.#kept = kept
    return adopted
  }
}

/** Of an upstream only what a balancer's state depends on, and never its private key. */
function keyOf(platform: string, upstream: Upstream): string {
  const { name, targets, breaker, connectMs, headersMs, health } = upstream
  return JSON.stringify([platform, name, targets, breaker, connectMs, headersMs, health])
}
