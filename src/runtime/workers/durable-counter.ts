/**
 * The counter port over Durable Objects. The object of a tree is named by its shard, so a tree is
 * charged in one call. A call is never made twice: the first may have been counted.
 */
import { type Borrowed, type Counter, type CounterTree, StoreDown } from '../../context.ts'
import { validateCost } from '../../limits/window.ts'

/** What a binding of `PosternCounter` offers. */
export type CounterNamespace = {
  getByName(name: string): { borrow(tree: CounterTree, want: number): Promise<Borrowed> }
}

/**
 * A counter whose every call is answered within `timeoutMs` or rejects with `StoreDown`. Rejects with
 * a RangeError for a `want` that is no positive integer.
 */
export function durableCounter(namespace: CounterNamespace, timeoutMs = 1000): Counter {
  return {
    async borrow(tree, want) {
      const flaw = validateCost(want)
      if (flaw !== null) throw new RangeError(flaw)
      const { promise: late, reject } = Promise.withResolvers<never>()
      const timer = setTimeout(() => reject(new StoreDown('the counter is late')), timeoutMs)
      try {
        return await Promise.race([namespace.getByName(tree.shard).borrow(tree, want), late])
      } catch (error) {
        if (error instanceof StoreDown) throw error
        // An object that was reset or is overloaded, or that is full.
        throw new StoreDown(`the counter: ${error instanceof Error ? error.message : typeof error}`)
      } finally {
        clearTimeout(timer)
      }
    },
    async close() {},
  }
}
