/**
 * Keys come from elsewhere and go elsewhere, a line of JSON for each. What comes is known by its
 * string or by the SHA-256 of it, under a prefix that the platform adopts, and works as it is. What
 * goes has no string, for there is none: it goes with what is stored, which is worth nothing without
 * the pepper.
 *
 * Every line is judged before any is stored, and each like a key that is made here: nobody imports
 * more than he holds.
 */
import { z } from '@hono/zod-openapi'
import type { KeyPrefix, Platform } from '../context.ts'
import type { ExportedKey, Imported, NewKey } from '../db/keys.ts'
import { parseKey, storedDigest, wrapDigest } from '../keys/format.ts'
import { newId } from '../lib/id.ts'
import { parseJson } from '../lib/json.ts'
import { type FieldError, Problem } from '../problem.ts'
import { onPlatform } from './api-keys.ts'
import { Call, type Caller, createPart, type ManageApp, settled } from './call.ts'
import { boundsOf, type Desk, demandWithin, tenantFaults } from './desk.ts'
import { endpoint, refusals } from './endpoint.ts'
import { fault, faultsOf, fields, invalid, refuse, text } from './faults.ts'
import { draftFaults, draftOf } from './key-draft.ts'
import { powerFields } from './key-fields.ts'
import { answerNdjson, ndjsonType } from './ndjson.ts'
import type { Power } from './power.ts'
import { announced } from './receipt.ts'

const keysMax = 20_000
const importBytesMax = 33_554_432

const importedKey = fields({
  ...powerFields,
  id: text(/^key_[0-9a-f]{32}$/, 'must be an id as Postern makes them').optional(),
  prefix: text(/^[A-Za-z0-9._~+/-]{2,32}$/, 'must be a prefix of this platform').optional(),
  ref: text(/^[0-9A-Za-z]{9}$/, 'must be the 9 characters after the prefix').optional(),
  last4: text(/^[!-~]{4}$/, 'must be the last four characters').optional(),
  key: text(/^[!-~]{1,512}$/, 'must be the whole key').optional(),
  sha256: text(
    /^[A-Za-z0-9+/_=-]{43,64}$/,
    'must be 32 bytes in hex, base64 or base64url',
  ).optional(),
  hmac_sha256: text(/^[0-9a-f]{64}$/, 'must be 32 bytes in hex').optional(),
  pepper_version: z.int({ error: 'must be a whole number' }).min(1).optional(),
})
type Line = z.output<typeof importedKey>

const bring = endpoint(
  { asks: 'keys', ndjson: true, bodyBytesMax: importBytesMax },
  {
    method: 'post',
    path: '/api-keys/import',
    operationId: 'importApiKeys',
    summary: 'Adopt keys from elsewhere',
    description: `At most ${keysMax} keys, as ${ndjsonType} or as a JSON list; each by its string (key), the SHA-256 of it (sha256), or as export gave it (hmac_sha256). One fault, and none is stored.`,
    tags: ['API keys'],
    request: {
      query: onPlatform,
      body: {
        required: true,
        content: {
          'application/json': {
            schema: { type: 'array', items: { $ref: '#/components/schemas/ImportedApiKey' } },
            example: [
              {
                name: 'from the old system',
                prefix: 'old_',
                sha256: '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08',
                last4: 'x9Qa',
                permissions: ['data:read'],
              },
            ],
          },
          [ndjsonType]: { schema: { type: 'string' } },
        },
      },
    },
    responses: {
      200: {
        description: 'What became of each, in its order.',
        content: {
          'application/json': {
            schema: z.object({
              success: z.literal(true),
              data: z.object({
                imported: z.int(),
                conflicts: z.int(),
                keys: z.array(
                  z.object({
                    id: z.string(),
                    name: z.string(),
                    outcome: z.enum(['imported', 'conflict']),
                  }),
                ),
              }),
            }),
            example: {
              success: true,
              data: {
                imported: 1,
                conflicts: 0,
                keys: [
                  {
                    id: 'key_2b7d9f1e5c8a43b0a6d4e2f1908c7b5a',
                    name: 'from the old system',
                    outcome: 'imported',
                  },
                ],
              },
            },
          },
        },
      },
      ...refusals,
    },
  },
)

