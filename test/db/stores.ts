/** Both roles' pools on a migrated database, in each way that Postern can be set up. */
import type { Sql } from '../../src/context.ts'
import { createSql, type SqlOptions } from '../../src/runtime/sql.ts'
import { createDatabase, startEmbedded } from '../database.ts'
import { limits } from '../sql.ts'

export type Stores = {
  readonly owner: SqlOptions['connection']
  readonly tenantSql: Sql
  readonly gatewaySql: Sql
  close(): Promise<void>
}

type Setup = Pick<SqlOptions, 'embedded' | 'scope'> & {
  readonly owner: SqlOptions['connection']
  /** null: the owner's connection takes the role for each flight. */
  readonly logins: Readonly<Record<'tenant' | 'gateway', string>> | null
  drop(): Promise<void>
}

function open({ owner, logins, embedded, scope, drop }: Setup): Stores {
  const sql = (kind: 'tenant' | 'gateway') =>
    createSql({
      connection: logins?.[kind] ?? owner,
      role: logins === null ? `postern_${kind}` : null,
      scope,
      embedded,
      ...limits,
    })
  const [tenantSql, gatewaySql] = [sql('tenant'), sql('gateway')]
  return {
    owner,
    tenantSql,
    gatewaySql,
    close: async () => {
      await Promise.all([tenantSql.close(), gatewaySql.close()])
      await drop()
    },
  }
}

/** A login per role: what the README tells operators to make. */
export async function production(options: { plainOwner?: boolean } = {}): Promise<Stores> {
  const { ownerUrl, tenantUrl, gatewayUrl, drop } = await createDatabase(options)
  const scope = options.plainOwner === true ? 'plain' : 'hardened'
  const logins = { tenant: tenantUrl, gateway: gatewayUrl }
  return open({ owner: ownerUrl, logins, embedded: false, scope, drop })
}

/** One DATABASE_URL for everything. */
export async function oneUrl(options: { plainOwner?: boolean } = {}): Promise<Stores> {
  const { ownerUrl, drop } = await createDatabase(options)
  return open({ owner: ownerUrl, logins: null, embedded: false, scope: 'plain', drop })
}

/** No URL at all. */
export async function pglite(): Promise<Stores> {
  const { connection, drop } = await startEmbedded()
  return open({ owner: connection, logins: null, embedded: true, scope: 'hardened', drop })
}
