/** Q18 and Q20 on a real gate: more work than one core has, and more connections than descriptors. */
import { connect, type Socket } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { busyConfig, busyEntry } from '../busy-gate.ts'
import { createDatabase, type TestDatabase } from '../database.ts'
import {
  type GateProcess,
  logLines,
  makePlace,
  type Place,
  startGateProcess,
} from '../gate-process.ts'
import { start } from '../process.ts'
import { until } from '../redis.ts'
import { surge } from '../surge.ts'

const secret = Buffer.alloc(32, 7).toString('base64')
const tenant = 'tenant_abc123'

let database: TestDatabase
let place: Place
let gate: GateProcess
let env: Record<string, string>

beforeAll(async () => {
  database = await createDatabase({ migrate: false })
  env = { DATABASE_URL: database.ownerUrl, POSTERN_PEPPER: secret, POSTERN_MASTER_KEY: secret }
  place = makePlace(busyConfig(undefined, 'server: { overload: 100ms }'))
  gate = await startGateProcess(place, env, [], { program: busyEntry })
})
afterAll(async () => {
  await gate?.stop()
  await database?.drop()
  place?.remove()
})

const headersFor = (name: string) => ({ 'x-api-key': gate.variable(name), 'x-tn': tenant })
const changes = () =>
  logLines(gate.stderr()).map(({ msg, environment }) => `${environment}: ${msg}`)

test('Q18: of far more than can be served, live requests are, and those of test are told to wait', async () => {
  const url = `${gate.url}/v1/burn`
  const streams = [
    { headers: headersFor('POSTERN_SK_LIVE'), perSecond: 20 },
    { headers: headersFor('POSTERN_SK_DEV'), perSecond: 600 },
  ]
  const [live, turned] = await surge({ url, streams, seconds: 2, unseenSeconds: 1 })
  expect(Object.keys(live!.byStatus).concat(Object.keys(turned!.byStatus)).sort()).toEqual(
    expect.arrayContaining(['200', '503']),
  )
  expect(turned!.byStatus.failed ?? 0).toBe(0)
  expect(live!.byStatus.failed ?? 0).toBe(0)
  const share = (one: typeof live) => (one!.byStatus['200'] ?? 0) / one!.sent
  // How many depends on what else the machine does; `pressure.test.ts` has the figures.
  expect(share(live)).toBeGreaterThan(share(turned))
  expect(turned!.byStatus['503']).toBeGreaterThan(turned!.sent / 3)
  const { body = '', retryAfter } = turned!.sample ?? {}
  expect(JSON.parse(body)).toMatchObject({
    ...{ status: 503, code: 'gateway/overloaded', title: 'Overloaded', success: false },
    instance: '/v1/burn',
  })
  expect(retryAfter).toMatch(/^[123]$/)
  expect(changes()).toContain('test: overloaded: requests are turned away')

  // Own paths are for whoever looks after it.
  expect((await gate.call('/livez')).status).toBe(200)
  const call = () => gate.call('/v1/hello', { key: gate.variable('POSTERN_SK_DEV'), tenant })
  const from = performance.now()
  await until(async () => (await call()).status === 200)
  await until(async () => {
    await call()
    return changes().includes('test: requests are no longer turned away')
  })
  expect(performance.now() - from).toBeLessThan(15_000)
}, 120_000)

test('Q20: a gate without descriptors says so, does not end, and takes connections again', async () => {
  const limited = await start(
    'sh',
    ['-c', 'ulimit -n 256; exec "$0" "$@"', process.execPath, busyEntry],
    { cwd: place.folder, env: { PATH: process.env.PATH, PORT: '0', ...env } },
  )
  const sockets: Socket[] = []
  try {
    const port = Number((await limited.line(/http:\/\/\S+?:(\d+)$/))[1])
    await limited.line(/^ {2}limits /)
    for (let i = 0; i < 400; i++) {
      const socket = connect(port, '127.0.0.1').on('error', () => undefined)
      sockets.push(socket)
    }
    const opened = await Promise.all(
      sockets.map(
        (socket) =>
          new Promise<boolean>((resolve) => {
            socket.once('connect', () => resolve(true)).once('close', () => resolve(false))
          }),
      ),
    )
    expect(opened).toHaveLength(400)
    for (const socket of sockets) socket.destroy()
    const key = gate.variable('POSTERN_SK_LIVE')
    await until(async () => {
      const headers = { 'x-api-key': key, 'x-tn': tenant }
      const answer = await fetch(`http://127.0.0.1:${port}/v1/hello`, { headers })
      return answer.status === 200
    })
    expect(limited.output()).not.toMatch(/Uncaught|node:events/)
    expect((await limited.stop()).code).toBe(0)
    const said = logLines(limited.stderr()).filter(({ msg }) =>
      /cannot be accepted/.test(String(msg)),
    )
    expect(said.length).toBeLessThan(20)
  } finally {
    for (const socket of sockets) socket.destroy()
    await limited.stop('SIGKILL')
  }
}, 60_000)
