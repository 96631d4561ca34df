/**
 * The signal port where there is nobody else to tell: one process that has its database to itself,
 * and Workers, where nothing is remembered from one request to the next.
 */
import type { Change, Receipt, Signal } from '../context.ts'

/** A signal whose only node is this one. */
export function localSignal(): Signal {
  return createSignal(1, 0)
}

/** A signal for a runtime that remembers nothing: there is no node to tell, and none is certain. */
export function uncachedSignal(): Signal {
  return createSignal(null, Number.POSITIVE_INFINITY)
}

function createSignal(nodes: 1 | null, silentMs: number): Signal {
  let epoch = 0
  let heard = (_change: Change | null): void => {}
  return {
    async announce(change): Promise<Receipt> {
      epoch += 1
      heard(change)
      const acknowledged = nodes ?? 0
      return { epoch, nodes, acknowledged, effectiveAt: Date.now(), maxStalenessMs: 0 }
    },
    listen(listener) {
      heard = listener
    },
    silentMs: () => silentMs,
    async close() {},
  }
}
