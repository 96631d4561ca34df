/**
 * What the gate costs a forwarded GET: Postern in front of an upstream against a bare proxy of
 * node:http and undici that checks nothing, fastify with its own proxy and limiter, nginx and HAProxy.
 * All of them run at once and are loaded in turn. Runs alone, with DATABASE_URL and REDIS_URL set:
 *
 *     node bench/proxy.ts
 */
import { type GateServerOptions, startGateServer } from './gate.ts'
import { startHaproxy } from './haproxy.ts'
import { startNginx } from './nginx.ts'
import { answerText, type BenchServer, startServer } from './processes.ts'
import { type Figures, figuresOf, inTurn, rate, type Spread } from './rounds.ts'

/** In the order they are loaded and shown. */
export const proxyKinds = [
  'bare',
  'memory',
  'leased',
  'exact',
  'fastify',
  'nginx',
  'haproxy',
] as const
export type ProxyKind = (typeof proxyKinds)[number]

/** The base of each is the bare proxy. */
export type ProxyFigures = Figures & {
  /** Of fastify's requests per second in the same round. */
  readonly ofFastify: Spread
}

/** Without `nginx` and `haproxy` where they are not installed. */
export type ProxyBench = ReadonlyMap<ProxyKind, ProxyFigures>

export type ProxyOptions = {
  readonly redisUrl: string
  /** Told what is running. */
  readonly say?: (line: string) => void
  readonly rounds?: number
  readonly seconds?: number
  /** Flags for the node that runs the gate, such as `--cpu-prof`. */
  readonly nodeFlags?: readonly string[]
  /** Those to run; `bare` and `fastify` run in any case. */
  readonly kinds?: readonly ProxyKind[]
}

/** Runs the bench; a minute and a half. Throws when a single request was not answered with a 2xx. */
export async function benchProxy(options: ProxyOptions): Promise<ProxyBench> {
  const { redisUrl, say = () => undefined, rounds = 5, seconds = 2, nodeFlags = [] } = options
  const { kinds = proxyKinds } = options
  const started: BenchServer[] = []
  const keep = <Server extends BenchServer>(server: Server): Server => {
    started.push(server)
    return server
  }
  try {
    const upstream = keep(
      await startServer({ file: 'proxy-servers.ts', args: ['hello'], core: 'load' }),
    )
    const startPeer = (kind: 'bare' | 'fastify') => {
      const args = [kind, upstream.url]
      const env = { REDIS_URL: redisUrl }
      return startServer({ file: 'proxy-servers.ts', args, env, core: 'server' })
    }
    const upstreamUrl = new URL(upstream.url).origin
    const startGate = async (kind: ProxyKind, setup: Omit<GateServerOptions, 'upstreamUrl'>) => {
      if (!kinds.includes(kind)) return
      servers.set(kind, keep(await startGateServer({ ...setup, upstreamUrl, nodeFlags })))
    }

    const servers = new Map<ProxyKind, BenchServer>([['bare', keep(await startPeer('bare'))]])
    await startGate('memory', { redisUrl: null })
    await startGate('leased', { redisUrl })
    await startGate('exact', { redisUrl, counting: 'exact' })
    servers.set('fastify', keep(await startPeer('fastify')))
    // The same request to all of them, header for header; each gate has its own key of one length.
    const headers =
      [...servers.values()].find((one) => 'x-api-key' in one.headers)?.headers ?? strangerHeaders
    for (const kind of ['bare', 'fastify'] as const) {
      const server = servers.get(kind)
      if (server !== undefined) servers.set(kind, { ...server, headers })
    }
    for (const [kind, start] of [
      ['nginx', startNginx],
      ['haproxy', startHaproxy],
    ] as const) {
      const server = kinds.includes(kind) ? await start(upstream.url, headers) : null
      if (server !== null) servers.set(kind, keep(server))
    }

    const found = await inTurn(servers, { answer: answerText, rounds, seconds, say })
    const of = (kind: ProxyKind): ProxyFigures => ({
      ...figuresOf(found, kind, 'bare'),
      ofFastify: found.against(kind, 'fastify', rate),
    })
    return new Map([...servers.keys()].map((kind) => [kind, of(kind)]))
  } finally {
    await Promise.all(started.map((server) => server.stop()))
  }
}

/** Where no gate runs that would have made a key. */
const strangerHeaders = {
  'x-api-key': 'sk_live_k7Gh2Qm9x_00000000000000000000000000000000000000',
  'x-tn': 'tenant_abc123',
}

if (import.meta.main) {
  const redisUrl = process.env.REDIS_URL
  if (redisUrl === undefined) throw new Error('REDIS_URL is not set')
  const say = (line: string) => void process.stderr.write(`${line}\n`)
  const [seconds = '2', rounds = '5', ...names] = process.argv.slice(2)
  const kinds = names.length === 0 ? proxyKinds : proxyKinds.filter((kind) => names.includes(kind))
  const found = await benchProxy({
    redisUrl,
    say,
    kinds,
    seconds: Number(seconds),
    rounds: Number(rounds),
  })
  process.stdout.write(`${JSON.stringify(Object.fromEntries(found), null, 2)}\n`)
}
