/** An API key as the management API shows it. Never a secret, never a digest of one. */
import { z } from '@hono/zod-openapi'
import type { EnvironmentName, Limit } from '../context.ts'
import type { KeyStatus, StoredKey, StoredSecret } from '../db/keys.ts'
import { wordOf } from './key-fields.ts'
import { timeOf, timeOrNull } from './page.ts'

/** How a key stands, in one word: the first of these that applies. */
export const keyStatuses = [
  'revoked',
  'expired',
  'disabled',
  'rotating',
  'expires_soon',
  'never_used',
  'active',
] as const satisfies readonly KeyStatus[]

const time = z.iso.datetime()
const words = z.array(z.string())
const limit = z.object({ name: z.string(), quota: z.int(), window_seconds: z.int() })

const secret = z.object({
  id: z.string(),
  last4: z.string(),
  created_at: time,
  first_used_at: time.nullable(),
  last_used_at: time.nullable(),
  last_used_from: z.string().nullable(),
  expires_at: time.nullable(),
  state: z.enum(['current', 'overlapping', 'ended']),
})

const shape = {
  id: z.string(),
  object: z.literal('api_key'),
  name: z.string(),
  type: z.string(),
  class: z.enum(['secret', 'publishable']),
  environment: z.enum(['test', 'live']),
  prefix: z.string(),
  ref: z.string(),
  last4: z.string(),
  created_at: time,
  created_by: z.object({ type: z.string(), id: z.string() }).nullable(),
  expires_at: time.nullable(),
  last_used: time.nullable(),
  last_used_at: time.nullable(),
  status: z.enum(keyStatuses),
  permissions: words,
  tenants: words.nullable(),
  restrictions: z.object({
    ips: words.nullable(),
    origins: words.nullable(),
    referrers: words.nullable(),
    endpoints: words.nullable(),
  }),
  rate_limit: z.union([limit, z.array(limit)]).nullable(),
  rotation: z.object({ due_at: time.nullable(), secrets: z.array(secret) }),
  metadata: z.record(z.string(), z.unknown()),
  etag: z.string(),
}

export const keyObject = z.object(shape).openapi('ApiKey')
export const issuedKeyObject = z
  .object({ ...shape, key: z.string() })
  .openapi('IssuedApiKey', { description: 'An API key, with the whole string, this once.' })

export type KeyObject = z.infer<typeof keyObject>

/** The strong validator (RFC 9110 8.8.3) of a row's version. */
export const etagOf = ({ version }: { readonly version: number }): string => `"${version}"`

/** Shows a key. `rotationMs`: after how long a secret is due to be replaced. */
export function showKey(
  key: StoredKey,
  rotationMs: Readonly<Record<EnvironmentName, number>>,
): KeyObject {
  const { ips, origins, referrers, endpoints } = key.restrictions
  const lastUsed = timeOrNull(key.lastUsedAt)
  return {
    id: key.id,
    object: 'api_key',
    name: key.name,
    type: wordOf(key),
    class: key.class,
    environment: key.environment,
    prefix: key.prefix,
    ref: key.ref,
    last4: key.last4,
    created_at: timeOf(key.createdAt),
    created_by: key.createdBy === null ? null : { type: key.createdBy.kind, id: key.createdBy.id },
    expires_at: timeOrNull(key.expiresAt),
    last_used: lastUsed,
    last_used_at: lastUsed,
    status: key.status,
    permissions: [...key.permissions],
    tenants: copy(key.tenants),
    restrictions: {
      ips: copy(ips),
      origins: copy(origins),
      referrers: copy(referrers),
      endpoints: copy(endpoints),
    },
    rate_limit: showLimits(key.limits),
    rotation: {
      due_at: dueAt(key, rotationMs[key.environment]),
      secrets: key.secrets.map(showSecret),
    },
    metadata: { ...key.metadata },
    etag: etagOf(key),
  }
}

const copy = (words: readonly string[] | null): string[] | null => words && [...words]

/** What is read can be sent back: one limit as an object, several as a list. */
function showLimits(limits: readonly Limit[] | null): KeyObject['rate_limit'] {
  if (limits === null) return null
  const shown = limits.map(({ name, quota, windowSeconds }) => ({
    name,
    quota,
    window_seconds: windowSeconds,
  }))
  return shown.length === 1 ? (shown[0] ?? null) : shown
}

function dueAt({ status, secrets }: StoredKey, rotationMs: number): string | null {
  const current = secrets[0]
  if (current === undefined || status === 'revoked' || status === 'expired') return null
  return timeOf(current.createdAt + rotationMs)
}

function showSecret(one: StoredSecret): KeyObject['rotation']['secrets'][number] {
  return {
    id: one.id,
    last4: one.last4,
    created_at: timeOf(one.createdAt),
    first_used_at: timeOrNull(one.firstUsedAt),
    last_used_at: timeOrNull(one.lastUsedAt),
    last_used_from: one.lastUsedFrom,
    expires_at: timeOrNull(one.expiresAt),
    state: one.state,
  }
}
