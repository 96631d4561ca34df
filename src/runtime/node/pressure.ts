/**
 * Would one request more make all the others late? Requests that are ready are answered one after the
 * other in a turn of the event loop, and what arrives meanwhile waits in the kernel, where it cannot
 * be counted: so what is measured is how long a turn has been at its requests.
 *
 * It knows of no request more than its environment. Whoever calls more often gets no more here: that
 * is what limits are for. The danger is to turn away what could have been served. One long step (a
 * collection of garbage, a handler that blocks once) makes a turn long and is no queue, so the longest
 * step of a turn counts for nothing until there is one. And what is turned away costs time too: a
 * part of each turn is for live requests, however many come, else a flood would let nobody through.
 */
import { performance } from 'node:perf_hooks'
import type { EnvironmentName } from '../../context.ts'

export type PressureOptions = {
  /**
   * Milliseconds of work that may queue before live requests are turned away; those of test are from
   * half of it. null: nothing ever is.
   */
  readonly afterMs: number | null
  /** Told when an environment begins to be turned away, and when it no longer is, of how many were. */
  onChange(environment: EnvironmentName, turnsAway: boolean, turnedAway: number): void
  readonly clock?: Clock
}

/** What a process knows of its own event loop. */
export type Clock = {
  nowMs(): number
  /** How long the loop has waited for something to do, in all. */
  idleMs(): number
  /** Calls `work` when what is ready now has been served. */
  atEndOfTurn(work: () => void): void
}

export type Pressure = {
  /** Whether this request is to be turned away. To be asked once of each, when its work is about to begin. */
  shed(environment: EnvironmentName): boolean
}

/** How long a turn may be at its requests before one of this environment is turned away. */
type Room = { readonly fullMs: number; readonly leastMs: number; ms: number; turnedAway: number }

const windowMs = 100
/** In a window. Above the first, requests are turned away for nothing; below the second, for a reason. */
const idleShare = 0.1
const busyShare = 0.03
const growth = 1.5

const processClock: Clock = {
  nowMs: () => performance.now(),
  idleMs: () => performance.eventLoopUtilization().idle,
  atEndOfTurn: (work) => void setImmediate(work),
}

/** Creates one that has seen nothing. A process has one event loop, and should have one of these. */
export function createPressure(options: PressureOptions): Pressure {
  const { afterMs } = options
  return afterMs === null ? { shed: () => false } : new Turns(afterMs, options)
}

class Turns implements Pressure {
  readonly #clock: Clock
  readonly #onChange: PressureOptions['onChange']
  readonly #rooms: Readonly<Record<EnvironmentName, Room>>
  #inTurn = false
  #startMs = 0
  #lastMs = 0
  #longestMs = 0
  /** What had queued in the turn before, when that is the reason why this one's requests waited. */
  #beforeMs = 0
  #windowStartMs = 0
  #windowIdleMs = 0

  constructor(afterMs: number, { onChange, clock = processClock }: PressureOptions) {
    this.#clock = clock
    this.#onChange = onChange
    this.#rooms = { live: roomOf(afterMs, afterMs), test: roomOf(afterMs / 2, afterMs) }
  }

  shed(environment: EnvironmentName): boolean {
    const now = this.#clock.nowMs()
    if (this.#inTurn) this.#step(now)
    else this.#begin(now)
    const { live, test } = this.#rooms
    const room = this.#rooms[environment]
    const spentMs = now - this.#startMs
    if (room.ms < room.fullMs) {
      if (spentMs < room.ms && (room === live || isFull(live))) return false
    } else if (this.#beforeMs + spentMs - this.#longestMs < room.fullMs) {
      if (room === live || isFull(live)) return false
    }
    if (isFull(room)) this.#close(environment, now)
    if (room === live && isFull(test)) this.#close('test', now)
    room.turnedAway += 1
    return true
  }

  #begin(now: number): void {
    // Nothing was ready for a while: then nothing has waited.
    if (now - this.#lastMs > 1) this.#beforeMs = 0
    this.#inTurn = true
    this.#startMs = now
    this.#lastMs = now
    this.#longestMs = 0
    if (now - this.#windowStartMs >= windowMs) this.#look(now)
    this.#clock.atEndOfTurn(this.#end)
  }

  #step(now: number): void {
    const stepMs = now - this.#lastMs
    if (stepMs > this.#longestMs) this.#longestMs = stepMs
    this.#lastMs = now
  }

  readonly #end = (): void => {
    const now = this.#clock.nowMs()
    this.#step(now)
    this.#beforeMs = now - this.#startMs - this.#longestMs
    this.#inTurn = false
  }

  /** The queue is there: from now on a turn is kept short. */
  #close(environment: EnvironmentName, now: number): void {
    const { live, test } = this.#rooms
    if (isFull(live) && isFull(test)) this.#restartWindow(now)
    const room = this.#rooms[environment]
    room.ms = room.leastMs
    room.turnedAway = 0
    this.#onChange(environment, true, 0)
  }

  /** Gives room while the loop has nothing to do at times, and takes it while it never has. */
  #look(now: number): void {
    const { live, test } = this.#rooms
    if (isFull(live) && isFull(test)) return
    const passedMs = now - this.#windowStartMs
    const idle = (this.#clock.idleMs() - this.#windowIdleMs) / passedMs
    this.#restartWindow(now)
    const environment = isFull(live) ? 'test' : 'live'
    const room = this.#rooms[environment]
    if (idle > idleShare) room.ms *= growth ** (passedMs / windowMs)
    else if (idle < busyShare) room.ms = Math.max(room.leastMs, room.ms / 2)
    if (room.ms < room.fullMs) return
    room.ms = room.fullMs
    this.#onChange(environment, false, room.turnedAway)
  }

  #restartWindow(now: number): void {
    this.#windowStartMs = now
    this.#windowIdleMs = this.#clock.idleMs()
  }
}

const roomOf = (fullMs: number, afterMs: number): Room => ({
  ...{ fullMs, leastMs: afterMs / 20 },
  ...{ ms: fullMs, turnedAway: 0 },
})

const isFull = ({ ms, fullMs }: Room): boolean => ms === fullMs
