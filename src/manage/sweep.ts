/**
 * What falls due by itself: rotations whose old secret has fallen silent end, keys that are due to be
 * rotated are named in the audit, and what idempotency keeps too long is removed. Any number of nodes
 * may do this at once; the stores see to it that each thing happens once.
 */
import type { EnvironmentName, Platform, Signal } from '../context.ts'
import type { IdempotencyStore } from '../db/idempotency.ts'
import type { KeyStore } from '../db/keys.ts'
import { operatorPlatformId } from '../keys/schemes.ts'

export type SweepOptions = {
  readonly platforms: readonly Platform[]
  readonly keys: Pick<KeyStore, 'settleRotations' | 'rotationDue'>
  readonly idempotency: Pick<IdempotencyStore, 'sweep'>
  readonly rotationMs: Readonly<Record<EnvironmentName, number>>
  readonly announce: Signal['announce']
}

/** Makes the function that sweeps once. It rejects when the database does not answer. */
export function createSweep(options: SweepOptions): () => Promise<void> {
  const { platforms, keys, idempotency, rotationMs, announce } = options
  const maxAgeSeconds = {
    test: Math.floor(rotationMs.test / 1000),
    live: Math.floor(rotationMs.live / 1000),
  }
  return async () => {
    // One after the other: nobody waits for it, and callers need the connections.
    for (const { id } of platforms) {
      for (const key of await keys.settleRotations(id)) {
        await announce({ kind: 'key', platform: id, id: key }, 0)
      }
      await keys.rotationDue(id, maxAgeSeconds)
      await idempotency.sweep(id)
    }
    await idempotency.sweep(operatorPlatformId)
  }
}