const take = endpoint(
  { asks: 'keys' },
  {
    method: 'get',
    path: '/api-keys/export',
    operationId: 'exportApiKeys',
    summary: 'Take all keys elsewhere',
    description:
      'A line of JSON for each key that still works, as import takes it. hmac_sha256 is HMAC-SHA-256 under the pepper of that version, of the SHA-256 of the key.',
    tags: ['API keys'],
    request: { query: onPlatform },
    responses: {
      200: { description: 'The keys.', content: { [ndjsonType]: { schema: { type: 'string' } } } },
      ...refusals,
    },
  },
)

/** The part of the API that moves keys in and out. */
export function moving(desk: Desk): ManageApp {
  const part = createPart()
  part.openAPIRegistry.register('ImportedApiKey', importedKey)
  return part
    .openapi(bring, async (c) => {
      const call = new Call(c)
      const { platform } = call
      const lines = linesOf(c.env.caller, c.req.header('content-type'))
      const bounds = await boundsOf(desk, call)
      const keys = read(lines, platform, bounds, desk.pepper)
      const tenants = [...new Set(keys.flatMap((key) => key.tenants ?? []))]
      refuse(tenants.length > 1000 ? [fault('body', 'binds keys to more than 1000 tenants')] : [])
      refuse(await tenantFaults(desk, call, tenants.length === 0 ? null : tenants))
      // One of them tells for all: whoever hears of a key asks again about those it did not know.
      const change = { kind: 'key', platform: platform.id, id: keys[0]?.id ?? '' } as const
      const { result } = await announced(desk, change, 0, () =>
        desk.keys.importMany(platform.id, keys, call.acting),
      )
      // Announced also where it ended early: what was committed before stays.
      const outcomes: readonly Imported[] = settled(result)
      const imported = outcomes.filter(({ outcome }) => outcome === 'imported').length
      const data = {
        imported,
        conflicts: outcomes.length - imported,
        keys: outcomes.map(({ id, outcome }, index) => ({
          id,
          name: keys[index]?.name ?? '',
          outcome,
        })),
      }
      return c.json({ success: true as const, data }, 200)
    })
    .openapi(take, (c) => {
      const call = new Call(c)
      call.demandWhole('Exporting keys')
      const rows = working(desk.keys.exportAll(call.platform.id))
      return answerNdjson(rows, showExported, desk.defer)
    })
}

/** The keys of the body, unread. Throws where it is neither JSON nor lines of it. */
function linesOf({ body }: Caller, type = ''): readonly unknown[] {
  if (/json\s*(?:;|$)/i.test(type) && !type.includes('ndjson')) {
    if (!Array.isArray(body?.value)) throw invalid([fault('body', 'must be a list of keys')])
    return counted(body.value)
  }
  if (!type.toLowerCase().startsWith(ndjsonType)) {
    const detail = `Send Content-Type: ${ndjsonType}, or application/json with a list.`
    throw new Problem('request/unsupported_media_type', { detail })
  }
  const texts = (body?.text ?? '').split('\n').filter((line) => line.trim() !== '')
  return counted(texts).map((line, index) => {
    const parsed = parseJson(line)
    if (parsed.ok) return parsed.value
    throw new Problem('request/malformed', { detail: `Key ${index + 1}: ${parsed.reason}.` })
  })
}

function counted<Item>(items: readonly Item[]): readonly Item[] {
  if (items.length > 0 && items.length <= keysMax) return items
  throw invalid([fault('body', `must have 1 to ${keysMax} keys`)])
}

function read(
  lines: readonly unknown[],
  platform: Platform,
  bounds: Power | null,
  pepper: Desk['pepper'],
): NewKey[] {
  const faults: FieldError[] = []
  const keys: NewKey[] = []
  for (const [index, line] of lines.entries()) {
    const at = `body[${index}]`
    const shape = importedKey.safeParse(line)
    if (!shape.success) {
      faults.push(...faultsOf(shape.error.issues, 'body', line).map((one) => movedTo(at, one)))
      continue
    }
    const input = shape.data
    const secret = secretOf(input, platform, pepper, at)
    if ('message' in secret) {
      faults.push(secret)
      continue
    }
    const draft = draftOf(input, secret.prefix, bounds)
    const found = draftFaults(input, draft, platform, at)
    faults.push(...found)
    if (found.length > 0 || faults.length > 100) continue
    demandWithin(bounds, draft, at)
    keys.push({
      ...draft,
      id: input.id ?? newId('key_'),
      name: input.name,
      prefix: secret.prefix.prefix,
      ref: input.ref ?? secret.ref,
      metadata: input.metadata ?? {},
      secret: secret.stored,
    })
  }
  refuse(faults)
  return keys
}

