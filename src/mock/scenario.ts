/**
 * What shall go wrong? `Postern-Test-Scenario` forces what the gateway can answer, so that a client's
 * error handling can be tried, and `Postern-Test-Clock` moves the time that mocks and the test world go
 * by. Both are heard in the test environment alone; that is for whoever calls this to see to.
 *
 * It refuses to wait and to count: a scenario is a value, which the gateway acts on.
 */
import { type ProblemCode, problems, type Refusal } from '../problem.ts'
import { faultAt } from './check.ts'

export type Scenario =
  | { readonly kind: 'refuse'; readonly refusal: Refusal }
  /** Answer as usual, after so long and with these headers. */
  | {
      readonly kind: 'pass'
      readonly delayMs: number
      readonly headers: Readonly<Record<string, string>>
    }

const named: Readonly<Record<string, (now: number) => Scenario>> = {
  rate_limited: () => refused('rate_limit/exceeded'),
  upstream_timeout: () => refused('upstream/timeout'),
  upstream_down: () => refused('upstream/unreachable'),
  // RFC 9745 and RFC 8594 speak of resources; a key that ends is told in a field of our own.
  key_expiring: (now) => ({
    kind: 'pass',
    delayMs: 0,
    headers: { 'postern-key-expires': new Date(now + dayMs).toISOString() },
  }),
  slow: () => ({ kind: 'pass', delayMs: 3000, headers: {} }),
}

const dayMs = 86_400_000
const waitSeconds = 30

function refused(code: ProblemCode): Scenario {
  const cause = 'asked for by Postern-Test-Scenario'
  const isWait = problems[code].status === 429
  const headers = isWait ? { 'retry-after': String(waitSeconds) } : undefined
  return { kind: 'refuse', refusal: { code, cause, ...(headers && { headers }) } }
}

/**
 * The scenario that the header names: one of the words above, or any code of the error table. null: no
 * header. A Refusal `request/invalid` where it names none.
 */
export function scenarioOf(header: string | null, now: number): Scenario | Refusal | null {
  if (header === null) return null
  const name = header.trim()
  if (Object.hasOwn(named, name)) return named[name]?.(now) ?? null
  if (Object.hasOwn(problems, name)) return refused(name as ProblemCode) // an own name of the table
  const words = Object.keys(named).join(', ')
  return invalid('Postern-Test-Scenario', `must be ${words}, or a code such as auth/key_revoked`)
}

const units: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: dayMs }

/**
 * The time that the header sets: an instant (RFC 3339) or a step from now such as `+30d`, `-2h`. `now`
 * where there is no header; a Refusal `request/invalid` for what is neither.
 */
export function clockOf(header: string | null, now: number): { readonly now: number } | Refusal {
  if (header === null) return { now }
  const text = header.trim()
  const [, sign, count, unit = ''] = /^([+-])(\d{1,9})([smhd])$/.exec(text) ?? []
  const step = sign === undefined ? 0 : Number(`${sign}${count}`) * (units[unit] ?? 0)
  const instant = /^\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d)$/.test(text)
    ? Date.parse(text)
    : Number.NaN
  const moved = sign === undefined ? instant : now + step
  // The years that RFC 3339 can write.
  if (moved >= 0 && moved < Date.UTC(10_000, 0)) return { now: moved }
  return invalid('Postern-Test-Clock', 'must be like 2027-01-31T12:00:00Z, +30d, -2h, +15m or +10s')
}

const invalid = (name: string, message: string): Refusal => ({
  code: 'request/invalid',
  param: name,
  errors: [faultAt(`header.${name}`, 'invalid', message)],
})
