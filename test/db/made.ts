/** What the stores' tests store, and who does it. */
import { randomBytes, randomUUID } from 'node:crypto'
import { afterAll } from 'vitest'
import type { Acting } from '../../src/db/audit.ts'
import type { KeyStore, NewKey, NewSecret, Rotation, StoredKey } from '../../src/db/keys.ts'
import { withClient } from '../database.ts'
import { pglite, production, type Stores } from './stores.ts'

/** A platform that no other test has. */
export const newPlatform = (): string => `plt_${randomUUID()}`

export const newSecret = (): NewSecret => ({
  pepperVersion: 1,
  digest: randomBytes(32),
  last4: randomBytes(2).toString('hex'),
})

export const newKey = (more: Partial<NewKey> = {}): NewKey => ({
  id: `key_${randomUUID()}`,
  environment: 'live',
  class: 'secret',
  name: 'a key',
  prefix: 'sk_live_',
  ref: randomUUID(),
  tenants: null,
  permissions: ['vec:read'],
  restrictions: { ips: null, origins: null, referrers: null, endpoints: null },
  limits: null,
  metadata: {},
  expiresAt: null,
  secret: newSecret(),
  ...more,
})

/** A person at a console: nothing in the database stands for one. */
export const someone: Acting = {
  actor: { kind: 'console_user', id: 'usr_1' },
  secretId: null,
  address: '203.0.113.7',
  requestId: 'req_1',
}

/** The key itself acts, by its current secret. */
export const actingBy = ({ id, secrets }: StoredKey): Acting => ({
  actor: { kind: 'api_key', id },
  secretId: secrets[0]?.id ?? null,
  address: '203.0.113.8',
  requestId: 'req_2',
})

export const rotation = (more: Partial<Rotation> = {}): Rotation => ({
  secret: newSecret(),
  overlapSeconds: 3600,
  from: 'first_use',
  quietSeconds: null,
  ifSecret: null,
  ...more,
})

/** Stores a key that nothing stands against. */
export async function create(
  keys: KeyStore,
  platform: string,
  more: Partial<NewKey> = {},
): Promise<StoredKey> {
  const made = await keys.create(platform, newKey(more), someone)
  if (typeof made === 'string') throw new Error(made)
  return made
}

/** Says that an answer is a row, and not a word or nothing. */
export function row<T extends object>(answer: T | string | null): T {
  if (typeof answer === 'string' || answer === null) throw new Error(`not a row: ${answer}`)
  return answer
}

/** Runs SQL as the owner of the database, past every policy. */
export const asOwner = async (
  { owner }: Stores,
  text: string,
  values: unknown[] = [],
): Promise<Record<string, unknown>[]> => {
  const connection = typeof owner === 'string' ? { connectionString: owner } : owner
  return (await withClient(connection, (client) => client.query(text, values))).rows
}

/** Both databases, closed when the file's tests are over. */
export async function setUp(): Promise<readonly [string, Stores][]> {
  const setups: readonly [string, Stores][] = [
    ['PostgreSQL', await production()],
    ['PGlite', await pglite()],
  ]
  afterAll(async () => {
    for (const [, stores] of setups) await stores.close()
  })
  return setups
}
