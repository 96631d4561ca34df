/**
 * Agents of several gateways on one database, and of gateways that have no sandbox or die; and every
 * line that docs/sessions.md tells its reader to paste.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { createDatabase, type TestDatabase, withClient } from '../database.ts'
import { call, type GateProcess, makePlace, type Place, startGateProcess } from '../gate-process.ts'
import { run } from '../process.ts'
import { readText } from '../source.ts'
import { startSources } from '../sources-gate.ts'
import { startWorkerGate } from '../worker.ts'

const config = `
version: 1
platforms:
  - id: plt_theazo
    slug: theazo
    scheme: theazo
    permissions: { sessions: [write], agents: [write] }
    environments: { live: { limits: { key: [], tenant: [] } } }
    routes:
      - { path: /v1/sessions/**, handler: sessions, permission: "sessions:write" }
      - { path: "/v1/sessions/:sid/agents/**", handler: agents, permission: "agents:write" }
    seed: [{ id: user_123 }]
`

let database: TestDatabase
let place: Place
let one: GateProcess
let other: GateProcess
const secret = Buffer.alloc(32, 5).toString('base64')
const env = () => ({
  ...{ POSTERN_PEPPER: secret, POSTERN_MASTER_KEY: secret },
  ...{ DATABASE_URL: database.ownerUrl },
})
beforeAll(async () => {
  database = await createDatabase({ migrate: false })
  place = makePlace(config)
  one = await startGateProcess(place, env())
  other = await startGateProcess(place, env())
})
afterAll(async () => {
  await one?.stop()
  await other?.stop()
  place?.remove()
  await database?.drop()
})

type At = { readonly url: string }
const ask = ({ url }: At, method: string, path: string, body?: unknown) =>
  call(url + path, {
    ...{ method, body },
    headers: { authorization: `Bearer ${one.variable('POSTERN_TH_LIVE')}` },
  })
const open = async (at: At): Promise<string> =>
  `/v1/sessions/${(await ask(at, 'POST', '/v1/sessions', { userId: 'user_9' })).json.id}`
const until = (at: At, agent: string, status: string, printed = /(?:)/) =>
  vi.waitUntil(
    async () => {
      const { json } = await ask(at, 'GET', agent)
      return json.status === status && printed.test(json.output) ? json : null
    },
    { timeout: 20_000, interval: 100 },
  )

/** The processes of this machine that have such an argument. */
const holdersOf = (text: string): string[] =>
  readdirSync('/proc').filter((pid) => {
    if (!/^\d+$/.test(pid)) return false
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes(text)
    } catch {
      return false // it has ended meanwhile
    }
  })

/** Starts one that sleeps, and waits until `seen` sees that it does. */
async function sleeping(at: At, seen: At = at) {
  const session = await open(at)
  const mark = `${600 + Math.random()}`
  const made = await ask(at, 'POST', `${session}/agents`, {
    ...{ compute: 'shell', timeout: 600 },
    code: `echo up; setsid sleep ${mark} & sleep ${mark}`,
  })
  const agent = `${session}/agents/${made.json.id}`
  await until(seen, agent, 'running', /up/)
  await expect.poll(() => holdersOf(mark).length).toBeGreaterThan(0)
  return { session, agent, mark, id: made.json.id }
}

