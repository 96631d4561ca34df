/**
 * How are limits told to a caller? `RateLimit-Policy` and `RateLimit` as
 * draft-ietf-httpapi-ratelimit-headers-10 writes them (RFC 9651 lists of strings with parameters),
 * and `Retry-After` (RFC 9110 section 10.2.3). The draft's names may still change: this file alone
 * knows them. Plain string building, because it runs on every request; the tests parse the result
 * with a structured-fields library.
 */
import type { Borrowed, Limit } from '../context.ts'

/** What of the headers is the same for every answer of a tree. */
export type HeaderPlan = {
  /** The value of `RateLimit-Policy`. */
  readonly policy: string
  /** Per limit, in node order: its name, quoted, up to the value of `r`. */
  readonly labels: readonly string[]
}

/** Prepares the headers of a tree: `names` and `limits` in node order, of one length. */
export function planHeaders(names: readonly string[], limits: readonly Limit[]): HeaderPlan {
  const quoted = names.map(quote)
  const items = limits.map(
    ({ quota, windowSeconds }, i) => `${quoted[i]};q=${quota};w=${windowSeconds}`,
  )
  return { policy: items.join(', '), labels: quoted.map((name) => `${name};r=`) }
}

/**
 * The headers of an answer, true at the time of the charge: `r` is what is left, `t` the whole
 * seconds until more of it comes back. Empty where nothing is limited.
 *
 * Section 6 of the draft: Retry-After should not be earlier than `t`. So on a refusal the limits
 * that did not refuse, and whose units come back later than that, are left out.
 */
export function rateLimitHeaders(plan: HeaderPlan, borrowed: Borrowed): Record<string, string> {
  const { states } = borrowed
  const latest = borrowed.granted ? Number.POSITIVE_INFINITY : borrowed.retryAfterSeconds
  let value = ''
  for (let i = 0; i < states.length; i++) {
    const { remaining, moreSeconds } = states[i]!
    if (moreSeconds > latest) continue
    if (value !== '') value += ', '
    value += `${plan.labels[i]}${remaining};t=${moreSeconds}`
  }
  if (value === '') return {}
  return { 'ratelimit-policy': plan.policy, ratelimit: value }
}

/** RFC 9651 section 3.3.3: printable ASCII, `"` and `\` escaped; anything else becomes `_`. */
function quote(name: string): string {
  return `"${name.replace(/[^ -~]/g, '_').replace(/["\\]/g, '\\$&')}"`
}
