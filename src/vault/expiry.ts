/**
 * What becomes of sessions that are past their time? They have ended already, for whoever asks; here what
 * they held is destroyed, the salt first, so that no backup taken from then on can be read (threats
 * X12). Each in its tenant's scope: nothing here sees two tenants at once.
 *
 * A round looks at so many scopes and the next goes on from there. The danger is one tenant whose rows
 * cannot be reached: it is passed over, and its turn comes again.
 */
import type { Scope } from '../context.ts'
import type { SecretStore } from './vault.ts'

export type ExpiryOptions = {
  readonly store: Pick<SecretStore, 'expired' | 'end'>
  /** Every tenant in each environment. */
  scopes(): AsyncGenerator<Scope>
  /** Told of each session that was ended: its agents are to end too. */
  onEnded(scope: Scope, session: string): void
}

/** Of one round. */
const scopesMax = 2000
const sessionsMax = 100

/** Makes the function that does a round. Rejects with the first failure, when the round is over. */
export function createExpiry({ store, scopes, onEnded }: ExpiryOptions): () => Promise<void> {
  let coming: AsyncGenerator<Scope> | null = null

  async function endThoseOf(scope: Scope): Promise<void> {
    for (const session of await store.expired(scope, sessionsMax)) {
      if (await store.end(scope, session)) onEnded(scope, session)
    }
  }

  return async () => {
    const failures: unknown[] = []
    coming ??= scopes()
    for (let looked = 0; looked < scopesMax; looked++) {
      const { value: scope, done } = await coming.next().catch((error: unknown) => {
        failures.push(error)
        return { value: undefined, done: true as const }
      })
      if (done || scope === undefined) {
        coming = null
        break
      }
      await endThoseOf(scope).catch((error: unknown) => failures.push(error))
    }
    if (failures.length > 0) throw failures[0]
  }
}
