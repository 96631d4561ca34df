/**
 * May this database be served from? Asked at boot, in the session that will serve: row-level
 * security protects nobody from a superuser, an owner, a table without FORCE, or a view that reads
 * as its owner (threats D1, D2, D8, D9). One sentence per finding, for the operator; none means yes.
 *
 * It refuses to know any table by name: it reads the catalog, so a table that was added yesterday
 * is judged like the others. The danger is a policy that merely exists, so the predicates of all
 * policies that apply are compared with the one that src/db/policies.ts writes.
 */
import type { Sql } from '../context.ts'
import { policyGrants, type RoleKind, scopeColumns, scopePredicate } from './policies.ts'

/** SECURITY DEFINER functions that a role may execute. */
const allowedFunctions: Readonly<Record<RoleKind, readonly string[]>> = {
  tenant: ['public.postern_bind_scope(text)'],
  gateway: [
    'postern.find_key(bytea[])',
    'postern.find_origin(text)',
    'postern.hold_operator(text, text)',
    'public.postern_bind_scope(text)',
  ],
}

/** What else is true of the session that serves. Neither makes it unsafe; `doctor` explains both. */
export type Posture = {
  /** False is `scope: plain`: SQL injected into a handler's statement could change the scope. */
  readonly hardened: boolean
  /** False with one DATABASE_URL for everything: the login is more than the role it serves as. */
  readonly ownLogin: boolean
}

/**
 * Says why the connections of `sql` must not serve as `kind`, in sentences. Empty: they may.
 * Rejects when the database does not answer.
 */
export async function inspectDatabase(
  sql: Sql,
  kind: RoleKind = 'tenant',
): Promise<readonly string[]> {
  const role = await inspectRole(sql, kind)
  // Everything below asks "what may it reach?", and for such a role the answer is "everything".
  if (role.length > 0) return role
  const relations = await inspectRelations(sql, kind)
  return [...relations, ...(await inspectFunctions(sql, kind))]
}

/** Reads what is in force for the session that serves. Rejects when the database does not answer. */
export async function readPosture(sql: Sql): Promise<Posture> {
  const { rows } = await sql.query<Posture>(null, {
    text: `select current_user = session_user as "ownLogin",
      not (has_function_privilege('pg_catalog.set_config(text,text,boolean)', 'execute')
        or has_table_privilege('pg_catalog.pg_settings', 'update')
        or has_schema_privilege('public', 'create')
        or has_database_privilege(current_database(), 'temporary')) as hardened`,
  })
  return { hardened: rows[0]?.hardened === true, ownLogin: rows[0]?.ownLogin === true }
}

type Role = { name: string; superuser: boolean; bypass: boolean; owns: string[]; member: string[] }

async function inspectRole(sql: Sql, kind: RoleKind): Promise<string[]> {
  const { rows } = await sql.query<Role>(null, {
    text: `select r.rolname as name, r.rolsuper as superuser, r.rolbypassrls as bypass,
        array(select c.oid::regclass::text from pg_catalog.pg_class c
          where c.relowner = r.oid and c.relkind in ('r', 'p', 'v', 'm', 'f') order by 1) as owns,
        array(select m.rolname::text from pg_catalog.pg_roles m
          where m.oid <> r.oid and pg_has_role(r.oid, m.oid, 'member') and m.rolname <> $1
          order by 1) as member
      from pg_catalog.pg_roles r where r.rolname = current_user`,
    values: [`postern_${kind}`],
  })
  const role = rows[0]
  if (role === undefined) return ['The current role is not in the catalog.']
  const { name } = role
  if (role.superuser) return [`The role ${name} is a superuser, so row-level security is ignored.`]
  const found: string[] = []
  if (role.bypass) found.push(`The role ${name} has BYPASSRLS, so row-level security is ignored.`)
  if (role.owns.length > 0) {
    found.push(`The role ${name} owns ${role.owns.join(', ')}: whoever migrates must not serve.`)
  }
  if (role.member.length > 0) {
    found.push(
      `The role ${name} is a member of ${role.member.join(', ')}; it may be a member of postern_${kind} only.`,
    )
  }
  return found
}

type Relation = {
  name: string
  kind: string
  invoker: boolean
  enabled: boolean
  forced: boolean
  columns: string[]
  privileges: string[]
  policies: { name: string; permissive: boolean; using: string | null; check: string | null }[]
}

async function inspectRelations(sql: Sql, kind: RoleKind): Promise<string[]> {
  const { rows } = await sql.query<Relation>(null, { text: reachable })
  if (!rows.some((relation) => 'rp'.includes(relation.kind))) {
    return [`The role postern_${kind} reaches no table: run \`postern migrate\` first.`]
  }
  return rows.flatMap((relation) => judgeRelation(relation, kind))
}

