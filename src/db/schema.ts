/**
 * What is stored. Schema `public` holds tenant tables: a row belongs to one tenant of one
 * environment, and a handler sees no other. Schema `postern` holds the gateway's own tables: a row
 * belongs to one platform, and only the gateway role reaches them.
 *
 * Platforms, routes and permissions are not here: they are configuration. No API key is here
 * either, only HMACs of digests of one (threats K4). After a change, `npx drizzle-kit generate`
 * writes the migration and the catalog test judges it.
 */
import { sql } from 'drizzle-orm'
import {
  check,
  customType,
  foreignKey,
  index,
  integer,
  jsonb,
  pgSchema,
  pgTable,
  text,
  timestamp,
  uniqueIndex,
} from 'drizzle-orm/pg-core'
import {
  exactText,
  lookupTable,
  platformColumns,
  platformTable,
  tenantColumns,
  tenantTable,
} from './policies.ts'

// Not exported: drizzle/roles.sql makes this schema, since policies and defaults need its functions.
const postern = pgSchema('postern')

const bytea = customType<{ data: Uint8Array }>({ dataType: () => 'bytea' })
const createdAt = () => timestamp('created_at', { withTimezone: true }).notNull().defaultNow()
const updatedAt = () => timestamp('updated_at', { withTimezone: true }).notNull().defaultNow()

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

/** The platforms' customers. A suspended one keeps its rows and is refused. */
export const tenants = postern.table(
  'tenants',
  {
    ...platformColumns(),
    id: exactText().notNull(),
    suspendedAt: timestamp('suspended_at', { withTimezone: true }),
    metadata: jsonb().notNull().default({}),
    createdAt: createdAt(),
    updatedAt: updatedAt(),
  },
  (t) => [
    ...platformTable(t),
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
    createdAt: createdAt(),
    updatedAt: updatedAt(),
  },
  (t) => [
    ...platformTable(t),
    lookupTable(),
    uniqueIndex('api_keys_ref').on(t.platform, t.ref).where(sql`${t.ref} <> ''`),
    check('api_keys_environment', sql`${t.environment} in ('test', 'live')`),
    check('api_keys_class', sql`${t.class} in ('secret', 'publishable')`),
  ],
)

/** The live secrets of an API key: several while one is being rotated out. */
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
  },
  (t) => [
    ...platformTable(t),
    lookupTable(),
    // Global on purpose: a secret is found before its platform is known, and none is stored twice.
    uniqueIndex('api_key_secrets_digest').on(t.digest),
    index('api_key_secrets_key').on(t.platform, t.keyId),
    foreignKey({ columns: [t.platform, t.keyId], foreignColumns: [apiKeys.platform, apiKeys.id] }),
    check('api_key_secrets_digest_size', sql`octet_length(${t.digest}) = 32`),
  ],
)
