/** The use of keys through the life of a process: stopped, killed, and left without its database. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { withClient } from '../database.ts'
import {
  exampleConfig,
  type GateProcess,
  logLines,
  makePlace,
  type Place,
  startGateProcess,
  succeeded,
} from '../gate-process.ts'
import { until } from '../redis.ts'
import { type Server, startPostgres } from '../servers.ts'

const list = '/v1/subscriptions'
const tenant = 'tenant_abc123'
const secret = Buffer.alloc(32, 5).toString('base64')
const roomy = exampleConfig.replaceAll(/\[(?:100|500|1000|5000)\/min\]/g, '[1000000/min]')

let postgres: Server
let place: Place
let gate: GateProcess
let key: string
beforeAll(async () => {
  postgres = await startPostgres(['synchronous_commit=on'])
  place = makePlace(roomy)
})
afterAll(async () => {
  await postgres?.stop()
  place?.remove()
})

const startOne = () =>
  startGateProcess(place, {
    ...{ DATABASE_URL: postgres.url, POSTERN_PEPPER: secret, POSTERN_MASTER_KEY: secret },
  })
beforeEach(async () => {
  gate = await startOne()
  key = gate.variable('POSTERN_SK_LIVE')
})
afterEach(() => gate.stop('SIGKILL'))

const call = () => gate.call(list, { key, tenant })

/** The id of the key that is used here, as the log names it. */
const isOurs = ({ key: shown }: Record<string, unknown>) =>
  typeof shown === 'string' && key.startsWith(shown.slice(0, shown.indexOf('…')))

/** What is stored of the key, and what the log of a process says of it. */
async function stored() {
  const { rows } = await withClient(postgres.url, (client) =>
    client.query(
      `select coalesce(sum(requests), 0)::int as requests, coalesce(sum(errors), 0)::int as errors,
         coalesce(sum(bytes_out), 0)::int as bytes
       from postern.usage_days u join postern.api_keys k on k.id = u.key_id where k.ref = $1`,
      [key.slice('sk_live_'.length, 'sk_live_'.length + 9)],
    ),
  )
  return rows[0]
}
function logged() {
  const lines = logLines(gate.stderr()).filter(isOurs)
  return {
    requests: lines.length,
    errors: lines.filter(({ status }) => Number(status) >= 400).length,
    bytes: lines.reduce((all, line) => all + Number(line.responseBytes), 0),
  }
}
const plus = (one: ReturnType<typeof logged>, more: ReturnType<typeof logged>) => ({
  requests: one.requests + more.requests,
  errors: one.errors + more.errors,
  bytes: one.bytes + more.bytes,
})

/** Callers one after the other, until `stop`. */
function startTraffic(callers = 4) {
  let isOn = true
  let answered = 0
  const working = Array.from({ length: callers }, async () => {
    while (isOn) {
      try {
        await call()
        answered++
      } catch {
        // The process is gone.
        return
      }
    }
  })
  return {
    more: (count: number) => {
      const from = answered
      return until(() => answered >= from + count)
    },
    async stop() {
      isOn = false
      await Promise.all(working)
    },
  }
}

test('SIGTERM: the last requests are stored too, to the byte', async () => {
  const before = await stored()
  const traffic = startTraffic()
  await traffic.more(100)
  expect((await gate.call(`${list}/sub_nobody`, { key, tenant })).status).toBe(404)
  gate.signal('SIGTERM')
  await traffic.stop()
  expect(await gate.exited).toEqual(succeeded)
  expect(logged()).toMatchObject({ errors: 1 })
  expect(await stored()).toEqual(plus(before, logged()))
})

test('the database is killed and comes back: nothing is lost, nothing counts twice', async () => {
  const before = await stored()
  const traffic = startTraffic()
  await traffic.more(50)
  const said = (what: string) => logLines(gate.stderr()).some(({ msg }) => msg === what)
  await postgres.kill()
  await until(() => said('usage cannot be written: it is kept in memory and tried again'))
  await traffic.more(50)
  await postgres.restart()
  await traffic.more(50)
  await traffic.stop()
  await until(() => said('usage is written again'))
  expect(await gate.stop()).toEqual(succeeded)
  expect(logged().errors, 'answered with 503 meanwhile').toBeGreaterThan(0)
  expect(await stored()).toEqual(plus(before, logged()))
})

test('SIGTERM while the database is away: the process ends, and says what is lost', async () => {
  await call()
  await postgres.kill()
  await call()
  gate.signal('SIGTERM')
  expect(await gate.exited).toEqual(succeeded)
  const lost = logLines(gate.stderr()).find(({ msg }) => /usage is lost/.test(String(msg)))
  expect(lost?.requests).toBeGreaterThan(0)
  expect(lost?.requests).toBeLessThanOrEqual(2)
  await postgres.restart()
})

test('Q9: killed at any moment, never more is stored than was accepted', async () => {
  for (let round = 0; round < 3; round++) {
    const before = await stored()
    const traffic = startTraffic()
    await traffic.more(40 + 37 * round)
    await gate.stop('SIGKILL')
    await traffic.stop()
    // Of a request whose line was cut off with the process, four callers have one each at most.
    const { requests } = logged()
    expect((await stored()).requests - before.requests).toBeLessThanOrEqual(requests + 4)
    gate = await startOne()
  }
})
