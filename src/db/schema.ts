/**
 * What is stored. Schema `public` holds tenant tables: a row belongs to one tenant of one
 * environment, and a handler sees no other. Schema `postern` holds the gateway's own tables: a row
 * belongs to one platform, and only the gateway role reaches them.
 *
 * Platforms, routes and permissions are not here: they are configuration. No API key is here
 * either, only HMACs of digests of one (threats K4). After a change, `npx drizzle-kit generate`
 * writes the migration and the catalog test judges it. It is one file, however long: reading it is
 * reading everything that is kept.
 */
import { sql } from 'drizzle-orm'
import {
  bigint,
  boolean,
  check,
  customType,
  date,
  foreignKey,
  index,
  integer,
  jsonb,
  pgSchema,
  pgTable,
  primaryKey,
  text,
  timestamp,
  uniqueIndex,
} from 'drizzle-orm/pg-core'
import {
  exactText,
  holdTable,
  lookupTable,
  platformColumns,
  platformPolicy,
  platformTable,
  tenantColumns,
  tenantPolicy,
  tenantTable,
} from './policies.ts'

// Not exported: drizzle/roles.sql makes this schema, since policies and defaults need its functions.
const postern = pgSchema('postern')

const instant = (name: string) => timestamp(name, { withTimezone: true })
const bytea = customType<{ data: Uint8Array }>({ dataType: () => 'bytea' })
const createdAt = () => timestamp('created_at', { withTimezone: true }).notNull().defaultNow()
const updatedAt = () => timestamp('updated_at', { withTimezone: true }).notNull().defaultNow()

const count = (name: string) => bigint(name, { mode: 'number' }).notNull().default(0)

/** The example of a tenant table: what a tenant subscribes to. */
export const subscriptions = pgTable(
  'subscriptions',
  {
    ...tenantColumns(),
    id: exactText().notNull().default(sql`'sub_' || replace(gen_random_uuid()::text, '-', '')`),
    plan: exactText().notNull(),
    status: exactText().notNull().default('active'),
    seats: integer().notNull().default(1),
    createdAt: createdAt(),
    updatedAt: updatedAt(),
  },
  tenantTable,
)

/** What else examples show of a tenant, of any kind: a table of its own is for what is more than shown. */
export const exampleResources = pgTable(
  'example_resources',
  {
    ...tenantColumns(),
    id: exactText().notNull(),
    kind: exactText().notNull(),
    data: jsonb().$type<Readonly<Record<string, unknown>>>().notNull().default({}),
    createdAt: createdAt(),
  },
  (t) => [
    ...tenantTable(t),
    index('example_resources_kind').on(
      t.platform,
      t.environment,
      t.tenant,
      t.kind,
      t.createdAt,
      t.id,
    ),
  ],
)

/** What a tenant's test world remembers: a thing of a collection, or that the collection has begun. */
export const testWorld = pgTable(
  'test_world',
  {
    ...tenantColumns(),
    id: exactText().notNull(),
    collection: exactText().notNull(),
    /** null: the collection has begun. */
    thing: exactText(),
    data: jsonb().$type<Readonly<Record<string, unknown>>>().notNull().default({}),
    createdAt: createdAt(),
    expiresAt: instant('expires_at').notNull(),
  },
  (t) => [
    ...tenantTable(t),
    index('test_world_collection').on(
      t.platform,
      t.environment,
      t.tenant,
      t.collection,
      t.createdAt,
      t.id,
    ),
  ],
)
/** A user's working sessions. An ended one keeps its row, and none of its secrets. */
export const sessions = pgTable(
  'sessions',
  {
    ...tenantColumns(),
    id: exactText().notNull(),
    userId: exactText('user_id').notNull(),
    createdAt: createdAt(),
    endedAt: instant('ended_at'),
    /** From then on it has ended, whoever has noticed; null: only when it is told to. */
    expiresAt: instant('expires_at'),
    /** How often its key has sealed: src/vault/vault.ts says how often it may. */
    seals: count('seals'),
  },
  (t) => [
    ...tenantTable(t),
    index('sessions_created').on(t.platform, t.environment, t.tenant, t.createdAt, t.id),
    index('sessions_user').on(t.platform, t.environment, t.tenant, t.userId, t.createdAt, t.id),
    index('sessions_expiring')
      .on(t.platform, t.environment, t.tenant, t.expiresAt)
      .where(sql`${t.endedAt} is null and ${t.expiresAt} is not null`),
  ],
)

