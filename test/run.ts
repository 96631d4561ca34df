/**
 * `npm test`: finds or starts PostgreSQL and Redis, runs the suites on them, and stops what it
 * started, whatever happens in between. Arguments go to vitest: `npm test -- test/keys -t expired`.
 *
 * The suites run in a process of their own (suites-run.ts), because vitest ends its process on a
 * signal before anything could be cleaned up there.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { ensureInstalled, thisHost } from './install.ts'
import { type Server, startPostgres, startRedis } from './servers.ts'

const servers: Server[] = []
let suites: ChildProcess | null = null
let interrupted: number | null = null

const say = (line: string) => void process.stderr.write(`${line}\n`)

for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
] as const) {
  process.on(signal, () => {
    interrupted = code
    suites?.kill('SIGTERM')
  })
}

process.exitCode = await main(process.argv.slice(2))

async function main(args: readonly string[]): Promise<number> {
  try {
    // Also where both URLs are set: suites that crash a server, or need a cluster, start their own.
    const refused = ensureInstalled(thisHost(say))
    if (refused !== null) {
      say(refused)
      return 1
    }
    const env = { ...process.env, ...(await provideServers()) }
    return interrupted ?? (await runSuites(args, env))
  } catch (error) {
    say(`npm test cannot run: ${error instanceof Error ? error.message : error}`)
    return interrupted ?? 1
  } finally {
    await Promise.all(servers.map((server) => server.stop()))
  }
}

/** The servers that the environment names, and one of our own for each that it does not. */
async function provideServers(): Promise<Record<string, string>> {
  const provide = async (given: string | undefined, make: () => Promise<Server>) => {
    if (given) return given
    const server = await make()
    servers.push(server)
    return server.url
  }
  const { DATABASE_URL, REDIS_URL } = process.env
  const made = await Promise.allSettled([
    provide(DATABASE_URL, startPostgres),
    provide(REDIS_URL, startRedis),
  ])
  // Settled, not raced: a server that came up beside one that did not must be stopped too.
  const [database, redis] = made.map((one) => {
    if (one.status === 'rejected') throw one.reason
    return one.value
  })
  return { DATABASE_URL: database ?? '', REDIS_URL: redis ?? '' }
}

async function runSuites(
  args: readonly string[],
  env: Record<string, string | undefined>,
): Promise<number> {
  const script = fileURLToPath(new URL('suites-run.ts', import.meta.url))
  const child = spawn(process.execPath, [script, ...args], {
    env,
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  suites = child
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => {
      if (interrupted === null && signal !== null) say(`the suites were ended by ${signal}`)
      resolve(interrupted ?? code ?? 1)
    })
  })
}
