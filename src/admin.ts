/**
 * Commands that need the database itself and not the API. `migrate` prepares the database of
 * POSTERN_OWNER_DATABASE_URL, else of DATABASE_URL, whose user must own it, and says what is in
 * force afterwards; the logins that serve are not this user: see drizzle/roles.sql. `doctor` looks at
 * what this environment leads to, or asks the gateway at a URL. `vault rotate` seals all secrets of the
 * platforms of a config file under the newest version of POSTERN_MASTER_KEY.
 */
import { existsSync, readFileSync } from 'node:fs'
import { pathToFileURL } from 'node:url'
import { renderErrors } from './config/report.ts'
import { parseConfig } from './config.ts'
import { handlers } from './handlers/named.ts'
import { askGateway, examine } from './runtime/node/doctor.ts'
import { driftsOfLive } from './runtime/node/drift.ts'
import { migrateDatabase } from './runtime/node/migrations.ts'
import { importOpenApi } from './runtime/node/openapi.ts'
import { rotateVault } from './runtime/node/rotate.ts'
import { readRootSecrets } from './runtime/node/secrets.ts'

const usage = 'usage: node src/admin.ts migrate | doctor [url] | vault rotate [config]'

/**
 * Runs one command, e.g. `['migrate']`, and writes what it did or found to standard output. Throws a
 * sentence when it cannot, what the database answered, or how many findings are bad.
 */
export async function main(args: readonly string[]): Promise<void> {
  const [command, subject, ...rest] = args
  if (command === 'doctor' && rest.length === 0) return doctor(subject)
  if (command === 'vault' && subject === 'rotate' && rest.length < 2) return rotate(rest[0])
  if (command !== 'migrate' || subject !== undefined) throw new Error(usage)
  const url = process.env.POSTERN_OWNER_DATABASE_URL || process.env.DATABASE_URL || ''
  if (url === '') {
    throw new Error(
      'DATABASE_URL is not set. The embedded database needs no command: it is migrated when it starts.',
    )
  }
  const { applied, hardened, warnings } = await migrateDatabase(url)
  const lines = [
    ...applied.map((tag) => `applied ${tag}`),
    applied.length === 0 ? 'nothing to apply: the tables are up to date' : '',
    hardened ? 'scope: hardened' : '',
    ...warnings,
  ]
  write(lines.filter((line) => line !== ''))
}

/** Proposes what stands in postern.yaml for an OpenAPI document. Throws a sentence when it cannot. */
export const importDocument = importOpenApi

/** Calls every GET of an OpenAPI document and compares. Throws a sentence when it cannot be read. */
export const mockDrift = driftsOfLive

async function rotate(file = 'postern.yaml'): Promise<void> {
  if (!existsSync(file)) throw new Error(`there is no ${file} here; name a config file`)
  const text = readFileSync(file, 'utf8')
  const parsed = parseConfig(text, file, process.env, Object.keys(handlers))
  if (!parsed.ok) throw new Error(`the config is not valid\n${renderErrors(parsed.errors)}`)
  const { config } = parsed
  const folder = config.storage.tenantDatabaseUrl === null ? config.storage.folder : null
  const secrets = readRootSecrets(process.env, folder)
  const { version, resealed, retired } = await rotateVault(config, secrets, (line) => write([line]))
  if (retired.length === 0) return write([`nothing to do: all is sealed under version ${version}`])
  write([
    `${resealed} secrets were sealed anew under version ${version}`,
    `no longer needed in POSTERN_MASTER_KEY: ${retired.join(', ')}`,
  ])
}

async function doctor(url: string | undefined): Promise<void> {
  const findings = url === undefined ? await examine(process.env) : await askGateway(url)
  write(findings.map(({ ok, says }) => `${ok ? 'ok ' : 'BAD'}  ${says}`))
  const wrong = findings.filter(({ ok }) => !ok).length
  if (wrong > 0) throw new Error(`${wrong} of ${findings.length} findings need attention`)
}

const write = (lines: readonly string[]): void => {
  process.stdout.write(lines.map((line) => `${line}\n`).join(''))
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  try {
    await main(process.argv.slice(2))
  } catch (error) {
    process.stderr.write(`postern: ${error instanceof Error ? error.message : String(error)}\n`)
    process.exitCode = 1
  }
}