/** What sessions hold in secret: sealed under a key of the session, by a version of the master key. */
export const secrets = pgTable(
  'secrets',
  {
    ...tenantColumns(),
    sessionId: exactText('session_id').notNull(),
    name: exactText().notNull(),
    keyVersion: integer('key_version').notNull(),
    /** Nonce, ciphertext and tag. */
    sealed: bytea().notNull(),
    createdAt: createdAt(),
    updatedAt: updatedAt(),
  },
  (t) => [
    primaryKey({ columns: [t.platform, t.environment, t.tenant, t.sessionId, t.name] }),
    ...tenantPolicy(t),
    foreignKey({
      name: 'secrets_session',
      columns: [t.platform, t.environment, t.tenant, t.sessionId],
      foreignColumns: [sessions.platform, sessions.environment, sessions.tenant, sessions.id],
    }).onDelete('cascade'),
    index('secrets_version').on(t.platform, t.environment, t.tenant, t.keyVersion),
    check('secrets_sealed_size', sql`octet_length(${t.sealed}) > 28`),
  ],
)

/**
 * What the keys of sessions are made with, by the session's id. It refers to no session, because
 * with POSTERN_SHRED_URL these rows are in a database of their own.
 */
export const sessionSalts = pgTable(
  'session_salts',
  { ...tenantColumns(), id: exactText().notNull(), salt: bytea().notNull() },
  (t) => [...tenantTable(t), check('session_salts_size', sql`octet_length(${t.salt}) = 32`)],
)

/** Programs that were started in sessions. Neither their code nor a value that they got is here. */
export const agents = pgTable(
  'agents',
  {
    ...tenantColumns(),
    id: exactText().notNull(),
    sessionId: exactText('session_id').notNull(),
    compute: exactText().notNull(),
    /** Names of secrets. */
    secrets: text().array().notNull(),
    status: exactText().notNull().default('running'),
    exitCode: integer('exit_code'),
    output: exactText().notNull().default(''),
    truncated: boolean().notNull().default(false),
    /** For the gateway that runs it. */
    stopAsked: boolean('stop_asked').notNull().default(false),
    createdAt: createdAt(),
    endedAt: instant('ended_at'),
    /** When the gateway that runs it last said so. */
    heartbeatAt: instant('heartbeat_at').notNull().defaultNow(),
  },
  (t) => [
    ...tenantTable(t),
    foreignKey({
      name: 'agents_session',
      columns: [t.platform, t.environment, t.tenant, t.sessionId],
      foreignColumns: [sessions.platform, sessions.environment, sessions.tenant, sessions.id],
    }).onDelete('cascade'),
    index('agents_session_created').on(
      t.platform,
      t.environment,
      t.tenant,
      t.sessionId,
      t.createdAt,
      t.id,
    ),
    check(
      'agents_status',
      sql`${t.status} in ('running', 'exited', 'failed', 'stopped', 'timeout', 'lost')`,
    ),
  ],
)

/** The platforms' customers. A suspended one keeps its rows and is refused. */
export const tenants = postern.table(
  'tenants',
  {
    ...platformColumns(),
    id: exactText().notNull(),
    suspendedAt: timestamp('suspended_at', { withTimezone: true }),
    metadata: jsonb().notNull().default({}),
    /** One more with each change: what an ETag is made of. */
    version: integer().notNull().default(1),
    createdAt: createdAt(),
    updatedAt: updatedAt(),
  },
  (t) => [
    ...platformTable(t),
    index('tenants_created').on(t.platform, t.createdAt, t.id),
    check('tenants_id_shape', sql`${t.id} ~ '^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$'`),
  ],
)

/** API keys: what a key may do, whichever of its secrets is shown. */
export const apiKeys = postern.table(
  'api_keys',
  {
    ...platformColumns(),
    id: exactText().notNull().default(sql`'key_' || replace(gen_random_uuid()::text, '-', '')`),
    environment: exactText().notNull(),
    class: exactText().notNull(),
    name: exactText().notNull(),
    prefix: exactText().notNull(),
    /** Empty for adopted keys, which have none. */
    ref: exactText().notNull(),
    /** null: every tenant of the platform. */
    tenants: text().array(),
    permissions: text().array().notNull(),
    restrictions: jsonb().notNull().default({}),
    /** null: the limits of the key's class, else of its environment. */
    limits: jsonb(),
    metadata: jsonb().notNull().default({}),
    expiresAt: timestamp('expires_at', { withTimezone: true }),
    disabledAt: timestamp('disabled_at', { withTimezone: true }),
    revokedAt: timestamp('revoked_at', { withTimezone: true }),
    lastUsedAt: timestamp('last_used_at', { withTimezone: true }),
    /** One more with each change, but not with use: what an ETag is made of. */
    version: integer().notNull().default(1),
    /** `Actor` of src/context.ts. */
    createdBy: jsonb('created_by'),
    createdAt: createdAt(),
    updatedAt: updatedAt(),
  },
  (t) => [
    ...platformTable(t),
    lookupTable(),
    holdTable(),
    // The first page of a list costs the same however many keys there are.
    index('api_keys_created').on(t.platform, t.createdAt, t.id),
    index('api_keys_name').on(t.platform, t.name),
    // For postern.find_origin of drizzle/rls.sql, which says why it is asked there.
    index('api_keys_origins')
      .using(
        'gin',
        sql`(jsonb_set('{}', array[${t.platform}], ${t.restrictions} -> 'origins')) jsonb_path_ops`,
      )
      .where(
        sql`${t.revokedAt} is null and jsonb_typeof(${t.restrictions} -> 'origins') = 'array'`,
      ),
    uniqueIndex('api_keys_ref').on(t.platform, t.ref).where(sql`${t.ref} <> ''`),
    check('api_keys_environment', sql`${t.environment} in ('test', 'live')`),
    check('api_keys_class', sql`${t.class} in ('secret', 'publishable')`),
  ],
)

