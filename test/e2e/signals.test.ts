/**
 * What signals do to a gate that is at work: SIGTERM and SIGINT let requests finish, SIGHUP swaps the
 * config under open connections.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createDatabase, type TestDatabase } from '../database.ts'
import {
  entry,
  exampleConfig,
  type GateProcess,
  isListening,
  logLines,
  makePlace,
  type Place,
  startGateProcess,
  succeeded,
} from '../gate-process.ts'
import { until } from '../redis.ts'
import { openWire, type Wire } from '../wire.ts'

const secret = Buffer.alloc(32, 7).toString('base64')
const list = '/v1/subscriptions'
const tenant = 'tenant_abc123'

let database: TestDatabase
let place: Place
let gate: GateProcess
let env: Record<string, string>
let key: string

beforeAll(async () => {
  database = await createDatabase({ migrate: false })
  env = { DATABASE_URL: database.ownerUrl, POSTERN_PEPPER: secret, POSTERN_MASTER_KEY: secret }
  place = makePlace()
})
afterAll(async () => {
  await database?.drop()
  place?.remove()
})

const wires: Wire[] = []
async function wire(): Promise<Wire> {
  const one = await openWire(gate.port)
  wires.push(one)
  return one
}

/** Starts a gate for each test, with the example's config. */
function withGate(): void {
  beforeEach(async () => {
    place.write('postern.yaml', exampleConfig)
    gate = await startGateProcess(place, env)
    key = gate.variable('POSTERN_SK_LIVE')
    return async () => {
      for (const one of wires.splice(0)) one.close()
      await gate.stop('SIGKILL')
    }
  })
}

const get = (path: string) =>
  `GET ${path} HTTP/1.1\r\nhost: x\r\nx-api-key: ${key}\r\nx-tn: ${tenant}\r\n\r\n`
const post = (length: number) =>
  `POST ${list} HTTP/1.1\r\nhost: x\r\nx-api-key: ${key}\r\nx-tn: ${tenant}\r\n` +
  `content-type: application/json\r\ncontent-length: ${length}\r\n\r\n`

