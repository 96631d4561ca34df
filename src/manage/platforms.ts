/** What is configured, for reading: the platforms that the caller reaches, and their permissions. */
import { z } from '@hono/zod-openapi'
import type { Platform } from '../context.ts'
import { keyPattern } from '../keys/format.ts'
import { onPlatform } from './api-keys.ts'
import { Call, createPart, type ManageApp } from './call.ts'
import { endpoint, refusals } from './endpoint.ts'
import { wordOf } from './key-fields.ts'
import { pageOf } from './page.ts'

const platformObject = z
  .object({
    id: z.string(),
    object: z.literal('platform'),
    slug: z.string(),
    name: z.string(),
    scheme: z.string(),
    tenancy: z.enum(['required', 'implied', 'none']),
    hosts: z.array(z.string()),
    key_types: z.array(
      z.object({
        type: z.string(),
        prefix: z.string(),
        /** For secret scanners (threats K16). */
        pattern: z.string(),
        class: z.enum(['secret', 'publishable']),
        environment: z.enum(['test', 'live']),
      }),
    ),
  })
  .openapi('Platform')

const serviceObject = z
  .object({
    object: z.literal('permission_group'),
    service: z.string(),
    permission: z.string(),
    actions: z.array(z.object({ action: z.string(), permission: z.string() })),
  })
  .openapi('PermissionGroup')

const whole = <Item>(data: Item[]) => ({
  success: true as const,
  object: 'list' as const,
  data,
  has_more: false,
  next_cursor: null,
})

const readPlatforms = endpoint(
  { asks: 'any' },
  {
    method: 'get',
    path: '/platforms',
    operationId: 'listPlatforms',
    summary: 'List the platforms that this key reaches',
    tags: ['Platforms'],
    request: { query: onPlatform },
    responses: {
      200: {
        description: 'The platforms.',
        content: {
          'application/json': {
            schema: pageOf(platformObject),
            example: whole([
              {
                id: 'plt_acme',
                object: 'platform',
                slug: 'acme',
                name: 'Acme',
                scheme: 'azotte',
                tenancy: 'required',
                hosts: [],
                key_types: [
                  {
                    ...{ type: 'sk_live', prefix: 'sk_live_', pattern: keyPattern('sk_live_') },
                    ...{ class: 'secret', environment: 'live' },
                  },
                ],
              },
            ]),
          },
        },
      },
      ...refusals,
    },
  },
)

const readPermissions = endpoint(
  { asks: 'keys' },
  {
    method: 'get',
    path: '/permissions',
    operationId: 'listPermissions',
    summary: 'Read the tree of permissions',
    description: 'A key may also hold `service:*`, `*` and `self:rotate`.',
    tags: ['Platforms'],
    request: { query: onPlatform },
    responses: {
      200: {
        description: 'The services and their actions.',
        content: {
          'application/json': {
            schema: pageOf(serviceObject),
            example: whole([
              {
                object: 'permission_group',
                service: 'data',
                permission: 'data:*',
                actions: [{ action: 'read', permission: 'data:read' }],
              },
            ]),
          },
        },
      },
      ...refusals,
    },
  },
)

/** The part of the API about what postern.yaml says. */
export function platforms(): ManageApp {
  return createPart()
    .openapi(readPlatforms, (c) => {
      const { caller, platforms: all } = c.env
      const asked = c.req.query('platform')
      const reached = caller.operator && asked === undefined ? all : [new Call(c).platform]
      return c.json(whole(reached.map(show)), 200)
    })
    .openapi(readPermissions, (c) => c.json(whole(treeOf(new Call(c).platform)), 200))
}

function show({ id, slug, name, scheme, hosts }: Platform): z.infer<typeof platformObject> {
  return {
    id,
    object: 'platform',
    slug,
    name,
    scheme: scheme.name,
    tenancy: scheme.tenancy,
    hosts: [...hosts],
    key_types: scheme.prefixes.map((one) => ({
      type: wordOf(one),
      prefix: one.prefix,
      pattern: keyPattern(one.prefix),
      class: one.class,
      environment: one.environment,
    })),
  }
}

function treeOf({ permissions }: Platform): z.infer<typeof serviceObject>[] {
  const services = Map.groupBy(permissions, (one) => one.slice(0, one.indexOf(':')))
  return [...services].map(([service, own]) => ({
    object: 'permission_group',
    service,
    permission: `${service}:*`,
    actions: own.map((permission) => ({
      action: permission.slice(service.length + 1),
      permission,
    })),
  }))
}
