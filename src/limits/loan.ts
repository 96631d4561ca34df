/**
 * What does this node hold of one counter? Units lent to it, by the sub-window they are counted in,
 * with when they end; what it has to give back; and how much of the counter is wanted here. Numbers
 * only: it asks nobody. Times are milliseconds on the node's own clock.
 *
 * The danger is a unit spent twice, or spent after its time. So a unit is in one place: in a parcel,
 * in `returns`, or gone; and a parcel past its end is emptied before it is looked at.
 */
import type { Back, Standing } from '../context.ts'
import { heldSubWindows, subWindowMs } from './window.ts'

/** Units of one sub-window. */
export type Parcel = { readonly slot: number; units: number; endsAt: number }

/** More sub-windows than this with something to give back: the oldest age out by themselves. */
const returnsMax = 8

/** A renewal that is not answered in this time is not waited for any longer. */
const renewalMs = 2000

/**
 * A loan lasts for about so long, if the sub-windows are not shorter: when the answer to it is lost,
 * so are its units, and nobody can say whether they were lent.
 */
const loanMs = 500

/** For so long no loan is asked for after one that came to nothing, and longer with each that follows. */
const failedMs = 1000
const failedDoublings = 3

export class Loan {
  readonly shard: string
  readonly key: string
  readonly windowSeconds: number
  readonly subMs: number
  /** Units that may be spent, of all parcels that have not ended. Call `expire` first. */
  held = 0
  /** What the store last said is used, of which `held` is a part. */
  used = 0
  /** When it was last spent from. */
  spentAt = 0
  #moreAt = 0
  #resetAt = 0
  /** In the order of their ends. */
  #parcels: Parcel[] = []
  #nextEnd = Number.POSITIVE_INFINITY
  #lastEnd = 0
  #returns: Parcel[] = []
  /** What was held after the last loan: below half of it, more is asked for. */
  #lot = 0
  /** Nothing is asked for before: a renewal is under way, or has just brought nothing. */
  #quietUntil = 0
  /** Loans that came to nothing, one after the other. */
  #failures = 0
  // How much is wanted: units in this span of the node's clock, and in the one before.
  readonly #spanMs: number
  #index = 0
  #current = 0
  #previous = 0

  constructor(shard: string, key: string, windowSeconds: number) {
    this.shard = shard
    this.key = key
    this.windowSeconds = windowSeconds
    this.subMs = subWindowMs(windowSeconds)
    this.#spanMs = Math.min(this.subMs, loanMs)
  }

