/** PostgreSQL is killed, restarted and frozen, alone and together with Redis, under four gates. */
import { withClient } from '../../database.ts'
import { isListening } from '../../gate-process.ts'
import { until } from '../../redis.ts'
import type { Server } from '../../servers.ts'
import { tenants } from '../callers.ts'
import { between, longestMs, of, wrongAnswers } from '../oracles.ts'
import { ask, type Rig, startRig } from '../rig.ts'
import {
  alwaysChecks,
  busyOf,
  limitChecks,
  longestCheck,
  recoveryCheck,
  type Trial,
  tryFault,
} from '../trial.ts'
import {
  atLeast,
  atMost,
  type Check,
  exactly,
  type Group,
  inTime,
  type Lengths,
  lasting,
  none,
} from '../verdicts.ts'

/** What callers who need rows are told without a database; who needs none is told nothing. */
const told = ['503 storage/unavailable']

/** Keys that were verified before work on, where the database is needed for nothing else. */
const forwardedChecks = ({ seen }: Trial): Check[] => [
  none('forwarded, not served', wrongAnswers([...of(seen, 'echo'), ...of(seen, 'limited')])),
]

/** What those are told whose key nobody has seen: not that it is wrong. */
async function unseenChecks(rig: Rig, key: string): Promise<Check[]> {
  const [node] = rig.nodes
  if (node === undefined) return []
  const unseen = await ask(node, '/echo/unseen', { key, tenant: tenants[0] })
  const managed = await ask(node, '/v1/api-keys', { key: rig.variable('POSTERN_ADMIN_KEY') })
  return [
    exactly('unseen key', `${unseen.status} ${unseen.json?.code}`, '503 auth/unavailable'),
    atLeast('its Retry-After', Number(unseen.headers.get('retry-after')), 1, ' s'),
    exactly('management', managed.status, 503),
  ]
}

async function healthOf(rig: Rig): Promise<string> {
  const answers = await Promise.all(
    rig.nodes.flatMap((node) => [ask(node, '/readyz'), ask(node, '/livez')]),
  )
  return [...new Set(answers.map(({ status, json }) => `${status} ${json?.status ?? ''}`))].join()
}

/** Every process of the server. */
async function backendsOf(postgres: Server): Promise<number[]> {
  const pids = await withClient(postgres.url, async (client) => {
    const { rows } = await client.query<{ pid: number }>(
      'select pid from pg_stat_activity where pid <> pg_backend_pid()',
    )
    return rows.map(({ pid }) => pid)
  })
  // The parent first, so that it starts no others meanwhile.
  return [postgres.pid(), ...pids]
}

async function frozen(postgres: Server, ms: number): Promise<void> {
  const pids = await backendsOf(postgres)
  const send = (signal: NodeJS.Signals) => {
    for (const pid of pids) {
      try {
        process.kill(pid, signal)
      } catch {
        // It has ended meanwhile.
      }
    }
  }
  send('SIGSTOP')
  try {
    await lasting(ms)
  } finally {
    send('SIGCONT')
  }
}

/** Restarts as `pg_ctl restart -m` does: fast is SIGINT, immediate SIGQUIT. */
async function restart(postgres: Server, how: NodeJS.Signals): Promise<void> {
  process.kill(postgres.pid(), how)
  await until(async () => !(await isListening(postgres.port)))
  await postgres.restart()
}

