/**
 * The store operation over Durable Objects. The object of a tree is named by its shard, so a tree is
 * charged in one call. A call is never made twice: the first may have been counted.
 */
import { type Ask, type Lender, type Lent, StoreDown } from '../../context.ts'

/** What a binding of `PosternCounter` offers. */
export type CounterNamespace = {
  getByName(name: string): { lend(shard: string, asks: readonly Ask[]): Promise<Lent> }
}

/** A lender whose every call is answered within `timeoutMs` or rejects with `StoreDown`. */
export function durableLender(namespace: CounterNamespace, timeoutMs = 1000): Lender {
  return {
    async lend(shard, asks) {
      const { promise: late, reject } = Promise.withResolvers<never>()
      const timer = setTimeout(() => reject(new StoreDown('the counter is late')), timeoutMs)
      try {
        return await Promise.race([namespace.getByName(shard).lend(shard, asks), late])
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
