/**
 * Which rows can a handler see? Those of one scope. `bindDb` makes the drizzle handle that handlers
 * get: each of its statements flies with the scope, and row-level security is the predicate.
 *
 * It refuses to know how statements travel (the `Sql` port, db/session.ts). The danger is a scope that
 * could be read in two ways, or a door past it: so a scope has one strict spelling, and the type of a
 * handle leaves out what takes raw statements (threats D7, T14, T16).
 */
import {
  createTableRelationsHelpers,
  type ExtractTablesWithRelations,
  extractTablesRelationalConfig,
} from 'drizzle-orm'
import { NodePgDatabase } from 'drizzle-orm/node-postgres'
import { PgDialect, type PgTransactionConfig } from 'drizzle-orm/pg-core'
import type { Scope, Sql, SqlScope } from '../context.ts'
import { HandleMisuse } from './fault.ts'
import { subscriptions } from './schema.ts'
import { Handle, ScopedSession } from './session.ts'

type Schema = Record<string, unknown>
/** What `db.query.…` knows. A builder is made for each of them with every handle. */
const tenantTables = { subscriptions }
type Verbs =
  | '$count'
  | '$with'
  | 'delete'
  | 'insert'
  | 'query'
  | 'select'
  | 'selectDistinct'
  | 'selectDistinctOn'
  | 'update'
  | 'with'

/**
 * A drizzle handle that sees one tenant's rows and nothing else; inserted rows take the scope by
 * themselves. It rejects with `DatabaseFault` or `StoreDown` (db/fault.ts), never with a parameter in
 * it. `execute` and the other doors for raw statements are left out on purpose.
 */
export type TenantDb<S extends Schema = typeof tenantTables> = Pick<NodePgDatabase<S>, Verbs> & {
  /**
   * Runs `work` in one transaction: committed when it resolves, rolled back when it throws, which is
   * then rethrown. Use `tx` inside; the handle itself refuses until the transaction is over. After
   * 40001 or 40P01 the whole of it may be tried again.
   */
  transaction<T>(
    work: (tx: TenantTransaction<S>) => Promise<T>,
    config?: PgTransactionConfig,
  ): Promise<T>
}

/** The same inside a transaction; a nested `transaction` is a savepoint. */
export type TenantTransaction<S extends Schema = typeof tenantTables> = Pick<
  NodePgDatabase<S>,
  Verbs
> & {
  rollback(): never
  transaction<T>(work: (tx: TenantTransaction<S>) => Promise<T>): Promise<T>
}

const platformId = /^plt_[A-Za-z0-9_-]{1,60}$/
const tenantId = /^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$/

/**
 * The scope as the setting `app.scope` holds it: `plt_x/test/tenant_abc`, or `plt_x` for a platform's
 * own rows; '' for none. Its characters need no quoting anywhere. Throws on anything else: ids are
 * validated long before, so that would be a bug.
 */
export function encodeScope(scope: SqlScope): string {
  if (scope === null) return ''
  if (!platformId.test(scope.platform)) throw new HandleMisuse('scope: not a platform id')
  if (!('tenant' in scope)) return scope.platform
  const { platform, environment, tenant } = scope
  if (environment !== 'test' && environment !== 'live') {
    throw new HandleMisuse('scope: not an environment')
  }
  if (!tenantId.test(tenant)) throw new HandleMisuse('scope: not a tenant id')
  return `${platform}/${environment}/${tenant}`
}

/** Makes handles for a schema. Relational queries (`db.query.…`) know the tables given here. */
export function createBinder<S extends Schema>(tables: S): (sql: Sql, scope: Scope) => TenantDb<S> {
  // Dialect and schema are read-only and shared; building them costs ten times the rest.
  const dialect = new PgDialect()
  const { tables: config, tableNamesMap } = extractTablesRelationalConfig<
    ExtractTablesWithRelations<S>
  >(tables, createTableRelationsHelpers)
  const relational = { fullSchema: tables, schema: config, tableNamesMap }
  return (sql, scope) => {
    encodeScope(scope)
    const session = new ScopedSession<S, ExtractTablesWithRelations<S>>(
      new Handle(sql, scope),
      dialect,
      relational,
    )
    return new NodePgDatabase(dialect, session, relational)
  }
}

/** The handle of a request: every statement in one flight, as the tenant of `scope`. */
export const bindDb = createBinder(tenantTables)
