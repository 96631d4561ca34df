/**
 * Brings the secrets of a deployment under the newest master key, beside the gateways that serve it.
 * It opens what they open, and the owner's connection for the one thing that takes it.
 */
import pg from 'pg'
import type { Config } from '../../config.ts'
import {
  barVersions,
  confirmVersions,
  createMasterRegistry,
  everyScope,
} from '../../db/master-keys.ts'
import type { Execute } from '../../db/migrate.ts'
import { createSecretStore } from '../../db/secrets.ts'
import { type Rotated, rotate } from '../../vault/rotate.ts'
import type { RootSecrets } from '../root-secrets.ts'
import { openStorage, type Storage, type Warn } from './storage.ts'

/**
 * Seals all secrets of the config's platforms under the highest version of POSTERN_MASTER_KEY. Killed,
 * it can be run again. Rejects with a sentence for the operator; what was done until then stays.
 */
export async function rotateVault(
  { storage: places, platforms }: Config,
  { masters }: RootSecrets,
  warn: Warn,
): Promise<Rotated> {
  const storage = await openStorage(places, warn)
  try {
    const owner = ownerOf(storage)
    const { stale, reseal } = createSecretStore(storage.tenantSql, storage.saltSql)
    const ids = platforms.map(({ id }) => id)
    return await rotate(masters, createMasterRegistry(storage.gatewaySql), {
      scopes: () => everyScope(storage.gatewaySql, ids),
      stale,
      reseal,
      bar: (least) => asOwner(owner, (execute) => barVersions(execute, least)),
      confirm: () => asOwner(owner, confirmVersions),
    })
  } finally {
    await storage.close()
  }
}

function ownerOf({ owner }: Storage): NonNullable<Storage['owner']> {
  if (owner !== null) return owner
  throw new Error(
    'POSTERN_OWNER_DATABASE_URL is not set: whoever migrates the tables must say that nothing is stored under the old key any more',
  )
}

async function asOwner<T>(
  connection: NonNullable<Storage['owner']>,
  work: (execute: Execute) => Promise<T>,
): Promise<T> {
  const options = typeof connection === 'string' ? { connectionString: connection } : connection
  const client = new pg.Client({ connectionTimeoutMillis: 10_000, ...options })
  // A connection that breaks between two statements is reported by the next one.
  client.on('error', () => undefined)
  await client.connect()
  try {
    return await work((text, values) => client.query(text, values))
  } finally {
    await client.end().catch(() => undefined)
  }
}
