/**
 * Commands that need the database itself and not the API. `migrate` prepares the database of
 * POSTERN_OWNER_DATABASE_URL, else of DATABASE_URL, whose user must own it, and says what is in
 * force afterwards; the logins that serve are not this user: see drizzle/roles.sql. `doctor` looks at
 * what this environment leads to, or asks the gateway at a URL.
 */
import { pathToFileURL } from 'node:url'
import { askGateway, examine } from './runtime/node/doctor.ts'
import { migrateDatabase } from './runtime/node/migrations.ts'
import { importOpenApi } from './runtime/node/openapi.ts'

const usage = 'usage: node src/admin.ts migrate | doctor [url]'

/**
 * Runs one command, e.g. `['migrate']`, and writes what it did or found to standard output. Throws a
 * sentence when it cannot, what the database answered, or how many findings are bad.
 */
export async function main(args: readonly string[]): Promise<void> {
  const [command, subject, ...rest] = args
  if (command === 'doctor' && rest.length === 0) return doctor(subject)
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
