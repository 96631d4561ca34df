/**
 * How a request gets its database clients and what it counts with. A client belongs to the request that
 * opened it and is closed with it; what is pooled is pooled by Hyperdrive, by transaction, so every
 * flight may meet another session (design: the scope goes with each flight and ends with it).
 */
import type { Lender, Sql } from '../../context.ts'
import type { RedisTarget } from '../redis-url.ts'
import { type Role, type ScopedClient, scopedClient } from '../scoped-client.ts'
import { createSql } from '../sql.ts'
import type { Hyperdrive, Settings, WorkerEnv } from './bindings.ts'
import { durableLender } from './durable-lender.ts'
import type { Openers } from './errand.ts'
import type { WorkerLog } from './log.ts'

// Milliseconds. With a pooler in between, the server's own limits are those of its logins.
const limits = {
  connectTimeoutMs: 2000,
  statementTimeoutMs: 5000,
  answerTimeoutMs: 6000,
  idleInTransactionTimeoutMs: 10_000,
}
// A request may have six connections at once: these, and one for Redis.
const tenantClientsMax = 3
const gatewayClientsMax = 2

/** Makes the openers of a request, of the bindings that it was given. */
export function createOpeners(
  { config, oneLogin, redis }: Settings,
  log: WorkerLog,
): (env: WorkerEnv) => Openers {
  const { scope } = config.storage
  const speakAs = (role: Role) => {
    const speaking = { role: oneLogin ? role : null, scope, pooler: true }
    const scoped: ScopedClient = scopedClient({ ...speaking, ...limits })
    return (binding: Hyperdrive | undefined, max: number): Sql => {
      if (binding === undefined) throw new Error('no database is bound')
      const { connectionString: connection } = binding
      const onError = ({ message }: Error) => log.warn(message)
      return createSql({
        ...speaking,
        ...limits,
        scoped,
        connection,
        max,
        onError,
        embedded: false,
      })
    }
  }
  const tenant = speakAs('postern_tenant')
  const gateway = speakAs('postern_gateway')
  const redisLender = redis === null ? null : lazyRedis(redis, log)
  return (env) => ({
    tenantSql: () => tenant(env.POSTERN_DB ?? env.POSTERN_TENANT_DB, tenantClientsMax),
    gatewaySql: () => gateway(env.POSTERN_DB ?? env.POSTERN_GATEWAY_DB, gatewayClientsMax),
    lender() {
      if (redisLender !== null) return redisLender()
      if (env.POSTERN_COUNTER === undefined) throw new Error('no counter is bound')
      return durableLender(env.POSTERN_COUNTER)
    },
  })
}

/** The client of Redis is a third of all the code, and is loaded where it is asked for only. */
function lazyRedis(target: RedisTarget, log: WorkerLog): () => Lender {
  const known = { fit: false, foreign: false }
  return () => {
    const opening = import('./redis.ts').then(({ openRedisLender }) =>
      openRedisLender(target, known, log.warn),
    )
    return {
      lend: async (shard, asks) => (await opening).lend(shard, asks),
      close: async () => (await opening).close(),
    }
  }
}
