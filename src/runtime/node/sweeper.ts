/**
 * What has to happen when nobody asks: overlaps of rotation end once the old secret is silent, keys
 * become due to be rotated, answers kept for a replay are removed.
 *
 * It refuses to be relied upon: whatever it does late is judged by its time in the database all the
 * same. Several nodes may sweep at once; what one has done the next does not find. The danger is an
 * error that ends it, so none does: it is logged, and the next round begins as usual.
 */
import { type EnvironmentName, StoreDown } from '../../context.ts'
import type { IdempotencyStore } from '../../db/idempotency.ts'
import type { KeyStore } from '../../db/keys.ts'
import type { Log } from './log.ts'

export type SweeperOptions = {
  readonly keys: Pick<KeyStore, 'settleRotations' | 'rotationDue'>
  readonly idempotency: Pick<IdempotencyStore, 'sweep'>
  /** Their ids, asked for in each round: a new config may have others. */
  platforms(): readonly string[]
  /** After how long a key is due to be rotated. */
  rotationMs(): Readonly<Record<EnvironmentName, number>>
  readonly log: Pick<Log, 'info' | 'warn'>
  /** Between two rounds, a quarter more or less. */
  readonly everyMs?: number
  /** Until the first one, the same. */
  readonly firstMs?: number
}

export type Sweeper = {
  /** Ends it, and waits for the statement that is under way. */
  close(): Promise<void>
}

/** Starts to sweep, one platform after the other. */
export function startSweeper(options: SweeperOptions): Sweeper {
  const { keys, idempotency, log, everyMs = 60_000, firstMs = 2000 } = options
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
    for (const platform of options.platforms()) {
      try {
        await sweep(platform)
      } catch (error) {
        log.warn('sweeping failed: it is tried again', { platform, cause: String(error) })
        // A database that is down is down for all.
        if (error instanceof StoreDown) break
      }
      if (closed) return
    }
    plan(everyMs)
  }

  async function sweep(platform: string): Promise<void> {
    await idempotency.sweep(platform)
    if (closed) return
    const settled = await keys.settleRotations(platform)
    if (settled.length > 0) {
      log.info('old secrets fell silent and have ended', { platform, keys: settled })
    }
    if (closed) return
    const { test, live } = options.rotationMs()
    const due = await keys.rotationDue(platform, { test: test / 1000, live: live / 1000 })
    if (due.length === 0) return
    log.info('keys are due to be rotated', { platform, keys: due.map(({ keyId }) => keyId) })
  }

  plan(firstMs)
  return {
    async close() {
      closed = true
      clearTimeout(timer)
      await running
      clearTimeout(timer)
    },
  }
}
