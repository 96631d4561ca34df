/** Databases for tests: fresh, migrated, and with logins made the way an operator makes them. */
import { createHash, randomBytes } from 'node:crypto'
import { cpSync, existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import manifest from '../package.json' with { type: 'json' }
import type { Migrated } from '../src/db/migrate.ts'
import { type Embedded, openEmbedded } from '../src/runtime/node/embedded.ts'
import { migrateDatabase, readMigrations } from '../src/runtime/node/migrations.ts'

export type TestDatabase = {
  readonly name: string
  /** Owns the database and migrated it: the one-URL mode connects with this. */
  readonly ownerUrl: string
  /** Logins of production: each a member of one role, owner of nothing. */
  readonly tenantUrl: string
  readonly gatewayUrl: string
  readonly migrated: Migrated
  drop(): Promise<void>
}

/** A superuser's URL of the cluster under test. A missing one fails the suite. */
export function clusterUrl(): string {
  const url = process.env.DATABASE_URL
  if (url === undefined || url === '') throw new Error('DATABASE_URL is not set')
  return url
}

/**
 * Creates a database in the cluster and migrates it. With `plainOwner`, its owner is not a
 * superuser, only CREATEROLE, as on a managed database: then the scope cannot be hardened.
 */
export async function createDatabase(
  options: { readonly plainOwner?: boolean; readonly migrate?: boolean } = {},
): Promise<TestDatabase> {
  const tag = randomBytes(6).toString('hex')
  const name = `postern_test_${tag}`
  const logins = { owner: `owner_${tag}`, tenant: `tenant_${tag}`, gateway: `gateway_${tag}` }
  const url = (user: string | null) => {
    const target = new URL(clusterUrl())
    target.pathname = `/${name}`
    if (user !== null) {
      target.username = user
      target.password = tag
    }
    return target.href
  }
  const plain = options.plainOwner === true
  await asAdmin(async (client) => {
    if (plain) {
      await client.query(`create role ${logins.owner} login createrole password '${tag}'`)
    }
    await client.query(`create database ${name} ${plain ? `owner ${logins.owner}` : ''}`)
  })
  const ownerUrl = url(plain ? logins.owner : null)
  const drop = () =>
    asAdmin(async (client) => {
      await client.query(`drop database if exists ${name} with (force)`)
      for (const login of Object.values(logins)) await client.query(`drop role if exists ${login}`)
    })
  try {
    const migrated =
      options.migrate === false
        ? { hardened: false, applied: [], warnings: [] }
        : await migrateDatabase(ownerUrl)
    if (options.migrate !== false) {
      await asAdmin(async (client) => {
        for (const role of ['tenant', 'gateway'] as const) {
          await client.query(
            `create role ${logins[role]} login password '${tag}' in role postern_${role}`,
          )
        }
      })
    }
    return {
      name,
      ownerUrl,
      tenantUrl: url(logins.tenant),
      gatewayUrl: url(logins.gateway),
      migrated,
      drop,
    }
  } catch (error) {
    await drop()
    throw error
  }
}

/**
 * An embedded database that is migrated, to be copied: making one takes seconds. It is kept beside
 * the installed packages under a name that changes with the migrations; `npm ci` removes it.
 */
async function migratedFolder(): Promise<string> {
  const migrations = JSON.stringify([await readMigrations(), manifest.dependencies])
  const cache = fileURLToPath(new URL('../node_modules/.cache/postern/', import.meta.url))
  const kept = join(cache, createHash('sha256').update(migrations).digest('hex').slice(0, 16))
  if (existsSync(kept)) return kept
  mkdirSync(cache, { recursive: true })
  const folder = mkdtempSync(join(cache, 'making-'))
  const embedded = await openEmbedded(folder)
  await migrateDatabase(embedded.connection)
  await embedded.close()
  try {
    renameSync(folder, kept)
  } catch (error) {
    // Another test process was faster.
    if (!existsSync(kept)) throw error
    rmSync(folder, { recursive: true, force: true })
  }
  return kept
}

export type TestEmbedded = Embedded & { readonly folder: string; drop(): Promise<void> }

/** Opens and migrates an embedded database in a temporary folder that `drop` removes. */
export async function startEmbedded(): Promise<TestEmbedded> {
  const folder = mkdtempSync(join(tmpdir(), 'postern-test-'))
  cpSync(await migratedFolder(), join(folder, 'data'), { recursive: true })
  const embedded = await openEmbedded(join(folder, 'data'))
  return {
    ...embedded,
    folder: join(folder, 'data'),
    drop: async () => {
      await embedded.close()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** Runs `work` with a connected client and ends it. */
export async function withClient<T>(
  connection: string | pg.ClientConfig,
  work: (client: pg.Client) => Promise<T>,
): Promise<T> {
  const client = new pg.Client(
    typeof connection === 'string' ? { connectionString: connection } : connection,
  )
  client.on('error', () => undefined)
  await client.connect()
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}

const asAdmin = <T>(work: (client: pg.Client) => Promise<T>) => withClient(clusterUrl(), work)
