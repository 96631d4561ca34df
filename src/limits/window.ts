/**
 * How many units have passed lately? The arithmetic of the sliding window, and nothing else: no
 * clock, no store, no names.
 *
 * A window of W seconds is cut into 64 sub-windows. A unit is counted in the sub-window it passed
 * in and held until 65 sub-windows later, so for at least W and at most W + W/64. That is why no
 * window of W seconds, wherever it starts, ever holds more than the quota, and why a caller spaced
 * evenly at 0.9 of it is never refused. The danger is the clock: it may step back. A step within
 * the window counts in the newest sub-window; after a larger one the count starts over, because
 * units from a future that will not come for hours would otherwise shut the caller out until then.
 *
 * Units can also be lent: to a node that spends them within this sub-window or the next. They are
 * counted in the next one, the latest in which they can be spent, and so are held long enough
 * whenever that is. A borrower that dies needs no clearing up: what it held ages out with the rest.
 *
 * The Lua script of runtime/lend-script.ts does the same sums; one suite holds both to it.
 */

/** Into how many sub-windows a window is cut. */
export const subWindows = 64

/** How many sub-windows a unit is held for, counted from the one it passed in. */
export const heldSubWindows = subWindows + 1

/** Of what is left, at most one part in so many is lent at once: slices shrink, and the last units go singly. */
export const lentPart = 8

/** The largest quota and cost; it fits the counters' 32 bits. */
export const quotaMax = 1_000_000_000

/** The longest window: a day. Longer periods are billing quotas, which are not counted here. */
export const windowSecondsMax = 86_400

/** The length of a sub-window in milliseconds: exact in binary for whole seconds. */
export const subWindowMs = (windowSeconds: number): number => (windowSeconds * 1000) / subWindows

/**
 * Why a limit cannot be enforced, or null when it can. A quota is a whole number from 1 to
 * `quotaMax`, a window a whole number of seconds from 1 to `windowSecondsMax`; strings, NaN,
 * infinities and decimals are refused. For the time a file or a request body is read.
 */
export function validateLimit(quota: unknown, windowSeconds: unknown): string | null {
  if (!isWhole(quota, quotaMax)) return `quota must be a whole number from 1 to ${quotaMax}`
  if (!isWhole(windowSeconds, windowSecondsMax)) {
    return `window must be a whole number of seconds from 1 to ${windowSecondsMax}`
  }
  return null
}

/** Why a cost cannot be charged, or null. A negative cost would give units back. */
export function validateCost(cost: unknown): string | null {
  return isWhole(cost, quotaMax) ? null : `cost must be a whole number from 1 to ${quotaMax}`
}

const isWhole = (value: unknown, max: number): boolean =>
  typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= max

/** What is held at one place. `slots`: pairs of sub-window index and units, oldest first. */
export type Window = {
  /** The newest sub-window that was looked at. The last of `slots` may be the one after it. */
  index: number
  /** Units held now. */
  used: number
  slots: number[]
  /** Where in `slots` the first pair still held stands. */
  head: number
}

/** A window that holds nothing. */
export const emptyWindow = (): Window => ({ index: 0, used: 0, slots: [], head: 0 })

/** Lets go of what is no longer held at `now`. `subMs` as `subWindowMs` gives it. */
export function advance(window: Window, subMs: number, now: number): void {
  const index = Math.floor(now / subMs)
  if (index === window.index) return
  if (index < window.index) {
    if (window.index - index > heldSubWindows) forget(window, index)
    return
  }
  window.index = index
  const { slots } = window
  let head = window.head
  while (head < slots.length && slots[head]! + heldSubWindows <= index) {
    window.used -= slots[head + 1]!
    head += 2
  }
  if (head === slots.length) forget(window, index)
  else if (head > heldSubWindows * 2) {
    window.slots = slots.slice(head)
    window.head = 0
  } else window.head = head
}

function forget(window: Window, index: number): void {
  window.index = index
  window.used = 0
  window.slots.length = 0
  window.head = 0
}

/** Counts `want` units in the newest sub-window. Call `advance` first; the quota is not looked at. */
export function charge(window: Window, want: number): void {
  const { slots, index } = window
  window.used += want
  const last = slots.length - 2
  const ahead = last >= window.head && slots[last]! > index
  const at = ahead ? last - 2 : last
  if (at >= window.head && slots[at] === index) slots[at + 1]! += want
  else if (ahead) slots.splice(last, 0, index, want)
  else slots.push(index, want)
}

/**
 * Lends up to `extra` units of what `quota` leaves; answers how many. They may be spent until the end
 * of the sub-window after the newest, and are counted in that one. Call `advance` first.
 */
export function lend(window: Window, extra: number, quota: number): number {
  const { slots, index, used } = window
  const units = Math.min(extra, Math.floor((quota - used) / lentPart))
  if (units <= 0) return 0
  window.used += units
  const last = slots.length - 2
  if (last >= window.head && slots[last]! > index) slots[last + 1]! += units
  else slots.push(index + 1, units)
  return units
}

/** Takes back units that were lent in sub-window `slot` and not spent; no more than it still holds. */
export function takeBack(window: Window, slot: number, units: number): void {
  const { slots } = window
  for (let at = window.head; at < slots.length; at += 2) {
    if (slots[at] !== slot) continue
    const taken = Math.min(units, slots[at + 1]!)
    window.used -= taken
    slots[at + 1]! -= taken
    // An empty pair would be taken for the next units to come back.
    if (slots[at + 1] === 0) slots.splice(at, 2)
    if (window.head === slots.length) forget(window, window.index)
    return
  }
}

/** For how long units lent at `now` may be spent, in milliseconds: one to two sub-windows. */
export const lentMs = (subMs: number, now: number): number =>
  (Math.floor(now / subMs) + 2) * subMs - now

/**
 * Milliseconds from `now` until `units` of those held have come back. 0 when nothing is held. More
 * units than are held: until the last of them.
 */
export function returnMs(window: Window, units: number, subMs: number, now: number): number {
  const { slots } = window
  let back = 0
  for (let i = window.head; i < slots.length; i += 2) {
    back += slots[i + 1]!
    if (back >= units || i + 2 === slots.length) return (slots[i]! + heldSubWindows) * subMs - now
  }
  return 0
}

/** Milliseconds from `now` until everything held has come back. 0 when nothing is held. */
export function wholeMs(window: Window, subMs: number, now: number): number {
  const { slots } = window
  return slots.length === 0 ? 0 : (slots[slots.length - 2]! + heldSubWindows) * subMs - now
}
