/**
 * How large the Worker is when it is uploaded, and how much processor time a new isolate takes until
 * its first answer: module load, postern.yaml, routes, the databases' admission, one whole request.
 * It is what `wrangler deploy` would upload, run by workerd itself, without wrangler around it; what
 * workerd takes for an empty Worker is taken off. Linux only. Runs alone, with DATABASE_URL set:
 *
 *     node bench/worker.ts
 */
import { execFile } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { gzipSync } from 'node:zlib'
import { createDatabase } from '../test/database.ts'
import { startGate } from '../test/gate.ts'
import { start } from '../test/process.ts'
import { freePort } from '../test/servers.ts'
import { secretsIn } from '../test/worker.ts'

/** Bytes of what is uploaded; milliseconds of processor time, all threads together. */
export type WorkerBench = {
  readonly bundleBytes: number
  readonly gzippedBytes: number
  /** Until `/livez` is answered: module load, postern.yaml, routes. Median. */
  readonly loadCpuMs: number
  /** Until the first request with a key is answered. Median. */
  readonly firstAnswerCpuMs: number
  /** A request with a key after that. Median. */
  readonly nextAnswerCpuMs: number
}

const root = fileURLToPath(new URL('..', import.meta.url))
const wrangler = join(root, 'node_modules/.bin/wrangler')
const machine = process.arch === 'arm64' ? 'arm64' : '64'
const workerd = join(root, `node_modules/@cloudflare/workerd-linux-${machine}/bin/workerd`)

/** Runs the bench; half a minute. Throws when an answer is not a 200. */
export async function benchWorker(rounds = 7): Promise<WorkerBench> {
  const folder = mkdtempSync(join(tmpdir(), 'postern-bundle-'))
  const database = await createDatabase({ migrate: false })
  const gate = await startGate({ DATABASE_URL: database.ownerUrl })
  try {
    const args = ['deploy', '--dry-run', '--env', 'development', '--outdir', folder]
    await promisify(execFile)(wrangler, args, { cwd: root })
    const files = readdirSync(folder).filter((name) => !/\.map$|^README/.test(name))
    const contents = files.map((name) => readFileSync(join(folder, name)))
    writeFileSync(join(folder, 'empty.js'), emptyWorker)
    writeFileSync(
      join(folder, 'worker.capnp'),
      configOf(files, database.ownerUrl, secretsIn(gate.folder)),
    )
    writeFileSync(join(folder, 'empty.capnp'), configOf(['empty.js'], database.ownerUrl, {}))

    const headers = { 'x-api-key': gate.seeded.sk_live_, 'x-tn': 'tenant_abc123' }
    const list = '/v1/subscriptions'
    const cpu = (config: string, paths: readonly string[]) =>
      cpuUntilAnswered(join(folder, config), paths, headers)
    const samples = { load: [0], first: [0], next: [0] }
    for (let round = 0; round < rounds; round++) {
      const nothing = await cpu('empty.capnp', ['/livez'])
      const first = await cpu('worker.capnp', [list])
      const eleven = await cpu(
        'worker.capnp',
        Array.from({ length: 11 }, () => list),
      )
      samples.load[round] = (await cpu('worker.capnp', ['/livez'])) - nothing
      samples.first[round] = first - nothing
      samples.next[round] = (eleven - first) / 10
    }
    return {
      bundleBytes: contents.reduce((sum, one) => sum + one.length, 0),
      gzippedBytes: contents.reduce((sum, one) => sum + gzipSync(one).length, 0),
      loadCpuMs: median(samples.load),
      firstAnswerCpuMs: median(samples.first),
      nextAnswerCpuMs: median(samples.next),
    }
  } finally {
    await gate.stop()
    await database.drop()
    rmSync(folder, { recursive: true, force: true })
  }
}

const median = (values: readonly number[]): number =>
  Math.round((values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0) * 10) / 10

const emptyWorker = `export class PosternCounter {}
export default { fetch: () => new Response('{}') }`

/** workerd's own configuration of what wrangler would deploy. */
function configOf(files: readonly string[], url: string, secrets: Record<string, string>): string {
  const { hostname, port, username, password, pathname } = new URL(url)
  const modules = files
    .toSorted((a, b) => Number(b.endsWith('.js')) - Number(a.endsWith('.js')))
    .map((name) =>
      name.endsWith('.js')
        ? `(name = "${name}", esModule = embed "${name}")`
        : `(name = "./${name}", text = embed "${name}")`,
    )
  const texts = Object.entries(secrets).map(
    ([name, text]) => `(name = "${name}", text = "${text}")`,
  )
  const hyperdrive = `(designator = "db", database = "${pathname.slice(1)}", user = "${username}", password = "${password}", scheme = "postgres")`
  return `using Workerd = import "/workerd/workerd.capnp";
const config :Workerd.Config = (
  services = [
    (name = "main", worker = .main),
    (name = "db", external = (address = "${hostname}:${port}", tcp = ())),
  ],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "main")],
);
const main :Workerd.Worker = (
  modules = [${modules.join(', ')}],
  compatibilityDate = "2026-10-01",
  compatibilityFlags = ["nodejs_compat"],
  bindings = [
    (name = "POSTERN_DB", hyperdrive = ${hyperdrive}),
    (name = "POSTERN_COUNTER", durableObjectNamespace = "PosternCounter"),
    ${texts.join(', ')}
  ],
  durableObjectNamespaces = [(className = "PosternCounter", uniqueKey = "counter", enableSql = true)],
  durableObjectStorage = (inMemory = void),
);
`
}

async function cpuUntilAnswered(
  config: string,
  paths: readonly string[],
  headers: Record<string, string>,
): Promise<number> {
  const port = await freePort()
  const running = await start(workerd, ['serve', config, `--socket-addr=http=127.0.0.1:${port}`])
  try {
    while (!(await listens(port))) await delay(20)
    for (const path of paths) {
      const response = await fetch(`http://127.0.0.1:${port}${path}`, { headers })
      await response.arrayBuffer()
      if (response.status !== 200) throw new Error(`${path} is answered ${response.status}`)
    }
    return cpuMsOf(running.pid)
  } finally {
    await running.stop('SIGKILL')
  }
}

/** Processor time of a process, all threads, in milliseconds. */
function cpuMsOf(pid: number): number {
  let ms = 0
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    const [nanoseconds = '0'] = readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(
      ' ',
    )
    ms += Number(nanoseconds) / 1e6
  }
  return ms
}

function listens(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1')
  return new Promise<boolean>((resolve) => {
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
  }).finally(() => socket.destroy())
}

if (import.meta.main) {
  process.stdout.write(`${JSON.stringify(await benchWorker(), null, 2)}\n`)
  process.exit()
}
