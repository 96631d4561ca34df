/**
 * A gate to call in tests, in workerd: the real entry's code, bundled by wrangler, over Hyperdrive
 * bindings that lead to a real PostgreSQL. A gate on Node stands beside it on the same database, to
 * seed it and to mint keys.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { createTestHarness, type TestHarness } from 'wrangler'
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

/**
 * Starts src/worker.ts as it is, but with another postern.yaml and other bindings. `entry` is the text
 * of a module beside that file, where it is not the entry that is wanted; `@/` there is the
 * repository.
 */
export async function startWorker(
  { hyperdrives, secrets, counter = true, minify = false }: Bound,
  text = roomyConfig(),
  entry = readFileSync(join(root, 'src/worker.ts'), 'utf8')
    .replace('../postern.yaml', './postern.yaml')
    .replaceAll(`'./`, `'@/src/`)
    .replace('@/src/postern.yaml', './postern.yaml'),
): Promise<TestWorker> {
  const folder = mkdtempSync(join(tmpdir(), 'postern-worker-'))
  writeFileSync(join(folder, 'postern.yaml'), text)
  writeFileSync(join(folder, 'worker.ts'), entry.replaceAll(`'@/`, `'${root}`))
  const bindings = [{ name: 'POSTERN_COUNTER', class_name: 'PosternCounter' }]
  const harness = createTestHarness({
    root,
    workers: [
      {
        config: {
          name: 'postern-test',
          main: join(folder, 'worker.ts'),
          compatibility_date: '2026-10-01',
          compatibility_flags: ['nodejs_compat'],
          send_metrics: false,
          minify,
          rules: [{ type: 'Text', globs: ['**/*.yaml'], fallthrough: false }],
          ...(counter ? { durable_objects: { bindings } } : {}),
          migrations: [{ tag: 'v1', new_sqlite_classes: ['PosternCounter'] }],
          hyperdrive: Object.entries(hyperdrives).map(([binding, url]) => ({
            binding,
            id: '0'.repeat(32),
            localConnectionString: url,
          })),
          vars: secrets,
        },
      },
    ],
  })
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
  const named: Readonly<Record<string, string | undefined>> = {
    POSTERN_DB: env.DATABASE_URL,
    POSTERN_TENANT_DB: env.POSTERN_TENANT_DATABASE_URL,
    POSTERN_GATEWAY_DB: env.POSTERN_GATEWAY_DATABASE_URL,
  }
  const hyperdrives: Record<string, string> = {}
  for (const [name, url] of Object.entries(named)) {
    if (url !== undefined) hyperdrives[name] = pooled(url)
  }
  const redis: Record<string, string> = env.REDIS_URL ? { REDIS_URL: env.REDIS_URL } : {}
  try {
    const secrets = { ...secretsIn(node.folder), ...redis }
    const worker = await startWorker({ hyperdrives, secrets, counter: !env.REDIS_URL }, text)
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
