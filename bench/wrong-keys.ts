/**
 * What a wrong key costs the stores behind a running gate: 10 000 keys with a wrong checksum must
 * not make it send one command to Redis or one statement to PostgreSQL (threats K8). Well-formed
 * unknown keys are sent after them, to see that the counts would have moved. Runs alone, with
 * DATABASE_URL and REDIS_URL set:
 *
 *     node bench/wrong-keys.ts
 */
import { Agent, request } from 'node:http'
import { Redis } from 'ioredis'
import { generateKey } from '../src/keys/format.ts'
import { clusterUrl, withClient } from '../test/database.ts'
import { startGateServer } from './gate.ts'
import type { BenchServer } from './processes.ts'

/** What happened at the servers meanwhile. */
type Seen = {
  /** Commands that Redis processed. */
  readonly redisCommands: number
  /** Connections of the gate to PostgreSQL that began a statement. */
  readonly busyConnections: number
}

/** `control`: the same for 100 well-formed keys that nobody has; there the database is asked. */
export type WrongKeysBench = Seen & { readonly sent: number; readonly control: Seen }

const sent = 10_000
const attempts = 3

/** Runs the bench; a few seconds. Throws when a wrong key is answered with anything but a 401. */
export async function benchWrongKeys(redisUrl: string): Promise<WrongKeysBench> {
  const gate = await startGateServer({ redisUrl })
  const redis = new Redis(redisUrl)
  const agent = new Agent({ keepAlive: true, maxSockets: 16 })
  try {
    const watch = (keys: readonly string[]) =>
      observe(redis, gate.database, () => sendAll(gate, agent, keys))
    // The first lookup of all opens a connection, which would be counted.
    await watch([generateKey('sk_live_').key])
    const wrong = Array.from({ length: sent }, () => mistype(generateKey('sk_live_').key))
    let seen = await watch(wrong)
    // Somebody else may use the same servers; what these keys cost, they cost every time.
    for (let attempt = 1; attempt < attempts && total(seen) > 0; attempt++) {
      const again = await watch(wrong)
      if (total(again) < total(seen)) seen = again
    }
    const unknown = Array.from({ length: 100 }, () => generateKey('sk_live_').key)
    return { sent, ...seen, control: await watch(unknown) }
  } finally {
    agent.destroy()
    redis.disconnect()
    await gate.stop()
  }
}

const total = (seen: Seen): number => seen.redisCommands + seen.busyConnections

/** The checksum with another last character. */
const mistype = (key: string): string => key.slice(0, -1) + (key.endsWith('0') ? '1' : '0')

async function observe(redis: Redis, database: string, work: () => Promise<void>): Promise<Seen> {
  return withClient(clusterUrl(), async (client) => {
    const { rows } = await client.query<{ now: string }>('select clock_timestamp()::text as now')
    const before = await commandsOf(redis)
    await work()
    const after = await commandsOf(redis)
    const found = await client.query<{ count: number }>(
      `select count(*)::int from pg_stat_activity
       where datname = $1 and backend_type = 'client backend' and query_start > $2::timestamptz`,
      [database, rows[0]?.now],
    )
    // One of them is the first count itself.
    return { redisCommands: after - before - 1, busyConnections: found.rows[0]?.count ?? 0 }
  })
}

async function commandsOf(redis: Redis): Promise<number> {
  const count = /^total_commands_processed:(\d+)/m.exec(await redis.info('stats'))?.[1]
  if (count === undefined) throw new Error('this Redis does not say how many commands it processed')
  return Number(count)
}

async function sendAll(gate: BenchServer, agent: Agent, keys: readonly string[]): Promise<void> {
  let next = 0
  const sender = async () => {
    for (let key = keys[next++]; key !== undefined; key = keys[next++]) {
      const status = await statusOf(gate, agent, key)
      if (status !== 401) throw new Error(`a wrong key was answered with ${status}`)
    }
  }
  await Promise.all(Array.from({ length: 16 }, sender))
}

function statusOf({ url, headers }: BenchServer, agent: Agent, key: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const sending = request(url, { agent, headers: { ...headers, 'x-api-key': key } }, (answer) => {
      answer.resume().once('end', () => resolve(answer.statusCode ?? 0))
    })
    sending.once('error', reject).end()
  })
}

if (import.meta.main) {
  const redisUrl = process.env.REDIS_URL
  if (redisUrl === undefined) throw new Error('REDIS_URL is not set')
  process.stdout.write(`${JSON.stringify(await benchWrongKeys(redisUrl), null, 2)}\n`)
}
