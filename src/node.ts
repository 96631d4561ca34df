/**
 * The entry on Node: reads the config, starts the deployment, seeds an empty one, and answers the
 * process's signals. SIGTERM and SIGINT drain; SIGHUP swaps a good config in and keeps the last good
 * one when the file is bad.
 */
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { renderErrors } from './config/report.ts'
import { type Config, parseConfig } from './config.ts'
import type { Sql } from './context.ts'
import { createCredentials } from './db/credentials.ts'
import type { Handlers } from './handler.ts'
import { handlers as named } from './handlers/named.ts'
import { startWorkers } from './runtime/node/cluster.ts'
import { type Deployment, deploy } from './runtime/node/deployment.ts'
import { firstStart } from './runtime/node/first-start.ts'
import { listenOn, probePort } from './runtime/node/listening.ts'
import { createLog, type Log } from './runtime/node/log.ts'
import { type NodeSecrets, readRootSecrets } from './runtime/node/secrets.ts'
import { openStorage } from './runtime/node/storage.ts'
import { welcome } from './runtime/node/welcome.ts'
import { type Duty, isWorker, joinPrimary } from './runtime/node/worker-duty.ts'

const envFile = '.env.local'

/** What is served, and by which file: workers are started from it, and are to call `serve` as well. */
export type Program = { readonly handlers: Handlers; readonly entry: string }

/** The gate as it is installed: the named handlers, and this file. Resolves and rejects as `serve`. */
export function main(args: readonly string[]): Promise<void> {
  return serve(args, { handlers: named, entry: fileURLToPath(import.meta.url) })
}

/**
 * Serves the config named by the first argument (`postern.yaml`) and resolves once it listens; the
 * process ends on SIGTERM or SIGINT. With POSTERN_WORKERS it is that many processes, of which this one
 * is the primary. Rejects with sentences for the person who started it.
 */
export async function serve(args: readonly string[], program: Program): Promise<void> {
  // Node would open its inspector, a door to everything in memory (threats X9).
  process.on('SIGUSR1', () => undefined)
  if (isWorker) return joinPrimary(dutyOf(program))
  // Whoever reads the welcome may go (`| head`), which must not end the process.
  process.stdout.on('error', () => undefined)
  const [file = 'postern.yaml'] = args
  const text = textOf(file)
  const config = readConfig(text, file, program)
  const { workers } = config.server
  const count = workers === 'auto' ? availableParallelism() : workers
  if (count > 1) await serveByMany({ file, text, config, program, count })
  else await serveAlone(file, config, program)
}

async function serveAlone(file: string, config: Config, program: Program): Promise<void> {
  const log = createLog(config.log.level)
  const secrets = secretsOf(config)
  const deployment = await deploy(config, secrets, program.handlers, log)
  const { gatewaySql } = deployment.ports
  try {
    await refuseNewPepper(config, deployment.storage.name, gatewaySql, secrets)
    await deployment.listen()
    const first = await firstStart(config, deployment, secrets, envFile)
    // Before the words that tell somebody that it can be stopped.
    const end = onSignals(file, log, deployment.storage.name, {
      async swap(text) {
        const next = readConfig(text, file, program)
        const waiting = deployment.swap(next)
        log.setLevel(next.log.level)
        return waiting
      },
      close: () => deployment.close().then(() => true),
    })
    void deployment.storage.lost.then((error) => {
      log.error('storage is lost', { cause: error.message })
      return end(1)
    })
    process.stdout.write(welcome(config, deployment, first, envFile))
  } catch (error) {
    await deployment.close()
    throw error
  }
}

type Many = {
  readonly file: string
  readonly text: string
  readonly config: Config
  readonly program: Program
  readonly count: number
}

/** The primary: does what is to be done once, and has workers serve. */
async function serveByMany({ file, text, config, program, count }: Many): Promise<void> {
  const log = createLog(config.log.level, 2, undefined, true)
  const secrets = secretsOf(config)
  const { host, shutdownDelayMs, shutdownGraceMs } = config.server
  const port = await listenOn({ listen: probePort }, config.server.port, host)
  const storage = await openStorage(config.storage, (message) => log.warn(message))
  try {
    await refuseNewPepper(config, storage.name, storage.gatewaySql, secrets)
    const endMs = shutdownDelayMs + shutdownGraceMs + 10_000
    const { entry } = program
    const workers = await startWorkers({ entry, count, file, text, port, endMs, log })
    try {
      const serving = { ...workers.serving, urls: new Map(workers.serving.urls), storage }
      const seeded = { ports: storage, urls: serving.urls }
      const first = await firstStart(config, seeded, secrets, envFile)
      onSignals(file, log, storage.name, {
        async swap(next) {
          const { level } = readConfig(next, file, program).log
          const waiting = await workers.swap(next)
          log.setLevel(level)
          return waiting
        },
        close: workers.close,
      })
      process.stdout.write(welcome(config, serving, first, envFile, count))
    } catch (error) {
      await workers.close()
      throw error
    }
  } finally {
    await storage.close()
  }
}

