/**
 * The platform's customers: made, described, suspended, resumed. A key that is bound to tenants sees
 * those and changes none, or a suspended tenant's own key could resume it.
 */
import { z } from '@hono/zod-openapi'
import type { StoredTenant } from '../db/tenants.ts'
import { Problem } from '../problem.ts'
import {
  demandMatch,
  emptyBody,
  ifMatch,
  onPlatform,
  onPlatformWaiting,
  patched,
} from './api-keys.ts'
import { Call, createPart, type ManageApp, type ManageContext, settled } from './call.ts'
import type { Desk } from './desk.ts'
import { endpoint, refusals } from './endpoint.ts'
import { exampleTenant } from './examples.ts'
import { fault, fields, refuse, word } from './faults.ts'
import { metadataField, tenantId } from './key-fields.ts'
import { etagOf } from './key-object.ts'
import { pageOf, pageQuery, platformQuery, timeOf, timeOrNull } from './page.ts'
import { announced, exampleReceipt, receiptFields, waitMsOf } from './receipt.ts'

const tenantObject = z
  .object({
    id: z.string(),
    object: z.literal('tenant'),
    status: z.enum(['active', 'suspended']),
    suspended_at: z.iso.datetime().nullable(),
    metadata: z.record(z.string(), z.unknown()),
    created_at: z.iso.datetime(),
    updated_at: z.iso.datetime(),
    etag: z.string(),
  })
  .openapi('Tenant')

function show(tenant: StoredTenant): z.infer<typeof tenantObject> {
  return {
    id: tenant.id,
    object: 'tenant',
    status: tenant.suspendedAt === null ? 'active' : 'suspended',
    suspended_at: timeOrNull(tenant.suspendedAt),
    metadata: { ...tenant.metadata },
    created_at: timeOf(tenant.createdAt),
    updated_at: timeOf(tenant.updatedAt),
    etag: etagOf(tenant),
  }
}

const one = z.object({ success: z.literal(true), data: tenantObject })
const params = z.object({
  id: z.string().openapi({ description: 'The id of a tenant.', example: exampleTenant.id }),
})
const answer = (description: string) => ({
  description,
  content: { 'application/json': { schema: one, example: { success: true, data: exampleTenant } } },
})

const create = endpoint(
  { asks: 'keys' },
  {
    method: 'post',
    path: '/tenants',
    operationId: 'createTenant',
    summary: 'Add a tenant',
    tags: ['Tenants'],
    request: {
      query: onPlatform,
      body: {
        required: true,
        content: {
          'application/json': {
            schema: fields({
              id: tenantId,
              metadata: metadataField.optional(),
              platform: platformQuery.platform,
            }),
            example: { id: 'tenant_new', metadata: { plan: 'team' } },
          },
        },
      },
    },
    responses: { 201: answer('The tenant.'), ...refusals },
  },
)

const readAll = endpoint(
  { asks: 'keys' },
  {
    method: 'get',
    path: '/tenants',
    operationId: 'listTenants',
    summary: 'List tenants',
    tags: ['Tenants'],
    request: {
      query: fields({
        ...pageQuery,
        ...platformQuery,
        status: word(['active', 'suspended']).optional(),
      }),
    },
    responses: {
      200: {
        description: 'A page of tenants.',
        content: {
          'application/json': {
            schema: pageOf(tenantObject),
            example: {
              success: true,
              object: 'list',
              data: [exampleTenant],
              has_more: false,
              next_cursor: null,
            },
          },
        },
      },
      ...refusals,
    },
  },
)

const readOne = endpoint(
  { asks: 'keys' },
  {
    method: 'get',
    path: '/tenants/{id}',
    operationId: 'getTenant',
    summary: 'Read a tenant',
    tags: ['Tenants'],
    request: { params, query: onPlatform },
    responses: { 200: answer('The tenant.'), ...refusals },
  },
)

const change = endpoint(
  { asks: 'keys' },
  {
    method: 'patch',
    path: '/tenants/{id}',
    operationId: 'updateTenant',
    summary: 'Describe a tenant',
    description: 'A JSON Merge Patch (RFC 7396). Needs If-Match with the ETag that was read.',
    tags: ['Tenants'],
    request: {
      params,
      query: onPlatform,
      headers: ifMatch,
      body: {
        required: true,
        content: {
          'application/json': {
            schema: fields({ metadata: metadataField, platform: platformQuery.platform }),
            example: { metadata: { plan: 'team' } },
          },
        },
      },
    },
    responses: { 200: answer('The tenant as it is now.'), ...refusals },
  },
)

