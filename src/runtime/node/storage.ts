/**
 * Where the rows are: PGlite in a folder, one PostgreSQL URL for everything (development), or one
 * URL per role (production). Whichever it is, it is migrated where we may, then inspected as the
 * roles that will serve; a database in which a tenant could meet another is refused here.
 */
import { resolve } from 'node:path'
import type { Config } from '../../config.ts'
import type { Sql, StoreDown } from '../../context.ts'
import { inspectDatabase, readPosture } from '../../db/check.ts'
import { createSql, type SqlOptions } from '../sql.ts'
import { openEmbedded } from './embedded.ts'
import { migrateDatabase } from './migrations.ts'

export type Storage = {
  readonly tenantSql: Sql
  readonly gatewaySql: Sql
  /** Where the salts of sessions are; null: beside the tenants' rows. */
  readonly saltSql: Sql | null
  /** How the owner of the tables connects; null where only the roles that serve do. */
  readonly owner: SqlOptions['connection'] | null
  /** For people: `./.postern (embedded)` or `PostgreSQL at db.internal`. */
  readonly name: string
  /** Settles when storage is lost for good and the process must end. Never, on PostgreSQL. */
  readonly lost: Promise<Error>
  /** Rejects with StoreDown when the database does not answer. */
  ping(): Promise<void>
  close(): Promise<void>
}

/** Told of what an operator should know, in sentences. */
export type Warn = (message: string) => void

type Places = Config['storage']
type Opened = Omit<Storage, 'ping'>

const shared: Pick<
  SqlOptions,
  'max' | 'connectTimeoutMs' | 'statementTimeoutMs' | 'idleInTransactionTimeoutMs'
> = {
  max: 10,
  connectTimeoutMs: 2000,
  statementTimeoutMs: 5000,
  idleInTransactionTimeoutMs: 10_000,
}

/**
 * Opens, migrates and inspects. Throws a sentence that says why the database must not be served.
 * Without `migrates`, somebody has migrated a PostgreSQL already.
 */
export async function openStorage(places: Places, warn: Warn, migrates = true): Promise<Storage> {
  const opened = await open(places, warn, migrates)
  try {
    await inspect(opened, warn)
  } catch (error) {
    await opened.close()
    throw opening(opened.name, error)
  }
  return {
    ...opened,
    async ping() {
      await opened.gatewaySql.query(null, { text: 'select 1' })
    },
  }
}

async function open(places: Places, warn: Warn, migrates: boolean): Promise<Opened> {
  const { databaseUrl, tenantDatabaseUrl, gatewayDatabaseUrl, ownerDatabaseUrl } = places
  const { scope, pooler } = places
  const onError = (cause: StoreDown) => warn(cause.message)
  const role = { ...shared, role: null, scope, pooler, embedded: false, onError, pulse: true }
  const saltSql = await openSalts(places, warn)
  if (tenantDatabaseUrl !== null && gatewayDatabaseUrl !== null) {
    if (migrates && ownerDatabaseUrl !== null) {
      await migrate(ownerDatabaseUrl, warn, placeOf(ownerDatabaseUrl))
    }
    return pools(
      createSql({ ...role, connection: tenantDatabaseUrl }),
      createSql({ ...role, connection: gatewayDatabaseUrl }),
      { saltSql, owner: ownerDatabaseUrl, name: placeOf(tenantDatabaseUrl) },
    )
  }
  if (databaseUrl !== null) {
    const owner = ownerDatabaseUrl ?? databaseUrl
    if (migrates) await migrate(owner, warn, placeOf(owner))
    const one = { ...role, connection: databaseUrl }
    return pools(
      createSql({ ...one, role: 'postern_tenant' }),
      createSql({ ...one, role: 'postern_gateway' }),
      { saltSql, owner, name: placeOf(databaseUrl) },
    )
  }
  return openFolder(places.folder, warn, saltSql)
}

/**
 * The salts of sessions in a database of their own. It is migrated like the other, for the one table
 * of it that is used: by whoever may with one URL for everything, else by `postern migrate`.
 */
async function openSalts(
  { shredUrl, tenantDatabaseUrl, scope, pooler }: Places,
  warn: Warn,
): Promise<Sql | null> {
  if (shredUrl === null) return null
  const ownLogin = tenantDatabaseUrl !== null
  if (!ownLogin) await migrate(shredUrl, warn, placeOf(shredUrl))
  const onError = (cause: StoreDown) => warn(cause.message)
  const role = ownLogin ? null : 'postern_tenant'
  return createSql({
    ...{ ...shared, role, scope, pooler, embedded: false, onError, pulse: true },
    connection: shredUrl,
  })
}

async function openFolder(folder: string, warn: Warn, saltSql: Sql | null): Promise<Opened> {
  const embedded = await openEmbedded(resolve(folder))
  try {
    await migrate(embedded.connection, warn, folder)
  } catch (error) {
    await embedded.close()
    throw error
  }
  const one = {
    ...shared,
    connection: embedded.connection,
    scope: 'hardened' as const,
    embedded: true,
    onError: (cause: StoreDown) => warn(cause.message),
  }
  const opened = pools(
    createSql({ ...one, role: 'postern_tenant' }),
    createSql({ ...one, role: 'postern_gateway' }),
    { saltSql, owner: embedded.connection, name: `${folder} (embedded)` },
  )
  return {
    ...opened,
    lost: embedded.lost,
    async close() {
      await opened.close()
      await embedded.close()
    },
  }
}

function pools(
  tenantSql: Sql,
  gatewaySql: Sql,
  beside: Pick<Opened, 'saltSql' | 'owner' | 'name'>,
): Opened {
  return {
    tenantSql,
    gatewaySql,
    ...beside,
    lost: new Promise(() => {}),
    async close() {
      await Promise.all([tenantSql.close(), gatewaySql.close(), beside.saltSql?.close()])
    },
  }
}

async function migrate(
  connection: Parameters<typeof migrateDatabase>[0],
  warn: Warn,
  name: string,
): Promise<void> {
  try {
    const { warnings } = await migrateDatabase(connection)
    for (const warning of warnings) warn(warning)
  } catch (error) {
    throw opening(name, error)
  }
}

/** What a driver says names neither the database nor what was wanted of it. */
function opening(name: string, error: unknown): Error {
  if (error instanceof Unfit) return error
  const why = error instanceof Error ? error.message : String(error)
  return new Error(`${name} cannot be opened: ${why}`, { cause: error })
}

/** The database answers, and must not be served. The message is for the operator. */
class Unfit extends Error {}

async function inspect({ tenantSql, gatewaySql, saltSql }: Opened, warn: Warn): Promise<void> {
  const found = [
    ...(await inspectDatabase(tenantSql, 'tenant')),
    ...(await inspectDatabase(gatewaySql, 'gateway')),
    ...(saltSql === null ? [] : await inspectDatabase(saltSql, 'tenant')),
  ]
  if (found.length > 0) {
    throw new Unfit(
      `this database must not be served:\n${found.map((one) => `  - ${one}`).join('\n')}`,
    )
  }
  if (!(await readPosture(tenantSql)).hardened) {
    warn(
      'scope: plain. SQL injected into a handler could change its tenant; `postern migrate` as a superuser hardens it',
    )
  }
}

/** Host and database of a URL, without its user and password. */
function placeOf(url: string): string {
  const { host, pathname } = new URL(url)
  return `PostgreSQL at ${host}${pathname}`
}
