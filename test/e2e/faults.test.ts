/**
 * PostgreSQL and Redis are killed, frozen and restarted under a gate at work. Whatever happens to
 * them: the process stays, every request is answered in time, nothing but 2xx, 429 and 503 comes
 * back, no tenant sees another's row, and afterwards all is as before.
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { withClient } from '../database.ts'
import {
  type Answer,
  exampleConfig,
  type GateProcess,
  isListening,
  logLines,
  makePlace,
  type Place,
  startGateProcess,
  succeeded,
} from '../gate-process.ts'
import { ask, until } from '../redis.ts'
import { type Server, startPostgres, startRedis } from '../servers.ts'

const list = '/v1/subscriptions'
const tenants = ['tenant_abc123', 'tenant_xyz789']
const pepper = (byte: number) => Buffer.alloc(32, byte).toString('base64')

let postgres: Server
let redis: Server
let env: Record<string, string>
/** One folder for every gate here, so that each finds the keys of the first. */
let place: Place
beforeAll(async () => {
  ;[postgres, redis] = await Promise.all([
    // What is acknowledged must outlive a kill here.
    startPostgres(['synchronous_commit=on', 'track_functions=all']),
    startRedis(),
  ])
  place = makePlace()
  env = {
    DATABASE_URL: postgres.url,
    REDIS_URL: redis.url,
    POSTERN_PEPPER: `1:${pepper(1)}`,
    POSTERN_MASTER_KEY: pepper(9),
  }
})
afterAll(async () => {
  await Promise.all([postgres?.stop(), redis?.stop()])
  place?.remove()
})

const roomy = exampleConfig.replaceAll(/\[(?:100|500|1000|5000)\/min\]/g, '[1000000/min]')

let gate: GateProcess
/** Starts a gate for a group of tests, and judges at the end how it fared. */
function withGate(config = roomy): void {
  beforeAll(async () => {
    place.write('postern.yaml', config)
    gate = await startGateProcess(place, env)
  })
  afterAll(async () => {
    expect(await gate?.stop()).toEqual(succeeded)
    for (const line of logLines(gate.stderr())) {
      expect(line.code, JSON.stringify(line)).not.toBe('internal/error')
    }
  })
}

type Seen = { readonly status: number; readonly code: string | null; readonly ms: number }

/** Callers of two tenants in two environments, one request after the other, until `stop`. */
async function startTraffic(callers = 8) {
  const rows = new Map<string, string>()
  const places = tenants.flatMap((tenant) =>
    ['POSTERN_SK_DEV', 'POSTERN_SK_LIVE'].map((name) => ({ tenant, key: gate.variable(name) })),
  )
  const read = (at: number) => gate.call(list, places[at % places.length])
  for (const [at] of places.entries()) {
    for (const { id } of (await read(at)).json.data) rows.set(id, `${at}`)
  }
  const seen: Seen[] = []
  let foreign = 0
  let isOn = true
  const judge = (at: number, { status, json }: Answer, ms: number) => {
    seen.push({ status, code: json?.code ?? null, ms })
    if (status !== 200) return
    for (const { id } of json.data) if (rows.get(id) !== `${at % places.length}`) foreign++
  }
  const working = Array.from({ length: callers }, async (_, at) => {
    while (isOn) {
      const before = performance.now()
      judge(at, await read(at), performance.now() - before)
    }
  })
  return {
    seen,
    foreign: () => foreign,
    /** Once `count` more requests of a kind have been answered. */
    more: (count: number, is: (one: Seen) => boolean) => {
      const from = seen.length
      return until(() => seen.slice(from).filter(is).length >= count)
    },
    async stop() {
      isOn = false
      await Promise.all(working)
    },
  }
}

const good = ({ status }: Seen) => status === 200
const failed = ({ status }: Seen) => status === 503

/** Runs `fault` under traffic and judges all that was answered meanwhile. */
async function under(fault: (traffic: Awaited<ReturnType<typeof startTraffic>>) => Promise<void>) {
  const traffic = await startTraffic()
  try {
    await fault(traffic)
    await traffic.more(100, good)
  } finally {
    await traffic.stop()
  }
  const { seen } = traffic
  const kinds = new Set(seen.map(({ status, code }) => `${status} ${code}`))
  const allowed = ['200 null', '503 storage/unavailable', '503 auth/unavailable']
  expect([...kinds].filter((kind) => !allowed.includes(kind))).toEqual([])
  expect(Math.max(...seen.map(({ ms }) => ms)), 'the slowest').toBeLessThan(8000)
  expect(traffic.foreign(), 'foreign rows').toBe(0)
  return seen
}

const health = async () => (await gate.call('/readyz')).json

