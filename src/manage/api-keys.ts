/**
 * API keys: made, shown, changed; what ends and stops them is in key-state.ts. A key can make, change
 * and rotate only what is inside its own power (power.ts), and what was changed is forgotten by every
 * node that can be reached before the answer goes (receipt.ts).
 */
import { z } from '@hono/zod-openapi'
import type { KeyFilter, StoredKey } from '../db/keys.ts'
import { generateKey, storedDigest } from '../keys/format.ts'
import { newId } from '../lib/id.ts'
import { Problem } from '../problem.ts'
import { Call, createPart, type ManageApp, type ManageContext, settled } from './call.ts'
import { boundsOf, type Desk, demandWithin, tenantFaults } from './desk.ts'
import { endpoint, refusals } from './endpoint.ts'
import { exampleIssued, exampleKey } from './examples.ts'
import { fields, invalid, refuse, word } from './faults.ts'
import { changesOf, draftFaults, draftOf } from './key-draft.ts'
import { kindFields, powerFields, prefixOf } from './key-fields.ts'
import { etagOf, issuedKeyObject, keyObject, keyStatuses, showKey } from './key-object.ts'
import { pageOf, pageQuery, platformQuery } from './page.ts'
import { announced, exampleReceipt, receiptFields, waitMsOf, waitQuery } from './receipt.ts'

export const keyParams = z.object({
  id: z.string().openapi({ description: 'The id of an API key.', example: exampleKey.id }),
})
export const onPlatform = fields(platformQuery)
/** The query of what ends or narrows. */
export const onPlatformWaiting = fields({ ...platformQuery, ...waitQuery })
/** A body that may be empty: an operator can name the platform in it. */
export const emptyBody = {
  content: { 'application/json': { schema: fields({ platform: platformQuery.platform }) } },
}

/** Demanded by `demandMatch`, which says 428 and not 400 where it is missing. */
export const ifMatch = z.object({
  'if-match': z
    .string()
    .optional()
    .openapi({
      param: { required: true },
      description: 'The `etag` that was read, or `*`.',
      example: '"1"',
    }),
})

/** An answer that shows one key. */
export const one = z.object({ success: z.literal(true), data: keyObject })
export const held = one.extend(receiptFields)
const issued = z.object({ success: z.literal(true), data: issuedKeyObject })

export const answered = <Schema extends z.ZodType>(
  description: string,
  schema: Schema,
  example: unknown,
) => ({
  description,
  content: { 'application/json': { schema, example } },
})
const shown = { success: true, data: exampleKey }
const heldExample = { ...shown, ...exampleReceipt }
/** What answers a change that takes something away. */
export const heldAnswer = (description: string) => ({
  200: answered(description, held, heldExample),
  ...refusals,
})
/** What answers another change of a key's state, or reads it. */
export const keyAnswer = (description: string) => ({
  200: answered(description, one, shown),
  ...refusals,
})

const create = endpoint(
  { asks: 'keys' },
  {
    method: 'post',
    path: '/api-keys',
    operationId: 'createApiKey',
    summary: 'Create an API key',
    description:
      'Answers the whole key once. A key can give away only what it holds itself; what is left out is as narrow as the calling key.',
    tags: ['API keys'],
    request: {
      query: onPlatform,
      body: {
        required: true,
        content: {
          'application/json': {
            schema: fields({ ...powerFields, ...kindFields, platform: platformQuery.platform }),
            example: {
              name: 'checkout-live',
              environment: 'live',
              permissions: ['data:read'],
              restrictions: { ips: ['203.0.113.0/24'] },
              rate_limit: { quota: 100, window_seconds: 60 },
            },
          },
        },
      },
    },
    responses: {
      201: answered('The key, this once.', issued, { success: true, data: exampleIssued }),
      ...refusals,
    },
  },
)

const readAll = endpoint(
  { asks: 'keys' },
  {
    method: 'get',
    path: '/api-keys',
    operationId: 'listApiKeys',
    summary: 'List API keys',
    tags: ['API keys'],
    request: {
      query: fields({
        ...pageQuery,
        ...platformQuery,
        environment: word(['test', 'live']).optional(),
        class: word(['secret', 'publishable']).optional(),
        status: word(keyStatuses).optional(),
        name: z.string().max(100).optional().openapi({ description: 'The whole name.' }),
        tenant: z.string().max(63).optional().openapi({ description: 'Keys that work for it.' }),
      }),
    },
    responses: {
      200: answered('A page of keys.', pageOf(keyObject), {
        success: true,
        object: 'list',
        data: [exampleKey],
        has_more: false,
        next_cursor: null,
      }),
      ...refusals,
    },
  },
)

const readOne = endpoint(
  { asks: 'keys' },
  {
    method: 'get',
    path: '/api-keys/{id}',
    operationId: 'getApiKey',
    summary: 'Read an API key',
    tags: ['API keys'],
    request: { params: keyParams, query: onPlatform },
    responses: keyAnswer('The key, without its secret.'),
  },
)

const { name, ...power } = powerFields
const change = endpoint(
  { asks: 'keys' },
  {
    method: 'patch',
    path: '/api-keys/{id}',
    operationId: 'updateApiKey',
    summary: 'Change an API key',
    description:
      'A JSON Merge Patch (RFC 7396): what is left out stays. Needs If-Match with the ETag that was read.',
    tags: ['API keys'],
    request: {
      params: keyParams,
      query: onPlatformWaiting,
      headers: ifMatch,
      body: {
        required: true,
        content: {
          'application/json': {
            schema: fields({ name: name.optional(), ...power, platform: platformQuery.platform }),
            example: { name: 'checkout', expires_at: '2037-01-31T00:00:00Z' },
          },
        },
      },
    },
    responses: heldAnswer('The key as it is now.'),
  },
)

