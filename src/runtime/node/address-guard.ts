/**
 * How often one client may ask what needs no good key (failed authentications, preflights) before it
 * is cut short. It counts in this process's memory alone, so it holds with every store down (threats
 * L13). A good key is never counted here, and passes from any address.
 */
import RateLimiterMemory from 'rate-limiter-flexible/lib/RateLimiterMemory.js'
import { addressBucket } from '../../lib/address.ts'

export type AddressGuardOptions = {
  /** What is answered per client and window. */
  readonly count: number
  /** The window opens with the first that a client asks. */
  readonly windowSeconds: number
  /** Clients counted one by one; more of them within a window share one count. */
  readonly addressesMax?: number
}

export type AddressGuard = {
  /**
   * Charges one to a client address (IPv6: its /64). null: answer it. Otherwise answer 429, with
   * `Retry-After` of these seconds (>= 1).
   */
  charge(clientAddress: string): Promise<number | null>
}

/** Creates a guard with nothing counted. */
export function createAddressGuard(options: AddressGuardOptions): AddressGuard {
  const { count, windowSeconds, addressesMax = 20_000 } = options
  const limiter = new RateLimiterMemory({ points: count, duration: windowSeconds })
  // The limiter would hold as many clients as ask. This names those being counted now, in the order
  // in which their windows end, so that a flood from ever new addresses cannot fill the memory.
  const countedUntil = new Map<string, number>()

  function nameFor(clientAddress: string, now: number): string {
    const bucket = addressBucket(clientAddress)
    const until = countedUntil.get(bucket)
    if (until !== undefined && until > now) return bucket
    countedUntil.delete(bucket)
    if (countedUntil.size >= addressesMax) dropEnded(now)
    // Closed, not open, when full: forgetting somebody instead would hand out fresh counts.
    if (countedUntil.size >= addressesMax) return 'everybody else'
    countedUntil.set(bucket, now + windowSeconds * 1000)
    return bucket
  }

  function dropEnded(now: number): void {
    for (const [name, until] of countedUntil) {
      if (until > now) return
      countedUntil.delete(name)
    }
  }

  return {
    async charge(clientAddress) {
      try {
        await limiter.consume(nameFor(clientAddress, Date.now()))
        return null
      } catch (refused) {
        // It rejects with its count, which is no Error, when a client is over its share.
        if (!isCount(refused)) throw refused
        return Math.max(1, Math.ceil(refused.msBeforeNext / 1000))
      }
    },
  }
}

function isCount(value: unknown): value is { readonly msBeforeNext: number } {
  return !(value instanceof Error) && typeof value === 'object' && value !== null
}
