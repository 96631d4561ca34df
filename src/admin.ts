/**
 * Commands that need the database itself and not the API. `migrate` prepares the database of
 * POSTERN_OWNER_DATABASE_URL, else of DATABASE_URL, whose user must own it, and says what is in
 * force afterwards. The logins that serve are not this user: see drizzle/roles.sql.
 */
import { pathToFileURL } from 'node:url'
import { migrateDatabase } from './runtime/node/migrations.ts'

/**
 * Runs one command, e.g. `['migrate']`, and writes what it did to standard output. Throws a sentence
 * when it cannot, or what the database answered.
 */
export async function main(args: readonly string[]): Promise<void> {
  const [command, ...rest] = args
  if (command !== 'migrate' || rest.length > 0) throw new Error('usage: node src/admin.ts migrate')
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
  process.stdout.write(lines.flatMap((line) => (line === '' ? [] : [`${line}\n`])).join(''))
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  try {
    await main(process.argv.slice(2))
  } catch (error) {
    process.stderr.write(`postern: ${error instanceof Error ? error.message : String(error)}\n`)
    process.exitCode = 1
  }
}
