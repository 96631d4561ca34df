/**
 * One server of the gate bench, in a process of its own so that it can be held to one core:
 *
 *     node bench/server.ts bare
 *     node bench/server.ts gate [UPSTREAM_URL]
 *
 * `bare` is Hono on its Node adapter with a handler that answers a small JSON. `gate` is the whole
 * gateway in front of the same handler or of an upstream, on the PostgreSQL at DATABASE_URL, counting
 * in the Redis at REDIS_URL or, without one, in memory. It tells its parent where it listens and what
 * to send, and ends with it.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import { renderErrors } from '../src/config/report.ts'
import { parseConfig } from '../src/config.ts'
import { createHandler } from '../src/handler.ts'
import { deploy } from '../src/runtime/node/deployment.ts'
import { firstStart } from '../src/runtime/node/first-start.ts'
import { createLog } from '../src/runtime/node/log.ts'
import { readRootSecrets } from '../src/runtime/node/secrets.ts'
import { answer, answerAsServer, type Listening } from './processes.ts'

const handlers = { hello: createHandler().get('/', (c) => c.json(answer)) }

const ownRoute = `
      - { path: /v1/hello, methods: [GET], handler: hello, permission: data:read }`

/** To the paths of bench/proxy-servers.ts; what may be large is not held to the usual size. */
const forwardedRoutes = `
      - { path: /v1/hello, methods: [GET], upstream: bench, permission: data:read }
      - { path: /v1/large, methods: [GET], upstream: bench, permission: data:read }
      - path: /v1/sink
        methods: [POST]
        upstream: bench
        permission: data:read
        body: { maxBytes: 2000000000 }`

/** Every slow client of bench/slow-clients.ts may hold a connection to it. */
const upstreamAt = (url: string): string => `
    upstreams:
      - { name: bench, url: "${url}", allow: [127.0.0.0/8], connections: 4000 }`

/** The platform that is measured: every check of the gate, and limits that count but never refuse. */
const platformFile = (upstreamUrl: string | null): string => `
version: 1
platforms:
  - id: plt_bench
    slug: bench
    scheme: azotte
    permissions: { data: [read] }
    environments:
      live: { limits: { key: [100000000/min], tenant: [100000000/min] } }${upstreamUrl === null ? '' : upstreamAt(upstreamUrl)}
    routes:${upstreamUrl === null ? ownRoute : forwardedRoutes}
    seed:
      - id: tenant_abc123
      - id: tenant_xyz789
keys: { failures: { count: 1000000, window: 1min } }
log: { level: silent }
`

async function startBare(): Promise<Listening> {
  const app = new Hono().get('/v1/hello', (c) => c.json(answer))
  const port = await new Promise<number>((resolve) => {
    serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' }, (info) => resolve(info.port))
  })
  return { url: `http://127.0.0.1:${port}/v1/hello`, headers: {} }
}

async function startGate(upstreamUrl: string | null): Promise<Listening> {
  const folder = mkdtempSync(join(tmpdir(), 'postern-bench-'))
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
  const { DATABASE_URL, REDIS_URL } = process.env
  const env = { POSTERN_DIR: folder, PORT: '0', DATABASE_URL, REDIS_URL }
  const parsed = parseConfig(platformFile(upstreamUrl), 'bench.yaml', env, Object.keys(handlers))
  if (!parsed.ok) throw new Error(renderErrors(parsed.errors))
  const { config } = parsed
  const secrets = readRootSecrets({}, folder)
  const deployment = await deploy(config, secrets, handlers, createLog(config.log.level))
  await deployment.listen()
  const file = join(folder, 'env')
  const { entries } = await firstStart(config, deployment, secrets, file)
  const key = /^POSTERN_SK_LIVE=(\S+)$/m.exec(readFileSync(file, 'utf8'))?.[1]
  if (key === undefined) throw new Error('the gate seeded no live secret key')
  return {
    url: `${entries.get('POSTERN_URL')}/v1/hello`,
    headers: { 'x-api-key': key, 'x-tn': 'tenant_abc123' },
  }
}

if (import.meta.main) {
  const [kind, upstreamUrl = null] = process.argv.slice(2)
  answerAsServer(kind === 'bare' ? await startBare() : await startGate(upstreamUrl))
}
