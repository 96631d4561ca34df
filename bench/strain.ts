/**
 * What large bodies and slow clients do to a gate that forwards: the memory that 1 GB up and 1 GB
 * down takes, and the time of a good client's requests while thousands hold their connections. Runs
 * alone, with DATABASE_URL and REDIS_URL set:
 *
 *     node bench/strain.ts
 */
import { setTimeout as delay } from 'node:timers/promises'
import { type Arrivals, measureArrivals } from './arrivals.ts'
import { startGateServer } from './gate.ts'
import { load } from './load.ts'
import { type BenchServer, startServer, type Usage } from './processes.ts'
import { type Spread, spread } from './rounds.ts'
import { type SlowState, startSlowClients } from './slow-clients.ts'
import { measurePeak } from './transfer.ts'

export type StrainBench = {
  /** By a body up and a body down: the bare proxy, the gate, and the gate once more. */
  readonly grown: Readonly<Record<'bareBytes' | 'firstBytes' | 'secondBytes', number>>
  /** A good client's 99th percentile in milliseconds. */
  readonly aloneP99Ms: Spread
  readonly besideSlowP99Ms: Spread
  /** The second over the first, each within its round. */
  readonly slowdown: Spread
  /** Bytes that the gate held more with the slow clients than just before, at most. */
  readonly slowGrowthBytes: number
  /** The fewest of them that stood at the end of a round, and all connections that were cut. */
  readonly slow: SlowState
}

export type StrainOptions = {
  readonly redisUrl: string
  /** Told what is running. */
  readonly say?: (line: string) => void
  readonly bytes?: number
  readonly slowClients?: number
  readonly rounds?: number
  readonly seconds?: number
}

/** Runs the bench; a minute. Throws when a good client is not answered with a 200. */
export async function benchStrain(options: StrainOptions): Promise<StrainBench> {
  const { redisUrl, say = () => undefined, bytes = 1e9 } = options
  const started: BenchServer[] = []
  const keep = <Server extends BenchServer>(server: Server): Server => {
    started.push(server)
    return server
  }
  const file = 'proxy-servers.ts'
  try {
    const upstream = keep(await startServer({ file, args: ['bulk'], core: 'load' }))
    const bare = keep(await startServer({ file, args: ['bare', upstream.url], core: 'server' }))
    const upstreamUrl = new URL(upstream.url).origin
    const gate = keep(await startGateServer({ redisUrl, upstreamUrl }))
    say(`${bytes / 1e6} MB up and down through the bare proxy`)
    await warmUp(bare)
    const bareBytes = await growthOf(bare, bytes)
    await bare.stop()
    say(`${bytes / 1e6} MB up and down through the gate, twice`)
    await warmUp(gate)
    const firstBytes = await growthOf(gate, bytes)
    const secondBytes = await growthOf(gate, bytes)
    const grown = { bareBytes, firstBytes, secondBytes }
    return { grown, ...(await besideSlow(gate, options)) }
  } finally {
    await Promise.all(started.map((server) => server.stop()))
  }
}

/**
 * The most memory above what `server` held before, over `bytes` up and `bytes` down. V8 collects
 * nothing before some tens of megabytes of pieces that have gone through lie about, in every Node
 * process that streams: hence the bare proxy beside it, and the second time.
 */
async function growthOf(server: BenchServer, bytes: number): Promise<number> {
  const before = (await server.usage()).rssBytes
  const up = await measurePeak(server, 'up', bytes)
  const down = await measurePeak(server, 'down', bytes)
  return Math.max(up, down) - before
}

const warmUp = ({ url, headers }: BenchServer) =>
  load({ url, headers, connections: 50, seconds: 2 })

async function besideSlow(
  gate: BenchServer,
  { say = () => undefined, slowClients = 2000, rounds = 3, seconds = 3 }: StrainOptions,
): Promise<Omit<StrainBench, 'grown'>> {
  const arrivals = { ...gate, perSecond: 300, seconds }
  const stranger = { url: gate.url, headers: { ...gate.headers, 'x-tn': 'tenant_xyz789' } }
  const found: { alone: Arrivals; beside: Arrivals; slow: SlowState; grown: number }[] = []
  for (let round = 1; round <= rounds; round++) {
    say(`round ${round} of ${rounds}: a client alone, then beside ${slowClients} slow ones`)
    const alone = await measureArrivals(arrivals)
    const before = await gate.usage()
    const slow = await startSlowClients(stranger, slowClients)
    try {
      await calm(gate)
      const beside = await measureArrivals(arrivals)
      const grown = (await gate.usage()).rssBytes - before.rssBytes
      found.push({ alone, beside, slow: await slow.state(), grown })
    } finally {
      await slow.stop()
    }
  }
  return {
    aloneP99Ms: spread(found.map(({ alone }) => alone.p99Ms)),
    besideSlowP99Ms: spread(found.map(({ beside }) => beside.p99Ms)),
    slowdown: spread(found.map(({ alone, beside }) => beside.p99Ms / alone.p99Ms)),
    slowGrowthBytes: Math.max(...found.map(({ grown }) => grown)),
    slow: {
      connected: Math.min(...found.map(({ slow }) => slow.connected)),
      cut: found.reduce((sum, { slow }) => sum + slow.cut, 0),
    },
  }
}

/**
 * Until the server does little, or ten seconds: those who read nothing cost it something only until
 * the buffers of the kernel are full, which are large on a connection within one machine.
 */
async function calm(server: BenchServer): Promise<void> {
  const lookMs = 500
  let before = await server.usage()
  for (let look = 0; look < 20; look++) {
    await delay(lookMs)
    const after = await server.usage()
    if (busyMicros(after) - busyMicros(before) < lookMs * 1000 * 0.15) return
    before = after
  }
}

const busyMicros = ({ userMicros, systemMicros }: Usage): number => userMicros + systemMicros

if (import.meta.main) {
  const redisUrl = process.env.REDIS_URL
  if (redisUrl === undefined) throw new Error('REDIS_URL is not set')
  const say = (line: string) => void process.stderr.write(`${line}\n`)
  process.stdout.write(`${JSON.stringify(await benchStrain({ redisUrl, say }), null, 2)}\n`)
}