/** The part of the API that makes, shows and changes keys. */
export function apiKeys(desk: Desk): ManageApp {
  const { keys, rotationMs, cursors, pepper } = desk
  const show = (key: StoredKey) => showKey(key, rotationMs)

  return createPart()
    .openapi(create, async (c) => {
      const call = new Call(c)
      const { platform } = call
      const input = c.req.valid('json')
      const prefix = prefixOf(platform, input)
      if ('message' in prefix) throw invalid([prefix])
      const bounds = await boundsOf(desk, call)
      const draft = draftOf(input, prefix, bounds)
      refuse(draftFaults(input, draft, platform))
      demandWithin(bounds, draft)
      refuse(await tenantFaults(desk, call, input.tenants ?? null))
      const { key, ref, last4 } = generateKey(prefix.prefix)
      const secret = {
        pepperVersion: pepper.version,
        digest: storedDigest(key, pepper.bytes),
        last4,
      }
      const row = {
        ...draft,
        id: newId('key_'),
        name: input.name,
        prefix: prefix.prefix,
        ref,
        metadata: input.metadata ?? {},
        secret,
      }
      const { key: made, body } = await altered(desk, call, row.id, 0, async () =>
        settled(await keys.create(platform.id, row, call.acting)),
      )
      c.header('location', `${c.req.path}/${made.id}`)
      c.header('etag', etagOf(made))
      return c.json({ ...body, data: { ...body.data, key } }, 201)
    })
    .openapi(readAll, async (c) => {
      const call = new Call(c)
      const { limit, order, cursor, platform: _, ...filter } = c.req.valid('query')
      const page = cursors.read(c, call.platform.id, { limit, order, cursor })
      const reach = within(call, filter)
      const found =
        reach === null
          ? { rows: [], next: null }
          : await keys.list(call.platform.id, { ...reach, ...page })
      return c.json(cursors.write(c, call.platform.id, found, show), 200)
    })
    .openapi(readOne, async (c) => {
      const { key } = await named(desk, c, c.req.valid('param').id)
      c.header('etag', etagOf(key))
      return c.json({ success: true as const, data: show(key) }, 200)
    })
    .openapi(change, async (c) => {
      const { id } = c.req.valid('param')
      const { call, key } = await named(desk, c, id)
      const version = demandMatch(c.req.valid('header')['if-match'], key)
      const input = c.req.valid('json')
      const bounds = await boundsOf(desk, call)
      const changes = changesOf(input, key)
      const after = { ...key, ...changes }
      refuse(draftFaults(input, after, call.platform))
      demandWithin(bounds, after)
      refuse(await tenantFaults(desk, call, input.tenants ?? null))
      const metadata = input.metadata && patched(key.metadata, input.metadata)
      const named_ = {
        ...changes,
        ...(input.name && { name: input.name }),
        ...(metadata && { metadata }),
      }
      const waitMs = waitMsOf(c.req.valid('query').wait)
      const changed = await altered(desk, call, id, waitMs, async () =>
        settled(await keys.update(call.platform.id, id, version, named_, call.acting)),
      )
      c.header('etag', etagOf(changed.key))
      return c.json({ ...changed.body, ...changed.receipt }, 200)
    })
}

/** The key that the path names, as far as this caller is concerned. */
export async function named(desk: Desk, c: ManageContext, id: string) {
  const call = new Call(c)
  return { call, key: call.reached(await desk.keys.find(call.platform.id, id)) }
}

/** Makes a change of one key, and tells every node. `body` is what answers it. */
export async function altered(
  desk: Desk,
  { platform }: Call,
  id: string,
  waitMs: number,
  work: () => Promise<StoredKey>,
) {
  const change = { kind: 'key', platform: platform.id, id } as const
  const { result: key, receipt } = await announced(desk, change, waitMs, work)
  const body = { success: true as const, data: showKey(key, desk.rotationMs) }
  return { key, receipt, body }
}

/** The filter, narrowed to what the caller reaches; null: nothing can pass both. */
function within(call: Call, filter: KeyFilter): KeyFilter | null {
  const testOnly = !call.operator && call.record.environment === 'test'
  if (testOnly && filter.environment === 'live') return null
  return { ...filter, ...(testOnly && { environment: 'test' }), within: call.tenants }
}

/**
 * The version that a change is for. `If-Match` compares strongly (RFC 9110 13.1.1), so a weak tag
 * never matches; `*` is whatever there is. Throws 428 without one, 412 when another is there.
 */
export function demandMatch(header: string | undefined, row: { readonly version: number }): number {
  if (header === undefined) throw new Problem('resource/precondition_required')
  const tags = header.split(',').map((tag) => tag.trim())
  if (!tags.includes('*') && !tags.includes(etagOf(row))) throw new Problem('resource/changed')
  return row.version
}

/** RFC 7396: null takes a name away. */
export function patched(
  before: Readonly<Record<string, unknown>>,
  changes: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries({ ...before, ...changes }).filter(([, value]) => value !== null),
  )
}
