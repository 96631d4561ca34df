/**
 * May this isolate serve from these databases? What a process on Node asks once at its start, an
 * isolate asks at its first request: that the database is migrated, that the roles which serve are
 * held by row-level security, that the master key is the database's, and that nothing on the way
 * answers from a cache.
 *
 * Only a yes is kept. A no is asked again, because somebody will be mending it.
 */
import { type Health, type Sql, StoreDown } from '../../context.ts'
import { inspectDatabase, readPosture } from '../../db/check.ts'
import { DatabaseFault } from '../../db/fault.ts'
import { createMasterRegistry } from '../../db/master-keys.ts'
import type { FieldError, Refusal } from '../../problem.ts'
import { judgeMasters, type Masters } from '../../vault/masters.ts'
import { currentErrand } from './errand.ts'
import type { WorkerLog } from './log.ts'
import { gatewayReadsItsWrites, tenantReadsItsWrites } from './uncached.ts'

export type Admission = {
  /** Why the databases must not be served from; null when they may. No promise once they may. */
  refusal(): Promise<Refusal | null> | null
  health(): Promise<Health>
}

export type AdmissionOptions = {
  readonly oneLogin: boolean
  readonly masters: Masters
  readonly log: WorkerLog
  /** For people: where requests are counted. */
  readonly counting: string
}

/** Builds it with nothing asked yet. Both functions are for use within an errand. */
export function createAdmission(options: AdmissionOptions): Admission {
  const { oneLogin, masters, log, counting } = options
  const tenantName = oneLogin ? 'POSTERN_DB' : 'POSTERN_TENANT_DB'
  const gatewayName = oneLogin ? 'POSTERN_DB' : 'POSTERN_GATEWAY_DB'
  let admitted = false

  async function ask(): Promise<Refusal | null> {
    const { tenantSql, gatewaySql } = currentErrand()
    const refusal = await judge(async () => {
      const found = [
        ...(await inspectDatabase(tenantSql, 'tenant')),
        ...(await inspectDatabase(gatewaySql, 'gateway')),
      ]
      if (found.length > 0) return refuse(found.some(isUnmigrated) ? unmigrated : unsafe, found)
      const fault = judgeMasters(masters, await createMasterRegistry(gatewaySql).list())
      if (fault !== null) return refuse(anotherMaster, [fault])
      if (!(await tenantReadsItsWrites(tenantSql))) return refuse(cachedBy(tenantName))
      if (!(await gatewayReadsItsWrites(gatewaySql))) return refuse(cachedBy(gatewayName))
      if (!(await readPosture(tenantSql)).hardened) log.warn(plainScope)
      return null
    })
    admitted = refusal === null
    return refusal
  }

  return {
    refusal: () => (admitted ? null : ask()),
    async health() {
      const refusal = await (admitted ? judge(() => ping(currentErrand().gatewaySql)) : ask())
      const detail = refusal?.errors?.[0]?.message ?? 'does not answer: no key can be verified'
      const database = { ok: refusal === null, detail: refusal === null ? proved : detail }
      const limits = { ok: true, detail: `counted ${counting}` }
      return { status: database.ok ? 'ready' : 'unavailable', parts: { database, limits } }
    },
  }
}

const proved = 'answers, and what was written is what is read'
const plainScope =
  'scope: plain. SQL injected into a handler could change its tenant; `postern migrate` as a superuser hardens it'

const unmigrated: FieldError = {
  location: 'database',
  code: 'misconfigured',
  message: 'The database is not migrated.',
  fix: 'POSTERN_OWNER_DATABASE_URL=postgres://… npm run postern -- migrate',
}
const unsafe: FieldError = {
  location: 'database',
  code: 'misconfigured',
  message: 'This database must not be served; the log says why.',
  fix: 'Correct what the log names, then call again; docs/workers.md shows the logins',
}
const anotherMaster: FieldError = {
  location: 'POSTERN_MASTER_KEY',
  code: 'misconfigured',
  message: 'The master key is not that of this database; the log says which version.',
  fix: 'npx wrangler secret put POSTERN_MASTER_KEY --env production, with the keys that it had',
}
const cachedBy = (binding: string): FieldError => ({
  location: binding,
  code: 'misconfigured',
  message: 'Hyperdrive answers reads from its cache, which does not know tenants apart.',
  fix: 'npx wrangler hyperdrive update <id> --caching-disabled',
})

const isUnmigrated = (finding: string): boolean => finding.includes('postern migrate')

function refuse(error: FieldError, findings: readonly string[] = [error.message]): Refusal {
  return { code: 'gateway/misconfigured', errors: [error], cause: findings.join('\n') }
}

/** What a question's failure means. */
async function judge(ask: () => Promise<Refusal | null>): Promise<Refusal | null> {
  try {
    return await ask()
  } catch (error) {
    if (error instanceof StoreDown) return { code: 'storage/unavailable', cause: error.message }
    // A role, a table or a function that the migrations make is not there.
    if (error instanceof DatabaseFault) return refuse(unmigrated, [error.message])
    throw error
  }
}

async function ping(sql: Sql): Promise<null> {
  await sql.query(null, { text: 'select 1' })
  return null
}
