/** Where the migrations lie and how their owner connects, for Node. */
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import pg from 'pg'
import { type Migrated, type Migrations, migrate } from '../../db/migrate.ts'

const folder = new URL('../../../drizzle/', import.meta.url)
const read = (name: string) => readFile(new URL(name, folder), 'utf8')

/** Reads `drizzle/`: the hand-written files and those that its journal names, in its order. */
export async function readMigrations(): Promise<Migrations> {
  // Written by drizzle-kit and committed: its shape is known.
  const journal = JSON.parse(await read('meta/_journal.json')) as {
    entries: { tag: string; when: number }[]
  }
  const [roles, rls, harden] = await Promise.all([
    read('roles.sql'),
    read('rls.sql'),
    read('harden.sql'),
  ])
  const generated = await Promise.all(
    journal.entries.map(async ({ tag, when }) => {
      const sql = await read(`${tag}.sql`)
      return { tag, when, sql, hash: createHash('sha256').update(sql).digest('hex') }
    }),
  )
  return { roles, generated, rls, harden }
}

/**
 * Migrates the database that `connection` (a URL, or pg's own options) leads to; the user must own
 * it. Throws when it cannot be reached, or with what the database answered.
 */
export async function migrateDatabase(connection: string | pg.ClientConfig): Promise<Migrated> {
  const options = typeof connection === 'string' ? { connectionString: connection } : connection
  const client = new pg.Client({ connectionTimeoutMillis: 10_000, ...options })
  // A connection that breaks between two statements is reported by the next one.
  client.on('error', () => undefined)
  await client.connect()
  try {
    const migrations = await readMigrations()
    return await migrate((text, values) => client.query(text, values), migrations)
  } finally {
    await client.end().catch(() => undefined)
  }
}
