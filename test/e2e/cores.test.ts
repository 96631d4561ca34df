/** One port served by several processes: POSTERN_WORKERS, on real servers. */
import { Agent, request } from 'node:http'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { busyConfig, busyEntry } from '../busy-gate.ts'
import { createDatabase, type TestDatabase } from '../database.ts'
import {
  type GateProcess,
  logLines,
  makePlace,
  type Place,
  runGate,
  startGateProcess,
  succeeded,
} from '../gate-process.ts'
import { until } from '../redis.ts'

const secret = Buffer.alloc(32, 7).toString('base64')
const redis = process.env.REDIS_URL ?? ''
const tenant = 'tenant_abc123'
// A store that is late on a busy machine lets nobody in, instead of some that it does not know of.
const exactly100 = '{ name: hour, quota: 100, window: 1h, onStoreDown: deny }'
const oneHundred = busyConfig(exactly100, 'server: { overload: off }')

let database: TestDatabase
let env: Record<string, string>
const places: Place[] = []
let place: Place
const gates: GateProcess[] = []
let gate: GateProcess
let key: string

function makePlaceOf(config: string): Place {
  const made = makePlace(config)
  places.push(made)
  return made
}

beforeAll(async () => {
  database = await createDatabase({ migrate: false })
  env = {
    ...{ DATABASE_URL: database.ownerUrl, REDIS_URL: redis, POSTERN_WORKERS: '2' },
    ...{ POSTERN_PEPPER: secret, POSTERN_MASTER_KEY: secret },
  }
  place = makePlaceOf(oneHundred)
  gate = await startGateProcess(place, env, [], { program: busyEntry })
  gates.push(gate)
  key = gate.variable('POSTERN_SK_LIVE')
}, 120_000)
afterAll(async () => {
  for (const one of gates) await one.stop('SIGKILL')
  await database?.drop()
  for (const one of places) one.remove()
})

const alone = () => new Agent({ keepAlive: false })

/** The process that answers a request on a connection of its own. */
async function pidOf(): Promise<number> {
  return JSON.parse((await get('/v1/hello', alone())).body).pid
}

/** The processes that answer: connections are dealt out in turn. */
async function pidsOf(): Promise<number[]> {
  const pids = new Set<number>()
  for (let i = 0; i < 6; i++) pids.add(await pidOf())
  return [...pids].sort((a, b) => a - b)
}

async function statusesOf(path: string): Promise<number[]> {
  const all = new Set<number>()
  for (let i = 0; i < 4; i++) all.add((await get(path, alone())).status)
  return [...all]
}

function get(path: string, agent: Agent): Promise<{ status: number; body: string }> {
  const url = gate.url + path
  return new Promise((resolve, reject) => {
    const sent = request(
      url,
      { agent, headers: { 'x-api-key': key, 'x-tn': tenant } },
      (answer) => {
        let body = ''
        answer.setEncoding('utf8').on('data', (text: string) => {
          body += text
        })
        answer.once('end', () => resolve({ status: answer.statusCode ?? 0, body }))
      },
    )
    sent.once('error', reject).end()
  })
}

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

async function reread(text: string, says: RegExp): Promise<void> {
  const said = () => logLines(gate.stderr()).filter(({ msg }) => says.test(String(msg))).length
  const before = said()
  place.write('postern.yaml', text)
  gate.signal('SIGHUP')
  await until(() => said() > before)
}
const taken = /was read again and is in force/
const kept = /was not taken; the last good one stays/

describe('is refused by name', () => {
  test.each<[string, Record<string, string>, string, RegExp]>([
    ['no Redis', { REDIS_URL: '' }, oneHundred, /environment POSTERN_WORKERS: .*needs REDIS_URL/],
    // The primary tries the main port; a platform's own is found taken by the workers.
    ['a port that is taken', { PORT: 'TAKEN' }, oneHundred, /^postern: port \d+ of .* is taken/m],
    [
      'a port that the workers find taken',
      {},
      oneHundred.replace('slug: busy', 'slug: busy\n    port: TAKEN'),
      /^postern: port \d+ of .* is taken/m,
    ],
  ])('%s', async (_, changes, config, says) => {
    const port = `${gate.port}`
    const refused = makePlaceOf(config.replace('TAKEN', port))
    const changed = changes.PORT === undefined ? changes : { PORT: port }
    const { code, stderr, stdout } = await runGate(refused, { ...env, ...changed }, [], busyEntry)
    expect(stderr).toMatch(says)
    expect([code, stdout]).toEqual([1, ''])
  })
})

