/**
 * What did one secret of a key do on one day? Numbers that only grow, from the outcomes of requests.
 *
 * It refuses to know environments and bills: whether a key's use is billable is said by the key, in
 * the database. The danger is a header: `origin` is whatever a caller says, so only one of a sane
 * length is kept.
 */
import type { Credential, Outcome, UsageEntry } from '../context.ts'

const dayMs = 86_400_000
// A host name has 253 characters at most (RFC 1035 2.3.4), before it the scheme, after it the port.
const originCharactersMax = 300

/** The UTC day of a time (ms), in days since 1970. */
export const dayOf = (now: number): number => Math.floor(now / dayMs)

/** The sums of one secret on one day. */
export class Tally {
  readonly #credential: Credential
  /** Days since 1970, UTC. */
  readonly day: number
  requests = 0
  #errors = 0
  #bytesIn = 0
  #bytesOut = 0
  #firstUsedAt: number
  #lastUsedAt: number
  #lastAddress = ''
  #lastOrigin: string | null = null

  /** Starts at nothing, for a secret that was used at `now` (ms). */
  constructor(credential: Credential, now: number) {
    this.#credential = credential
    this.day = dayOf(now)
    this.#firstUsedAt = now
    this.#lastUsedAt = now
  }

  /** Adds a request that was over at `now` (ms), on this day and with this secret. */
  add(outcome: Outcome, now: number): void {
    // That a key was used is worth knowing of one whose calls are mocked, too.
    if (!outcome.mocked) this.#count(outcome)
    // A clock may be set back.
    if (now < this.#firstUsedAt) this.#firstUsedAt = now
    if (now < this.#lastUsedAt) return
    const { origin } = outcome
    this.#lastUsedAt = now
    this.#lastAddress = outcome.clientAddress
    this.#lastOrigin = origin !== null && origin.length > originCharactersMax ? null : origin
  }

  #count({ status, requestBytes, responseBytes }: Outcome): void {
    this.requests += 1
    if (status >= 400) this.#errors += 1
    this.#bytesIn += requestBytes
    this.#bytesOut += responseBytes
  }

  /** The sums so far, as they are stored. */
  entry(): UsageEntry {
    return {
      keyId: this.#credential.id,
      secretId: this.#credential.secretId,
      day: new Date(this.day * dayMs).toISOString().slice(0, 10),
      requests: this.requests,
      errors: this.#errors,
      bytesIn: this.#bytesIn,
      bytesOut: this.#bytesOut,
      firstUsedAt: this.#firstUsedAt,
      lastUsedAt: this.#lastUsedAt,
      lastAddress: this.#lastAddress,
      lastOrigin: this.#lastOrigin,
    }
  }
}
