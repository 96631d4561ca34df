/** Pools for tests, one per way of speaking for a scope, on databases that have been migrated. */
import type { Scope, Sql } from '../src/context.ts'
import { createSql, type SqlOptions } from '../src/runtime/sql.ts'
import {
  clusterUrl,
  createDatabase,
  startEmbedded,
  type TestDatabase,
  withClient,
} from './database.ts'
import { startPgBouncer } from './servers.ts'

export const scopeOf = (tenant: string, environment: Scope['environment'] = 'test'): Scope => ({
  platform: 'plt_t',
  environment,
  tenant,
})

export const limits = {
  max: 4,
  connectTimeoutMs: 20_000,
  statementTimeoutMs: 30_000,
  idleInTransactionTimeoutMs: 30_000,
  onError: () => undefined,
}

/** The tenant role over a database's own login for it. */
export const tenantSql = (database: TestDatabase, more: Partial<SqlOptions> = {}): Sql =>
  createSql({
    connection: database.tenantUrl,
    role: null,
    scope: 'hardened',
    embedded: false,
    ...limits,
    ...more,
  })

/** A database and how to open pools on it as the tenant role. */
export type Place = { open(more?: Partial<Opening>): Sql; drop(): Promise<void> }

/** `through`: the port of a pooler that stands in between. */
type Opening = SqlOptions & { readonly through: number }

/** Every way of speaking for a scope. `real` ones have backends that can be told apart. */
export const places: readonly {
  readonly name: string
  readonly real: boolean
  /** Injected SQL cannot change the scope. */
  readonly hard: boolean
  start(): Promise<Place>
}[] = [
  { name: 'hardened, by SET LOCAL', real: true, hard: true, start: () => real({}) },
  { name: 'hardened, by the function', real: true, hard: true, start: () => real({}, true) },
  { name: 'plain', real: true, hard: false, start: () => real({ scope: 'plain' }, false, true) },
  {
    name: 'one login that takes the role',
    real: true,
    hard: true,
    start: () => real({ role: 'postern_tenant' }),
  },
  { name: 'hardened, behind a pooler', real: true, hard: true, start: () => pooled({}) },
  {
    name: 'one login that takes the role, behind a pooler',
    real: true,
    hard: true,
    start: () => pooled({ role: 'postern_tenant' }),
  },
  { name: 'embedded', real: false, hard: true, start: embedded },
]

/**
 * Through a PgBouncer in transaction mode, where every flight may meet a session that somebody else
 * has just used. 1.18, which Debian has, knows no prepared statements (threats D20).
 */
async function pooled(options: Partial<SqlOptions>): Promise<Place> {
  const bouncer = await startPgBouncer(clusterUrl(), limits.max)
  const place = await real(options, true)
  return {
    open: (more) => place.open({ ...more, pooler: true, through: bouncer.port }),
    async drop() {
      await bouncer.stop()
      await place.drop()
    },
  }
}

async function real(
  options: Partial<SqlOptions>,
  withFunction = false,
  plainOwner = false,
): Promise<Place> {
  const database = await createDatabase({ plainOwner })
  if (!withFunction) {
    const text = 'drop function public.postern_bind_scope(text)'
    await withClient(database.ownerUrl, (client) => client.query(text))
  }
  const connection = options.role === undefined ? database.tenantUrl : database.ownerUrl
  return {
    open: ({ through, ...more } = {}) => {
      const url = new URL(connection)
      if (through !== undefined) url.port = String(through)
      return tenantSql(database, { connection: url.href, ...options, ...more })
    },
    drop: database.drop,
  }
}

async function embedded(): Promise<Place> {
  const database = await startEmbedded()
  const { connection } = database
  return {
    open: (more) =>
      createSql({
        connection,
        role: 'postern_tenant',
        scope: 'hardened',
        embedded: true,
        ...limits,
        ...more,
      }),
    drop: database.drop,
  }
}
