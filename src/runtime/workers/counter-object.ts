/**
 * Where requests are counted on Workers: one Durable Object per platform and environment, with the
 * same arithmetic as in memory, because in it there is one thread and one clock. Isolates borrow from
 * it as nodes do from Redis.
 *
 * It writes nothing down. When it is evicted (after about a minute without a call, or with a
 * deployment), it starts at nothing, and what it counted is forgotten: each eviction can let through
 * at most one more quota of a window that was open. Windows shorter than the idle time lose nothing.
 */
import { DurableObject } from 'cloudflare:workers'
import type { Ask, Lent } from '../../context.ts'
import { memoryLender } from '../../limits/lend.ts'

export class PosternCounter extends DurableObject {
  readonly #lender = memoryLender({ now: () => this.now() })

  /** Called by `durableLender`, through RPC. Rejects when it is full. */
  lend(shard: string, asks: readonly Ask[]): Promise<Lent> {
    return this.#lender.lend(shard, asks)
  }

  /** Milliseconds. In workerd the clock stands still while code runs, which is exact enough here. */
  protected now(): number {
    return Date.now()
  }
}
