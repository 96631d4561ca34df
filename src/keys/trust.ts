/**
 * How long may a node go by what it has read? As long as it is certain to hear of every change (the
 * signal port), it need not ask again; without that it asks each time. Where the store does not
 * answer, what was read last still holds: for long while the node is certain, because nothing can be
 * revoked without the store that it would not hear of; for a short time while it is not.
 *
 * It knows neither keys nor tenants. The danger is a clock that is set: every age here is measured on
 * one that does not step (threats Q16).
 */

export type TrustOptions = {
  /** How long nothing is asked again while it is certain that every change is heard. 0: always asked. */
  readonly positiveTtlMs?: number
  /** How much longer it holds while the store is down and it is certain that every change is heard. */
  readonly outageMs?: number
  /** How long it holds while the store is down, since it was last certain or read. */
  readonly staleMs?: number
  /** For how long it has not been certain, in ms (the `signal` port). 0: it is; Infinity: never was. */
  silentMs?(): number
  /** Milliseconds on a clock that does not step. */
  clock?(): number
}

export type Trust = {
  /** Milliseconds on a clock that does not step: what `readAt` is measured on. */
  now(): number
  /** Whether every change is certain to be heard. */
  certain(): boolean
  /** Whether what was read at `readAt` may be gone by at `now` without asking. */
  unasked(readAt: number, now: number): boolean
  /** Whether it may be gone by at `now` because the store does not answer. */
  unanswered(readAt: number, now: number): boolean
  readonly ttlMs: number
  readonly staleMs: number
  /** What was read longer ago is of no use in any case. */
  readonly lifeMs: number
}

/** Says how long what was read may be gone by. Without options, a node that hears of everything. */
export function createTrust(options: TrustOptions = {}): Trust {
  const { positiveTtlMs: ttlMs = 60_000, outageMs = 900_000, staleMs = 60_000 } = options
  const silentMs = options.silentMs ?? (() => 0)
  const lifeMs = ttlMs + Math.max(outageMs, staleMs)
  return {
    now: options.clock ?? (() => performance.now()),
    certain: () => silentMs() === 0,
    unasked: (readAt, now) => now - readAt < ttlMs && silentMs() === 0,
    unanswered(readAt, now) {
      if (now - readAt >= lifeMs) return false
      const silent = silentMs()
      // No receipt counts on a node that nobody has ever heard of.
      if (silent === Number.POSITIVE_INFINITY) return false
      return silent === 0 || now - Math.max(readAt, now - silent) < staleMs
    },
    ttlMs,
    staleMs,
    lifeMs,
  }
}
