/** Redis goes, stops, crawls and answers with errors, under four gates at work. */
import { ask as askServer } from '../../redis.ts'
import type { Weather } from '../../relay.ts'
import type { Server } from '../../servers.ts'
import { tenants } from '../callers.ts'
import { of } from '../oracles.ts'
import { ask, type Rig, startRig } from '../rig.ts'
import {
  alwaysChecks,
  limitChecks,
  longestCheck,
  type Trial,
  tryFault,
  waitChecks,
} from '../trial.ts'
import { atLeast, atMost, type Check, type Group, type Lengths, lasting } from '../verdicts.ts'

/** What holds where counting is gone for a while and comes back: nobody but the limited are told. */
const outageChecks = (trial: Trial, rig: Rig, lengths: Lengths): Check[] => [
  ...alwaysChecks(trial),
  ...limitChecks(trial, { ever: 2, within: 1.1 }, lengths),
  ...waitChecks(trial, rig.nodes.length, lengths),
]

/** The network to Redis is so for all nodes, for a row's length. */
async function underWeather(
  rig: Rig,
  lengths: Lengths,
  weather: Weather,
  ms: number,
): Promise<Trial> {
  const all = (change: Weather) => {
    for (const { toRedis } of rig.nodes) toRedis?.set(change)
  }
  return tryFault(rig, lengths, async () => {
    all(weather)
    await lasting(ms)
    all({})
  })
}

/** How often the nodes said that Redis is down, since a moment in each one's log. */
function flapsOf(rig: Rig, from: readonly number[]): number {
  const downs = rig.nodes.map(
    ({ gate }, at) =>
      gate
        .stderr()
        .slice(from[at])
        .match(/redis is down/g)?.length ?? 0,
  )
  return Math.max(...downs)
}

const logEnds = (rig: Rig): number[] => rig.nodes.map(({ gate }) => gate.stderr().length)

/** Commands that make a server answer with errors, or not at all for a while; and what ends it. */
const errors: readonly { name: string; cause: readonly string[]; end: readonly string[] }[] = [
  { name: 'OOM', cause: ['CONFIG SET maxmemory 1'], end: ['CONFIG SET maxmemory 0'] },
  { name: 'READONLY', cause: ['REPLICAOF 127.0.0.1 1'], end: ['REPLICAOF NO ONE'] },
  { name: 'SCRIPT FLUSH', cause: ['SCRIPT FLUSH'], end: [] },
  { name: 'FLUSHALL', cause: ['FLUSHALL'], end: [] },
  { name: 'CLIENT PAUSE', cause: ['CLIENT PAUSE 2000'], end: ['CLIENT UNPAUSE'] },
]

async function say(redis: Server, commands: readonly string[]): Promise<void> {
  for (const command of commands) {
    const reply = await askServer(redis, command)
    if (!reply.startsWith('+')) throw new Error(`${command}: ${reply}`)
  }
}

