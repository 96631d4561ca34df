/**
 * May this request go now, without asking the store? The counter port over a store that many nodes
 * share: this node borrows units of each counter ahead of need, and spends them in memory. Where it
 * has none it charges the request at the store, in one call for its whole tree; so a counter that is
 * rarely used is simply counted there, and so is one whose quota is nearly used up, because the
 * store then lends nothing.
 *
 * The sum of what is lent and charged never passes the quota, in any window: the store counts a loan
 * when it is made, and this node spends it before it ends. The danger is a unit that exists twice.
 * So a call whose outcome is unknown is never repeated, and units are given back only after they
 * have left the loan: what goes wrong costs the quota units, and never adds any.
 */
import type {
  Ask,
  Borrowed,
  Counter,
  CounterTree,
  Lender,
  Lent,
  LimitState,
  Standing,
} from '../context.ts'
import { Loan } from './loan.ts'
import { join, type Plan, type PlannedCounter, planTree } from './tree.ts'
import { subWindowMs, validateCost } from './window.ts'

export type LeasedCounterOptions = {
  /** Milliseconds on a clock that does not step back. */
  readonly now?: () => number
  /** Runs `work` once, later. Without it nothing is given back but with the next call for a counter. */
  readonly schedule?: (work: () => void, afterMs: number) => void
  /** Keeps the runtime from ending a renewal that nobody waits for. */
  readonly defer?: (work: Promise<unknown>) => void
  /** How much sooner than the store says a loan ends: for a clock that stands still while code runs. */
  readonly slackMs?: number
  /** For how many counters loans are remembered; about 400 bytes each. */
  readonly loansMax?: number
}

/** A counter of a tree, and what this node holds of it. */
type Leased = { readonly counter: PlannedCounter; readonly loan: Loan }

type Prepared = {
  readonly plan: Plan
  readonly leased: readonly Leased[]
  /** A limit of the tree is counted exactly, so each of its requests is a call. */
  readonly exact: boolean
  refusal: Refusal | null
}

/** What the store refused, for as long as it is sure to refuse it again. */
type Refusal = {
  readonly want: number
  /** Which counters had too little here: a bit for each. */
  readonly lacking: number
  readonly refusing: number
  readonly waitMs: number
  readonly from: number
  readonly until: number
}

/** A shorter sub-window would be over before a loan is here. */
const shortestMs = 10
/** For so long a refusal is remembered at most, and a sub-window: others may give units back. */
const refusalMs = 250
const sweepEveryMs = 500
/** A loan that nobody has spent from for so long is given back. */
const idleMs = 1000
/** Counters in one call of a sweep. */
const sweepCounters = 16

/**
 * A counter that leases from `lender`. It answers without an await when it holds what a request
 * needs. Rejects with `StoreDown` when it does not and the store is down; throws a RangeError for a
 * `want` that is no positive integer. `close` gives back what is held, and closes the lender.
 */