  /** Moves what has ended to what is to be given back. */
  expire(now: number): void {
    if (now < this.#nextEnd) return
    while (this.#parcels.length > 0 && this.#parcels[0]!.endsAt <= now) {
      // There is one.
      const [ended] = this.#parcels.splice(0, 1) as [Parcel]
      this.held -= ended.units
      this.#keepForReturn(ended)
    }
    this.#nextEnd = this.#parcels[0]?.endsAt ?? Number.POSITIVE_INFINITY
  }

  /** Spends `want` of at least as many `held` units, those that end first. */
  spend(want: number, now: number): void {
    this.held -= want
    this.spentAt = now
    const first = this.#parcels[0]!
    if (first.units > want) {
      first.units -= want
      return
    }
    this.#takeFrom(want)
  }

  /** Gives up `want` of at least as many `held` units. */
  release(want: number): void {
    this.held -= want
    for (const parcel of this.#takeFrom(want)) this.#keepForReturn(parcel)
  }

  /** Holds units; those that have ended are given back. */
  put({ slot, units, endsAt }: Parcel, now: number): void {
    if (units <= 0) return
    if (endsAt <= now) {
      this.#keepForReturn({ slot, units, endsAt })
      return
    }
    this.held += units
    const same = this.#parcels.find((parcel) => parcel.slot === slot)
    if (same === undefined) this.#parcels.push({ slot, units, endsAt })
    else {
      same.units += units
      // Both are guesses of one end, neither of them late.
      same.endsAt = Math.min(same.endsAt, endsAt)
    }
    this.#parcels.sort((a, b) => a.endsAt - b.endsAt)
    this.#nextEnd = this.#parcels[0]!.endsAt
    if (endsAt > this.#lastEnd) this.#lastEnd = endsAt
  }

  /** Gives up all that is held. */
  surrender(): void {
    for (const parcel of this.#parcels) this.#keepForReturn(parcel)
    this.#parcels = []
    this.#nextEnd = Number.POSITIVE_INFINITY
    this.held = 0
    this.#lot = 0
  }

  /** What is to be given back, once: whoever asks for it sends it, and never a second time. */
  takeReturns(now: number): Back[] {
    if (this.#returns.length === 0) return noBacks
    // What has aged out at the store meanwhile need not travel.
    const heldMs = heldSubWindows * this.subMs
    const backs = this.#returns.filter(({ endsAt }) => endsAt + heldMs > now)
    this.#returns = []
    return backs.map(({ slot, units }) => ({ slot, units }))
  }

  get hasReturns(): boolean {
    return this.#returns.length > 0
  }

  /** Notes that units were wanted. Answers whether any had been, in this span or the last. */
  note(want: number, now: number): boolean {
    const index = Math.floor(now / this.#spanMs)
    if (index !== this.#index) {
      this.#previous = index === this.#index + 1 ? this.#current : 0
      this.#current = 0
      this.#index = index
    }
    const wanted = this.#current + this.#previous > 0
    this.#current += want
    return wanted
  }

  /** Whether it is time to ask for more: it runs low or ends soon, and nobody has asked yet. */
  runsLow(now: number): boolean {
    if (this.held * 2 >= this.#lot && this.#lastEnd - now >= this.#spanMs / 2) return false
    return now >= this.#quietUntil
  }

  /** How many units to ask for, 0 while somebody else has asked. Whoever gets more than 0 calls `settle`. */
  ask(now: number): number {
    if (now < this.#quietUntil) return 0
    const lasting = this.#lasting(now + this.#spanMs / 2)
    const extra = Math.max(0, this.#target() - lasting)
    if (extra > 0) this.#quietUntil = now + renewalMs
    return extra
  }

  /** Takes in what the store said to a call of `sentAt`. `asked`: with an extra. */
  settle(standing: Standing, asked: boolean, sentAt: number, now: number): void {
    const { used, moreMs, resetMs, lent, slot, validMs } = standing
    this.used = used
    // From when the answer came, not from when it was sent: never too early for the caller.
    this.#moreAt = now + moreMs
    this.#resetAt = now + resetMs
    if (!asked) return
    this.#failures = 0
    this.put({ slot, units: lent, endsAt: sentAt + validMs }, now)
    this.#lot = lent > 0 ? this.held : 0
    this.#quietUntil = lent > 0 ? 0 : now + this.subMs / 4
  }

  /**
   * Notes that a loan came to nothing. The store may have lent it, so each further one may cost the
   * caller as many units again: for a while, which doubles, requests are charged one by one.
   */
  failed(now: number): void {
    this.#quietUntil = now + failedMs * 2 ** this.#failures
    if (this.#failures < failedDoublings) this.#failures += 1
  }

  /** Whole seconds until some of what is used comes back; 0 when nothing is used. */
  moreSeconds(now: number): number {
    return this.used === 0 ? 0 : secondsUntil(this.#moreAt, now)
  }

  /** Whole seconds until all of it has. */
  resetSeconds(now: number): number {
    return this.used === 0 ? 0 : secondsUntil(this.#resetAt, now)
  }

  #takeFrom(want: number): Parcel[] {
    const taken: Parcel[] = []
    for (let left = want; left > 0; ) {
      const first = this.#parcels[0]!
      const units = Math.min(left, first.units)
      taken.push({ slot: first.slot, units, endsAt: first.endsAt })
      first.units -= units
      left -= units
      if (first.units === 0) this.#parcels.shift()
    }
    this.#nextEnd = this.#parcels[0]?.endsAt ?? Number.POSITIVE_INFINITY
    return taken
  }

  #keepForReturn({ slot, units, endsAt }: Parcel): void {
    const same = this.#returns.find((parcel) => parcel.slot === slot)
    if (same !== undefined) same.units += units
    else if (units > 0) this.#returns.push({ slot, units, endsAt })
    if (this.#returns.length > returnsMax) this.#returns.shift()
  }

  #lasting(until: number): number {
    let units = 0
    for (const parcel of this.#parcels) if (parcel.endsAt >= until) units += parcel.units
    return units
  }

  /** What the next spans will want: as the last two did, and more while it grows quickly. */
  #target(): number {
    if (this.#previous * 4 < this.#current) return this.#current * 8
    return 2 * Math.max(this.#previous, this.#current)
  }
}

/** At least 1, as something is out. A microsecond less: sums of large times are off by fractions of it. */
const secondsUntil = (at: number, now: number): number =>
  Math.max(1, Math.ceil((at - now - 0.001) / 1000))

const noBacks: Back[] = []
