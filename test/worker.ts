/**
 * A gate to call in tests, in workerd: the real entry's code, bundled by wrangler, over Hyperdrive
 * bindings that lead to a real PostgreSQL. A gate on Node stands beside it on the same database, to
 * seed it and to mint keys.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { createTestHarness, type TestHarness, unstable_startWorker } from 'wrangler'
import { createDatabase } from './database.ts'
import { roomyConfig, startGate } from './gate.ts'
import type { GateUnderTest } from './suites/gate.suite.ts'

// Nothing of a test leaves this machine.
process.env.WRANGLER_SEND_METRICS = 'false'
process.env.CLOUDFLARE_CF_FETCH_ENABLED = 'false'
process.env.WRANGLER_HIDE_BANNER = 'true'
process.env.WRANGLER_WRITE_LOGS = 'false'

const root = fileURLToPath(new URL('..', import.meta.url))

/** What a Worker under test is bound to. A name that is left out is not bound. */
export type Bound = {
  readonly hyperdrives: Readonly<Record<string, string>>
  readonly secrets: Readonly<Record<string, string>>
  readonly counter?: boolean
  readonly minify?: boolean
}

export type TestWorker = {
  readonly url: string
  readonly harness: TestHarness
  stop(): Promise<void>
}

/** The text of src/worker.ts, to stand in another folder. */
const entryText = (): string =>
  readFileSync(join(root, 'src/worker.ts'), 'utf8')
    .replace('../postern.yaml', './postern.yaml')
    .replaceAll(`'./`, `'@/src/`)
    .replace('@/src/postern.yaml', './postern.yaml')

/** Writes what wrangler bundles, and answers its config. */
function prepare(
  folder: string,
  { hyperdrives, secrets, counter = true, minify = false }: Bound,
  text: string,
  entry: string,
) {
  writeFileSync(join(folder, 'postern.yaml'), text)
  writeFileSync(join(folder, 'worker.ts'), entry.replaceAll(`'@/`, `'${root}`))
  const bindings = [{ name: 'POSTERN_COUNTER', class_name: 'PosternCounter' }]
  const rule = { type: 'Text' as const, globs: ['**/*.yaml'], fallthrough: false }
  return {
    name: 'postern-test',
    main: join(folder, 'worker.ts'),
    compatibility_date: '2026-10-01',
    compatibility_flags: ['nodejs_compat', 'enable_request_signal'],
    send_metrics: false,
    minify,
    rules: [rule],
    ...(counter ? { durable_objects: { bindings } } : {}),
    migrations: [{ tag: 'v1', new_sqlite_classes: ['PosternCounter'] }],
    hyperdrive: Object.entries(hyperdrives).map(([binding, url]) => ({
      binding,
      id: '0'.repeat(32),
      localConnectionString: url,
    })),
    vars: secrets,
  }
}

/**
 * Starts src/worker.ts as it is, but with another postern.yaml and other bindings. `entry` is the text
 * of a module beside that file, where it is not the entry that is wanted; `@/` there is the
 * repository.
 */
export async function startWorker(
  bound: Bound,
  text = roomyConfig(),
  entry = entryText(),
): Promise<TestWorker> {
  const folder = mkdtempSync(join(tmpdir(), 'postern-worker-'))
  const workers = [{ config: prepare(folder, bound, text, entry) }]
  const harness = createTestHarness({ root, workers })
  const close = async () => {
    await harness.close()
    rmSync(folder, { recursive: true, force: true })
  }
  try {
    const { url } = await harness.listen()
    return { url: url.origin, harness, stop: close }
  } catch (error) {
    await close()
    throw error
  }
}

export type NetworkWorker = {
  readonly url: string
  /** Everything logged so far. */
  logged(): string
  stop(): Promise<void>
}

/**
 * The same, but workerd itself speaks to what the Worker fetches. The harness hands that to the
 * `fetch` of this process, which writes headers and reports failures in its own way.
 */