export const redisGroup: Group = {
  name: 'Redis',
  start: () => startRig(),
  rows: [
    {
      id: 'Q1 L6 L11',
      did: 'Redis is killed for 30 s and comes back empty',
      async run(rig, lengths) {
        const trial = await tryFault(rig, lengths, async () => {
          await rig.redis().kill()
          await lasting(lengths.of(30))
          await rig.redis().restart()
        })
        return outageChecks(trial, rig, lengths)
      },
    },
    {
      id: 'Q2 L5 L8',
      did: 'Redis is frozen for 20 s',
      async run(rig, lengths) {
        const trial = await tryFault(rig, lengths, async () => {
          process.kill(rig.redis().pid(), 'SIGSTOP')
          try {
            await lasting(lengths.of(20))
          } finally {
            process.kill(rig.redis().pid(), 'SIGCONT')
          }
        })
        return outageChecks(trial, rig, lengths)
      },
    },
    {
      id: 'Q3',
      did: 'Redis is slow: 200 ms each way',
      async run(rig, lengths) {
        const from = logEnds(rig)
        const ms = lengths.of(20)
        const trial = await underWeather(rig, lengths, { latencyMs: 200 }, ms)
        return [
          ...outageChecks(trial, rig, lengths),
          atMost('said to be down', flapsOf(rig, from), 2 * Math.ceil(ms / 10_000)),
        ]
      },
    },
    {
      id: 'Q3b',
      did: '1 KB/s to Redis',
      async run(rig, lengths) {
        const from = logEnds(rig)
        const ms = lengths.of(20)
        const trial = await underWeather(rig, lengths, { bytesPerSecond: 1000 }, ms)
        return [
          ...alwaysChecks(trial),
          ...limitChecks(trial, { ever: 2 }, lengths),
          longestCheck(trial, lengths),
          atMost('said to be down', flapsOf(rig, from), 2 * Math.ceil(ms / 10_000)),
        ]
      },
    },
    {
      id: 'Q3c',
      did: '5 % of what goes to and from Redis is a reset',
      async run(rig, lengths) {
        const trial = await underWeather(rig, lengths, { resetShare: 0.05 }, lengths.of(20))
        // Some nodes count there and some here, in turns: each sum is at most a quota.
        return [
          ...alwaysChecks(trial),
          ...limitChecks(trial, { ever: 2 }, lengths),
          longestCheck(trial, lengths),
        ]
      },
    },
    {
      id: 'Q3d',
      did: 'connections to Redis are half open: it has gone and nobody is told',
      async run(rig, lengths) {
        const trial = await tryFault(rig, lengths, async () => {
          for (const { toRedis } of rig.nodes) toRedis?.strand()
          await lasting(lengths.of(20))
        })
        // It can be reached all the while: only the connections are dead.
        return [
          ...alwaysChecks(trial),
          ...limitChecks(trial, { ever: 2 }, lengths),
          longestCheck(trial, lengths),
        ]
      },
    },
    {
      id: 'L7',
      did: 'every fourth answer of Redis is lost, and its connection',
      async run(rig, lengths) {
        const key = await rig.makeKey(1_000_000, {
          rate_limit: { name: 'rig', quota: 1_000_000, window_seconds: 600 },
        })
        const headers = { 'x-api-key': key.key, 'x-tn': tenants[0] }
        const relays = rig.nodes.map(({ toRedis }) => toRedis)
        const lost = () => relays.reduce((sum, relay) => sum + (relay?.lost() ?? 0), 0)
        const before = lost()
        const stream = { name: 'counted', perSecond: 60, headers, path: '/echo/:nonce' }
        const trial = await tryFault(
          rig,
          lengths,
          async () => {
            for (const relay of relays) relay?.set({ loseShare: 0.25 })
            await lasting(lengths.of(30))
            for (const relay of relays) relay?.set()
          },
          { streams: [stream], afterMs: 2000 },
        )
        await rig.allReady()
        const last = await ask(rig.nodes[0]!, '/echo/last', { headers })
        const [, left = ''] = /;r=(\d+)/.exec(last.headers.get('ratelimit') ?? '') ?? []
        const counted = 1_000_000 - Number(left)
        const sent = of(trial.seen, 'counted').length + 1
        return [
          ...alwaysChecks(trial),
          atLeast('answers lost', lost() - before, 3),
          // Twice would be a quarter more. What is lent and not yet spent counts too.
          atMost('counted, of what was sent', counted / sent, 1.1),
        ]
      },
    },
    ...errors.map(({ name, cause, end }) => ({
      id: `Q4 ${name}`,
      did: `Redis: ${cause.join(', ')}`,
      async run(rig: Rig, lengths: Lengths) {
        const trial = await tryFault(
          rig,
          lengths,
          async () => {
            await say(rig.redis(), cause)
            await lasting(lengths.of(10, 1500))
            await say(rig.redis(), end)
          },
          { quietMs: 1500, afterMs: 5000 },
        )
        return [
          ...alwaysChecks(trial),
          ...limitChecks(trial, { ever: 2 }, lengths),
          longestCheck(trial, lengths),
        ]
      },
    })),
    {
      id: 'Q4 DEBUG SLEEP',
      did: 'Redis does nothing else for 2 s',
      async run(rig, lengths) {
        const trial = await tryFault(rig, lengths, () => say(rig.redis(), ['DEBUG SLEEP 2']))
        return outageChecks(trial, rig, lengths)
      },
    },
    {
      id: 'V4 limits',
      did: 'one node of four is cut off from Redis (black hole) for 20 s',
      async run(rig, lengths) {
        const [cut] = rig.nodes
        const trial = await tryFault(rig, lengths, async () => {
          cut?.toRedis?.set({ hold: 'both' })
          await lasting(lengths.of(20))
          cut?.toRedis?.set()
        })
        // The three count exactly, and the fourth its quarter.
        return [
          ...alwaysChecks(trial),
          ...limitChecks(trial, { ever: 1.25 }, lengths),
          longestCheck(trial, lengths),
        ]
      },
    },
  ],
}