/** The secrets of an API key: several are good while one is being rotated out. */
export const apiKeySecrets = postern.table(
  'api_key_secrets',
  {
    ...platformColumns(),
    id: exactText().notNull().default(sql`'sec_' || replace(gen_random_uuid()::text, '-', '')`),
    keyId: exactText('key_id').notNull(),
    /** HMAC-SHA-256 under the pepper of that version, of the SHA-256 of the whole key string. */
    digest: bytea().notNull(),
    pepperVersion: integer('pepper_version').notNull(),
    last4: exactText().notNull(),
    createdAt: createdAt(),
    expiresAt: timestamp('expires_at', { withTimezone: true }),
    firstUsedAt: instant('first_used_at'),
    lastUsedAt: instant('last_used_at'),
    lastUsedFrom: exactText('last_used_from'),
    /** The newer secret that replaces it; null: it is the current one. */
    supersededBy: exactText('superseded_by'),
    /** How long it may be used beside the newer one, counted from the first use of that or at once. */
    overlapSeconds: integer('overlap_seconds'),
    overlapFrom: exactText('overlap_from'),
    /** Silent for so long, it ends early. null: it does not. */
    quietSeconds: integer('quiet_seconds'),
    /** When its age was written into the audit. */
    dueNotedAt: instant('due_noted_at'),
  },
  (t) => [
    ...platformTable(t),
    lookupTable(),
    // Global on purpose: a secret is found before its platform is known, and none is stored twice.
    uniqueIndex('api_key_secrets_digest').on(t.digest),
    index('api_key_secrets_key').on(t.platform, t.keyId),
    index('api_key_secrets_superseded')
      .on(t.platform, t.keyId)
      .where(sql`${t.supersededBy} is not null`),
    // What the sweepers look for, each in an index of what is still to be done.
    index('api_key_secrets_quiet')
      .on(t.platform, t.expiresAt)
      .where(sql`${t.quietSeconds} is not null`),
    index('api_key_secrets_due')
      .on(t.platform, t.createdAt)
      .where(sql`${t.supersededBy} is null and ${t.dueNotedAt} is null`),
    foreignKey({ columns: [t.platform, t.keyId], foreignColumns: [apiKeys.platform, apiKeys.id] }),
    check('api_key_secrets_overlap_from', sql`${t.overlapFrom} in ('first_use', 'now')`),
    check('api_key_secrets_digest_size', sql`octet_length(${t.digest}) = 32`),
  ],
)

/** Who changed what. Written in the transaction of the change, and never again. */
export const auditEvents = postern.table(
  'audit_events',
  {
    ...platformColumns(),
    id: exactText().notNull().default(sql`'evt_' || replace(gen_random_uuid()::text, '-', '')`),
    at: instant('at').notNull().defaultNow(),
    action: exactText().notNull(),
    actorKind: exactText('actor_kind').notNull(),
    actorId: exactText('actor_id').notNull(),
    address: exactText(),
    requestId: exactText('request_id'),
    resourceKind: exactText('resource_kind').notNull(),
    resourceId: exactText('resource_id').notNull(),
    /** Field -> [before, after]; a secret is dots. */
    changes: jsonb().notNull().default({}),
  },
  (t) => [
    ...platformTable(t, 'platform_log'),
    index('audit_events_at').on(t.platform, t.at, t.id),
    index('audit_events_resource').on(t.platform, t.resourceId, t.at, t.id),
    index('audit_events_actor').on(t.platform, t.actorId, t.at, t.id),
  ],
)

