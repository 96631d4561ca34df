import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type RedisSet, startCluster, startSentinel, until } from '../../../redis.ts'
import { changeOf, complete, keep, knows, signalSuite } from '../../../suites/signal.suite.ts'
import { redisDeployment, redisNode, word } from './nodes.ts'

let cluster: RedisSet
let set: RedisSet
beforeAll(async () => {
  cluster = await startCluster()
  set = await startSentinel()
})
afterAll(async () => {
  await cluster?.stop()
  await set?.stop()
})

signalSuite('Redis Cluster', async () => redisDeployment(cluster.url), true)
signalSuite('Redis behind Sentinel', async () => redisDeployment(set.url), true)

describe('Redis behind Sentinel', () => {
  it('a failover may have lost announcements: everybody forgets everything, and goes on', async () => {
    const scope = word()
    const one = await redisNode(set.url, scope, { first: true })
    const other = await redisNode(set.url, scope)
    try {
      const heards = [one, other].map(keep)
      const before = (await one.announce(changeOf(), 5000)).epoch ?? 0
      await set.servers[0]!.kill()
      await until(() => one.silentMs() > 0 && other.silentMs() > 0)
      // Raised in vain: it is kept, and raised where the other one can hear it.
      const change = changeOf()
      expect(await one.announce(change, 50)).toMatchObject({ epoch: null, acknowledged: 1 })
      await until(() => one.silentMs() === 0 && other.silentMs() === 0)
      expect(heards.every((heard) => heard.includes(null))).toBe(true)
      await until(() => knows(heards[1]!, change))
      await until(async () => (await one.announce(changeOf(), 2000)).maxStalenessMs === 0)
      const receipt = await other.announce(changeOf(), 5000)
      expect(receipt).toMatchObject(complete(2))
      expect(receipt.epoch).toBeGreaterThan(before)
    } finally {
      await Promise.all([one.close(), other.close()])
    }
  }, 60_000)
})

describe('Redis Cluster', () => {
  it('nodes are woken there too', async () => {
    const scope = word()
    const one = await redisNode(cluster.url, scope, { first: true })
    const other = await redisNode(cluster.url, scope)
    try {
      await until(() => other.health().detail.includes('woken'))
      const change = changeOf()
      const heard = keep(other)
      expect(await one.announce(change, 5000)).toMatchObject(complete(2))
      expect(heard).toEqual([change])
    } finally {
      await Promise.all([one.close(), other.close()])
    }
  })
})
