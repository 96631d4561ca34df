/**
 * The platform's customers: made, described, suspended, resumed. A key that is bound to tenants sees
 * those and changes none, or a suspended tenant's own key could resume it.
 */
import { z } from '@hono/zod-openapi'
import type { StoredTenant } from '../db/tenants.ts'
import { Problem } from '../problem.ts'
import { demandMatch, emptyBody, ifMatch, onPlatform, patched } from './api-keys.ts'
import { Call, createPart, type ManageApp, type ManageContext, settled } from './call.ts'
import type { Desk } from './desk.ts'
import { endpoint, refusals } from './endpoint.ts'
import { exampleTenant } from './examples.ts'
import { fault, fields, refuse, word } from './faults.ts'
import { metadataField, tenantId } from './key-fields.ts'
import { etagOf } from './key-object.ts'
import { pageOf, pageQuery, platformQuery, timeOf, timeOrNull } from './page.ts'

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

const act = <const Verb extends 'suspend' | 'resume'>(verb: Verb, summary: string) =>
  endpoint(
    { asks: 'keys' },
    {
      method: 'post',
      path: `/tenants/{id}/${verb}`,
      operationId: `${verb}Tenant`,
      summary,
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

  async function setSuspended(c: ManageContext, id: string, suspended: boolean) {
    const call = writer(c)
    const done = await store.setSuspended(call.platform.id, id, suspended, call.acting)
    const { tenant } = settled(done)
    desk.forgetTenants()
    return { success: true as const, data: show(tenant) }
  }

  return createPart()
    .openapi(create, async (c) => {
      const call = writer(c)
      const { id, metadata = {} } = c.req.valid('json')
      const none = call.platform.scheme.tenancy === 'none'
      refuse(none ? [fault('body.id', 'this platform has no tenants')] : [])
      const tenant = settled(await store.create(call.platform.id, { id, metadata }, call.acting))
      desk.forgetTenants()
      c.header('location', `${c.req.path}/${tenant.id}`)
      c.header('etag', etagOf(tenant))
      return c.json({ success: true as const, data: show(tenant) }, 201)
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
      const changed = settled(await store.update(platform.id, id, version, { metadata }, acting))
      c.header('etag', etagOf(changed))
      return c.json({ success: true as const, data: show(changed) }, 200)
    })
    .openapi(act('suspend', 'Suspend a tenant'), async (c) =>
      c.json(await setSuspended(c, c.req.valid('param').id, true), 200),
    )
    .openapi(act('resume', 'Resume a tenant'), async (c) =>
      c.json(await setSuspended(c, c.req.valid('param').id, false), 200),
    )

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
