/**
 * Where requests are counted on Workers: one Durable Object per platform and environment, with the
 * same arithmetic as in memory, because in it there is one thread and one clock.
 *
 * It writes nothing down. When it is evicted (after about a minute without a call, or with a
 * deployment), it starts at nothing, and what it counted is forgotten: each eviction can let through
 * at most one more quota of a window that was open. Windows shorter than the idle time lose nothing.
 */
import { DurableObject } from 'cloudflare:workers'
import type { Borrowed, CounterTree } from '../../context.ts'
import { memoryCounter } from '../../limits/memory.ts'

export class PosternCounter extends DurableObject {
  readonly #counter = memoryCounter({ now: () => this.now() })

  /** Called by `durableCounter`, through RPC. Rejects when it is full. */
  borrow(tree: CounterTree, want: number): Borrowed | Promise<Borrowed> {
    return this.#counter.borrow(tree, want)
  }

  /** Milliseconds. In workerd the clock stands still while code runs, which is exact enough here. */
  protected now(): number {
    return Date.now()
  }
}
