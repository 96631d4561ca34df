/**
 * What did each key use, on Workers? An isolate may end without a word, so nothing waits here: the
 * request that finds nobody writing writes what is there, after its answer, and goes on while others
 * add to it. So an isolate is one writer, and a key that is used by many at once does not take up the
 * pool of connections with as many that wait for its row.
 *
 * Only sums are shared between requests. The danger is a writer that is cut off in the middle: after
 * `leaseMs` another takes its place, and sends the same batch again under the same id (threats Q10).
 */
import type { Outcome, UsageBatch } from '../../context.ts'
import { Ledger } from '../../usage/ledger.ts'

/** Writes a batch over the connections of the request that asks (the store's `addUsage`). */
export type AddUsage = (platform: string, batch: UsageBatch) => Promise<unknown>

export type IsolateUse = {
  /**
   * Adds a request that is over. What is to be done for it is given to `defer`; it rejects when it
   * could not be written, and is tried again with the next request. Past `sumsMax` that wait, a
   * request of a further secret is not counted, and `warn` is told.
   */
  note(outcome: Outcome, addUsage: AddUsage, defer: (work: Promise<unknown>) => void): void
}

const leaseMs = 10_000
const sumsMax = 10_000
const batchMax = 500

/** Starts with nothing. */
export function createIsolateUse(warn: (message: string) => void): IsolateUse {
  const ledgers = new Map<string, Ledger>()
  let leasedUntil = 0

  function add(outcome: Outcome, now: number): boolean {
    const { platform, credential } = outcome
    if (platform === null || credential === null) return false
    const ledger = ledgers.get(platform) ?? new Ledger(platform)
    ledgers.set(platform, ledger)
    if (ledger.add(outcome, credential, now)) return true
    if (ledger.size < sumsMax) ledger.open(outcome, credential, now)
    else warn('usage was dropped: a request is not counted')
    return true
  }

  /** Until nothing is left, or it is another's turn. */
  async function write(addUsage: AddUsage, lease: number): Promise<void> {
    try {
      for (let left = next(); left !== undefined && leasedUntil === lease; left = next()) {
        const sending = left.send(batchMax, Date.now())
        if (sending === null) break
        await addUsage(left.platform, sending.batch)
        left.settle(sending)
        if (Date.now() >= lease) break
      }
    } finally {
      if (leasedUntil === lease) leasedUntil = 0
    }
  }

  function next(): Ledger | undefined {
    for (const ledger of ledgers.values()) if (ledger.size > 0) return ledger
    return undefined
  }

  return {
    note(outcome, addUsage, defer) {
      const now = Date.now()
      if (!add(outcome, now) || now < leasedUntil) return
      leasedUntil = now + leaseMs
      defer(write(addUsage, leasedUntil))
    },
  }
}