export async function startNetworkWorker(bound: Bound, text: string): Promise<NetworkWorker> {
  const folder = mkdtempSync(join(tmpdir(), 'postern-worker-'))
  const config = join(folder, 'wrangler.json')
  writeFileSync(config, JSON.stringify(prepare(folder, bound, text, entryText())))
  const lines: string[] = []
  const worker = await unstable_startWorker({
    config,
    dev: {
      server: { hostname: '127.0.0.1', port: 0 },
      logLevel: 'none',
      watch: false,
      persist: false,
      inspector: false,
      structuredLogsHandler: ({ message }: { message: string }) => void lines.push(message),
    },
  })
  const stop = async () => {
    await worker.dispose()
    rmSync(folder, { recursive: true, force: true })
  }
  try {
    // Wrangler's own proxy answers once the Worker is there. From then on it is passed by, because it
    // keeps a request whose client has left.
    const through = await fetch(new URL('/livez', await worker.url))
    await through.text()
    const direct = worker.raw.runtimes[0]?.mf
    if (direct === undefined) throw new Error('wrangler started no runtime')
    return { url: (await direct.ready).origin, logged: () => lines.join('\n'), stop }
  } catch (error) {
    await stop()
    throw error
  }
}

/** The secrets that the gate on Node has made for itself. */
export const secretsIn = (folder: string): Record<string, string> => ({
  POSTERN_PEPPER: readFileSync(join(folder, 'data', 'pepper'), 'utf8').trim(),
  POSTERN_MASTER_KEY: readFileSync(join(folder, 'data', 'master_key'), 'utf8').trim(),
})

export type WorkerGate = GateUnderTest & {
  readonly harness: TestHarness
  /** The gate on Node, on the same database. */
  readonly nodeUrl: string
}

const named: Readonly<Record<string, string>> = {
  POSTERN_DB: 'DATABASE_URL',
  POSTERN_TENANT_DB: 'POSTERN_TENANT_DATABASE_URL',
  POSTERN_GATEWAY_DB: 'POSTERN_GATEWAY_DATABASE_URL',
}

/** What a Worker is bound to beside the gate on Node that has this folder, with the same `env`. */
function boundLike(
  folder: string,
  env: Readonly<Record<string, string>>,
  pooled: (url: string) => string,
): Bound {
  const hyperdrives: Record<string, string> = {}
  for (const [name, variable] of Object.entries(named)) {
    const url = env[variable]
    if (url !== undefined) hyperdrives[name] = pooled(url)
  }
  const redis: Record<string, string> = env.REDIS_URL ? { REDIS_URL: env.REDIS_URL } : {}
  return { hyperdrives, secrets: { ...secretsIn(folder), ...redis }, counter: !env.REDIS_URL }
}

/**
 * Starts both gates. `env` says which databases, as on Node; with one URL the Worker has one binding,
 * with a URL per role it has two. `pooled` makes of a URL the one that stands in for Hyperdrive, whose
 * pooling wrangler does not imitate. REDIS_URL makes the Worker count there, else it is the Durable
 * Object.
 */
export async function startWorkerGate(
  env: Readonly<Record<string, string>>,
  pooled: (url: string) => string,
  text = roomyConfig(),
): Promise<WorkerGate> {
  const node = await startGate(env, text)
  try {
    const worker = await startWorker(boundLike(node.folder, env, pooled), text)
    return {
      ...node,
      url: worker.url,
      nodeUrl: node.url,
      harness: worker.harness,
      logged: async () =>
        worker.harness
          .getLogs()
          .map(({ message }) => message)
          .join('\n'),
      async stop() {
        await worker.stop()
        await node.stop()
      },
    }
  } catch (error) {
    await node.stop()
    throw error
  }
}

/** Starts both gates on a database of their own, where workerd itself speaks to upstreams. */
export async function startForwardingGate(text: string) {
  const database = await createDatabase({ migrate: false })
  const opened: { stop(): Promise<void> }[] = [{ stop: database.drop }]
  const stop = async () => {
    for (const one of opened.reverse()) await one.stop()
  }
  try {
    const env = { DATABASE_URL: database.ownerUrl }
    const node = await startGate(env, text)
    opened.push(node)
    const worker = await startNetworkWorker(
      boundLike(node.folder, env, (url) => url),
      text,
    )
    opened.push(worker)
    const { seeded, url: nodeUrl, logged: nodeLogged } = node
    return {
      seeded,
      url: worker.url,
      nodeUrl,
      nodeLogged,
      logged: async () => worker.logged(),
      stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}