// Every relation outside the system's schemas that this role has any privilege on, columns included.
// What an extension made holds no tenant's rows (PUBLIC may read pg_stat_statements, say).
const reachable = `
  select c.oid::regclass::text as name, c.relkind::text as kind,
    coalesce(c.reloptions && array['security_invoker=true', 'security_invoker=on', 'security_invoker=1'], false)
      as invoker,
    c.relrowsecurity as enabled, c.relforcerowsecurity as forced,
    array(select a.attname::text from pg_catalog.pg_attribute a
      where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attnotnull) as columns,
    array(select p from unnest(array['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES',
        'TRIGGER']) p
      where c.relkind in ('r', 'p') and (has_table_privilege(c.oid, p) or case
        when p in ('INSERT', 'UPDATE', 'REFERENCES') then has_any_column_privilege(c.oid, p)
        else false end)) as privileges,
    coalesce((select jsonb_agg(jsonb_build_object(
        'name', p.polname, 'permissive', p.polpermissive,
        'using', pg_get_expr(p.polqual, c.oid), 'check', pg_get_expr(p.polwithcheck, c.oid)))
      from pg_catalog.pg_policy p
      where p.polrelid = c.oid and exists (
        select from unnest(p.polroles) r where r = 0 or pg_has_role(r, 'usage'))), '[]') as policies
  from pg_catalog.pg_class c
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  where n.nspname not in ('pg_catalog', 'information_schema') and n.nspname !~ '^pg_(toast|temp)'
    and not exists (select from pg_catalog.pg_depend d
      where d.classid = 'pg_catalog.pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
    and case
      when c.relkind in ('r', 'p', 'v', 'm', 'f') then
        has_table_privilege(c.oid, 'select, insert, update, delete, truncate, references, trigger')
        or has_any_column_privilege(c.oid, 'select, insert, update, references')
      when c.relkind = 'S' then has_sequence_privilege(c.oid, 'select, update')
      else false end
  order by 1`

/** What row-level security does not hold. */
const blind: readonly string[] = ['TRUNCATE', 'REFERENCES', 'TRIGGER']
const grantsOf = new Map<string, readonly string[]>(Object.entries(policyGrants))

function judgeRelation(relation: Relation, kind: RoleKind): string[] {
  const { name } = relation
  if (relation.kind === 'S') return [`The sequence ${name} tells how many rows others have made.`]
  if (relation.kind === 'm') return [`The materialised view ${name} holds rows of every tenant.`]
  if (relation.kind === 'f') return [`The foreign table ${name} has no row-level security here.`]
  if (relation.kind === 'v') {
    return relation.invoker ? [] : [`The view ${name} reads as its owner: set security_invoker.`]
  }
  const found: string[] = []
  if (!relation.enabled) found.push(`The table ${name} has no row-level security.`)
  else if (!relation.forced) found.push(`The table ${name} does not FORCE row-level security.`)
  const missing = scopeColumns(kind).filter((column) => !relation.columns.includes(column))
  if (missing.length > 0) {
    found.push(`The table ${name} has no ${missing.join(', ')} column that is NOT NULL.`)
  }
  const permissive = relation.policies.filter((policy) => policy.permissive)
  const past = relation.privileges.filter((privilege) => blind.includes(privilege))
  if (past.length > 0) {
    found.push(`The table ${name} grants ${past.join(', ')}, which see foreign rows.`)
  }
  const granted = permissive.map((policy) => grantsOf.get(policy.name)).find(Boolean)
  const more = relation.privileges.filter(
    (privilege) => !blind.includes(privilege) && granted?.includes(privilege) === false,
  )
  if (more.length > 0) {
    found.push(`The table ${name} grants ${more.join(', ')}, which its rows are not for.`)
  }
  if (permissive.length === 0) found.push(`The table ${name} has no policy for this role.`)
  for (const policy of permissive) {
    const scoped = [policy.using, policy.check].every(
      (expression) => expression !== null && plain(expression) === plain(scopePredicate(kind)),
    )
    if (!scoped) found.push(`The policy ${policy.name} of ${name} is not the scope's.`)
  }
  return found
}

/** Takes off what PostgreSQL adds when it prints an expression: brackets, aliases, white space. */
function plain(expression: string): string {
  return expression
    .toLowerCase()
    .replace(/ as \w+/g, '')
    .replace(/[()\s]/g, '')
}

async function inspectFunctions(sql: Sql, kind: RoleKind): Promise<string[]> {
  const { rows } = await sql.query<{ name: string; definer: boolean }>(null, {
    text: `select format('%s.%s(%s)', n.nspname, p.proname, oidvectortypes(p.proargtypes)) as name,
        p.prosecdef as definer
      from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace
      where (p.prosecdef or p.proleakproof) and n.nspname not in ('pg_catalog', 'information_schema')
        and has_schema_privilege(n.oid, 'usage') and has_function_privilege(p.oid, 'execute')
      order by 1`,
  })
  return rows
    .filter(({ name }) => !allowedFunctions[kind].includes(name))
    .map(({ name, definer }) =>
      definer
        ? `The function ${name} runs as its owner and this role may execute it.`
        : `The function ${name} is LEAKPROOF, so it may see rows before the policy does.`,
    )
}
