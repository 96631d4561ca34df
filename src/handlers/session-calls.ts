/** What the calls of sessions and of what is in them read and refuse alike. */
import { Problem, type Refusal } from '../problem.ts'

/** Throws a refusal as a Problem. */
export function refuse(refusal: Refusal | null): void {
  if (refusal !== null) throw Problem.of(refusal)
}

/** The answer of a room; throws a refusal as a Problem. */
export function must<T extends object>(answer: T | Refusal): Exclude<T, Refusal> {
  if ('code' in answer) throw Problem.of(answer as Refusal)
  // What has a code is a refusal, and has left.
  return answer as Exclude<T, Refusal>
}

/** The session that a path names. Throws `gateway/misconfigured` where the route's path has no `:sid`. */
export function sessionOf(named: Readonly<Record<string, string>>): string {
  const { sid } = named
  if (sid !== undefined) return sid
  const cause = 'the path of a route whose handler is for what is in a session must name :sid'
  throw new Problem('gateway/misconfigured', { cause })
}

/** How many at most: 20 without a word. Throws `request/invalid` for what is no number from 1 to 100. */
export function limitOf(asked = '20'): number {
  if (/^(?:[1-9]\d?|100)$/.test(asked)) return Number(asked)
  const message = 'must be a whole number from 1 to 100'
  const errors = [{ location: 'query.limit', code: 'invalid', message }]
  throw new Problem('request/invalid', { param: 'limit', errors })
}
