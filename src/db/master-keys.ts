/**
 * Which versions of the master key was this database used with, and below which is nothing sealed any
 * more? Check values are kept, never a key; no statement here changes one.
 *
 * That a version can be dropped is not for anybody's counting to say: a constraint of the table of
 * secrets says it, which PostgreSQL holds all rows of all tenants to, seen or not, and whatever a node
 * that has heard of nothing writes later. It takes the owner of the table, who migrates.
 */
import type { EnvironmentName, Scope, Sql } from '../context.ts'
import { DatabaseFault } from './fault.ts'
import type { Execute } from './migrate.ts'

/** The constraint that nothing is sealed under a version below a number. */
export const versionFloor = 'secrets_version_floor'

// The platform that operators belong to and no row of a tenant.
const deployment = { platform: 'plt_operator' } as const

/** Builds the registry on the gateway role's connections: `MasterRegistry` of src/vault/masters.ts. */
export function createMasterRegistry(sql: Sql) {
  return {
    async list() {
      const { rows } = await sql.query<{ version: number; check: Uint8Array; retired: boolean }>(
        deployment,
        {
          text: `select id::int as version, check_value as check, retired_at is not null as retired
            from postern.master_keys order by 1`,
        },
      )
      return rows
    },
    async register(version: number, check: Uint8Array): Promise<void> {
      await sql.query(deployment, {
        text: `insert into postern.master_keys (id, check_value) values ($1, $2)
          on conflict (platform, id) do nothing`,
        values: [String(version), check],
      })
    },
    async retire(least: number): Promise<void> {
      await sql.query(deployment, {
        text: `update postern.master_keys set retired_at = coalesce(retired_at, now())
          where id::int < $1`,
        values: [least],
      })
    },
  }
}

/** Every scope of the platforms: each of their tenants, in test and in live. */
export async function* everyScope(sql: Sql, platforms: readonly string[]): AsyncGenerator<Scope> {
  for (const platform of platforms) {
    let after = ''
    for (;;) {
      const { rows } = await sql.query<{ id: string }>(
        { platform },
        {
          text: 'select id from postern.tenants where id > $1 order by id limit 1000',
          values: [after],
        },
      )
      for (const { id: tenant } of rows) {
        for (const environment of ['test', 'live'] as const satisfies EnvironmentName[]) {
          yield { platform, environment, tenant }
        }
      }
      const last = rows.at(-1)
      if (last === undefined) break
      after = last.id
    }
  }
}

/** Refuses, from now on, whatever would be stored below `least`. Rows that are there stay. */
export async function barVersions(execute: Execute, least: number): Promise<void> {
  const floor = wholeNumber(least)
  // It waits for whoever writes at this moment, and others wait behind it: so not for long.
  await execute(`set lock_timeout = '5s'`)
  await execute(`alter table public.secrets drop constraint if exists ${versionFloor},
    add constraint ${versionFloor} check (key_version >= ${floor}) not valid`)
}

/** Whether no row is below what `barVersions` refuses. Reads the whole table and blocks nobody. */
export async function confirmVersions(execute: Execute): Promise<boolean> {
  try {
    await execute(`alter table public.secrets validate constraint ${versionFloor}`)
    return true
  } catch (error) {
    if (codeOf(error) === '23514') return false
    // A driver's message could quote a row.
    throw new DatabaseFault(codeOf(error) || 'XX000')
  }
}

/** A number to stand in a statement that takes no parameters. */
function wholeNumber(value: number): number {
  if (Number.isInteger(value) && value >= 0) return value
  throw new RangeError('a version is a whole number')
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : ''
}
