/**
 * How is a test call answered where a platform's test keys get mocks? From its OpenAPI document, in a
 * world of the tenant's own that remembers what was sent to it. No upstream and no handler is asked.
 *
 * The danger is a mock that is taken for the truth, or a test that reaches the truth: so this is called
 * for the test environment alone, its handle sees test rows alone, and every answer says what it is.
 */
import type { Scope, World } from './context.ts'
import type { Mock } from './mock/mock.ts'
import type { MockCall } from './mock/request.ts'
import { clockOf, scenarioOf } from './mock/scenario.ts'
import { Problem, type Refusal } from './problem.ts'

/** How long a world keeps what nobody has written to since. */
export const worldSeconds = 86_400

/** A call that has passed every check. Its headers hold those that steer a test. */
export type MockedCall = MockCall & { readonly scope: Scope }

/**
 * Answers a call. `mock` is the platform's; null: it has no document. Heard are the headers
 * `Postern-Test-Scenario` (what shall go wrong), `Postern-Test-Clock` (when it is) and
 * `Postern-Test-World: reset` (forget everything first). Throws a `Problem`: what the document has
 * against the call, what the scenario asks for, or 501 where the document says nothing. Rejects when
 * the world's store does not answer.
 */
export async function answerMock(
  mock: Mock | null,
  world: World,
  call: MockedCall,
  realNow: number,
): Promise<Response> {
  const { headers, scope } = call
  const { now } = passed(clockOf(headers.get('postern-test-clock'), realNow))
  const scenario = passed(scenarioOf(headers.get('postern-test-scenario'), now))
  if (scenario?.kind === 'refuse') throw Problem.of(scenario.refusal)
  if (scenario !== null && scenario.delayMs > 0) await pause(scenario.delayMs)
  if (wantsReset(headers.get('postern-test-world'))) await world.reset()
  if (mock === null) {
    throw new Problem('mock/no_response', { cause: 'the platform has no OpenAPI document' })
  }
  const seed = `${scope.platform}/${scope.environment}/${scope.tenant}`
  const answer = passed(await mock.remember(call, { seed, now }, world))
  return new Response(answer.body, {
    status: answer.status,
    headers: { ...answer.headers, ...scenario?.headers },
  })
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

function passed<T extends object | null>(value: T): Exclude<T, Refusal> {
  if (value !== null && 'code' in value) throw Problem.of(value as Refusal) // nothing else here has a code
  return value as Exclude<T, Refusal>
}

function wantsReset(header: string | null): boolean {
  if (header === null || header.trim() === 'reset') return header !== null
  const errors = [
    { location: 'header.Postern-Test-World', code: 'invalid', message: 'must be reset' },
  ]
  throw new Problem('request/invalid', { param: 'Postern-Test-World', errors })
}
