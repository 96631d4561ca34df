/**
 * Four gates as they run in production: processes of their own on one PostgreSQL and one Redis, each
 * reaching both through relays of its own, so that any part of the network can fail for any of them.
 * The servers are the rig's and can be killed and frozen; everything is stopped by its id.
 */

import { fileURLToPath } from 'node:url'
import { busyEntry } from '../busy-gate.ts'
import {
  type Answer,
  call,
  type GateProcess,
  makePlace,
  type Place,
  type Sent,
  startGateProcess,
} from '../gate-process.ts'
import { type Exit, type Running, start } from '../process.ts'
import { until } from '../redis.ts'
import { type Relay, startRelay } from '../relay.ts'
import { freePort, type Server, startPostgres, startRedis } from '../servers.ts'
import { mixOf, type RigKey, tenants } from './callers.ts'
import type { Stream } from './load.ts'
import { uncaughtLines } from './oracles.ts'

const secret = Buffer.alloc(32, 7).toString('base64')

/** How long a gate may take to start, where many things are started at once on few cores. */
const startMs = 120_000

/** The window of limited keys: shorter than any fault here. */
export const windowMs = 2000

export type RigOptions = {
  readonly nodes?: number
  /** Used in place of a Redis of the rig's own, and reached without a relay. */
  readonly redisUrl?: string
  /** Where `/up/**` is forwarded to; the echo answers where this is not given. */
  readonly upstreamUrl?: string
  /** Top-level sections of the config. `server` is the fields of that section beside `nodes`. */
  readonly config?: { readonly server?: string; readonly more?: string }
  /** Variables of one node's environment. */
  readonly envOf?: (node: number) => Readonly<Record<string, string>>
  /** The gates are those of busy-gate.ts, with a route that costs 5 ms of processor time. */
  readonly busy?: boolean
  /** What stands before one node's command line. */
  readonly launchOf?: (node: number) => readonly string[]
}

/**
 * The control: a server that does nothing, in a process of its own. What its callers wait for is the
 * machine's doing and no gate's.
 */
const bareServer = `
  const server = require('node:http').createServer((_, answer) => answer.end('{}'))
  server.keepAliveTimeout = 60000
  server.listen(0, '127.0.0.1', () => console.log(server.address().port))
`

export class RigNode {
  readonly #place: Place
  readonly #env: Readonly<Record<string, string>>
  readonly #launch: readonly string[]
  readonly #program: string | undefined
  readonly #onExit: (exit: Exit) => void
  readonly toPostgres: Relay
  readonly toRedis: Relay | null
  readonly url: string
  #gate: GateProcess | null = null
  #isMeantToEnd = false

  constructor(
    parts: {
      place: Place
      env: Readonly<Record<string, string>>
      launch: readonly string[]
      program: string | undefined
      toPostgres: Relay
      toRedis: Relay | null
    },
    onExit: (exit: Exit) => void,
  ) {
    this.#place = parts.place
    this.#env = parts.env
    this.#launch = parts.launch
    this.#program = parts.program
    this.#onExit = onExit
    this.toPostgres = parts.toPostgres
    this.toRedis = parts.toRedis
    this.url = `http://127.0.0.1:${parts.env.PORT}`
  }

