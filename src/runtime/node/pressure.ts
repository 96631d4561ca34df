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

/**
 * How much work there may be in a turn before one of this environment is turned away. While it is
 * less than full, one of test is let in only where the turn before had none either.
 */
type Room = { readonly fullMs: number; readonly leastMs: number; ms: number; turnedAway: number }

const windowMs = 100
/** Of a window, in which the loop had nothing to do: above the first there is time to spare, below the second none. */
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
  /** What was asked about last was let in: the time since then is work. */
  #working = false
  /** Milliseconds of work in this turn, and the longest piece of it. */
  #workMs = 0
  #longestMs = 0
  /** The same of the turn before, where this turn's requests waited for it. */
  #workBeforeMs = 0
  #longestBeforeMs = 0
  #windowStartMs = 0
  #windowIdleMs = 0
  #windowWorkMs = 0
  #windowLetIn = 0
  #windowTurnedAway = 0

  constructor(afterMs: number, { onChange, clock = processClock }: PressureOptions) {
    this.#clock = clock
    this.#onChange = onChange
    this.#rooms = { live: roomOf(afterMs, afterMs), test: roomOf(afterMs / 2, afterMs) }
  }

  shed(environment: EnvironmentName): boolean {
    const now = this.#clock.nowMs()
    if (this.#inTurn) this.#step(now)
    else this.#begin(now)
    this.#working = this.#hasRoom(environment)
    if (this.#working) {
      this.#windowLetIn += 1
      return false
    }
    const room = this.#rooms[environment]
    if (isFull(room)) this.#close(environment, now)
    if (environment === 'live' && isFull(this.#rooms.test)) this.#close('test', now)
    room.turnedAway += 1
    this.#windowTurnedAway += 1
    return true
  }

  #hasRoom(environment: EnvironmentName): boolean {
    const { live, test } = this.#rooms
    const isTest = environment === 'test'
    if (isTest && !isFull(live)) return false
    const room = isTest ? test : live
    const waitedMs = this.#workBeforeMs + this.#workMs
    if (isFull(room)) return waitedMs - this.#longestMs - this.#longestBeforeMs < room.ms
    if (isTest) return waitedMs < room.ms
    // Where turning others away takes longer than the work, as much work again costs nobody much.
    return this.#workMs < Math.max(room.ms, this.#lastMs - this.#startMs - this.#workMs)
  }

  #begin(now: number): void {
    // Nothing was ready for a while: then nothing has waited.
    const waited = now - this.#lastMs < 1
    this.#workBeforeMs = waited ? this.#workMs : 0
    this.#longestBeforeMs = waited ? this.#longestMs : 0
    this.#inTurn = true
    this.#startMs = now
    this.#lastMs = now
    this.#workMs = 0
    this.#longestMs = 0
    if (now - this.#windowStartMs >= windowMs) this.#look(now)
    this.#clock.atEndOfTurn(this.#end)
  }

  #step(now: number): void {
    const stepMs = now - this.#lastMs
    this.#lastMs = now
    if (!this.#working) return
    this.#workMs += stepMs
    this.#windowWorkMs += stepMs
    if (stepMs > this.#longestMs) this.#longestMs = stepMs
  }

  readonly #end = (): void => {
    this.#step(this.#clock.nowMs())
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

  /**
   * Gives room where what was turned away would have fitted into the time in which the loop had nothing
   * to do. Live requests get some as long as there is such time: it is better spent on them.
   */
  #look(now: number): void {
    const { live, test } = this.#rooms
    if (isFull(live) && isFull(test)) return
    const passedMs = now - this.#windowStartMs
    const idleMs = this.#clock.idleMs() - this.#windowIdleMs
    const eachMs = this.#windowWorkMs / Math.max(1, this.#windowLetIn)
    const fits = this.#windowTurnedAway * eachMs < idleMs
    const environment = isFull(live) ? 'test' : 'live'
    const room = this.#rooms[environment]
    const grownMs = room.ms * growth ** (passedMs / windowMs)
    if (fits) room.ms = Math.min(room.fullMs, grownMs)
    else if (environment === 'test') room.ms = room.leastMs
    else if (idleMs > idleShare * passedMs) room.ms = Math.min(room.fullMs / 2, grownMs)
    else if (idleMs < busyShare * passedMs) room.ms = Math.max(room.leastMs, room.ms / 2)
    this.#restartWindow(now)
    if (isFull(room)) this.#onChange(environment, false, room.turnedAway)
  }

  #restartWindow(now: number): void {
    this.#windowStartMs = now
    this.#windowIdleMs = this.#clock.idleMs()
    this.#windowWorkMs = 0
    this.#windowLetIn = 0
    this.#windowTurnedAway = 0
  }
}

const roomOf = (fullMs: number, afterMs: number): Room => ({
  ...{ fullMs, leastMs: afterMs / 20 },
  ...{ ms: fullMs, turnedAway: 0 },
})

const isFull = ({ ms, fullMs }: Room): boolean => ms === fullMs
