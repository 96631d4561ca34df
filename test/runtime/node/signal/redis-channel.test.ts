import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { leaseMs } from '../../../../src/runtime/node/signal/channel.ts'
import type { Member } from '../../../../src/runtime/node/signal/member.ts'
import { type Running, start } from '../../../process.ts'
import { ask, until } from '../../../redis.ts'
import { type Relay, startRelay } from '../../../relay.ts'
import { type Server, startRedis } from '../../../servers.ts'
import {
  changeOf,
  complete,
  keep,
  knows,
  maxStaleMs,
  signalSuite,
} from '../../../suites/signal.suite.ts'
import { type NodeOptions, redisDeployment, redisNode, word } from './nodes.ts'

const sharedUrl = (): string => {
  const url = process.env.REDIS_URL
  if (url === undefined) throw new Error('REDIS_URL is not set')
  return url
}

signalSuite('Redis', async () => redisDeployment(sharedUrl()), true)

describe('Redis', () => {
  let server: Server
  const nodes: Member[] = []
  const children: Running[] = []
  const relays: Relay[] = []
  let scope = ''
  const open = async (url = server.url, options: NodeOptions = {}): Promise<Member> => {
    const node = await redisNode(url, scope, options)
    nodes.push(node)
    return node
  }
  const child = async (): Promise<Running> => {
    const file = fileURLToPath(new URL('child.ts', import.meta.url))
    const running = await start(process.execPath, [file, server.url, scope])
    children.push(running)
    await running.line(/^ready$/)
    return running
  }
  const key = () => `{postern-signal-${scope}}:1`
  /** Until the record has all nodes and every one is certain: an announcement is then complete. */
  const settled = (node: Member, count: number) =>
    until(async () => {
      const { nodes, maxStalenessMs } = await node.announce(changeOf(), 2000)
      return nodes === count && maxStalenessMs === 0
    })

  beforeAll(async () => {
    server = await startRedis()
  })
  afterAll(() => server?.stop())
  afterEach(async () => {
    await Promise.all(nodes.splice(0).map((node) => node.close()))
    await Promise.all(children.splice(0).map((running) => running.stop('SIGKILL')))
    await Promise.all(relays.splice(0).map((relay) => relay.stop()))
  })

  const pair = async (): Promise<[Member, Member]> => {
    scope = word()
    const both: [Member, Member] = [await open(server.url, { first: true }), await open()]
    await settled(both[0], 2)
    return both
  }

  it.each([
    ['a record of another kind', () => [`SET ${key()} x`]],
    ['a registry that is none', () => [`HSET ${key()} nodes [1,[2]]`]],
    ['an epoch that is none', () => [`HSET ${key()} epoch later`]],
    ['a record without a registry', () => [`HDEL ${key()} nodes`]],
    ['an older copy', () => [`HINCRBY ${key()} epoch -1`]],
    ['a record seen in the future', () => [`HINCRBY ${key()} seen 3600000`]],
    ['a record last seen long ago', () => [`HINCRBY ${key()} seen -3600000`]],
    ['no scripts', () => ['SCRIPT FLUSH', `DEL ${key()}`]],
    ['nothing', () => ['FLUSHALL']],
  ] as const)('L15: %s: everybody forgets everything and goes on', async (_, commands) => {
    const [one, other] = await pair()
    const heard = [one, other].map(keep)
    const before = (await one.announce(changeOf(), 2000)).epoch ?? 0
    for (const command of commands()) expect(await ask(server, command)).not.toMatch(/^-/)
    await until(() => heard.every((list) => list.includes(null)))
    await settled(one, 2)
    const change = changeOf()
    const receipt = await other.announce(change, 2000)
    expect(receipt).toMatchObject(complete(2))
    expect(receipt.epoch).toBeGreaterThan(before)
    expect(knows(heard[0]!, change)).toBe(true)
  })

  it('a record that has just been made cannot know all nodes, so no receipt is complete', async () => {
    const [one, other] = await pair()
    await ask(server, 'FLUSHALL')
    const heard = keep(one)
    const receipt = await other.announce(changeOf(), 0)
    expect(receipt).toMatchObject({ maxStalenessMs: maxStaleMs })
    await until(() => heard.includes(null))
    const late = await one.announce(changeOf(), 5000)
    expect(late).toMatchObject({ nodes: 2, acknowledged: 2 })
    // A node that is cut off from everything, and of which the record does not know.
    expect(late.maxStalenessMs).toBeGreaterThan(0)
    await settled(one, 2)
  })

  it('L15: garbage on the channels is a reason to ask, and no more', async () => {
    const warnings: string[] = []
    const [one] = await pair()
    const other = await open(server.url, { warn: (message) => warnings.push(message) })
    await settled(one, 3)
    const heard = keep(other)
    for (const text of ['x', '{}', '"{"', `${'9'.repeat(60)}`]) {
      await ask(server, `PUBLISH ${key()}:all ${text}`)
    }
    const change = changeOf()
    expect(await one.announce(change, 5000)).toMatchObject(complete(3))
    expect(heard).toEqual([change])
    expect(warnings).toEqual([])
  })

  it('L15: an entry of another version is everything, and is said once', async () => {
    const warnings: string[] = []
    const [one] = await pair()
    const other = await open(server.url, { warn: (message) => warnings.push(message) })
    await settled(one, 3)
    const heard = keep(other)
    for (let n = 0; n < 3; n++) {
      const epoch = Number(/\d{10,}/.exec(await ask(server, `HGET ${key()} epoch`))?.[0]) + 1
      await ask(server, `HSET ${key()} epoch ${epoch} l${epoch} {v:2}`)
      await until(() => heard.splice(0).includes(null))
    }
    expect(warnings).toHaveLength(1)
    await settled(one, 3)
  })

  it('more announcements than the record keeps are everything', async () => {
    const [one, other] = await pair()
    const heard = keep(other)
    const epoch = /\d{10,}/.exec(await ask(server, `HINCRBY ${key()} epoch 100`))?.[0]
    await until(() => heard.includes(null))
    const receipt = await one.announce(changeOf(), 5000)
    expect(receipt).toMatchObject(complete(2))
    expect(receipt.epoch).toBeGreaterThan(Number(epoch))
  })

  it('V3: the subscription is cut while something is announced: the next turn hears of it', async () => {
    scope = word()
    const relay = await startRelay(server.port)
    relays.push(relay)
    const one = await open(server.url, { first: true })
    const other = await open(`redis://127.0.0.1:${relay.port}`)
    await settled(one, 2)
    relay.loseAnswersTo('subscribe')
    await ask(server, 'CLIENT KILL TYPE pubsub')
    await until(() => other.health().detail.includes('subscription is down'))
    expect(other.health().ok).toBe(true)
    const heard = keep(other)
    const change = changeOf()
    expect(await one.announce(change, 5000)).toMatchObject(complete(2))
    expect(heard).toEqual([change])
    relay.loseAnswersTo(null)
    await until(() => other.health().detail.includes('woken'))
  })

  it('V3: a node that is cut off trusts nothing at once, is waited for, and then forgets everything', async () => {
    scope = word()
    const relay = await startRelay(server.port)
    relays.push(relay)
    const states: string[] = []
    const one = await open(server.url, { first: true })
    const other = await open(`redis://127.0.0.1:${relay.port}`, {
      onState: (state) => states.push(state),
    })
    await settled(one, 2)
    relay.cut()
    await until(() => other.silentMs() > 0)
    expect(other.health().ok).toBe(false)
    const heard = keep(other)
    const early = await one.announce(changeOf(), 0)
    expect(early).toMatchObject({ nodes: 2, acknowledged: 1, maxStalenessMs: maxStaleMs })
    // Its lease has run out, but it may go by its memory where the database is out of its reach too.
    const late = await one.announce(changeOf(), 10_000)
    expect(late).toMatchObject({ nodes: 2, acknowledged: 1 })
    expect(late.maxStalenessMs).toBeGreaterThan(0)
    expect(late.maxStalenessMs).toBeLessThanOrEqual(maxStaleMs - leaseMs)
    expect(await other.announce(changeOf(), 50)).toMatchObject({ epoch: null, acknowledged: 1 })
    expect(heard.filter((change) => change === null)).toEqual([])
    relay.mend()
    await until(() => other.silentMs() === 0)
    expect(heard).toContain(null)
    await settled(one, 2)
    expect(states).toEqual(['ready', 'down', 'ready'])
  })

  it('what could not be announced is announced when the store is back', async () => {
    const relay = await startRelay(server.port)
    relays.push(relay)
    const [one] = await pair()
    const other = await open(`redis://127.0.0.1:${relay.port}`)
    await settled(one, 3)
    relay.cut()
    await until(() => other.silentMs() > 0)
    const heard = keep(one)
    const change = changeOf()
    await other.announce(change, 0)
    relay.mend()
    await until(() => knows(heard, change))
  })

  it('a killed node is waited for until its lease is over, and counted while it could be alive', async () => {
    const [one] = await pair()
    const running = await child()
    await settled(one, 3)
    const change = changeOf()
    expect(await one.announce(change, 5000)).toMatchObject(complete(3))
    await running.line(new RegExp(`^forgot ${change.id}$`))
    await running.stop('SIGKILL')
    const early = await one.announce(changeOf(), 0)
    expect(early).toMatchObject({ nodes: 3, maxStalenessMs: maxStaleMs })
    expect(early.effectiveAt).toBeGreaterThan(Date.now() + leaseMs)
    const late = await one.announce(changeOf(), 10_000)
    expect(late).toMatchObject({ nodes: 3, acknowledged: 2 })
    expect(late.maxStalenessMs).toBeLessThanOrEqual(maxStaleMs - leaseMs)
    await settled(one, 2)
  })

  it('a process that ends properly is not waited for', async () => {
    const [one] = await pair()
    const running = await child()
    await settled(one, 3)
    await running.stop('SIGTERM')
    expect(await one.announce(changeOf(), 2000)).toMatchObject(complete(2))
  })

  it('a frozen Redis delays an announcement no longer than it may take', async () => {
    const frozen = await startRedis()
    try {
      scope = word()
      const one = await open(frozen.url, { first: true })
      const other = await open(frozen.url)
      await settled(one, 2)
      const heard = keep(other)
      process.kill(frozen.pid(), 'SIGSTOP')
      const from = performance.now()
      const change = changeOf()
      const receipt = await one.announce(change, 300)
      // 300 ms and what a busy machine makes of it.
      expect(performance.now() - from).toBeLessThan(3000)
      expect(receipt).toMatchObject({ epoch: null, nodes: 2, acknowledged: 1 })
      expect(receipt.maxStalenessMs).toBe(maxStaleMs)
      await until(() => one.silentMs() > 0 && other.silentMs() > 0)
      process.kill(frozen.pid(), 'SIGCONT')
      await until(() => one.silentMs() === 0 && other.silentMs() === 0)
      await until(() => knows(heard, change))
      await settled(one, 2)
    } finally {
      process.kill(frozen.pid(), 'SIGCONT')
      await Promise.all(nodes.splice(0).map((node) => node.close()))
      await frozen.stop()
    }
  })

  it('a Redis that starts again with nothing is one where everything may have been missed', async () => {
    const own = await startRedis()
    try {
      scope = word()
      const one = await open(own.url, { first: true })
      const other = await open(own.url)
      await settled(one, 2)
      const heards = [one, other].map(keep)
      const before = (await one.announce(changeOf(), 2000)).epoch ?? 0
      await own.kill()
      await until(() => one.silentMs() > 0 && other.silentMs() > 0)
      await own.restart()
      await until(() => heards.every((heard) => heard.includes(null)))
      await settled(one, 2)
      expect((await one.announce(changeOf(), 2000)).epoch).toBeGreaterThan(before)
    } finally {
      await Promise.all(nodes.splice(0).map((node) => node.close()))
      await own.stop()
    }
  })

  it('a replica takes no turn, and the node is certain once it has become a primary', async () => {
    const replica = await startRedis(['--replicaof', '127.0.0.1', `${server.port}`])
    try {
      scope = word()
      const one = await open(replica.url, { bootMs: 500 })
      expect(one.silentMs()).toBe(Number.POSITIVE_INFINITY)
      expect(await one.announce(changeOf(), 2000)).toMatchObject({ epoch: null, nodes: 1 })
      await ask(replica, 'REPLICAOF NO ONE')
      await until(() => one.silentMs() === 0)
    } finally {
      await Promise.all(nodes.splice(0).map((node) => node.close()))
      await replica.stop()
    }
  })

  const few = '+info +eval +evalsha +hmget +hset +hdel +del +pexpire +time'
  it.each([
    ['may neither publish nor subscribe hears of everything with the next turn', '', /asks every/],
    ['has the rights that docs/revocation.md names is woken', '+publish +subscribe &*', /woken/],
  ])('a user who %s', async (_, more, how) => {
    const [one] = await pair()
    const rules = `reset on >quiet ~* resetchannels -@all ${few} ${more}`
    expect(await ask(server, `ACL SETUSER quiet ${rules}`)).toMatch(/^\+OK/)
    const other = await open(`redis://quiet:quiet@127.0.0.1:${server.port}`)
    await settled(one, 3)
    await until(() => how.test(other.health().detail))
    const [told, heard] = [keep(one), keep(other)]
    const [change, back] = [changeOf(), changeOf()]
    expect(await one.announce(change, 5000)).toMatchObject(complete(3))
    expect(await other.announce(back, 5000)).toMatchObject(complete(3))
    expect(knows(heard, change)).toBe(true)
    expect(knows(told, back)).toBe(true)
  })

  it('V1: four nodes have forgotten long before half a second is over', async () => {
    const [one] = await pair()
    const others = [nodes[1]!, await open(), await open()]
    await settled(one, 4)
    const took: number[] = []
    for (let n = 0; n < 100; n++) {
      const change = changeOf()
      const from = performance.now()
      let missing = others.length
      const last = new Promise<number>((resolve) => {
        for (const other of others) {
          other.listen(() => {
            missing -= 1
            if (missing === 0) resolve(performance.now() - from)
          })
        }
      })
      await one.announce(change, 5000)
      took.push(await last)
    }
    took.sort((a, b) => a - b)
    expect(took[50]).toBeLessThan(250)
  })
})
