/**
 * The counter port on Redis: leased, or one script call for a request, whatever its tree
 * (limits/lease.ts decides which).
 *
 * Two dangers. ioredis by default waits for ever for a frozen server and sends a command again whose
 * reply was lost, which counts it twice (F10): so nothing is queued while there is no connection,
 * nothing is sent again, and every call has a deadline and a breaker. A call that timed out may
 * still be executed by a server that wakes up: that counts too much, never too little (L8). And a
 * server that evicts keys forgets counts, which lifts limits: it is refused (L18).
 */
import { Cluster } from 'ioredis'
import type { Counter } from '../../context.ts'
import { StoreDown } from '../../context.ts'
import { leasedCounter } from '../../limits/lease.ts'
import { evictionFlaw, openRedis } from '../redis-client.ts'
import { defineLend, type Guard, redisLender } from '../redis-lender.ts'
import { parseRedisUrl } from '../redis-url.ts'
import { Breaker } from './breaker.ts'

export type RedisState = 'ready' | 'down'

export type RedisOptions = {
  /** Told of each change, with the reason for the log. */
  readonly onState?: (state: RedisState, cause: string) => void
  /** Told once of what is wrong in Redis and does not stop the counting. */
  readonly onWarning?: (message: string) => void
  /** How long one call may take. The default of 200 keeps it, with all overhead, under 250 ms. */
  readonly timeoutMs?: number
  /** How many failures in a row open the breaker. */
  readonly failuresMax?: number
  /** How long to wait at boot before going on with the store down. */
  readonly bootMs?: number
  /** Microseconds in place of the server's clock and this node's. Tests alone pass it. */
  readonly now?: () => number
}

export type RedisStore = {
  readonly counter: Counter
  /** `ready` when every call can be expected to be answered. */
  state(): RedisState
  close(): Promise<void>
}

/** The Redis can be reached but must not be used for counting. The message says what to change. */
export class RedisUnfit extends Error {
  override readonly name = 'RedisUnfit'
}

/**
 * Connects to the Redis of `url` (redis-url.ts says which URLs there are). Resolves as soon as it is
 * ready, or after `bootMs` with state `down`: it then goes on trying, and `onState` tells. Rejects
 * with `RedisUnfit` when the server would evict counters, with a RangeError when the URL is wrong.
 */
export async function connectRedis(url: string, options: RedisOptions = {}): Promise<RedisStore> {
  const { onState, timeoutMs = 200, failuresMax = 5, bootMs = 2000 } = options
  const client = openRedis(parseRedisUrl(url), timeoutMs)
  defineLend(client)
  const breakers = new Map<string, Breaker>()
  let usable = false
  let closed = false
  let told: RedisState = 'down'

  const state = (): RedisState =>
    usable && ![...breakers.values()].some(isOpen) ? 'ready' : 'down'
  const tell = (cause: string): void => {
    const now = state()
    if (now === told) return
    told = now
    onState?.(now, cause)
  }
  const { promise: booted, resolve: boot, reject: refuse } = Promise.withResolvers<void>()

  /** Until a connected server has said that it keeps what it is given, it is not counted with. */
  async function admit(): Promise<void> {
    while (client.status === 'ready' && !usable) {
      try {
        const flaw = await evictionFlaw(client)
        if (flaw !== null) {
          refuse(new RedisUnfit(flaw))
          onState?.('down', flaw)
          return
        }
        usable = client.status === 'ready'
      } catch {
        await new Promise((resolve) => setTimeout(resolve, probeEveryMs).unref())
      }
    }
    if (!usable) return
    for (const breaker of breakers.values()) breaker.probeNow()
    tell('connected')
    boot()
  }

  client.on('ready', () => void admit())
  client.on('close', () => {
    usable = false
    tell('the connection is lost')
  })
  // ioredis gives up for good when it is told to disconnect in the middle of connecting.
  client.on('end', () => {
    if (!closed) setTimeout(() => closed || client.connect().catch(ignore), probeEveryMs).unref()
  })
  // Without a listener ioredis prints errors; what matters of them arrives as state.
  client.on('error', ignore)
  client.on('node error', ignore)

  /** One breaker for one server. In a cluster one per shard: a dead node must not stop the others. */
  function breakerFor(shard: string): Breaker {
    const name = client instanceof Cluster ? shard : ''
    let breaker = breakers.get(name)
    if (breaker === undefined) {
      breaker = new Breaker({
        timeoutMs,
        failuresMax,
        probeEveryMs,
        probe: () => (usable ? lender.probe(shard) : Promise.reject(notConnected)),
        onChange: (_open, cause) => tell(cause),
      })
      breakers.set(name, breaker)
    }
    return breaker
  }
  const guard: Guard = (shard, call) =>
    usable ? breakerFor(shard).run(call) : Promise.reject(notConnected)
  const { now, onWarning } = options
  const lender = redisLender(client, guard, { now, onForeign: onWarning })
  const close = async (): Promise<void> => {
    usable = false
    closed = true
    // Whoever closes it need not be told.
    told = 'down'
    for (const breaker of breakers.values()) breaker.close()
    client.disconnect()
  }

  const giveUp = setTimeout(boot, bootMs)
  try {
    await booted
  } catch (error) {
    await close()
    throw error
  } finally {
    clearTimeout(giveUp)
  }
  const counter = leasedCounter(
    { lend: lender.lend, close },
    {
      ...(now === undefined ? {} : { now: () => now() / 1000 }),
      schedule: (work, afterMs) => setTimeout(work, afterMs).unref(),
    },
  )
  return { counter, state, close: counter.close }
}

const probeEveryMs = 250
const ignore = (): void => {}
const isOpen = (breaker: Breaker): boolean => breaker.isOpen
const notConnected = new StoreDown('Redis is not connected')