describe('PostgreSQL', () => {
  withGate()

  test('Q5 F2: it is killed, and comes back', async () => {
    await under(async (traffic) => {
      await postgres.kill()
      await traffic.more(20, failed)
      const ready = await gate.call('/readyz')
      expect([ready.status, ready.json]).toMatchObject([
        200,
        { status: 'degraded', parts: { database: { ok: false }, limits: { ok: true } } },
      ])
      expect((await gate.call('/livez')).status).toBe(200)
      // A key that nobody has seen yet cannot be judged: that is not its fault.
      const unseen = await gate.call(list, {
        key: gate.variable('POSTERN_ADMIN_KEY'),
        tenant: tenants[0],
      })
      expect([unseen.status, unseen.json.code]).toEqual([503, 'auth/unavailable'])
      expect(Number(unseen.headers.get('retry-after'))).toBeGreaterThan(0)
      await postgres.restart()
    })
    expect((await health()).status).toBe('ready')
  })

  // What pg_ctl calls fast and immediate, and no shutdown at all.
  test.each(['SIGINT', 'SIGQUIT', 'SIGKILL'] as const)(
    'Q6: %s, and a start, twice',
    async (how) => {
      await under(async (traffic) => {
        for (let i = 0; i < 2; i++) {
          process.kill(postgres.pid(), how)
          await until(async () => !(await isListening(postgres.port)))
          await postgres.restart()
          await traffic.more(20, good)
        }
      })
    },
  )

  test('Q7: it freezes, and thaws', async () => {
    const backends = await withClient(postgres.url, async (client) => {
      const { rows } = await client.query<{ pid: number }>(
        `select pid from pg_stat_activity where application_name = 'postern'`,
      )
      return rows.map(({ pid }) => pid)
    })
    const frozen = [...backends, postgres.pid()]
    await under(async (traffic) => {
      for (const pid of frozen) process.kill(pid, 'SIGSTOP')
      try {
        await traffic.more(8, failed)
      } finally {
        for (const pid of frozen) process.kill(pid, 'SIGCONT')
      }
    })
  })

  test('Q6: every connection is ended by the server, again and again', async () => {
    await under(async (traffic) => {
      for (let i = 0; i < 20; i++) {
        await withClient(postgres.url, (client) =>
          client.query(`select pg_terminate_backend(pid) from pg_stat_activity
            where application_name = 'postern'`),
        )
        await traffic.more(20, good)
      }
    })
  })
})

describe('Redis', () => {
  withGate()

  test('Q1: it is killed, and comes back empty: nothing but good answers', async () => {
    const seen = await under(async (traffic) => {
      await redis.kill()
      await traffic.more(200, good)
      expect(await health()).toMatchObject({ status: 'degraded', parts: { limits: { ok: false } } })
      expect((await gate.call('/readyz')).status, 'it still takes traffic').toBe(200)
      await redis.restart()
      await until(async () => (await health()).status === 'ready')
    })
    expect(seen.filter((one) => !good(one))).toEqual([])
    await expectCounting()
  })

  test('Q2 L5: it freezes, and thaws: nothing but good answers', async () => {
    const seen = await under(async (traffic) => {
      process.kill(redis.pid(), 'SIGSTOP')
      try {
        await until(async () => (await health()).status === 'degraded')
        await traffic.more(200, good)
      } finally {
        process.kill(redis.pid(), 'SIGCONT')
      }
      await until(async () => (await health()).status === 'ready')
    })
    expect(seen.filter((one) => !good(one))).toEqual([])
    await expectCounting()
  })

  test('Q8: both are killed: known keys are told that the storage is away, and both come back', async () => {
    await under(async (traffic) => {
      await Promise.all([redis.kill(), postgres.kill()])
      await traffic.more(20, failed)
      expect((await health()).status).toBe('degraded')
      await Promise.all([redis.restart(), postgres.restart()])
      await until(async () => (await health()).status === 'ready')
    })
  })

  /** The server itself counts again. */
  async function expectCounting(): Promise<void> {
    await gate.call(list, { key: gate.variable('POSTERN_SK_LIVE'), tenant: tenants[0] })
    expect(await ask(redis, 'DBSIZE')).toMatch(/^:[1-9]/)
  }
})