/** Requests that are carried out once however often they are sent. The id is a digest of scope and key. */
export const idempotencyKeys = postern.table(
  'idempotency_keys',
  {
    ...platformColumns(),
    id: exactText().notNull(),
    /** SHA-256 of the request. */
    digest: bytea().notNull(),
    /** Who is carrying it out. */
    claim: exactText().notNull(),
    state: exactText().notNull().default('in_progress'),
    status: integer(),
    body: exactText(),
    sealed: bytea(),
    createdAt: createdAt(),
    expiresAt: instant('expires_at').notNull(),
  },
  (t) => [
    ...platformTable(t, 'platform_passing'),
    index('idempotency_keys_expires').on(t.platform, t.expiresAt),
    index('idempotency_keys_sealed')
      .on(t.platform, t.createdAt)
      .where(sql`${t.sealed} is not null`),
    check('idempotency_keys_state', sql`${t.state} in ('in_progress', 'done')`),
  ],
)

/** What a key did on a day (UTC). A trigger of drizzle/rls.sql lets these rows only grow. */
export const usageDays = postern.table(
  'usage_days',
  {
    ...platformColumns(),
    keyId: exactText('key_id').notNull(),
    day: date().notNull(),
    environment: exactText().notNull(),
    billable: boolean().notNull(),
    requests: count('requests'),
    errors: count('errors'),
    bytesIn: count('bytes_in'),
    bytesOut: count('bytes_out'),
    lastUsedAt: instant('last_used_at').notNull(),
    lastAddress: exactText('last_address'),
    lastOrigin: exactText('last_origin'),
  },
  (t) => [
    primaryKey({ columns: [t.platform, t.keyId, t.day] }),
    platformPolicy('platform_scope'),
    foreignKey({ columns: [t.platform, t.keyId], foreignColumns: [apiKeys.platform, apiKeys.id] }),
    check('usage_days_billable', sql`${t.billable} = (${t.environment} = 'live')`),
    check(
      'usage_days_counts',
      sql`least(${t.requests}, ${t.errors}, ${t.bytesIn}, ${t.bytesOut}) >= 0`,
    ),
  ],
)

/** Batches of usage that have been added, so that one sent again is not added again. */
export const usageBatches = postern.table(
  'usage_batches',
  { ...platformColumns(), id: exactText().notNull(), createdAt: createdAt() },
  (t) => [
    ...platformTable(t, 'platform_passing'),
    index('usage_batches_created').on(t.platform, t.createdAt),
  ],
)

/** What this database is called where several share a place: made once, by the first node. */
export const deployment = postern.table(
  'deployment',
  {
    ...platformColumns(),
    id: exactText().notNull(),
    name: exactText().notNull().default(sql`replace(gen_random_uuid()::text, '-', '')`),
    createdAt: createdAt(),
  },
  (t) => platformTable(t, 'platform_log'),
)

/**
 * The record between nodes, where PostgreSQL holds it: see src/runtime/node/signal/channel.ts. Its
 * three tables are not logged (drizzle/rls.sql): after a crash they are empty, which is found out.
 */
export const signalState = postern.table(
  'signal_state',
  {
    ...platformColumns(),
    id: exactText().notNull(),
    epoch: count('epoch'),
    /** Milliseconds since 1970, as in the other two. */
    bornMs: count('born_ms'),
    seenMs: count('seen_ms'),
  },
  (t) => platformTable(t, 'platform_passing'),
)

/** The live nodes of the record. */
export const signalNodes = postern.table(
  'signal_nodes',
  {
    ...platformColumns(),
    id: exactText().notNull(),
    heard: count('heard'),
    untilMs: count('until_ms'),
  },
  (t) => platformTable(t, 'platform_passing'),
)

/** The last entries of the record; the id is the epoch that an entry raised. */
export const signalEntries = postern.table(
  'signal_entries',
  {
    ...platformColumns(),
    id: exactText().notNull(),
    epoch: count('epoch'),
    entry: exactText().notNull(),
  },
  (t) => platformTable(t, 'platform_passing'),
)

/**
 * Versions of the master key that secrets were ever sealed under, by number, all on the platform
 * that operators belong to. The check value tells the key again and leads nowhere.
 */
export const masterKeys = postern.table(
  'master_keys',
  {
    ...platformColumns(),
    id: exactText().notNull(),
    /** HKDF of the master key. */
    checkValue: bytea('check_value').notNull(),
    createdAt: createdAt(),
    /** Nothing is sealed under it any more. */
    retiredAt: instant('retired_at'),
  },
  (t) => [
    ...platformTable(t),
    check('master_keys_check_size', sql`octet_length(${t.checkValue}) = 32`),
  ],
)
