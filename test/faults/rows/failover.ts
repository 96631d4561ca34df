/** A replica takes over, and a cluster loses a node, under four gates at work. */
import { setTimeout as pause } from 'node:timers/promises'
import { type RedisSet, startCluster, startSentinel } from '../../redis.ts'
import { mostInWindow, of } from '../oracles.ts'
import { type Rig, startRig, windowMs } from '../rig.ts'
import { alwaysChecks, limitChecks, longestCheck, quota, type Trial, tryFault } from '../trial.ts'
import { atMost, type Check, type Group, type Lengths, lasting } from '../verdicts.ts'

/** A rig on several servers, which stop with it. */
async function startOn(
  start: () => Promise<RedisSet>,
  take: (set: RedisSet) => void,
): Promise<Rig> {
  const set = await start()
  take(set)
  try {
    const rig = await startRig({ redisUrl: set.url })
    return {
      ...rig,
      async stop() {
        await rig.stop()
        await set.stop()
      },
    }
  } catch (error) {
    await set.stop()
    throw error
  }
}

let sentinel: RedisSet
let cluster: RedisSet

export const sentinelGroup: Group = {
  name: 'a primary and its replica',
  start: () =>
    startOn(startSentinel, (set) => {
      sentinel = set
    }),
  rows: [
    {
      id: 'Q15 L9',
      did: 'the primary is killed under load, and its replica promoted',
      async run(rig, lengths) {
        const trial = await tryFault(rig, lengths, async () => {
          await sentinel.servers[0]?.kill()
          await rig.allReady()
        })
        return failoverChecks(trial, lengths)
      },
    },
  ],
}

/**
 * Until the replica has taken over each node lets a share pass beside what the store let pass, so a
 * window with the failover in it holds two quotas at most. What the replica lacks is the last second
 * of the primary: that much and no more may pass once it counts.
 */
function failoverChecks(trial: Trial, lengths: Lengths): Check[] {
  const limited = of(trial.seen, 'limited')
  const lastSecond = of(trial.quiet, 'limited').filter(
    ({ sentMs, status }) => sentMs >= trial.fromMs - 1000 && status === 200,
  )
  const sinceMs = trial.untilMs
  const counted = mostInWindow(
    limited.filter(({ sentMs }) => sentMs >= sinceMs),
    windowMs,
  )
  return [
    ...alwaysChecks(trial),
    ...limitChecks(trial, { ever: 2 }, lengths),
    atMost('once it counts', counted, quota + lastSecond.length),
    longestCheck(trial, lengths),
  ]
}

export const clusterGroup: Group = {
  name: 'a cluster of three',
  start: () =>
    startOn(startCluster, (set) => {
      cluster = set
    }),
  rows: [
    {
      id: 'L10',
      did: 'one cluster node after the other is frozen for 20 s',
      async run(rig, lengths) {
        const trial = await tryFault(rig, lengths, async () => {
          for (const server of cluster.servers) {
            process.kill(server.pid(), 'SIGSTOP')
            // Its own bus calls it dead after 2 s; what each gate does in that time is the row.
            await lasting(lengths.of(20 / cluster.servers.length, 1500))
            process.kill(server.pid(), 'SIGCONT')
            await pause(500)
          }
          await rig.allReady()
        })
        return [
          ...alwaysChecks(trial),
          ...limitChecks(trial, { ever: 2 }, lengths),
          longestCheck(trial, lengths),
        ]
      },
    },
  ],
}
