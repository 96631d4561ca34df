/**
 * Whose row is this? The columns that say it, and the policy that makes it the predicate of every
 * statement. All policies of the schema are written here and nowhere else, so that reading this
 * file is reading all of them.
 *
 * It refuses to know what a table is for. The danger: a policy is only as good as FORCE and the
 * role that runs the statement (drizzle/rls.sql, src/db/check.ts), and a second permissive policy
 * beside one of these would widen it, so the boot check compares the predicates themselves.
 */
import { sql } from 'drizzle-orm'
import {
  type AnyPgColumn,
  check,
  customType,
  type PgPolicy,
  type PgTableExtraConfigValue,
  pgPolicy,
  pgRole,
  primaryKey,
} from 'drizzle-orm/pg-core'

// Made by drizzle/roles.sql, before the generated migrations: policies and defaults name them.
const tenantRole = pgRole('postern_tenant').existing()
const gatewayRole = pgRole('postern_gateway').existing()
const lookupRole = pgRole('postern_lookup').existing()

/** Text that is compared byte for byte, whatever the database's locale (threats K6, T6). */
export const exactText = customType<{ data: string }>({ dataType: () => 'text COLLATE "C"' })

/** Who serves: handlers as the tenant role, the gate itself as the gateway role. */
export type RoleKind = 'tenant' | 'gateway'

const scoped: Readonly<Record<RoleKind, readonly string[]>> = {
  tenant: ['platform', 'environment', 'tenant'],
  gateway: ['platform'],
}

/** The columns that say whose row it is, in the order in which every key starts with them. */
export const scopeColumns = (kind: RoleKind): readonly string[] => scoped[kind]

/**
 * The one predicate of a role's policies. The sub-select runs once per statement, a bare call would
 * run once per row; and one for all columns costs the planner a third of one for each.
 */
export function scopePredicate(kind: RoleKind): string {
  const values = scoped[kind].map((column) => `postern.scope_${column}()`)
  return `(${scoped[kind].join(', ')}) = (select ${values.join(', ')})`
}

/** The scope column of a table of the gateway: filled from the flight's scope. */
export const platformColumns = () => ({
  platform: exactText().notNull().default(sql`postern.scope_platform()`),
})

/** The scope columns of a tenant table: filled from the flight's scope, so that no one names them. */
export const tenantColumns = () => ({
  ...platformColumns(),
  environment: exactText().notNull().default(sql`postern.scope_environment()`),
  tenant: exactText().notNull().default(sql`postern.scope_tenant()`),
})

/**
 * What a role may do to a table, by the name of the table's one policy. The predicates of a role are
 * the same in all of them; drizzle/rls.sql grants by these names, src/db/check.ts and the catalog
 * test hold the database to them.
 */
export const policyGrants = {
  tenant_scope: ['SELECT', 'INSERT', 'UPDATE', 'DELETE'],
  /** What is ended and never removed. */
  platform_scope: ['SELECT', 'INSERT', 'UPDATE'],
  /** What is written once and never again. */
  platform_log: ['SELECT', 'INSERT'],
  /** What is kept for a time. */
  platform_passing: ['SELECT', 'INSERT', 'UPDATE', 'DELETE'],
} as const satisfies Readonly<Record<string, readonly string[]>>

type PolicyName = keyof typeof policyGrants
type PlatformTable = { readonly platform: AnyPgColumn; readonly id: AnyPgColumn }
type TenantTable = PlatformTable & {
  readonly environment: AnyPgColumn
  readonly tenant: AnyPgColumn
}

/**
 * What every tenant table needs, as the third argument of `pgTable` (schema `public`): the primary
 * key (scope, id) and the one policy, under which its rows are those of the flight's tenant, read
 * or written. Further unique and foreign keys must start with the three scope columns too, because
 * both look past row-level security (threats D10, D11); the catalog test says so when one does not.
 */
export function tenantTable(table: TenantTable): PgTableExtraConfigValue[] {
  return [
    primaryKey({ columns: [table.platform, table.environment, table.tenant, table.id] }),
    ...tenantPolicy(table),
  ]
}

/** The policy alone, for a tenant table whose primary key is (scope, …) with no id. */
export function tenantPolicy({
  environment,
}: Pick<TenantTable, 'environment'>): PgTableExtraConfigValue[] {
  return [
    check('environment', sql`${environment} in ('test', 'live')`),
    policy('tenant', 'tenant_scope'),
  ]
}

/**
 * What a table of the gateway itself needs (schema `postern`): its rows are those of one platform,
 * and `name` says what may be done to them.
 */
export function platformTable(
  table: PlatformTable,
  name: Exclude<PolicyName, 'tenant_scope'> = 'platform_scope',
): PgTableExtraConfigValue[] {
  return [primaryKey({ columns: [table.platform, table.id] }), platformPolicy(name)]
}

/** The policy alone, for a table whose primary key is (platform, …) with no id. */
export function platformPolicy(name: Exclude<PolicyName, 'tenant_scope'>): PgPolicy {
  return policy('gateway', name)
}

/** Lets the owner of the pre-tenant lookups (drizzle/rls.sql) read every platform, and only read. */
export function lookupTable(): PgPolicy {
  return pgPolicy('lookup', { for: 'select', to: lookupRole, using: sql`true` })
}

/** Lets the owner of the lookups hold a row against changes (FOR SHARE), and make none itself. */
export function holdTable(): PgPolicy {
  return pgPolicy('hold', {
    for: 'update',
    to: lookupRole,
    using: sql`true`,
    withCheck: sql`false`,
  })
}

function policy(kind: RoleKind, name: PolicyName): PgPolicy {
  const rows = sql.raw(scopePredicate(kind))
  const to = kind === 'tenant' ? tenantRole : gatewayRole
  return pgPolicy(name, { for: 'all', to, using: rows, withCheck: rows })
}