describe('onStoreDown, while Redis is away', () => {
  const limited = (name: string) => `
      - path: /${name}/**
        methods: [GET]
        handler: subscriptions
        permission: data:read
        limits: [{ name: ${name}, quota: 3, window: 1min, onStoreDown: ${name} }]`
  const routes = ['local', 'allow', 'deny'].map(limited).join('')
  const unlimited =
    'environments: { test: { limits: { key: [], tenant: [] } }, live: { limits: { key: [], tenant: [] } } }'
  withGate(
    exampleConfig
      .replace(/environments:\n.*\n.*\n/, `${unlimited}\n`)
      .replace('routes:\n', `routes:${routes}\n`),
  )
  beforeEach(() => redis.kill())
  afterEach(async () => {
    await redis.restart()
    await until(async () => (await health()).status === 'ready')
  })

  const tenTimes = async (path: string) => {
    const answers: Answer[] = []
    for (let i = 0; i < 10; i++) {
      answers.push(
        await gate.call(path, { key: gate.variable('POSTERN_SK_LIVE'), tenant: tenants[0] }),
      )
    }
    return answers
  }
  const said = (answers: Answer[]) => answers.map(({ status, json }) => `${status} ${json?.code}`)

  test('local: this node counts, and refuses past the quota', async () => {
    const answers = await tenTimes('/local')
    expect(said(answers)).toEqual([
      ...Array(3).fill('200 undefined'),
      ...Array(7).fill('429 rate_limit/exceeded'),
    ])
    expect(Number(answers.at(-1)?.headers.get('retry-after'))).toBeGreaterThan(0)
  })

  test('allow: all pass', async () => {
    expect(said(await tenTimes('/allow'))).toEqual(Array(10).fill('200 undefined'))
  })

  test('deny: none passes, and the caller is told when to come back', async () => {
    const answers = await tenTimes('/deny')
    expect(said(answers)).toEqual(Array(10).fill('503 limits/unavailable'))
    expect(Number(answers[0]?.headers.get('retry-after'))).toBeGreaterThan(0)
  })
})

describe('keys', () => {
  withGate()

  test('K8: bad checksums cost neither store anything', async () => {
    const key = gate.variable('POSTERN_SK_LIVE')
    await gate.call(list, { key, tenant: tenants[0] })
    // What the gate does by itself meanwhile, to write usage and to sweep, asks for no key.
    const lookups = () =>
      withClient(postgres.url, async (client) => {
        const { rows } = await client.query(
          `select coalesce(sum(calls), 0)::int as n
           from pg_stat_user_functions where funcname = 'find_key'`,
        )
        return rows[0].n
      })
    const before = { counted: await countedIn(redis), lookups: await lookups() }
    expect(before.counted).toBeGreaterThan(0)
    const flipped = (at: number) => key.slice(0, -6) + String(at).padStart(6, '0')
    const statuses = new Set<string>()
    await Promise.all(
      Array.from({ length: 8 }, async (_, part) => {
        for (let i = 0; i < 250; i++) {
          const answer = await gate.call(list, { key: flipped(part * 250 + i), tenant: tenants[0] })
          statuses.add(`${answer.status} ${answer.json.code}`)
        }
      }),
    )
    expect([...statuses].sort()).toEqual(['401 auth/malformed_key', '429 auth/too_many_failures'])
    expect(await countedIn(redis)).toBe(before.counted)
    // The server tells of the good key's own lookup some seconds late.
    expect((await lookups()) - before.lookups).toBeLessThanOrEqual(1)
    await until(async () => (await lookups()) > 0)
  })

  /** How often the server has counted: the script begins with MGET, and nothing else here sends it. */
  async function countedIn(server: Server): Promise<number> {
    return Number(/cmdstat_mget:calls=(\d+)/.exec(await ask(server, 'INFO commandstats'))?.[1] ?? 0)
  }

  test('K5: the pepper is rotated across restarts', async () => {
    const [one, two] = [`1:${pepper(1)}`, `2:${pepper(2)}`]
    const status = async (name: string) =>
      (await gate.call(list, { key: gate.variable(name), tenant: tenants[0] })).status
    const versions = () =>
      withClient(postgres.url, async (client) => {
        const { rows } = await client.query(
          `select k.name, s.pepper_version as version from postern.api_keys k
           join postern.api_key_secrets s on s.key_id = k.id where k.platform = 'plt_rotated'`,
        )
        return new Map(rows.map(({ name, version }) => [name, version]))
      })
    const restart = async (peppers: string) => {
      await gate.stop()
      gate = await startGateProcess(place, { ...env, POSTERN_PEPPER: peppers })
    }
    place.write('postern.yaml', roomy.replace('plt_acme', 'plt_rotated'))
    await restart(one)
    expect([await status('POSTERN_SK_LIVE'), await status('POSTERN_SK_DEV')]).toEqual([200, 200])

    await restart(`${two},${one}`)
    expect(await status('POSTERN_SK_LIVE')).toBe(200)
    await until(async () => (await versions()).get('local SK_LIVE') === 2)
    expect((await versions()).get('local SK_DEV'), 'not used, not touched').toBe(1)

    await restart(two)
    expect(await status('POSTERN_SK_LIVE')).toBe(200)
    expect(await status('POSTERN_SK_DEV'), 'its pepper is gone').toBe(401)
  })
})