export function leasedCounter(lender: Lender, options: LeasedCounterOptions = {}): Counter {
  const { now = () => performance.now(), schedule, defer } = options
  const { slackMs = 0, loansMax = 100_000 } = options
  const loans = new Map<string, Loan>()
  const prepared = new WeakMap<CounterTree, Prepared>()
  /** Those that may hold something. */
  const lent = new Set<Loan>()
  let hand = loans.values()
  let scheduled = false
  let closed = false

  function prepare(tree: CounterTree): Prepared {
    const known = prepared.get(tree)
    if (known !== undefined) return known
    const plan = planTree(tree)
    const leased = plan.counters.map((counter) => ({ counter, loan: loanOf(tree.shard, counter) }))
    const isExact = ({ exact, windowSeconds }: PlannedCounter): boolean =>
      exact || subWindowMs(windowSeconds) < shortestMs
    const exact = plan.counters.some(isExact)
    const fresh = { plan, leased, exact, refusal: null }
    prepared.set(tree, fresh)
    return fresh
  }

  /** One loan for a counter, whichever trees it stands in. */
  function loanOf(shard: string, { key, windowSeconds }: PlannedCounter): Loan {
    const name = join(shard) + key
    const known = loans.get(name)
    if (known !== undefined) return known
    if (loans.size >= loansMax) forgetSome()
    const loan = new Loan(shard, key, windowSeconds)
    loans.set(name, loan)
    return loan
  }

  /**
   * A clock hand over the loans: lets go of those that hold nothing, and of one in any case. A tree
   * may go on with a loan that was let go, which is then this counter's second; neither knows of the
   * other, and no unit is in both. What it holds is given back by a sweep, or ages out.
   */
  function forgetSome(): void {
    for (let looks = 0; looks < 100; looks++) {
      const { value: loan, done } = hand.next()
      if (done) hand = loans.values()
      else if (looks === 0 || (loan.held === 0 && !loan.hasReturns)) {
        loans.delete(join(loan.shard) + loan.key)
      }
    }
  }

  /** Spends `want` at each counter, when each holds as much. */
  function spend({ leased }: Prepared, want: number, time: number): boolean {
    for (let i = 0; i < leased.length; i++) if (!canPay(leased[i]!, want, time)) return false
    for (let i = 0; i < leased.length; i++) leased[i]!.loan.spend(want, time)
    return true
  }

  /** Asks for more, and nobody waits for it: for the counters of a tree that run low. */
  function renew(at: Prepared, time: number): void {
    const low: Leased[] = []
    const asks: Ask[] = []
    for (const one of at.leased) {
      const extra = one.loan.runsLow(time) ? one.loan.ask(time) : 0
      if (extra === 0) continue
      low.push(one)
      asks.push(askOf(one, 0, extra, time))
    }
    if (asks.length === 0) return
    const renewed = lender.lend(low[0]!.loan.shard, asks).then(
      ({ standings }) => settle(low, asks, standings, time),
      () => giveUp(low, asks),
    )
    if (defer !== undefined) defer(renewed)
  }

  function settle(
    leased: readonly Leased[],
    asks: readonly Ask[],
    standings: readonly Standing[],
    sentAt: number,
  ): void {
    const time = now()
    for (let i = 0; i < leased.length; i++) {
      const { loan } = leased[i]!
      loan.settle(standings[i]!, asks[i]!.extra > 0, sentAt - slackMs, time)
      if (schedule !== undefined && (loan.held > 0 || loan.hasReturns)) lent.add(loan)
    }
    arm()
  }

  function giveUp(leased: readonly Leased[], asks: readonly Ask[]): void {
    const time = now()
    for (let i = 0; i < leased.length; i++) if (asks[i]!.extra > 0) leased[i]!.loan.failed(time)
  }

  /** Sees to it that what is not used goes back. */
  function arm(): void {
    if (schedule === undefined || scheduled || closed || lent.size === 0) return
    scheduled = true
    schedule(() => {
      scheduled = false
      if (!closed) void sweep(idleMs)
    }, sweepEveryMs)
  }

  /** Gives back what has ended and what has been idle for `afterMs`. Never rejects. */
  async function sweep(afterMs: number): Promise<void> {
    const time = now()
    const backs = new Map<string, Ask[]>()
    for (const loan of lent) {
      loan.expire(time)
      if (time - loan.spentAt >= afterMs) loan.surrender()
      if (loan.hasReturns) {
        const ask = { ...loanAsk(loan), quota: 1, need: 0, extra: 0, backs: loan.takeReturns(time) }
        const same = backs.get(loan.shard)
        if (same === undefined) backs.set(loan.shard, [ask])
        else same.push(ask)
      } else if (loan.held === 0) lent.delete(loan)
    }
    const calls: Promise<unknown>[] = []
    for (const [shard, asks] of backs) {
      for (let from = 0; from < asks.length; from += sweepCounters) {
        calls.push(lender.lend(shard, asks.slice(from, from + sweepCounters)))
      }
    }
    arm()
    await Promise.allSettled(calls)
  }

  /**
   * Charges the request at the store, at all counters or none. What this node holds of it goes back
   * in the same call, and so pays there, at the store's time: also where the store has nothing left.
   */
  async function charge(at: Prepared, want: number, again: boolean): Promise<Borrowed> {
    const time = now()
    const { leased, exact } = at
    const asks: Ask[] = []
    let lacking = 0
    for (let i = 0; i < leased.length; i++) {
      const one = leased[i]!
      const { loan } = one
      let extra = 0
      const wanted = !again && loan.note(want, time)
      if (!exact && canPay(one, want, time)) loan.release(want)
      else {
        lacking |= 1 << i
        if (!exact) loan.surrender()
        if (!exact && wanted) extra = loan.ask(time)
      }
      asks.push(askOf(one, want, extra, time))
    }
    let answer: Lent
    try {
      answer = await lender.lend(leased[0]!.loan.shard, asks)
    } catch (error) {
      giveUp(leased, asks)
      throw error
    }
    settle(leased, asks, answer.standings, time)
    const { refusing, waitMs } = answer
    const later = now()
    if (refusing < 0) return { granted: true, states: statesOf(at, later) }
    if (exact) return refused(at, refusing, waitMs, later)
    // A loan that somebody else asked for may have come meanwhile.
    if (spend(at, want, later)) return { granted: true, states: statesOf(at, later) }
    if (!again && canPay(leased[refusing]!, want, later)) return charge(at, want, true)
    const until = later + Math.min(waitMs, refusalMs, leased[refusing]!.loan.subMs)
    at.refusal = { want, lacking, refusing, waitMs, from: later, until }
    return refused(at, refusing, waitMs, later)
  }

  /** The store's refusal of the same, not long ago; null when it may have changed. */
  function recall(at: Prepared, want: number, time: number): Borrowed | null {
    const { refusal } = at
    if (refusal === null) return null
    const { from, until, refusing, waitMs } = refusal
    if (time >= until || time < from) {
      at.refusal = null
      return null
    }
    if (refusal.want !== want || refusal.lacking !== lackingIn(at, want, time)) return null
    return refused(at, refusing, waitMs - (time - from), time)
  }

  return {
    borrow(tree, want) {
      const flaw = validateCost(want)
      if (flaw !== null) throw new RangeError(flaw)
      const at = prepare(tree)
      if (at.leased.length === 0) return { granted: true, states: [] }
      if (at.exact) return charge(at, want, false)
      const time = now()
      if (!spend(at, want, time)) return recall(at, want, time) ?? charge(at, want, false)
      let low = false
      for (let i = 0; i < at.leased.length; i++) {
        const { loan } = at.leased[i]!
        loan.note(want, time)
        if (loan.runsLow(time)) low = true
      }
      if (low) renew(at, time)
      return { granted: true, states: statesOf(at, time) }
    },
    async close() {
      if (closed) return
      closed = true
      await sweep(0)
      await lender.close()
    },
  }
}