test('of 5 000 parallel requests on a limit of 100, two processes let exactly 100 in', async () => {
  const agent = new Agent({ keepAlive: true, maxSockets: 200 })
  const answers = await Promise.all(Array.from({ length: 5000 }, () => get('/v1/hello', agent)))
  agent.destroy()
  const count = (status: number) => answers.filter((one) => one.status === status).length
  const [good, over, late] = [count(200), count(429), count(503)]
  expect(good + over + late).toBe(5000)
  // What is counted is let in, except where the answer of the store came too late.
  expect(good).toBeLessThanOrEqual(100)
  expect(good + late).toBeGreaterThanOrEqual(100)
  const pids = answers
    .filter(({ status }) => status === 200)
    .map(({ body }) => JSON.parse(body).pid)
  expect(new Set(pids).size).toBe(2)
}, 120_000)

test('SIGHUP swaps the config of every worker; of a bad file, none', async () => {
  const moved = busyConfig().replace('/v1/burn', '/v2/burn')
  await reread(moved, taken)
  expect([await statusesOf('/v1/burn'), await statusesOf('/v2/burn')]).toEqual([[404], [200]])
  await reread(moved.replace('handler: burn', 'handler: burnt'), kept)
  expect(await statusesOf('/v2/burn')).toEqual([200])
})

test('two processes answer on one port, and what one alone does is done once', async () => {
  const pids = await pidsOf()
  expect(pids).toHaveLength(2)
  expect(pids).not.toContain(gate.pid)
  expect(gate.stdout().match(/wrote \.env\.local/g)).toHaveLength(1)
  expect(gate.stdout()).toMatch(/processes +2 workers/)
})

test('X9: signals that reach every process of a terminal are the primary’s to answer', async () => {
  const pids = await pidsOf()
  gate.signal('SIGUSR1')
  for (const pid of pids) {
    for (const signal of ['SIGUSR1', 'SIGINT', 'SIGHUP']) process.kill(pid, signal)
  }
  expect(await pidsOf()).toEqual(pids)
  expect(gate.output()).not.toMatch(/Debugger listening/)
})

test('a worker that is killed is started again, and serves what all serve, not what the file says', async () => {
  const [first = 0, second = 0] = await pidsOf()
  process.kill(first, 'SIGKILL')
  await gate.line(/"msg":"a worker serves again"/, 60_000)
  const after = await pidsOf()
  expect(after).toHaveLength(2)
  expect(after).toContain(second)
  expect(after).not.toContain(first)
  // The file is still the bad one, which none has taken.
  expect(await statusesOf('/v2/burn')).toEqual([200])
}, 120_000)

test('all that are killed come back on the same port', async () => {
  const before = await pidsOf()
  for (const pid of before) process.kill(pid, 'SIGKILL')
  const again = () => gate.stderr().match(/"msg":"a worker serves again"/g)?.length ?? 0
  await until(() => again() === 3).catch(() => until(() => again() === 3))
  const after = await pidsOf()
  expect(after).toHaveLength(2)
  expect(after.filter((pid) => before.includes(pid))).toEqual([])
}, 120_000)

test('SIGTERM, twice: requests that workers have are finished, and all end well', async () => {
  const pids = await pidsOf()
  const headers = { 'x-api-key': key, 'x-tn': tenant }
  // Two that come one after the other go to two workers. The signals come in the middle of them.
  const first = await fetch(`${gate.url}/v1/slow`, { headers })
  const second = await fetch(`${gate.url}/v1/slow`, { headers })
  gate.signal('SIGTERM')
  gate.signal('SIGTERM')
  expect(await Promise.all([first.text(), second.text()])).toEqual(['begun done', 'begun done'])
  expect(await gate.exited).toEqual(succeeded)
  expect(gate.stdout()).toMatch(/stopped\. The data is in PostgreSQL/)
  expect(pids.filter(isAlive)).toEqual([])
})

test('workers end when their primary is killed', async () => {
  const before = gate
  place.write('postern.yaml', busyConfig())
  gate = await startGateProcess(place, env, [], { program: busyEntry })
  gates.push(gate)
  expect(gate.port).not.toBe(before.port)
  const pids = await pidsOf()
  gate.signal('SIGKILL')
  await until(() => !pids.some(isAlive))
}, 120_000)
