/** What `/readyz` says of a running gateway, part by part. It decides nothing. */
import type { Health } from '../../context.ts'
import type { RedisStore } from './redis.ts'
import type { NodeSignal } from './signal/open.ts'
import type { Storage } from './storage.ts'

/**
 * Asks the database, and the others for what they know of themselves. Whatever is down is degraded,
 * and not unavailable: limits say what they do without Redis, and without the database verified keys
 * work on (`keys.outage`), which they would not if a load balancer took every node away at once.
 */
export async function healthOf(
  storage: Storage,
  redis: RedisStore | null,
  signal: NodeSignal,
  draining: boolean,
): Promise<Health> {
  const database = await storage.ping().then(
    () => ({ ok: true, detail: 'answers' }),
    () => ({ ok: false, detail: 'does not answer: only keys in memory can be verified' }),
  )
  const counting = redis === null || redis.state() === 'ready'
  const limits = {
    ok: counting,
    detail: counting
      ? 'counted'
      : 'Redis does not answer: each limit does what its onStoreDown says',
  }
  const parts = { database, limits, signal: signal.health() }
  if (draining) return { status: 'draining', parts }
  const isWhole = database.ok && counting && parts.signal.ok
  return { status: isWhole ? 'ready' : 'degraded', parts }
}