/** What a worker does for its primary. */
function dutyOf(program: Program): Duty {
  let served: { deployment: Deployment; log: Log; file: string } | null = null
  return {
    async start({ file, text, at, of }) {
      const config = readConfig(text, file, program)
      const log = createLog(config.log.level, 2, undefined, true)
      const secrets = secretsOf(config)
      const { handlers } = program
      const deployment = await deploy(config, secrets, handlers, log, undefined, { at, of })
      served = { deployment, log, file }
      await deployment.listen()
      return { urls: [...deployment.urls], counting: deployment.counting }
    },
    swap(text) {
      if (served === null) throw new Error('this worker serves nothing yet')
      const config = readConfig(text, served.file, program)
      const waiting = served.deployment.swap(config)
      served.log.setLevel(config.log.level)
      return waiting
    },
    end: () =>
      served === null ? Promise.resolve(0) : closeAll(served.deployment.close, served.log),
  }
}

/** Closes, then the log, and answers the exit code. */
async function closeAll(close: () => Promise<unknown>, log: Log): Promise<number> {
  let code = 0
  try {
    if ((await close()) === false) code = 1
  } catch (error) {
    log.error('stopping failed', { cause: messageOf(error) })
    code = 1
  }
  await log.close()
  return code
}

// A URL per role is production: a pepper made up beside the process would die with its disk.
const secretsOf = ({ storage: { tenantDatabaseUrl, folder } }: Config): NodeSecrets =>
  readRootSecrets(process.env, tenantDatabaseUrl === null ? folder : null)

/** A database that came with keys needs the pepper they were stored under, or all of them are 401s. */
async function refuseNewPepper(
  { platforms }: Config,
  storage: string,
  gatewaySql: Sql,
  { madePepper }: NodeSecrets,
): Promise<void> {
  if (madePepper === null) return
  const credentials = createCredentials(gatewaySql)
  for (const { id, slug } of platforms) {
    if (!(await credentials.hasKeys(id))) continue
    rmSync(madePepper)
    throw new Error(
      `${storage} has API keys of ${slug}, and the pepper they were stored under is not here: set POSTERN_PEPPER, or put ${madePepper} back`,
    )
  }
}

/** Reads a config without serving it, and answers what it describes. Throws as `main` does. */
export function validate(file = 'postern.yaml'): string {
  const { platforms } = readConfig(textOf(file), file, { handlers: named })
  const routes = platforms.reduce((all, one) => all + one.routes.length, 0)
  const slugs = platforms.map(({ slug }) => slug).join(', ')
  return `${file} is valid: ${routes} routes on ${slugs}`
}

function textOf(file: string): string {
  if (existsSync(file)) return readFileSync(file, 'utf8')
  throw new Error(`there is no ${file} here; name a config file, or copy postern.yaml`)
}

/** Throws every error of the text at once, each with its line. */
function readConfig(text: string, file: string, { handlers }: Pick<Program, 'handlers'>): Config {
  const parsed = parseConfig(text, file, process.env, Object.keys(handlers))
  if (parsed.ok) return parsed.config
  throw new Error(`the config is not valid\n${renderErrors(parsed.errors)}`)
}

type Signalled = {
  /** Takes another config, or rejects with why not. Answers what of it waits for a restart. */
  swap(text: string): Promise<readonly string[]>
  /** Answers whether all went well. */
  close(): Promise<boolean>
}

/** Answers what ends the process. */
function onSignals(
  file: string,
  log: Log,
  storage: string,
  { swap, close }: Signalled,
): (code: number) => Promise<void> {
  let ending = false
  async function end(code: number): Promise<void> {
    // npm forwards Ctrl-C, so it may arrive twice; the second one must not cut the first one short.
    if (ending) return
    ending = true
    const closed = await closeAll(close, log)
    if (closed === 0) process.stdout.write(`\n  stopped. The data is in ${storage}\n`)
    process.exit(Math.max(code, closed))
  }
  async function reread(): Promise<void> {
    try {
      const waiting = await swap(textOf(file))
      const but = waiting.length === 0 ? '' : `, except what needs a restart: ${waiting.join(', ')}`
      log[but === '' ? 'info' : 'warn'](`${file} was read again and is in force${but}`)
    } catch (error) {
      log.error(`${file} was not taken; the last good one stays`, { cause: messageOf(error) })
    }
  }
  // One after the other, so that the last one is what is in force.
  let rereading: Promise<void> = Promise.resolve()
  process.on('SIGTERM', () => void end(0))
  process.on('SIGINT', () => void end(0))
  process.on('SIGHUP', () => {
    rereading = rereading.then(reread)
  })
  return end
}

const messageOf = (error: unknown): string =>
  error instanceof Error ? error.message : String(error)

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  main(process.argv.slice(2)).catch((error: unknown) => {
    process.stderr.write(`postern: ${messageOf(error)}\n`)
    process.exit(1)
  })
}
