/**
 * How much of bare Hono's throughput is left with the whole gate in front: key, tenant, permission
 * and limits, log off. Three servers run at once and are loaded in turn. Runs alone, with
 * DATABASE_URL and REDIS_URL set:
 *
 *     node bench/gate.ts
 */
import { createDatabase } from '../test/database.ts'
import { answerText, type BenchServer, startServer } from './processes.ts'
import { inTurn, type Sample, type Spread } from './rounds.ts'

type Kind = 'bare' | 'memory' | 'redis'

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

/** Runs the bench; a minute and a half. Throws when a single request was not answered with a 2xx. */
export async function benchGate(options: GateOptions): Promise<GateBench> {
  const { redisUrl, say = () => undefined, rounds = 5, seconds = 4, nodeFlags = [] } = options
  const servers = new Map<Kind, BenchServer>()
  try {
    const bare = await startServer({ file: 'server.ts', args: ['bare'], nodeFlags, core: 'server' })
    servers.set('bare', bare)
    const memory = await startGateServer({ redisUrl: null, nodeFlags })
    servers.set('memory', memory)
    servers.set('redis', await startGateServer({ redisUrl, nodeFlags }))
    // The same request to all of them, header for header.
    servers.set('bare', { ...bare, headers: memory.headers })
    const found = await inTurn(servers, { answer: answerText, rounds, seconds, say })
    const each = (of: (kind: Kind) => Spread) => {
      return { bare: of('bare'), memory: of('memory'), redis: of('redis') }
    }
    return {
      perSecond: each((kind) => found.of(kind, rate)),
      userMicros: each((kind) => found.of(kind, ({ userMicros }) => userMicros)),
      systemMicros: each((kind) => found.of(kind, ({ systemMicros }) => systemMicros)),
      ofBare: each((kind) => found.against(kind, 'bare', rate)),
      ofBareByTime: each((kind) => found.against(kind, 'bare', perMicro)),
    }
  } finally {
    await Promise.all([...servers.values()].map((server) => server.stop()))
  }
}

const rate = ({ perSecond }: Sample): number => perSecond
const perMicro = ({ userMicros, systemMicros }: Sample): number => 1 / (userMicros + systemMicros)

export type GateServerOptions = {
  /** Where it counts; null: in memory. */
  readonly redisUrl: string | null
  /** What it forwards to; null: it answers from a handler. */
  readonly upstreamUrl?: string | null
  readonly nodeFlags?: readonly string[]
}

/** Starts the gate on a database of its own, which goes when it is stopped. */
export async function startGateServer(
  options: GateServerOptions,
): Promise<BenchServer & { readonly database: string }> {
  const { redisUrl, upstreamUrl = null, nodeFlags = [] } = options
  const database = await createDatabase()
  try {
    const server = await startServer({
      file: 'server.ts',
      args: upstreamUrl === null ? ['gate'] : ['gate', upstreamUrl],
      env: { DATABASE_URL: database.ownerUrl, REDIS_URL: redisUrl ?? undefined },
      nodeFlags,
      core: 'server',
    })
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

if (import.meta.main) {
  const redisUrl = process.env.REDIS_URL
  if (redisUrl === undefined) throw new Error('REDIS_URL is not set')
  const say = (line: string) => void process.stderr.write(`${line}\n`)
  const seconds = Number(process.argv[2] ?? 4)
  const rounds = Number(process.argv[3] ?? 5)
  const result = await benchGate({ redisUrl, say, seconds, rounds })
  process.stdout.write(`${JSON.stringify(result, null, 2)}\n`)
}
