/**
 * Whether to try again, and when. The danger is a client that makes a bad day worse: waits are drawn
 * at random up to a bound that doubles (full jitter), a server that says when is believed, and one
 * that asks for longer than a caller would wait is not asked again.
 */
import { ConnectionError, type PosternError } from './errors.ts'

const firstMs = 500
const boundMs = 8_000
/** The longest wait that a server may ask for; past it, the error is the caller's to handle. */
export const retryAfterMaxMs = 60_000

/**
 * Whether the same request may help. `isRepeatable`: twice has the effect of once, so that it does
 * not matter whether the lost one arrived.
 */
export function mayRetry(error: PosternError, isRepeatable: boolean): boolean {
  const { status, code } = error
  if ((error.retryAfterMs ?? 0) > retryAfterMaxMs) return false
  // Both say that nothing was done.
  if (status === 429 || code === 'idempotency/in_progress') return true
  if (!isRepeatable) return false
  return (
    error instanceof ConnectionError ||
    status === 408 ||
    (status !== null && status >= 500 && status !== 501)
  )
}

/** How long to wait before try number `attempt` + 2. `random`: from 0 to 1. */
export function waitMs(attempt: number, retryAfterMs: number | null, random: number): number {
  const spread = Math.min(boundMs, firstMs * 2 ** attempt) * random
  // Everyone who was sent away was told the same moment to come back: not all in the first instant.
  return retryAfterMs === null ? spread : retryAfterMs + spread / 4
}

/**
 * What `Retry-After` says (RFC 9110 10.2.3: seconds, or a date), in milliseconds from now; null where
 * it says nothing. A date is read by the server's own clock, where the answer has one.
 */
export function retryAfterOf(headers: Headers, nowMs: number): number | null {
  const value = headers.get('retry-after')?.trim() ?? ''
  if (/^\d{1,9}(?:\.\d+)?$/.test(value)) return Math.ceil(Number(value) * 1000)
  // `Date.parse` takes nearly anything for a date, even `-1`.
  const at = value.endsWith('GMT') ? Date.parse(value) : Number.NaN
  if (Number.isNaN(at)) return null
  const served = Date.parse(headers.get('date') ?? '')
  return Math.max(0, at - (Number.isNaN(served) ? nowMs : served))
}
