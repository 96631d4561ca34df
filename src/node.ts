/**
 * The entry on Node: reads the config, starts the deployment, seeds an empty one, and answers the
 * process's signals. SIGTERM and SIGINT drain; SIGHUP swaps a good config in and keeps the last good
 * one when the file is bad.
 */
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { pathToFileURL } from 'node:url'
import { renderErrors } from './config/report.ts'
import { type Config, parseConfig } from './config.ts'
import { createCredentials } from './db/credentials.ts'
import { handlers } from './handlers/named.ts'
import { type Deployment, deploy } from './runtime/node/deployment.ts'
import { firstStart } from './runtime/node/first-start.ts'
import { createLog, type Log } from './runtime/node/log.ts'
import { type NodeSecrets, readRootSecrets } from './runtime/node/secrets.ts'
import { welcome } from './runtime/node/welcome.ts'

const envFile = '.env.local'

/**
 * Serves the config named by the first argument (`postern.yaml`) and resolves once it listens; the
 * process ends on SIGTERM or SIGINT. Rejects with sentences for the person who started it.
 */
export async function main([file = 'postern.yaml']: readonly string[]): Promise<void> {
  // Whoever reads the welcome may go (`| head`), which must not end the process.
  process.stdout.on('error', () => undefined)
  const config = readConfig(file)
  const log = createLog(config.log.level)
  const { tenantDatabaseUrl, folder } = config.storage
  // A URL per role is production: a pepper made up beside the process would die with its disk.
  const secrets = readRootSecrets(process.env, tenantDatabaseUrl === null ? folder : null)
  const deployment = await deploy(config, secrets, handlers, log)
  try {
    await refuseNewPepper(config, deployment, secrets)
    await deployment.listen()
    const first = await firstStart(config, deployment, secrets, envFile)
    // Before the words that tell somebody that it can be stopped.
    onSignals(file, deployment, log)
    process.stdout.write(welcome(config, deployment, first, envFile))
  } catch (error) {
    await deployment.close()
    throw error
  }
}

/** A database that came with keys needs the pepper they were stored under, or all of them are 401s. */
async function refuseNewPepper(
  { platforms }: Config,
  { ports, storage }: Deployment,
  { madePepper }: NodeSecrets,
): Promise<void> {
  if (madePepper === null) return
  const credentials = createCredentials(ports.gatewaySql)
  for (const { id, slug } of platforms) {
    if (!(await credentials.hasKeys(id))) continue
    rmSync(madePepper)
    throw new Error(
      `${storage.name} has API keys of ${slug}, and the pepper they were stored under is not here: set POSTERN_PEPPER, or put ${madePepper} back`,
    )
  }
}

/** Reads a config without serving it, and answers what it describes. Throws as `main` does. */
export function validate(file = 'postern.yaml'): string {
  const { platforms } = readConfig(file)
  const routes = platforms.reduce((all, one) => all + one.routes.length, 0)
  const named = platforms.map(({ slug }) => slug).join(', ')
  return `${file} is valid: ${routes} routes on ${named}`
}

/** Throws every error of the file at once, each with its line. */
function readConfig(file: string): Config {
  if (!existsSync(file))
    throw new Error(`there is no ${file} here; name a config file, or copy postern.yaml`)
  const parsed = parseConfig(readFileSync(file, 'utf8'), file, process.env, Object.keys(handlers))
  if (parsed.ok) return parsed.config
  throw new Error(`the config is not valid\n${renderErrors(parsed.errors)}`)
}

function onSignals(file: string, deployment: Deployment, log: Log): void {
  let ending = false
  async function end(code: number): Promise<void> {
    // npm forwards Ctrl-C, so it may arrive twice; the second one must not cut the first one short.
    if (ending) return
    ending = true
    try {
      await deployment.close()
      process.stdout.write(`\n  stopped. The data is in ${deployment.storage.name}\n`)
    } catch (error) {
      log.error('stopping failed', { cause: messageOf(error) })
      code = 1
    }
    await log.close()
    process.exit(code)
  }
  process.on('SIGTERM', () => void end(0))
  process.on('SIGINT', () => void end(0))
  // Node would open its inspector, a door to everything in memory (threats X9).
  process.on('SIGUSR1', () => undefined)
  process.on('SIGHUP', () => {
    try {
      const config = readConfig(file)
      const waiting = deployment.swap(config)
      log.setLevel(config.log.level)
      const but = waiting.length === 0 ? '' : `, except what needs a restart: ${waiting.join(', ')}`
      log[but === '' ? 'info' : 'warn'](`${file} was read again and is in force${but}`)
    } catch (error) {
      log.error(`${file} was not taken; the last good one stays`, { cause: messageOf(error) })
    }
  })
  void deployment.storage.lost.then((error) => {
    log.error('storage is lost', { cause: error.message })
    return end(1)
  })
}

const messageOf = (error: unknown): string =>
  error instanceof Error ? error.message : String(error)

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  main(process.argv.slice(2)).catch((error: unknown) => {
    process.stderr.write(`postern: ${messageOf(error)}\n`)
    process.exit(1)
  })
}