export const postgresGroup: Group = {
  name: 'PostgreSQL',
  start: () => startRig(),
  rows: [
    {
      id: 'Q5',
      did: 'PostgreSQL is killed for 60 s',
      async run(rig, lengths) {
        const { key } = await rig.makeKey()
        let meanwhile: Check[] = []
        const trial = await tryFault(rig, lengths, async () => {
          await rig.postgres.kill()
          await lasting(lengths.of(60) / 2)
          meanwhile = await unseenChecks(rig, key)
          await lasting(lengths.of(60) / 2)
          await rig.postgres.restart()
        })
        return [
          ...alwaysChecks(trial, told),
          ...forwardedChecks(trial),
          ...meanwhile,
          ...limitChecks(trial, { ever: 1 }, lengths),
          recoveryCheck(trial, lengths, 3000),
        ]
      },
    },
    {
      id: 'Q6',
      did: 'PostgreSQL restarts, fast and immediate in turns, 20 times',
      async run(rig, lengths) {
        const times = Math.max(2, Math.round(20 * lengths.scale))
        const trial = await tryFault(rig, lengths, async () => {
          for (let i = 0; i < times; i++) {
            await restart(rig.postgres, i % 2 === 0 ? 'SIGINT' : 'SIGQUIT')
            await lasting(lengths.of(10, 1000))
          }
        })
        const rows = trial.seen.filter(({ stream }) => /^(rows|foreign)/.test(stream))
        return [
          ...alwaysChecks(trial, told),
          ...forwardedChecks(trial),
          atLeast('answers looked through', rows.length, 10_000 * Math.min(lengths.scale, 0.05)),
          longestCheck(trial, lengths, 1000),
          recoveryCheck(trial, lengths, 1000),
        ]
      },
    },
    {
      id: 'Q6 F2',
      did: 'every connection to PostgreSQL is reset, again and again',
      async run(rig, lengths) {
        let times = 0
        const trial = await tryFault(rig, lengths, async () => {
          const ends = performance.now() + lengths.of(20)
          while (performance.now() < ends) {
            for (const { toPostgres } of rig.nodes) toPostgres.reset()
            times += 1
            await lasting(200)
          }
        })
        return [
          atLeast('times', times, 5),
          ...alwaysChecks(trial, told),
          ...forwardedChecks(trial),
          longestCheck(trial, lengths, 1000),
          recoveryCheck(trial, lengths, 1000),
        ]
      },
    },
    {
      id: 'Q7',
      did: 'every process of PostgreSQL is frozen for 30 s',
      async run(rig, lengths) {
        const ms = lengths.of(30, 4000)
        const trial = await tryFault(rig, lengths, () => frozen(rig.postgres, ms))
        return frozenChecks(trial, lengths)
      },
    },
    {
      id: 'Q7b',
      did: 'the network to PostgreSQL is a black hole for 30 s',
      async run(rig, lengths) {
        const ms = lengths.of(30, 4000)
        const trial = await tryFault(rig, lengths, async () => {
          for (const { toPostgres } of rig.nodes) toPostgres.set({ hold: 'both' })
          await lasting(ms)
          for (const { toPostgres } of rig.nodes) toPostgres.set()
        })
        return frozenChecks(trial, lengths)
      },
    },
    {
      id: 'Q8',
      did: 'PostgreSQL and Redis are killed together for 30 s',
      async run(rig, lengths) {
        let health = ''
        const trial = await tryFault(rig, lengths, async () => {
          await Promise.all([rig.postgres.kill(), rig.redis().kill()])
          await lasting(lengths.of(30))
          health = await healthOf(rig)
          await Promise.all([rig.postgres.restart(), rig.redis().restart()])
        })
        return [
          ...alwaysChecks(trial, told),
          ...forwardedChecks(trial),
          ...limitChecks(trial, { ever: 2, within: 1.1 }, lengths),
          exactly('health', health, '200 degraded,200 alive'),
          recoveryCheck(trial, lengths, 3000),
        ]
      },
    },
    {
      id: 'Q5 long',
      did: 'PostgreSQL is away for 15 min: verified keys work on',
      async run(rig, lengths) {
        const trial = await tryFault(rig, lengths, async () => {
          await rig.postgres.kill()
          await lasting(lengths.of(890, 75_000))
          await rig.postgres.restart()
        })
        return [
          ...alwaysChecks(trial, told),
          ...forwardedChecks(trial),
          recoveryCheck(trial, lengths, 3000),
        ]
      },
    },
  ],
}

function frozenChecks(trial: Trial, lengths: Lengths): Check[] {
  const { seen, untilMs } = trial
  const rows = seen.filter(({ stream }) => stream.startsWith('rows'))
  const since = between(rows, untilMs + lengths.slack(2000), Number.POSITIVE_INFINITY)
  return [
    ...alwaysChecks(trial, told),
    ...forwardedChecks(trial),
    longestCheck(trial, lengths, 1200),
    atMost('served 2 s after', Object.keys(wrongAnswers(since)).length, 0),
    atLeast('rows 2 s after', since.length, 10),
    inTime(
      busyOf(seen),
      atMost('their longest wait', longestMs(since), lengths.slack(1000), ' ms'),
    ),
  ]
}
