/**
 * May these units be taken, and how many more may be lent? The store operation in memory, for the one
 * place where all nodes meet: inside a Durable Object. What the Lua script of runtime/lend-script.ts
 * is to Redis, this is here, to the same sums.
 */
import type { Ask, Lender, Lent, Standing } from '../context.ts'
import { StoreDown } from '../context.ts'
import { type Held, Ledger } from './ledger.ts'
import { join } from './tree.ts'
import { advance, charge, lend, lentMs, returnMs, takeBack, wholeMs } from './window.ts'

export type MemoryLenderOptions = {
  /** Milliseconds. */
  readonly now?: () => number
  /** How many windows are kept at most. */
  readonly countersMax?: number
}

/** A lender whose answers need no I/O. It rejects with `StoreDown` only when it is full. */
export function memoryLender(options: MemoryLenderOptions = {}): Lender {
  const { now = () => performance.now() } = options
  const ledger = new Ledger(options.countersMax)

  return {
    async lend(shard, asks) {
      const time = now()
      ledger.makeRoom(asks.length, time)
      const windows: Held[] = []
      for (const { key, windowSeconds } of asks) {
        const window = ledger.find(join(shard) + key, windowSeconds)
        if (window === null) throw new StoreDown('the counter is full')
        windows.push(window)
      }
      return decide(asks, windows, time)
    },
    async close() {},
  }
}

/** Backs first, then all needs or none, then what can be lent. */
function decide(asks: readonly Ask[], windows: readonly Held[], now: number): Lent {
  let refusing = -1
  let waitMs = 0
  for (const [i, { backs, need, quota }] of asks.entries()) {
    const window = windows[i]!
    advance(window, window.subMs, now)
    for (const { slot, units } of backs) takeBack(window, slot, units)
    const over = window.used + need - quota
    if (need === 0 || over <= 0) continue
    const ms = need > quota ? Number.POSITIVE_INFINITY : returnMs(window, over, window.subMs, now)
    if (refusing < 0 || ms > waitMs) {
      refusing = i
      waitMs = ms
    }
  }
  const standings = asks.map(({ need, extra, quota }, i): Standing => {
    const window = windows[i]!
    if (refusing < 0 && need > 0) charge(window, need)
    const lent = refusing < 0 ? lend(window, extra, quota) : 0
    return {
      used: window.used,
      moreMs: returnMs(window, 1, window.subMs, now),
      resetMs: wholeMs(window, window.subMs, now),
      lent,
      slot: window.index + 1,
      validMs: lentMs(window.subMs, now),
    }
  })
  return { refusing, waitMs, standings }
}