const suspend = endpoint(
  { asks: 'keys' },
  {
    method: 'post',
    path: '/tenants/{id}/suspend',
    operationId: 'suspendTenant',
    summary: 'Suspend a tenant',
    description: 'The answer waits until every node refuses the tenant, and says since when.',
    tags: ['Tenants'],
    request: { params, query: onPlatformWaiting, body: emptyBody },
    responses: {
      200: {
        description: 'The tenant as it is now.',
        content: {
          'application/json': {
            schema: one.extend(receiptFields),
            example: { success: true, data: exampleTenant, ...exampleReceipt },
          },
        },
      },
      ...refusals,
    },
  },
)

const resume = endpoint(
  { asks: 'keys' },
  {
    method: 'post',
    path: '/tenants/{id}/resume',
    operationId: 'resumeTenant',
    summary: 'Resume a tenant',
    tags: ['Tenants'],
    request: { params, query: onPlatform, body: emptyBody },
    responses: { 200: answer('The tenant as it is now.'), ...refusals },
  },
)

/** The part of the API about tenants. */
export function tenants(desk: Desk): ManageApp {
  const { tenants: store, cursors } = desk

  function writer(c: ManageContext): Call {
    const call = new Call(c)
    call.demandWhole('Changing tenants')
    return call
  }

  /** Makes a change of one tenant, and tells every node. */
  async function altered(
    { platform }: Call,
    id: string,
    waitMs: number,
    work: () => Promise<StoredTenant>,
  ) {
    const change = { kind: 'tenant', platform: platform.id, id } as const
    const { result, receipt } = await announced(desk, change, waitMs, work)
    return { tenant: result, receipt, body: { success: true as const, data: show(result) } }
  }

  async function setSuspended(c: ManageContext, id: string, suspended: boolean, waitMs: number) {
    const call = writer(c)
    const { platform, acting } = call
    return altered(
      call,
      id,
      waitMs,
      async () => settled(await store.setSuspended(platform.id, id, suspended, acting)).tenant,
    )
  }

  return createPart()
    .openapi(create, async (c) => {
      const call = writer(c)
      const { id, metadata = {} } = c.req.valid('json')
      const none = call.platform.scheme.tenancy === 'none'
      refuse(none ? [fault('body.id', 'this platform has no tenants')] : [])
      const { tenant, body } = await altered(call, id, 0, async () =>
        settled(await store.create(call.platform.id, { id, metadata }, call.acting)),
      )
      c.header('location', `${c.req.path}/${tenant.id}`)
      c.header('etag', etagOf(tenant))
      return c.json(body, 201)
    })
    .openapi(readAll, async (c) => {
      const call = new Call(c)
      const { platform } = call
      const query = c.req.valid('query')
      const page = cursors.read(c, platform.id, query)
      const suspended = query.status === undefined ? null : query.status === 'suspended'
      const found =
        call.tenants === null
          ? await store.list(platform.id, { suspended, ...page })
          : { rows: await own(call, suspended), next: null }
      return c.json(cursors.write(c, platform.id, found, show), 200)
    })
    .openapi(readOne, async (c) => {
      const call = new Call(c)
      const tenant = await reached(call, c.req.valid('param').id)
      c.header('etag', etagOf(tenant))
      return c.json({ success: true as const, data: show(tenant) }, 200)
    })
    .openapi(change, async (c) => {
      const call = writer(c)
      const { id } = c.req.valid('param')
      const before = await reached(call, id)
      const version = demandMatch(c.req.valid('header')['if-match'], before)
      const metadata = patched(before.metadata, c.req.valid('json').metadata)
      const { platform, acting } = call
      const { tenant, body } = await altered(call, id, 0, async () =>
        settled(await store.update(platform.id, id, version, { metadata }, acting)),
      )
      c.header('etag', etagOf(tenant))
      return c.json(body, 200)
    })
    .openapi(suspend, async (c) => {
      const waitMs = waitMsOf(c.req.valid('query').wait)
      const { body, receipt } = await setSuspended(c, c.req.valid('param').id, true, waitMs)
      return c.json({ ...body, ...receipt }, 200)
    })
    .openapi(resume, async (c) => {
      const { body } = await setSuspended(c, c.req.valid('param').id, false, 0)
      return c.json(body, 200)
    })

  async function reached({ tenants: bound, platform }: Call, id: string): Promise<StoredTenant> {
    const tenant = bound === null || bound.includes(id) ? await store.find(platform.id, id) : null
    if (tenant === null) throw new Problem('resource/not_found')
    return tenant
  }

  /** Those that the caller is bound to, of which there are a hundred at most: one page. */
  async function own({ tenants: bound, platform }: Call, suspended: boolean | null) {
    const found = await Promise.all((bound ?? []).map((id) => store.find(platform.id, id)))
    return found.filter(
      (one): one is StoredTenant =>
        one !== null && (suspended === null || (one.suspendedAt !== null) === suspended),
    )
  }
}
