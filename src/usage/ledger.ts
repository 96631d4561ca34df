/**
 * What has a platform used that is not stored yet? Sums that still grow, and at most one batch that
 * has been sent and may or may not have arrived.
 *
 * The danger is that batch. Its answer may be lost after it was stored, so until the store has spoken
 * it is sent again as it was, under the same id, and nothing is added to it (threats Q10).
 */
import type { Credential, Outcome, UsageBatch } from '../context.ts'
import { newId } from '../lib/id.ts'
import { dayOf, Tally } from './tally.ts'

/** A batch on its way. `requests`: how many it tells of. */
export type Sending = {
  readonly batch: UsageBatch
  readonly requests: number
  /** When it was first sent (ms). */
  readonly since: number
  /** How often the store has answered that it will not have it. */
  refusals: number
}

export class Ledger {
  readonly platform: string
  /** By secret, of one day each. */
  readonly #open = new Map<string, Tally>()
  /** Of days that are over. */
  readonly #past: Tally[] = []
  #sending: Sending | null = null

  constructor(platform: string) {
    this.platform = platform
  }

  /** Sums that are held, those on their way included. */
  get size(): number {
    return this.#open.size + this.#past.length + (this.#sending?.batch.entries.length ?? 0)
  }

  /** Requests that are held. */
  get requests(): number {
    let all = this.#sending?.requests ?? 0
    for (const { requests } of [...this.#open.values(), ...this.#past]) all += requests
    return all
  }

  /** Adds a request to the sum of its secret. False when there is none for the day of `now` (ms). */
  add(outcome: Outcome, { secretId }: Credential, now: number): boolean {
    const tally = this.#open.get(secretId)
    if (tally === undefined || tally.day !== dayOf(now)) return false
    tally.add(outcome, now)
    return true
  }

  /** Begins the sum of a secret for the day of `now` (ms) with a request. */
  open(outcome: Outcome, credential: Credential, now: number): void {
    const before = this.#open.get(credential.secretId)
    if (before !== undefined) this.#past.push(before)
    const tally = new Tally(credential, now)
    tally.add(outcome, now)
    this.#open.set(credential.secretId, tally)
  }

  /** The batch that is on its way; else a new one of `entriesMax` sums at most. null: there is none. */
  send(entriesMax: number, now: number): Sending | null {
    if (this.#sending !== null) return this.#sending
    const taken = this.#past.splice(0, entriesMax)
    for (const [secretId, tally] of this.#open) {
      if (taken.length === entriesMax) break
      this.#open.delete(secretId)
      taken.push(tally)
    }
    if (taken.length === 0) return null
    const entries = taken.map((tally) => tally.entry())
    const requests = taken.reduce((all, tally) => all + tally.requests, 0)
    this.#sending = { batch: { id: newId('use_'), entries }, requests, since: now, refusals: 0 }
    return this.#sending
  }

  /** This batch has been stored, or is given up. Another that is on its way by now stays. */
  settle(sending: Sending): void {
    if (this.#sending === sending) this.#sending = null
  }
}
