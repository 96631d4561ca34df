/**
 * `npm run dev:worker`: serves the gate in workerd on this machine, without an account and without
 * the network, on the PostgreSQL of DATABASE_URL. It migrates and seeds that database as `npm start`
 * does, with the same secrets and the same env file, so that the same keys work on both.
 *
 * Arguments go to `wrangler dev`.
 */
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { renderErrors } from '../src/config/report.ts'
import { parseConfig } from '../src/config.ts'
import { handlers } from '../src/handlers/named.ts'
import { deploy } from '../src/runtime/node/deployment.ts'
import { writeEnvFile } from '../src/runtime/node/env-file.ts'
import { firstStart } from '../src/runtime/node/first-start.ts'
import { createLog } from '../src/runtime/node/log.ts'
import { readRootSecrets } from '../src/runtime/node/secrets.ts'
import { welcome } from '../src/runtime/node/welcome.ts'
import type { Versions } from '../src/runtime/root-secrets.ts'

const envFile = '.env.local'
const secretsFile = '.dev.vars'
const root = fileURLToPath(new URL('..', import.meta.url))

/** Prepares the database and answers what to tell the person at the terminal. */
async function prepare(url: string): Promise<string> {
  const file = 'postern.yaml'
  const env = { ...process.env, REDIS_URL: undefined }
  const parsed = parseConfig(readFileSync(file, 'utf8'), file, env, Object.keys(handlers))
  if (!parsed.ok) throw new Error(`the config is not valid\n${renderErrors(parsed.errors)}`)
  const { config } = parsed
  const secrets = readRootSecrets(process.env, config.storage.folder)
  const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64')
  const textOf = ({ versions }: Versions) =>
    [...versions].map(([version, one]) => `${version}:${base64(one)}`).join()
  const entries = new Map([
    ['POSTERN_PEPPER', textOf(secrets.peppers)],
    ['POSTERN_MASTER_KEY', textOf(secrets.masters)],
    // Empty is not set: the file may have had one from an earlier start.
    ['REDIS_URL', process.env.REDIS_URL ?? ''],
  ])
  writeEnvFile(secretsFile, entries)
  const deployment = await deploy(config, secrets, handlers, createLog('warn'))
  try {
    const urls = new Map(config.platforms.map(({ slug }) => [slug, url]))
    const counting = process.env.REDIS_URL ? 'in Redis' : 'in a Durable Object'
    const served = { ...deployment, urls, counting }
    return welcome(config, served, await firstStart(config, served, secrets, envFile), envFile)
  } finally {
    await deployment.close()
  }
}

/** Runs wrangler until it ends, and answers its exit code. */
function serve(databaseUrl: string, args: readonly string[]): Promise<number> {
  // The binding takes no URL without a password; a server that trusts its clients reads none.
  const local = new URL(databaseUrl)
  local.password ||= 'none'
  const child = spawn('wrangler', ['dev', '--env', 'development', ...args], {
    cwd: root,
    stdio: 'inherit',
    env: {
      ...process.env,
      CLOUDFLARE_HYPERDRIVE_LOCAL_CONNECTION_STRING_POSTERN_DB: local.href,
      CLOUDFLARE_CF_FETCH_ENABLED: 'false',
      WRANGLER_SEND_METRICS: 'false',
      WRANGLER_HIDE_BANNER: 'true',
    },
  })
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal))
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) => resolve(code ?? 0))
  })
}

try {
  const databaseUrl = process.env.DATABASE_URL ?? ''
  if (databaseUrl === '') {
    throw new Error(
      'DATABASE_URL is not set: workerd has no database of its own. Name a PostgreSQL 15 or newer, e.g. DATABASE_URL=postgres://postgres:postgres@127.0.0.1:5432/postgres npm run dev:worker',
    )
  }
  const { HOST: host = '127.0.0.1', PORT: port = '8787' } = process.env
  process.stdout.write(await prepare(`http://${host}:${port}`))
  process.exitCode = await serve(databaseUrl, [
    '--ip',
    host,
    '--port',
    port,
    ...process.argv.slice(2),
  ])
} catch (error) {
  process.stderr.write(`dev:worker: ${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = 1
}
