/**
 * Opens the ioredis client of each kind of Redis with the options that make it safe to count with,
 * and asks whether the servers keep what they are given.
 */
import { Cluster, Redis } from 'ioredis'
import type { RedisTarget } from './redis-url.ts'

/** Starts connecting, and goes on until `disconnect`. Give it listeners for `error`. */
export function openRedis(target: RedisTarget, timeoutMs: number): Redis | Cluster {
  const { kind, endpoints, tls, username, password, db } = target
  const redisOptions = {
    username,
    password,
    ...(tls ? { tls: {} } : {}),
    connectTimeout: 1000,
    // Later than our own deadline, which reads what has arrived before it gives up on a call.
    commandTimeout: timeoutMs + 50,
    // A connection that has gone quiet with calls on it is dropped: its other end may be gone.
    socketTimeout: Math.max(1000, 2 * timeoutMs),
    autoResendUnfulfilledCommands: false,
    // Who subscribes does it again at `ready`. ioredis 6.0.0 leaves the failure of its own unhandled.
    autoResubscribe: false,
    maxRetriesPerRequest: 0,
    // After a failover the old primary answers READONLY; connecting anew finds the new one.
    reconnectOnError: (error: Error) => error.message.startsWith('READONLY'),
  }
  // redis-lender.ts already sends a turn's calls together; pipelining them once more costs a turn.
  const shared = { enableAutoPipelining: false, enableOfflineQueue: false }
  const retryStrategy = (times: number): number => Math.min(50 * times, 1000)
  if (kind === 'cluster') {
    return new Cluster([...endpoints], {
      ...shared,
      redisOptions,
      clusterRetryStrategy: retryStrategy,
      clusterNodeRetryStrategy: retryStrategy,
      slotsRefreshInterval: 2000,
      // 0: a command whose connection was lost may have been executed, so it is not sent again.
      retryDelayOnFailover: 0,
      retryDelayOnClusterDown: 0,
      maxRedirections: 4,
    })
  }
  if (kind === 'sentinel') {
    return new Redis({
      ...shared,
      ...redisOptions,
      sentinels: [...endpoints],
      name: target.primary,
      db,
      enableTLSForSentinelMode: tls,
      ...(tls ? { sentinelTLS: {} } : {}),
      sentinelCommandTimeout: 1000,
      sentinelRetryStrategy: retryStrategy,
      retryStrategy,
      // Not `failoverDetector`: when its news comes while a connection is being made, ioredis 6.0.0
      // ends for good. A demoted primary answers READONLY and a silent one is dropped; both reconnect.
    })
  }
  return new Redis({ ...shared, ...redisOptions, ...endpoints[0], db, retryStrategy })
}

/**
 * Why this Redis would forget counts, or null. Every counter expires, so `volatile-*` takes it too.
 * Rejects when a server does not answer.
 */
export async function evictionFlaw(client: Redis | Cluster): Promise<string | null> {
  const servers = client instanceof Cluster ? client.nodes('master') : [client]
  for (const server of servers) {
    const info = await server.info('memory').catch(withoutPermission)
    const policy = /^maxmemory_policy:(\S+)/m.exec(info)?.[1] ?? 'noeviction'
    const bounded = !/^maxmemory:0\s/m.test(info)
    if (policy.startsWith('allkeys-') || (policy.startsWith('volatile-') && bounded)) {
      return `Redis has maxmemory-policy ${policy}, which would evict counters and so lift limits. Set it to noeviction, or give Postern a Redis of its own.`
    }
  }
  return null
}

/** A Redis whose user may not ask is taken at its word. */
function withoutPermission(error: Error): string {
  if (/^NOPERM|unknown command/i.test(error.message)) return 'maxmemory:0\r\n'
  throw error
}
