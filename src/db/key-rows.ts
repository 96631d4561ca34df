/**
 * How does an API key stand in its tables? The one select that shows a key with its secrets, the one
 * insert that stores keys, and what of a change the audit says.
 *
 * It refuses to show a digest. The danger is a key that is stored without its secret, or one secret
 * for two keys: so an insert says which keys are whole, and whoever asked for it undoes the rest.
 */
import * as z from 'zod'
import type { Limit, SqlTransaction, Statement } from '../context.ts'
import type { Acting, AuditAction, Changes } from './audit.ts'
import type { KeyChanges, KeyStatus, NewKey, StoredKey } from './keys.ts'
import type { Place } from './page.ts'
import { keyShape } from './root.ts'

/** A row of a statement that selects `shown`. */
export type KeyRow = { readonly key: unknown; readonly place: Place }

const milliseconds = (at: string): string => `floor(extract(epoch from ${at}) * 1000)`

const now = 'statement_timestamp()'
const rotating = `exists (select from postern.api_key_secrets s
  where s.platform = k.platform and s.key_id = k.id and s.superseded_by is not null
    and (s.expires_at is null or s.expires_at > ${now}))`

/** When a key `k` stands so, never null; the first applies, and to what none applies is `active`. */
const statuses: readonly (readonly [KeyStatus, condition: string])[] = [
  ['revoked', 'k.revoked_at is not null'],
  ['expired', `coalesce(k.expires_at <= ${now}, false)`],
  ['disabled', 'k.disabled_at is not null'],
  ['rotating', rotating],
  ['expires_soon', `coalesce(k.expires_at <= ${now} + interval '24 hours', false)`],
  ['never_used', 'k.last_used_at is null'],
]

const statusOf = `case ${statuses
  .map(([status, condition]) => `when ${condition} then '${status}'`)
  .join(' ')} else 'active' end`

/** Whether a key `k` stands so, in conditions that an index can serve and a long list can bear. */
export function hasStatus(status: KeyStatus): string {
  const found = statuses.findIndex(([one]) => one === status)
  const before = statuses.slice(0, found === -1 ? statuses.length : found)
  const not = before.map(([, condition]) => `not (${condition})`)
  return [...not, statuses[found]?.[1] ?? 'true'].join(' and ')
}

const secrets = `(
  select coalesce(jsonb_agg(jsonb_build_object('id', s.id, 'last4', s.last4,
      'createdAt', ${milliseconds('s.created_at')}, 'firstUsedAt', ${milliseconds('s.first_used_at')},
      'lastUsedAt', ${milliseconds('s.last_used_at')}, 'lastUsedFrom', s.last_used_from,
      'expiresAt', ${milliseconds('s.expires_at')}, 'supersededBy', s.superseded_by,
      'overlapSeconds', s.overlap_seconds, 'overlapFrom', s.overlap_from,
      'quietSeconds', s.quiet_seconds, 'state', case
        when s.expires_at <= statement_timestamp() then 'ended'
        when s.superseded_by is null then 'current' else 'overlapping' end)
    order by (s.superseded_by is null) desc, s.created_at desc, s.id), '[]')
  from (select * from postern.api_key_secrets s where s.platform = k.platform and s.key_id = k.id
    order by (s.superseded_by is null) desc, s.created_at desc, s.id limit 10) s)`

/** A key `k` with its secrets, for `readKey`. */
export const shown = `jsonb_build_object('id', k.id, 'platform', k.platform,
  'environment', k.environment, 'class', k.class, 'name', k.name, 'prefix', k.prefix, 'ref', k.ref,
  'tenants', k.tenants, 'permissions', k.permissions, 'restrictions', k.restrictions,
  'limits', k.limits, 'metadata', k.metadata, 'status', ${statusOf}, 'version', k.version,
  'createdBy', k.created_by, 'createdAt', ${milliseconds('k.created_at')},
  'updatedAt', ${milliseconds('k.updated_at')}, 'expiresAt', ${milliseconds('k.expires_at')},
  'disabledAt', ${milliseconds('k.disabled_at')}, 'revokedAt', ${milliseconds('k.revoked_at')},
  'lastUsedAt', ${milliseconds('k.last_used_at')}, 'secrets', ${secrets})`

