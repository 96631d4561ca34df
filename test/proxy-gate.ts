/** A gate in front of upstreams of a test: the real deployment, one upstream and one open route. */
import { once } from 'node:events'
import { type Agent, request as httpRequest, type IncomingMessage } from 'node:http'
import type { Lookup } from '../src/runtime/node/upstream/connect.ts'
import { createDatabase } from './database.ts'
import { startGate, type TestGate } from './gate.ts'

export type ProxyGate = TestGate & {
  readonly port: number
  /** What a request needs to be let in, as header lines. */
  readonly credentials: string
  /** The same as an object. */
  readonly headers: Readonly<Record<string, string>>
}

/** Fields of the upstream `up` and of its route, as they stand in postern.yaml. */
export type Settings = {
  readonly upstream?: string
  readonly route?: string
  readonly more?: string
  /** Further upstreams by name, each with its fields (without `allow`: loopback), and a route `/<name>/**` to it. */
  readonly others?: Readonly<Record<string, string>>
  /** Fields of the routes to those, by the same names. */
  readonly routes?: Readonly<Record<string, string>>
  /** Resolves the names of targets instead of the system. */
  readonly lookup?: Lookup
}

/** The config of a platform that forwards `/up/**` to `url`, there without the `/up`. */
export function proxyConfig(
  url: string,
  { upstream = '', route = '', more = '', others = {}, routes = {} }: Settings,
): string {
  const upstreams = Object.entries(others)
    .map(
      ([name, fields]) =>
        `      - { name: ${name}, ${fields.includes('allow:') ? '' : 'allow: [127.0.0.0/8], '}${fields} }\n`,
    )
    .join('')
  const ways = Object.keys(others)
    .map(
      (name) =>
        `      - { path: /${name}/**, upstream: ${name}, rewrite: /**, ${routes[name] ?? ''} }\n`,
    )
    .join('')
  return `
version: 1
platforms:
  - id: plt_proxy
    slug: proxy
    permissions: { data: [read, write] }
    environments:
      test: { limits: { key: [], tenant: [] } }
      live: { limits: { key: [], tenant: [] } }
    upstreams:
      - { name: up, url: ${JSON.stringify(url)}, allow: [127.0.0.0/8], ${upstream} }
${upstreams}    routes:
      - { path: /up/**, upstream: up, rewrite: /**, body: { maxBytes: 1099511627776 }, ${route} }
${ways}    seed: [{ id: tenant_abc123 }, { id: tenant_xyz789 }]
keys: { failures: { count: 1000, window: 10s } }
log: { level: info }
${more}`
}

/** Starts it, on a database of its own, which goes with it. */
export async function startProxyGate(
  url: string,
  settings: Settings = {},
  env: Readonly<Record<string, string>> = {},
): Promise<ProxyGate> {
  const database = await createDatabase({ migrate: false })
  const variables = { DATABASE_URL: database.ownerUrl, ...env }
  const gate = await startGate(variables, proxyConfig(url, settings), undefined, settings.lookup)
  const headers = { 'x-api-key': gate.seeded.sk_live_, 'x-tn': 'tenant_abc123' }
  return {
    ...gate,
    port: Number(new URL(gate.url).port),
    headers,
    credentials: `x-api-key: ${headers['x-api-key']}\r\nx-tn: ${headers['x-tn']}\r\n`,
    async stop() {
      await gate.stop()
      await database.drop()
    },
  }
}

/** What came of one request. `failure`: its status, and the word of its Proxy-Status. */
export type Told = {
  readonly status: number
  readonly failure: string
  readonly headers: IncomingMessage['headers']
  readonly body: string
  readonly ms: number
}

export type Asked = {
  readonly method?: string
  readonly body?: string
  readonly agent?: Agent
  /** Aborted, the client leaves. */
  readonly signal?: AbortSignal
}

/** One request that is let in, and its whole answer. */
export async function ask(gate: ProxyGate, path: string, asked: Asked = {}): Promise<Told> {
  const started = performance.now()
  const { body, ...options } = asked
  const sent = httpRequest(`${gate.url}/${path}`, { headers: gate.headers, ...options })
  sent.end(body)
  const [response] = (await once(sent, 'response')) as [IncomingMessage]
  let text = ''
  for await (const piece of response) text += piece
  const { headers, statusCode: status = 0 } = response
  const word = String(headers['proxy-status'] ?? '').replace('postern; error=', '')
  const ms = performance.now() - started
  return { status, failure: `${status} ${word}`, headers, body: text, ms }
}