  get gate(): GateProcess {
    if (this.#gate === null) throw new Error('this node is not started')
    return this.#gate
  }

  async start(): Promise<void> {
    this.#isMeantToEnd = false
    const options = { launch: this.#launch, program: this.#program, readyMs: startMs }
    const gate = await startGateProcess(this.#place, this.#env, [], options)
    this.#gate = gate
    void gate.exited.then((exit) => {
      if (!this.#isMeantToEnd) this.#onExit(exit)
    })
  }

  /** Ends it as an operator does, and answers how it ended. */
  stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<Exit> {
    this.#isMeantToEnd = true
    return this.gate.stop(signal, 40_000)
  }

  /** Stops everything, whatever state it is in. */
  async clear(): Promise<void> {
    this.#isMeantToEnd = true
    // A frozen process would not hear anything else.
    await this.#gate?.stop('SIGKILL')
    await Promise.all([this.toPostgres.stop(), this.toRedis?.stop()])
    this.#place.remove()
  }
}

/** What has gone wrong with the processes of a rig since it was asked last. */
export type Crashes = { readonly exits: number; readonly uncaught: readonly string[] }

export type Rig = {
  readonly nodes: readonly RigNode[]
  readonly urls: readonly string[]
  readonly postgres: Server
  /** Throws where the rig was given one. */
  readonly redis: () => Server
  /** A variable that the first start wrote. */
  variable(name: string): string
  /** Makes a live key by the management API; with a quota, a key limited to so many in `windowMs`. */
  makeKey(quota?: number, more?: Readonly<Record<string, unknown>>): Promise<RigKey>
  /** A usual mix of callers, 80/s in all, and 20/s of the control. `limited`: one more, of this key, at
   * so many a second. */
  mix(limited?: { readonly key: RigKey; readonly perSecond: number }): Stream[]
  /** Callers of the control. */
  readonly control: Stream
  /** Once every node says that it is ready and nothing is missing. */
  allReady(): Promise<void>
  crashes(): Crashes
  stop(): Promise<void>
}

/** Starts it, and resolves when all nodes are ready. */
export async function startRig(options: RigOptions = {}): Promise<Rig> {
  const count = options.nodes ?? 4
  const [postgres, redis] = await Promise.all([
    // What is acknowledged must outlive a kill.
    startPostgres(['synchronous_commit=on']),
    options.redisUrl === undefined ? startRedis(['--enable-debug-command', 'yes']) : null,
  ])
  const exits: Exit[] = []
  const nodes: RigNode[] = []
  const bare = await start(process.execPath, ['-e', bareServer])
  const stop = async (): Promise<void> => {
    await bare.stop('SIGKILL')
    await Promise.all(nodes.map((node) => node.clear()))
    await Promise.all([postgres.stop(), redis?.stop()])
  }
  try {
    for (let at = 0; at < count; at++) {
      const parts = await partsOf(at, count, options, postgres, redis)
      nodes.push(new RigNode(parts, (exit) => exits.push(exit)))
    }
    // The first one fills the database; no two may do so at once.
    await nodes[0]?.start()
    await Promise.all(nodes.slice(1).map((node) => node.start()))
    const rig = await describe({ nodes, postgres, redis, exits, bare, stop })
    await rig.allReady()
    return rig
  } catch (error) {
    await stop()
    throw error
  }
}

async function partsOf(
  at: number,
  count: number,
  options: RigOptions,
  postgres: Server,
  redis: Server | null,
) {
  const toPostgres = await startRelay(postgres.port)
  const toRedis = redis === null ? null : await startRelay(redis.port)
  const through = (url: string, port: number) => Object.assign(new URL(url), { port }).href
  const env = {
    DATABASE_URL: through(postgres.url, toPostgres.port),
    REDIS_URL:
      redis !== null && toRedis !== null
        ? through(redis.url, toRedis.port)
        : (options.redisUrl ?? ''),
    POSTERN_PEPPER: secret,
    POSTERN_MASTER_KEY: secret,
    PORT: String(await freePort()),
    ...options.envOf?.(at),
  }
  const place = makePlace(configOf(count, options))
  const program = options.busy === true ? busyEntry : undefined
  return { place, env, launch: options.launchOf?.(at) ?? [], program, toPostgres, toRedis }
}

function configOf(count: number, { upstreamUrl, busy, config = {} }: RigOptions): string {
  const burn = '\n      - { path: /v1/burn, methods: [GET], handler: burn, permission: data:read }'
  const up =
    upstreamUrl === undefined
      ? 'builtin: echo'
      : `url: ${JSON.stringify(upstreamUrl)}, allow: [127.0.0.0/8]`
  return `
version: 1
platforms:
  - id: plt_faults
    slug: faults
    scheme: azotte
    permissions: { data: [read, write], admin: [keys] }
    environments:
      test: { limits: { key: [], tenant: [] } }
      live: { limits: { key: [], tenant: [] } }
    upstreams:
      - { name: echo, builtin: echo }
      - { name: up, ${up} }
    routes:
      - { path: /v1/subscriptions/**, methods: [GET], handler: subscriptions, permission: data:read }
      - { path: /v1/subscriptions/**, methods: [POST, PUT, PATCH, DELETE], handler: subscriptions, permission: data:write }
      - { path: /echo/**, upstream: echo }
      - { path: /up/**, upstream: up, rewrite: /** }${busy === true ? burn : ''}
    seed: [${tenants.map((id) => `{ id: ${id} }`).join(', ')}]
server: { nodes: ${count}, ${config.server ?? ''} }
log: { level: warn }
${config.more ?? ''}`
}

type Parts = {
  readonly nodes: readonly RigNode[]
  readonly postgres: Server
  readonly redis: Server | null
  readonly exits: Exit[]
  readonly bare: Running
  readonly stop: () => Promise<void>
}

async function describe(parts: Parts): Promise<Rig> {
  const { nodes, postgres, redis, exits, bare, stop } = parts
  const [first] = nodes
  if (first === undefined) throw new Error('a rig has at least one node')
  const variable = (name: string) => first.gate.variable(name)
  const admin = { 'x-api-key': variable('POSTERN_ADMIN_KEY') }
  const rows: Record<string, readonly string[]> = {}
  for (const tenant of tenants) {
    for (const key of ['POSTERN_SK_LIVE', 'POSTERN_SK_DEV']) {
      const { json } = await first.gate.call('/v1/subscriptions', { key: variable(key), tenant })
      rows[`${tenant} ${key}`] = json.data.map(({ id }: { id: string }) => id)
    }
  }
  const [port = ''] = await bare.line(/^\d+$/)
  const url = `http://127.0.0.1:${port}`
  const control = { name: 'control', perSecond: 20, headers: {}, path: '/', url }
  const heard = nodes.map(() => 0)
  return {
    nodes,
    urls: nodes.map(({ url }) => url),
    postgres,
    redis() {
      if (redis === null) throw new Error('this rig has no Redis of its own')
      return redis
    },
    variable,
    async makeKey(quota, more = {}) {
      const limit = quota && { name: 'rig', quota, window_seconds: windowMs / 1000 }
      const body = {
        ...{ name: 'rig', environment: 'live', permissions: ['data:read'], tenants: null },
        ...(limit && { rate_limit: limit }),
        ...more,
      }
      const made = await first.gate.call('/v1/api-keys', { method: 'POST', headers: admin, body })
      if (made.status !== 201) throw new Error(`no key was made: ${made.text}`)
      return made.json.data
    },
    control,
    mix: (limited) => [...mixOf(variable, rows, limited), control],
    async allReady() {
      // In turn, so that a slow machine has for each of them the time that one may take.
      for (const { url } of nodes) {
        await until(async () => (await call(`${url}/readyz`)).json.status === 'ready')
      }
    },
    crashes() {
      const uncaught = nodes.flatMap(({ gate }, at) => {
        const printed = gate.stderr()
        const fresh = printed.slice(Math.min(heard[at] ?? 0, printed.length))
        heard[at] = printed.length
        return uncaughtLines(fresh)
      })
      return { exits: exits.splice(0).length, uncaught }
    },
    stop,
  }
}

/** One question to a node. */
export const ask = (node: RigNode, path: string, sent: Sent = {}): Promise<Answer> =>
  call(node.url + path, sent)

export const preload = fileURLToPath(new URL('preload.ts', import.meta.url))