/** One key of the scope's platform. */
export const byId = (id: string): Statement => ({
  text: `select ${shown} as key from postern.api_keys k where k.id = $1`,
  values: [id],
})

const instant = z.number().nullable()
const storedSecret = z.object({
  id: z.string(),
  last4: z.string(),
  createdAt: z.number(),
  firstUsedAt: instant,
  lastUsedAt: instant,
  lastUsedFrom: z.string().nullable(),
  expiresAt: instant,
  supersededBy: z.string().nullable(),
  overlapSeconds: z.number().nullable(),
  overlapFrom: z.enum(['first_use', 'now']).nullable(),
  quietSeconds: z.number().nullable(),
  state: z.enum(['current', 'overlapping', 'ended']),
})
const storedKey = z.object({
  ...keyShape,
  metadata: z.record(z.string(), z.unknown()),
  status: z.enum([
    'revoked',
    'expired',
    'disabled',
    'rotating',
    'expires_soon',
    'never_used',
    'active',
  ]),
  version: z.number(),
  createdBy: z
    .object({ kind: z.enum(['api_key', 'operator', 'console_user', 'system']), id: z.string() })
    .nullable(),
  createdAt: z.number(),
  updatedAt: z.number(),
  expiresAt: instant,
  disabledAt: instant,
  revokedAt: instant,
  lastUsedAt: instant,
  secrets: z.array(storedSecret),
})

/** Reads a key as `shown` selects it. Throws on any other shape. */
export function readKey(found: unknown): StoredKey {
  const key = storedKey.parse(found)
  return { ...key, last4: key.secrets[0]?.last4 ?? '' }
}

/** The key as it stands now, in a transaction that holds it or has just made it. */
export async function mustRead(transaction: SqlTransaction, id: string): Promise<StoredKey> {
  const { rows } = await transaction.query<KeyRow>(byId(id))
  return readKey(rows[0]?.key)
}

/** What became of keys: `whole` are stored; `half` are, without their secret, and must be undone. */
export type Inserted = { readonly whole: ReadonlySet<string>; readonly half: ReadonlySet<string> }

/**
 * Stores keys whose ids differ, each with its secret and its audit event; a key whose id or ref is
 * taken is left out. A secret that is taken leaves its key `half`: then undo the transaction.
 */
export async function insertKeys(
  transaction: SqlTransaction,
  keys: readonly NewKey[],
  { actor, address, requestId }: Acting,
  action: AuditAction,
): Promise<Inserted> {
  const given = keys.map(({ secret, ...key }) => ({
    ...key,
    digest: hex(secret.digest),
    pepperVersion: secret.pepperVersion,
    last4: secret.last4,
    changes: createdFields(key, secret.last4),
  }))
  const { rows } = await transaction.query<{ made: string[]; whole: string[] }>({
    text: inserting,
    values: [
      JSON.stringify(given),
      JSON.stringify(actor),
      action,
      actor.kind,
      actor.id,
      address,
      requestId,
    ],
  })
  const whole = new Set(rows[0]?.whole)
  return { whole, half: new Set(rows[0]?.made.filter((id) => !whole.has(id))) }
}

