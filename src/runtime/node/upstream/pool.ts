/**
 * One target of one upstream: who is with it, who waits for a turn, until when, and the connections
 * that are open to it.
 *
 * A connection is used again only for the credential and tenant it was made for. An upstream that
 * answers twice, and late, hands its second answer to whoever asks next on that connection; here that
 * can only be the same caller (threats R24). Once it is seen to have sent what nobody asked for, its
 * connections serve one request each for a while.
 */
import type { Upstream } from '../../../context.ts'
import type { Connect } from './connect.ts'
import { type Keeper, type Rider, Wire } from './wire.ts'

/** A request that waits for its turn at a target, or has it. */
export type Guest = {
  /** On the clock of `performance.now()`; looked at now and then, and never acted on too early. */
  readonly deadlineMs: number
  /** The pool's own note of where it keeps the guest that has its turn; -1 before and after. */
  place: number
  /** Called once, when its turn has come. */
  start(): void
  /** Called when the deadline has passed. */
  timedOut(): void
}

/** Connections that carry nothing at the moment, of all owners. */
const idleMax = 1024
const keepAliveMs = 4000
const keepAliveMsMax = 40_000
/** An upstream lets go of a connection at the time it says: what is sent then is lost. */
const keepAliveMarginMs = 2000
const distrustMs = 600_000

export class TargetPool implements Keeper {
  readonly #connect: Connect
  readonly #activeMax: number
  readonly #waitingMax: number
  readonly #tickMs: number
  // No Set: each that outgrows its table leaves it, with all guests of that moment, to the one that takes
  // its place. What is thrown away in that chain outlives many collections, and the requests with it.
  readonly #inside: Guest[] = []
  readonly #waiting = new Set<Guest>()
  readonly #wires = new Set<Wire>()
  /** By owner, the one used last at the end; the owner heard of last at the end. */
  readonly #idle = new Map<string, Wire[]>()
  #idleCount = 0
  #timer: ReturnType<typeof setInterval> | null = null
  #distrustedUntilMs = 0
  #closed = false

  constructor(upstream: Upstream, connect: Connect) {
    this.#connect = connect
    this.#activeMax = upstream.connectionsMax
    this.#waitingMax = upstream.queueMax
    const { connectMs, headersMs, idleMs } = upstream
    this.#tickMs = Math.min(500, Math.max(10, Math.min(connectMs, headersMs, idleMs) / 10))
  }

  /** Starts a request now or when its turn comes; false when too many wait already. */
  enter(guest: Guest): boolean {
    this.#watch()
    if (this.#inside.length < this.#activeMax) {
      this.#admit(guest)
      return true
    }
    if (this.#waiting.size >= this.#waitingMax) return false
    this.#waiting.add(guest)
    return true
  }

  #watch(): void {
    if (this.#timer === null) this.#timer = setInterval(tick, this.#tickMs, this).unref()
  }

  /** Ends a request's stay, wherever it was, and lets the next one in. */
  leave(guest: Guest): void {
    const { place } = guest
    if (place < 0) {
      this.#waiting.delete(guest)
      return
    }
    guest.place = -1
    const last = this.#inside.pop()
    if (last !== undefined && last !== guest) {
      last.place = place
      this.#inside[place] = last
    }
    for (const next of this.#waiting) {
      this.#waiting.delete(next)
      this.#admit(next)
      return
    }
  }

  #admit(guest: Guest): void {
    guest.place = this.#inside.length
    this.#inside.push(guest)
    guest.start()
  }

  /**
   * Has a rider board a connection of its owner, now or when there is one. `leaves`: a connection of
   * its own, whose socket may be handed on.
   */
  carry(owner: string, rider: Rider, leaves: boolean): void {
    const idle = leaves ? null : this.#takeIdle(owner)
    if (idle === null) {
      const wire = new Wire(owner, this)
      this.#wires.add(wire)
      wire.open(this.#connect, rider, leaves)
    } else if (!rider.board(idle)) this.onIdle(idle, null)
  }

  /** No connection is used twice at the moment. */
  get isOnce(): boolean {
    if (this.#closed) return true
    return this.#distrustedUntilMs > 0 && performance.now() < this.#distrustedUntilMs
  }

  #takeIdle(owner: string): Wire | null {
    const wires = this.#idle.get(owner)
    if (wires === undefined) return null
    const now = performance.now()
    for (let wire = wires.pop(); wire !== undefined; wire = wires.pop()) {
      this.#idleCount -= 1
      if (now < wire.idleUntilMs) return wire
      wire.destroy()
    }
    return null
  }

  onIdle(wire: Wire, keepAliveSeconds: number | null): void {
    const keepMs =
      keepAliveSeconds === null
        ? keepAliveMs
        : Math.min(keepAliveMsMax, keepAliveSeconds * 1000 - keepAliveMarginMs)
    if (this.isOnce || keepMs <= 0) {
      wire.destroy()
      return
    }
    wire.idleUntilMs = performance.now() + keepMs
    const wires = this.#idle.get(wire.owner)
    if (wires === undefined) this.#idle.set(wire.owner, [wire])
    else wires.push(wire)
    this.#idleCount += 1
    this.#watch()
    if (this.#idleCount > idleMax) this.#dropOldest()
  }

  #dropOldest(): void {
    for (const [owner, wires] of this.#idle) {
      if (wires.length === 0) this.#idle.delete(owner)
      else {
        wires[0]?.destroy()
        return
      }
    }
  }

  onGone(wire: Wire): void {
    this.#wires.delete(wire)
    const wires = this.#idle.get(wire.owner)
    const at = wires?.indexOf(wire) ?? -1
    if (wires === undefined || at < 0) return
    wires.splice(at, 1)
    this.#idleCount -= 1
    if (wires.length === 0) this.#idle.delete(wire.owner)
  }

  onNonsense(): void {
    this.#distrustedUntilMs = performance.now() + distrustMs
  }

  /** Ends what has had its time. */
  tick(): void {
    const now = performance.now()
    for (const guest of this.#waiting) if (guest.deadlineMs <= now) guest.timedOut()
    // From the end: who leaves has its place taken by the last, who has been looked at.
    for (let at = this.#inside.length - 1; at >= 0; at--) {
      const guest = this.#inside[at]
      if (guest !== undefined && guest.deadlineMs <= now) guest.timedOut()
    }
    for (const [owner, wires] of this.#idle) {
      if (wires.length === 0) this.#idle.delete(owner)
      else this.#letGo(wires, now)
    }
    const busy = this.#inside.length + this.#waiting.size + this.#idle.size > 0
    if (busy || this.#timer === null) return
    clearInterval(this.#timer)
    this.#timer = null
  }

  #letGo(wires: readonly Wire[], now: number): void {
    for (const wire of [...wires]) if (wire.idleUntilMs <= now) wire.destroy()
  }

  /** Takes nothing in any more: what is under way or waits ends in order, and its connections then. */
  retire(): void {
    this.#closed = true
    for (const wires of [...this.#idle.values()]) for (const wire of [...wires]) wire.destroy()
  }

  /** Whether there is anything left to end. */
  get isIdle(): boolean {
    return this.#inside.length === 0 && this.#waiting.size === 0 && this.#wires.size === 0
  }

  /** Cuts every connection. */
  destroy(): void {
    this.retire()
    for (const wire of [...this.#wires]) wire.destroy()
  }
}

const tick = (pool: TargetPool): void => pool.tick()
