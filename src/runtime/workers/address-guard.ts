/**
 * How often one client may ask what needs no good key (failed authentications, preflights) before it
 * is cut short, counted in this isolate's memory alone: no store is asked, so none can be down. An
 * isolate that starts counts from nothing, and a client that meets several is counted in each. A
 * good key is never counted.
 */
import type { Limit } from '../../context.ts'
import { addressBucket } from '../../lib/address.ts'
import { memoryCounter } from '../../limits/memory.ts'

/** Clients counted one by one; more of them within a window share one count. */
const addressesMax = 20_000

/** Charges one to an address: null to answer it, else the seconds until it is heard again. */
export type ChargeAddress = (clientAddress: string) => Promise<number | null>

/** Creates a guard with nothing counted. */
export function createAddressCharge({
  count: quota,
  windowSeconds,
}: {
  readonly count: number
  readonly windowSeconds: number
}): ChargeAddress {
  const counter = memoryCounter({ countersMax: addressesMax })
  const overflow = memoryCounter({ countersMax: 1 })
  const limits: readonly Limit[] = [{ name: 'address', quota, windowSeconds, onStoreDown: 'deny' }]
  const treeOf = (key: string) => ({ shard: 'address', nodes: [{ key, limits }] })
  const everybodyElse = treeOf('everybody else')

  return async (clientAddress) => {
    const charge = async () => counter.borrow(treeOf(addressBucket(clientAddress)), 1)
    // Closed, not open, when full: forgetting somebody instead would hand out fresh counts.
    const borrowed = await charge().catch(() => overflow.borrow(everybodyElse, 1))
    return borrowed.granted ? null : Math.max(1, borrowed.retryAfterSeconds)
  }
}