const movedTo = (at: string, one: FieldError): FieldError => ({
  ...one,
  location: one.location.replace(/^body/, at),
})

type Secret = {
  readonly prefix: KeyPrefix
  readonly ref: string
  readonly stored: NewKey['secret']
}

/** Which prefix a key has, and what is stored of its secret. */
function secretOf(
  { key, sha256, hmac_sha256, prefix, last4, pepper_version }: Line,
  { scheme }: Platform,
  pepper: Desk['pepper'],
  at: string,
): Secret | FieldError {
  const given = [key, sha256, hmac_sha256].filter((one) => one !== undefined)
  if (given.length !== 1) return fault(at, 'must have one of key, sha256 and hmac_sha256')
  if (key !== undefined) {
    const parsed = parseKey(key, scheme)
    if (!parsed.ok) return fault(`${at}.key`, 'has no prefix that this platform adopts')
    const stored = {
      pepperVersion: pepper.version,
      digest: storedDigest(key, pepper.bytes),
      last4: parsed.last4,
    }
    return { prefix: parsed.prefix, ref: parsed.ref, stored }
  }
  const known = [...scheme.adopted, ...(hmac_sha256 === undefined ? [] : scheme.prefixes)]
  const found = known.find((one) => one.prefix === prefix)
  if (found === undefined) return fault(`${at}.prefix`, 'is no prefix that this platform adopts')
  if (last4 === undefined) return fault(`${at}.last4`, 'is required: people know a key by it')
  if (sha256 !== undefined) {
    const plain = digestIn(sha256)
    if (plain === null) return fault(`${at}.sha256`, 'must be 32 bytes in hex, base64 or base64url')
    const stored = { pepperVersion: pepper.version, digest: wrapDigest(plain, pepper.bytes), last4 }
    return { prefix: found, ref: '', stored }
  }
  if (pepper_version === undefined) return fault(`${at}.pepper_version`, 'is required')
  const digest = digestIn(hmac_sha256 ?? '') ?? new Uint8Array(32)
  return { prefix: found, ref: '', stored: { pepperVersion: pepper_version, digest, last4 } }
}

/** 32 bytes from hex, base64 or base64url. */
function digestIn(digest: string): Uint8Array | null {
  if (/^[0-9a-f]{64}$/i.test(digest)) {
    return Uint8Array.from(digest.match(/../g) ?? [], (byte) => Number.parseInt(byte, 16))
  }
  // 43 digits hold 258 bits: the last two must be none.
  if (!/^[A-Za-z0-9+/_-]{42}[AEIMQUYcgkosw048]=?$/.test(digest)) return null
  const binary = atob(digest.replace('=', '').replaceAll('-', '+').replaceAll('_', '/'))
  return Uint8Array.from(binary, (character) => character.charCodeAt(0))
}

/** A key that is dead stays behind: to bring it elsewhere would raise it. */
async function* working(rows: AsyncIterable<ExportedKey>): AsyncIterable<ExportedKey> {
  for await (const row of rows) {
    const { status } = row.key
    if (status !== 'revoked' && status !== 'expired' && status !== 'disabled') yield row
  }
}

function showExported({ key, secrets }: ExportedKey): Record<string, unknown> {
  const current = secrets.find(({ id }) => id === key.secrets[0]?.id) ?? secrets[0]
  const hex = [...(current?.digest ?? [])].map((byte) => byte.toString(16).padStart(2, '0'))
  return {
    id: key.id,
    name: key.name,
    prefix: key.prefix,
    ...(key.ref !== '' && { ref: key.ref }),
    last4: key.last4,
    tenants: key.tenants,
    permissions: key.permissions,
    restrictions: key.restrictions,
    rate_limit:
      key.limits?.map(({ name, quota, windowSeconds }) => ({
        name,
        quota,
        window_seconds: windowSeconds,
      })) ?? null,
    expires_at: key.expiresAt === null ? null : new Date(key.expiresAt).toISOString(),
    metadata: key.metadata,
    hmac_sha256: hex.join(''),
    pepper_version: current?.pepperVersion ?? 0,
  }
}
