/**
 * Which windows are counted in this memory? Finds the window of a counter by name, and keeps their
 * number bounded. It knows no trees and no verdicts.
 *
 * It never drops a count that still matters: windows that hold nothing are let go as new ones come,
 * and when all of `countersMax` hold something there is no new one. Only verified keys and known
 * tenants get here, so a stranger cannot fill it.
 */
import { advance, emptyWindow, subWindowMs, type Window } from './window.ts'

/** A window with its name. `dropped`: it was let go, and is to be found anew. */
export type Held = Window & { readonly key: string; readonly subMs: number; dropped: boolean }

export class Ledger {
  readonly #countersMax: number
  readonly #counts = new Map<string, Held>()
  #hand = this.#counts.values()

  /** `countersMax`: about 300 bytes each, up to 1.2 kB when busy. */
  constructor(countersMax = 200_000) {
    this.#countersMax = countersMax
  }

  /** Makes room for `more` new windows. Before they are found: a sweep could let go of one in hand. */
  makeRoom(more: number, now: number): void {
    for (let i = 0; i < more; i++) this.#sweep(now)
  }

  /** The window of this name, new where there was none; null when full. */
  find(key: string, windowSeconds: number): Held | null {
    const known = this.#counts.get(key)
    if (known !== undefined) return known
    if (this.#counts.size >= this.#countersMax) return null
    const held = { ...emptyWindow(), key, subMs: subWindowMs(windowSeconds), dropped: false }
    this.#counts.set(key, held)
    return held
  }

  /** A clock hand: looks at a few windows and lets go of those that hold nothing. */
  #sweep(now: number): void {
    for (let looks = this.#counts.size < this.#countersMax ? 2 : 1000; looks > 0; looks--) {
      const { value: held, done } = this.#hand.next()
      if (done) {
        this.#hand = this.#counts.values()
        continue
      }
      advance(held, held.subMs, now)
      if (held.used > 0) continue
      held.dropped = true
      this.#counts.delete(held.key)
    }
  }
}
