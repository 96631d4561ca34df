/**
 * How much of bare Hono's throughput is left with the whole gate in front: key, tenant, permission
 * and limits, log off. Three servers run at once and are loaded in turn, so that a ratio compares
 * neighbours in time; each figure is the median over the rounds. Runs alone, with DATABASE_URL and
 * REDIS_URL set:
 *
 *     node bench/gate.ts
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { createDatabase } from '../test/database.ts'
import { load, onServerCore } from './load.ts'
import { answerText, type Listening, type Usage } from './server.ts'

const kinds = ['bare', 'memory', 'redis'] as const
export type Kind = (typeof kinds)[number]

/** Over the rounds. */
export type Spread = { readonly median: number; readonly min: number; readonly max: number }

export type GateBench = {
  readonly perSecond: Readonly<Record<Kind, Spread>>
  /** Processor time of the server per request, in microseconds: in its own code, in the kernel. */
  readonly userMicros: Readonly<Record<Kind, Spread>>
  readonly systemMicros: Readonly<Record<Kind, Spread>>
  /** Of bare Hono's requests per second in the same round. */
  readonly ofBare: Readonly<Record<Kind, Spread>>
  /** The same by processor time, which holds where others use the machine too. */
  readonly ofBareByTime: Readonly<Record<Kind, Spread>>
}

export type GateOptions = {
  readonly redisUrl: string
  /** Told what is running. */
  readonly say?: (line: string) => void
  readonly rounds?: number
  readonly seconds?: number
  /** Flags for the node that runs the servers, such as `--cpu-prof`. */
  readonly nodeFlags?: readonly string[]
}

export type GateServer = Listening & {
  /** What the server has used since it began. */
  usage(): Promise<Usage>
  stop(): Promise<void>
}

type Sample = {
  readonly perSecond: number
  readonly userMicros: number
  readonly systemMicros: number
}

/** Runs the bench; a minute and a half. Throws when a single request was not answered with a 2xx. */
export async function benchGate(options: GateOptions): Promise<GateBench> {
  const { redisUrl, say = () => undefined, rounds = 5, seconds = 4, nodeFlags = [] } = options
  const servers = new Map<Kind, GateServer>()
  try {
    const bare = await startServer(['bare'], {}, nodeFlags)
    servers.set('bare', bare)
    const memory = await startGateServer(null, nodeFlags)
    servers.set('memory', memory)
    servers.set('redis', await startGateServer(redisUrl, nodeFlags))
    // The same request to all of them, header for header.
    servers.set('bare', { ...bare, headers: memory.headers })
    const samples: Record<Kind, Sample[]> = { bare: [], memory: [], redis: [] }
    for (let round = 0; round <= rounds; round++) {
      for (const [kind, server] of servers) {
        say(round === 0 ? `warming up: ${kind}` : `round ${round} of ${rounds}: ${kind}`)
        const sample = await measure(server, round === 0 ? 2 : seconds)
        if (round > 0) samples[kind].push(sample)
      }
    }
    return summary(samples)
  } finally {
    await Promise.all([...servers.values()].map((server) => server.stop()))
  }
}

async function measure(server: GateServer, seconds: number): Promise<Sample> {
  const { url, headers } = server
  const response = await fetch(url, { headers })
  const text = await response.text()
  if (text !== answerText) throw new Error(`${url} answers ${response.status} ${text}`)
  const before = await server.usage()
  const { requests, perSecond } = await load({ url, headers, connections: 50, seconds })
  const after = await server.usage()
  return {
    perSecond,
    userMicros: (after.userMicros - before.userMicros) / requests,
    systemMicros: (after.systemMicros - before.systemMicros) / requests,
  }
}

/** Starts the gate on a database of its own; with a Redis URL it counts there, else in memory. */
export async function startGateServer(
  redisUrl: string | null,
  nodeFlags: readonly string[] = [],
): Promise<GateServer & { readonly database: string }> {
  const database = await createDatabase()
  try {
    const env = { DATABASE_URL: database.ownerUrl, REDIS_URL: redisUrl ?? undefined }
    const server = await startServer(['gate'], env, nodeFlags)
    const stop = async () => {
      await server.stop()
      await database.drop()
    }
    return { ...server, stop, database: database.name }
  } catch (error) {
    await database.drop()
    throw error
  }
}

/** Starts a server of bench/server.ts: `bare`, or `gate` with DATABASE_URL and perhaps REDIS_URL. */
export async function startServer(
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
  nodeFlags: readonly string[],
): Promise<GateServer> {
  const file = fileURLToPath(new URL('server.ts', import.meta.url))
  const [command = '', ...rest] = onServerCore(process.execPath, ...nodeFlags, file, ...args)
  const child = spawn(command, rest, {
    env: { ...process.env, NODE_ENV: 'production', REDIS_URL: undefined, ...env },
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
  // What it sends is what bench/server.ts says it sends.
  const listening = (await told(child)) as Listening
  return {
    ...listening,
    async usage() {
      const answer = told(child)
      child.send('usage')
      return (await answer) as Usage
    },
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return
      const gone = once(child, 'exit')
      child.disconnect()
      await gone
    },
  }
}

/** The next message; rejects when the server ends instead. */
function told(child: ChildProcess): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const ended = (code: number | null) => reject(new Error(`a bench server ended with ${code}`))
    child.once('exit', ended)
    child.once('message', (message) => {
      child.off('exit', ended)
      resolve(message)
    })
  })
}

function summary(samples: Readonly<Record<Kind, readonly Sample[]>>): GateBench {
  const all = (pick: (sample: Sample, kind: Kind, round: number) => number) => {
    const of = (kind: Kind) => spread(samples[kind].map((sample, at) => pick(sample, kind, at)))
    return { bare: of('bare'), memory: of('memory'), redis: of('redis') }
  }
  return {
    perSecond: all((sample) => sample.perSecond),
    userMicros: all((sample) => sample.userMicros),
    systemMicros: all((sample) => sample.systemMicros),
    ofBare: all((sample, _, round) => sample.perSecond / samples.bare[round]!.perSecond),
    ofBareByTime: all((sample, _, round) => time(samples.bare[round]!) / time(sample)),
  }
}

const time = (sample: Sample): number => sample.userMicros + sample.systemMicros

/** Median, least and most. */
export function spread(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b)
  const at = (index: number) => sorted[index] ?? 0
  return { median: at(sorted.length >> 1), min: at(0), max: at(sorted.length - 1) }
}

if (import.meta.main) {
  const redisUrl = process.env.REDIS_URL
  if (redisUrl === undefined) throw new Error('REDIS_URL is not set')
  const say = (line: string) => void process.stderr.write(`${line}\n`)
  const seconds = Number(process.argv[2] ?? 4)
  const rounds = Number(process.argv[3] ?? 5)
  const result = await benchGate({ redisUrl, say, seconds, rounds })
  process.stdout.write(`${JSON.stringify(result, null, 2)}\n`)
}