/**
 * Whether the node's own units pay for a request. Not while more is used than this tree's quota,
 * which may have been lowered since they were lent.
 */
function canPay({ loan, counter }: Leased, want: number, time: number): boolean {
  loan.expire(time)
  return loan.held >= want && loan.used <= counter.quota
}

function lackingIn({ leased }: Prepared, want: number, time: number): number {
  let lacking = 0
  for (let i = 0; i < leased.length; i++) if (!canPay(leased[i]!, want, time)) lacking |= 1 << i
  return lacking
}

const loanAsk = ({ key, windowSeconds }: Loan) => ({ key, windowSeconds })

function askOf({ loan, counter }: Leased, need: number, extra: number, time: number): Ask {
  const { key, windowSeconds } = loan
  return {
    key,
    windowSeconds,
    quota: counter.quota,
    need,
    extra,
    backs: loan.takeReturns(time),
  }
}

function refused(at: Prepared, refusing: number, waitMs: number, time: number): Borrowed {
  const { node, limit } = at.plan.counters[refusing]!
  const retryAfterSeconds = Math.ceil(waitMs / 1000)
  return { granted: false, node, limit, retryAfterSeconds, states: statesOf(at, time) }
}

/** What the store said is left, and what this node still holds of what it had taken. */
function statesOf({ plan, leased }: Prepared, time: number): LimitState[] {
  const states: LimitState[] = []
  for (const { limit, node, counter } of plan.limits) {
    const { loan } = leased[counter]!
    states.push({
      limit,
      node,
      remaining: Math.max(0, limit.quota - loan.used + loan.held),
      moreSeconds: loan.moreSeconds(time),
      resetSeconds: loan.resetSeconds(time),
    })
  }
  return states
}