describe('two gateways', () => {
  test('what one runs, the other sees and stops', async () => {
    const { agent, mark } = await sleeping(one, other)
    expect((await ask(other, 'POST', `${agent}/stop`)).status).toBe(200)
    expect(await until(other, agent, 'stopped')).toMatchObject({ output: 'up\n', exitCode: null })
    expect(holdersOf(mark)).toEqual([])
  })

  test('a session that ends at one ends its agents at the other', async () => {
    const { session, agent, mark } = await sleeping(one)
    expect((await ask(other, 'DELETE', session)).status).toBe(204)
    await until(other, agent, 'stopped')
    expect(holdersOf(mark)).toEqual([])
  })

  test('one that is told to end ends its agents and says so', async () => {
    const { agent, mark } = await sleeping(other)
    expect(await other.stop()).toMatchObject({ code: 0 })
    expect(holdersOf(mark)).toEqual([])
    expect((await ask(one, 'GET', agent)).json.status).toBe('stopped')
  })

  test('one that is killed leaves no process, and its agents are lost', async () => {
    const killed = await startGateProcess(place, env())
    const { agent, mark, id } = await sleeping(killed, one)
    killed.signal('SIGKILL')
    await killed.exited
    await expect.poll(() => holdersOf(mark), { timeout: 10_000 }).toEqual([])
    // Half a minute of silence, which the test does not wait for.
    await withClient(database.ownerUrl, (db) =>
      db.query(
        `update agents set heartbeat_at = heartbeat_at - interval '30 seconds' where id = $1`,
        [id],
      ),
    )
    expect((await ask(one, 'GET', agent)).json).toMatchObject({ status: 'lost', exitCode: null })
    expect((await ask(one, 'POST', `${agent}/stop`)).json.status).toBe('lost')
  })
})

describe('without a sandbox', () => {
  test('on Node: 501, nothing is run, and the log says why at the start', async () => {
    // All of this machine, but a bubblewrap that cannot be started.
    const launch = ['/usr/bin/bwrap', '--dev-bind', '/', '/', '--die-with-parent']
    const bare = await startGateProcess(place, env(), [], {
      launch: [...launch, '--ro-bind', '/dev/null', '/usr/bin/bwrap', '--'],
    })
    try {
      const session = await open(bare)
      const mark = `${600 + Math.random()}`
      const body = { compute: 'shell', code: `sleep ${mark}` }
      const { status, json } = await ask(bare, 'POST', `${session}/agents`, body)
      expect([status, json.code]).toEqual([501, 'sandbox/unavailable'])
      expect(holdersOf(mark)).toEqual([])
      expect(bare.output().match(/agents cannot be started here/g)).toHaveLength(1)
      expect((await ask(bare, 'GET', `${session}/agents`)).json.total).toBe(0)
    } finally {
      await bare.stop()
    }
  }, 60_000)

  test('on Workers: 501, and a test key is answered', async () => {
    const own = await createDatabase({ migrate: false })
    const gate = await startWorkerGate({ DATABASE_URL: own.ownerUrl }, (url) => url, config)
    try {
      const as = async (environment: 'test' | 'live') => {
        const prefix = `th_${environment}_`
        const key = await gate.mint({ prefix, environment, tenants: ['user_123'] })
        const headers = { authorization: `Bearer ${key}` }
        const { json } = await call(`${gate.url}/v1/sessions`, {
          ...{ method: 'POST', body: { userId: 'u' }, headers },
        })
        const at = `${gate.url}/v1/sessions/${json.id}/agents`
        return call(at, { method: 'POST', body: { compute: 'shell' }, headers })
      }
      const live = await as('live')
      expect([live.status, live.json.code]).toEqual([501, 'sandbox/unavailable'])
      expect((await as('test')).json).toMatchObject({ status: 'exited', exitCode: 0 })
    } finally {
      await gate.stop()
      await own.drop()
    }
  }, 120_000)
})

test('docs/sessions.md runs from its first line to its last', async () => {
  const blocks = [...readText('docs/sessions.md').matchAll(/^```sh\n([\s\S]*?)^```/gm)]
  expect(blocks.length).toBeGreaterThan(1)
  const sources = await startSources()
  try {
    const script = blocks.map(([, text]) => text).join('\n')
    const { code, stdout, stderr } = await run('bash', ['-euo', 'pipefail', '-c', script], {
      ...{ cwd: sources.place.folder, env: { PATH: process.env.PATH }, timeoutMs: 60_000 },
    })
    expect(code, stdout + stderr).toBe(0)
    expect(stdout).toContain('"output":"10 **********\\n"')
    expect(stdout).toContain('"status":"stopped"')
    expect(stdout).toContain('"total":2')
    expect(stdout).toContain('"code":"secret/not_found"')
  } finally {
    await sources.stop()
  }
}, 120_000)
