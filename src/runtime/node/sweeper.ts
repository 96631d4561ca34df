/**
 * When does what falls due by itself get done? Every minute or so, a round of `sweep` (manage/sweep.ts).
 *
 * It refuses to be relied upon: whatever it does late is judged by its time in the database all the
 * same. Several nodes may sweep at once; what one has done the next does not find. The danger is an
 * error that ends it, so none does: it is logged, and the next round begins as usual.
 */
import type { Log } from './log.ts'

export type SweeperOptions = {
  /** One round over everything. */
  sweep(): Promise<void>
  readonly log: Pick<Log, 'warn'>
  /** Between two rounds, a quarter more or less. */
  readonly everyMs?: number
  /** Until the first one, the same. */
  readonly firstMs?: number
}

export type Sweeper = {
  /** Ends it, and waits for the round that is under way. */
  close(): Promise<void>
}

/** Starts to sweep. */
export function startSweeper({
  sweep,
  log,
  everyMs = 60_000,
  firstMs = 2000,
}: SweeperOptions): Sweeper {
  let closed = false
  let timer: ReturnType<typeof setTimeout>
  let running: Promise<void> = Promise.resolve()

  function plan(ms: number): void {
    // Nodes that were started together must not ask together for ever.
    const spreadMs = ms * (0.75 + Math.random() / 2)
    timer = setTimeout(() => {
      running = round()
    }, spreadMs)
  }

  async function round(): Promise<void> {
    await sweep().catch((error: unknown) =>
      log.warn('sweeping failed: it is tried again', { cause: String(error) }),
    )
    if (!closed) plan(everyMs)
  }

  plan(firstMs)
  return {
    async close() {
      closed = true
      clearTimeout(timer)
      await running
    },
  }
}
