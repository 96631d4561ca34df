/**
 * How much of bare Hono's throughput is left with the whole gate in front: key, tenant, permission
 * and limits, log off. Four servers run at once and are loaded in turn. Runs alone, with
 * DATABASE_URL and REDIS_URL set:
 *
 *     node bench/gate.ts
 */
import { createDatabase } from '../test/database.ts'
import type { GateSetup } from './gate-setup.ts'
import { answerText, type BenchServer, startServer } from './processes.ts'
import { type Figures, figuresOf, inTurn } from './rounds.ts'

/** In the order they are loaded and shown. */
export const gateKinds = ['bare', 'memory', 'leased', 'exact'] as const
export type GateKind = (typeof gateKinds)[number]

/** The base of each is bare Hono. */
export type GateBench = Readonly<Record<GateKind, Figures>>

export type GateOptions = {
  readonly redisUrl: string
  /** Told what is running. */
  readonly say?: (line: string) => void
  readonly rounds?: number
  readonly seconds?: number
  /** Flags for the node that runs the servers, such as `--cpu-prof`. */
  readonly nodeFlags?: readonly string[]
}

/** Runs the bench; a minute. Throws when a single request was not answered with a 2xx. */
export async function benchGate(options: GateOptions): Promise<GateBench> {
  const { redisUrl, say = () => undefined, rounds = 5, seconds = 2, nodeFlags = [] } = options
  const servers = new Map<GateKind, BenchServer>()
  try {
    const bare = await startServer({ file: 'bare.ts', nodeFlags, core: 'server' })
    servers.set('bare', bare)
    const memory = await startGateServer({ redisUrl: null, nodeFlags })
    servers.set('memory', memory)
    servers.set('leased', await startGateServer({ redisUrl, nodeFlags }))
    servers.set('exact', await startGateServer({ redisUrl, counting: 'exact', nodeFlags }))
    // The same request to all of them, header for header.
    servers.set('bare', { ...bare, headers: memory.headers })
    const found = await inTurn(servers, { answer: answerText, rounds, seconds, say })
    const of = (kind: GateKind) => figuresOf(found, kind, 'bare')
    return { bare: of('bare'), memory: of('memory'), leased: of('leased'), exact: of('exact') }
  } finally {
    await Promise.all([...servers.values()].map((server) => server.stop()))
  }
}

export type GateServerOptions = GateSetup & {
  /** Where it counts; null: in memory. */
  readonly redisUrl: string | null
  readonly nodeFlags?: readonly string[]
}

/** Starts the gate on a database of its own, which goes when it is stopped. */
export async function startGateServer(
  options: GateServerOptions,
): Promise<BenchServer & { readonly database: string }> {
  const { redisUrl, nodeFlags = [], ...setup } = options
  const database = await createDatabase()
  try {
    const server = await startServer({
      file: 'server.ts',
      args: [JSON.stringify(setup)],
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
  const seconds = Number(process.argv[2] ?? 2)
  const rounds = Number(process.argv[3] ?? 5)
  const result = await benchGate({ redisUrl, say, seconds, rounds })
  process.stdout.write(`${JSON.stringify(result, null, 2)}\n`)
}