const inserting = `
  with given as (
    select * from jsonb_to_recordset($1::jsonb) x (id text, environment text, class text, name text,
      prefix text, ref text, tenants text[], permissions text[], restrictions jsonb, limits jsonb,
      metadata jsonb, "expiresAt" float8, digest text, "pepperVersion" integer, last4 text,
      changes jsonb)
  ), made as (
    insert into postern.api_keys (id, environment, class, name, prefix, ref, tenants, permissions,
        restrictions, limits, metadata, expires_at, created_by)
      select id, environment, class, name, prefix, ref, tenants, permissions, restrictions,
        nullif(limits, 'null'), metadata, to_timestamp("expiresAt" / 1000), $2::jsonb
      from given
    on conflict do nothing returning id
  ), whole as (
    insert into postern.api_key_secrets (key_id, digest, pepper_version, last4)
      select id, decode(digest, 'hex'), "pepperVersion", last4 from given join made using (id)
    on conflict do nothing returning key_id
  ), noted as (
    insert into postern.audit_events (action, actor_kind, actor_id, address, request_id,
        resource_kind, resource_id, changes)
      select $3, $4, $5, $6, $7, 'api_key', id, changes
      from given join whole on whole.key_id = given.id
  )
  select array(select id from made) as made, array(select key_id from whole) as whole`

const hex = (bytes: Uint8Array): string =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')

/** The statement that changes a key, whose fields are named by us. What is left out stays. */
export function setClauses(id: string, changes: KeyChanges): Statement {
  const values: unknown[] = [id]
  const sets = ['version = version + 1', 'updated_at = clock_timestamp()']
  for (const [field, { column, store = same }] of columns) {
    const value = changes[field]
    if (value !== undefined) sets.push(`${column} = ${place(column, values.push(store(value)))}`)
  }
  return { text: `update postern.api_keys set ${sets.join(', ')} where id = $1`, values }
}

const place = (column: string, n: number): string =>
  column === 'expires_at' ? `to_timestamp($${n}::float8 / 1000)` : `$${n}`

const same = (value: unknown): unknown => value
const json = (value: unknown): string | null => (value === null ? null : JSON.stringify(value))

type Column = {
  readonly column: string
  /** Its name on the wire. */
  readonly name: string
  readonly store?: (value: unknown) => unknown
}

const columns = new Map<keyof KeyChanges, Column>([
  ['name', { column: 'name', name: 'name' }],
  ['tenants', { column: 'tenants', name: 'tenants' }],
  ['permissions', { column: 'permissions', name: 'permissions' }],
  ['restrictions', { column: 'restrictions', name: 'restrictions', store: json }],
  ['limits', { column: 'limits', name: 'rate_limit', store: json }],
  ['metadata', { column: 'metadata', name: 'metadata', store: json }],
  ['expiresAt', { column: 'expires_at', name: 'expires_at' }],
])

/** What changes, by its names on the wire, with what it was. Fields that stay the same are not there. */
export function changedFields(before: StoredKey, changes: KeyChanges): Changes {
  const fields: Record<string, readonly [unknown, unknown]> = {}
  for (const [field, { name }] of columns) {
    const value = changes[field]
    if (value === undefined) continue
    const [was, is] = [wire(field, before[field]), wire(field, value)]
    if (canonical(was) !== canonical(is)) fields[name] = [was, is]
  }
  return fields
}

function createdFields(key: Omit<NewKey, 'secret'>, last4: string): Changes {
  const fields: Record<string, readonly [unknown, unknown]> = {
    environment: [null, key.environment],
    class: [null, key.class],
    prefix: [null, key.prefix],
    secret: [null, dots(last4)],
  }
  for (const [field, { name }] of columns) fields[name] = [null, wire(field, key[field])]
  return fields
}

/** A secret, as the audit shows it. */
export const dots = (last4: string): string => `••••${last4}`

function wire(field: keyof KeyChanges, value: unknown): unknown {
  if (value === null) return null
  if (field === 'expiresAt') return new Date(Number(value)).toISOString()
  if (field !== 'limits') return value
  // `limits` is a list of limits in a StoredKey and in KeyChanges alike.
  const limits = value as readonly Limit[]
  return limits.map(({ quota, windowSeconds }) => ({ quota, window_seconds: windowSeconds }))
}

/** The same text for the same value: PostgreSQL keeps the members of an object in its own order. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  )
}