describe('SIGTERM and SIGINT', () => {
  withGate()

  test.each(['SIGTERM', 'SIGINT'] as const)(
    '%s: what is under way is finished, twice asked or not; nothing new is taken; the exit code is 0',
    async (signal) => {
      const [slow, idle] = [await wire(), await wire()]
      idle.send(get(list))
      expect((await idle.answer()).status).toBe(200)
      const body = JSON.stringify({ plan: signal.toLowerCase() })
      slow.send(post(body.length) + body.slice(0, 5))
      // The front has it once its bytes were read; another answer after them shows that they were.
      idle.send(get(list))
      await idle.answer()

      gate.signal(signal)
      await idle.closed
      gate.signal(signal)
      await until(async () => !(await isListening(gate.port)))
      slow.send(body.slice(5))
      const answer = await slow.answer()
      expect([answer.status, JSON.parse(answer.body).plan]).toEqual([201, signal.toLowerCase()])
      expect(answer.headers.get('connection')).toBe('close')
      expect(await gate.exited).toEqual(succeeded)
      expect(gate.stdout()).toMatch(/stopped\. The data is in PostgreSQL at 127\.0\.0\.1:\d+\//)
      expect(logLines(gate.stderr()).at(-1)).toMatchObject({ status: 201, path: list })

      const next = await startGateProcess(place, env)
      const { json } = await next.call(`${list}/${JSON.parse(answer.body).id}`, { key, tenant })
      expect(json.plan, 'what was answered was stored').toBe(signal.toLowerCase())
      await next.stop()
    },
  )

  test('a request that does not end is cut when its time is up', async () => {
    place.write('postern.yaml', `${exampleConfig}\nserver: { shutdownGrace: 300ms }\n`)
    await gate.stop()
    gate = await startGateProcess(place, env)
    const stuck = await wire()
    stuck.send(post(10))
    const other = await wire()
    other.send(get(list))
    await other.answer()
    gate.signal('SIGTERM')
    await stuck.closed
    expect(await gate.exited).toEqual(succeeded)
  })

  test('Q11: /readyz says no for the delay, while requests are still taken', async () => {
    place.write('postern.yaml', `${exampleConfig}\nserver: { shutdownDelay: 3s }\n`)
    await gate.stop()
    gate = await startGateProcess(place, env)
    gate.signal('SIGTERM')
    await until(async () => (await gate.call('/readyz')).status === 503)
    expect((await gate.call('/readyz')).json).toMatchObject({ status: 'draining' })
    expect((await gate.call(list, { key, tenant })).status).toBe(200)
    expect(await gate.exited).toEqual(succeeded)
  })

  test('X9: SIGUSR1 opens no inspector', async () => {
    gate.signal('SIGUSR1')
    await gate.call('/livez').catch(() => undefined)
    expect(gate.stderr()).not.toMatch(/Debugger listening/)
  })
})

describe('SIGHUP', () => {
  withGate()
  const reread = async (text: string, says: RegExp) => {
    const said = () => logLines(gate.stderr()).filter(({ event }) => event === 'gateway')
    const before = said().length
    place.write('postern.yaml', text)
    gate.signal('SIGHUP')
    await until(() => said().length > before)
    const { level, msg, cause } = said().at(-1) ?? {}
    expect(msg, String(cause)).toMatch(says)
    return { level, cause }
  }

  test('a good file is in force for the next request of an open connection', async () => {
    const open = await wire()
    const status = async (path: string) => {
      open.send(get(path))
      return (await open.answer()).status
    }
    expect([await status(list), await status('/v2/subscriptions')]).toEqual([200, 404])
    await reread(
      exampleConfig.replace(
        '[/v1/subscriptions/**, /api/v1/subscriptions/**]\n        methods: [GET]',
        '[/v2/subscriptions/**]\n        methods: [GET]',
      ),
      /^postern\.yaml was read again and is in force$/,
    )
    expect([await status(list), await status('/v2/subscriptions')]).toEqual([405, 200])
    await reread(
      exampleConfig.replace('permission: data:read', 'permission: files:write'),
      /^postern\.yaml was read again and is in force$/,
    )
    const read = () => gate.call(list, { key: gate.variable('POSTERN_PK_LIVE'), tenant })
    expect((await read()).json).toMatchObject({
      code: 'auth/insufficient_permission',
      detail: expect.stringContaining('files:write'),
    })
    await reread(exampleConfig, /^postern\.yaml was read again and is in force$/)
    expect((await read()).status).toBe(200)
    expect(await status(list), 'the connection is still the same').toBe(200)
  })

  test('what needs a restart is said, not passed over', async () => {
    const text = `${exampleConfig}\nserver: { trustedProxies: [10.0.0.0/8] }\n`
    await reread(text, /in force, except what needs a restart: server\.trustedProxies$/)
  })

  test('O6: of a bad file every error is logged, and the last good one stays', async () => {
    const bad = exampleConfig
      .replace('handler: subscriptions', 'handler: subscription')
      .replace('vocabulary: azotte', 'vocabulary: azote')
    const { level, cause } = await reread(bad, /was not taken; the last good one stays/)
    expect(level).toBe('error')
    expect(cause).toMatch(/postern\.yaml:\d+:\d+ .*vocabulary: /)
    expect(cause).toMatch(/postern\.yaml:\d+:\d+ .*handler: /)
    expect((await gate.call(list, { key, tenant })).status).toBe(200)
    await reread('', /was not taken/)
    expect((await gate.call(list, { key, tenant })).status).toBe(200)
  })
})

describe('Q22: whoever reads the log', () => {
  /** A gate whose standard error goes to `sleep`, which reads nothing. */
  async function withReader(
    work: (reader: ReturnType<typeof spawn>, port: number) => Promise<void>,
  ) {
    place.write('postern.yaml', exampleConfig)
    const reader = spawn('sleep', ['600'], { stdio: ['pipe', 'ignore', 'ignore'] })
    const child = spawn(process.execPath, [entry], {
      cwd: place.folder,
      env: { PATH: process.env.PATH, PORT: '0', ...env },
      stdio: ['ignore', 'pipe', reader.stdin],
    })
    const exited = once(child, 'exit')
    try {
      let said = ''
      for await (const text of child
        .stdout!.setEncoding('utf8')
        .iterator({ destroyOnReturn: false })) {
        said += text
        if (/limits /.test(said)) break
      }
      child.stdout!.resume()
      await work(reader, Number(/http:\S+:(\d+)/.exec(said)?.[1]))
      child.kill('SIGTERM')
      expect(await exited, 'it ends when told to').toEqual([0, null])
    } finally {
      child.kill('SIGKILL')
      reader.kill('SIGKILL')
    }
  }

  /** More lines than a pipe holds. */
  async function serves(port: number): Promise<void> {
    const one = await openWire(port)
    for (let i = 0; i < 1000; i++) {
      one.send('GET /livez HTTP/1.1\r\nhost: x\r\n\r\n')
      expect((await one.answer()).status).toBe(200)
    }
    one.close()
  }

  test('may stop reading: requests go on, and SIGTERM ends the gate', () =>
    withReader((_, port) => serves(port)))

  test('may go: requests go on', () =>
    withReader(async (reader, port) => {
      reader.kill('SIGKILL')
      await once(reader, 'exit')
      await serves(port)
    }))
})
