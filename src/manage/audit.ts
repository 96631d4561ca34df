/**
 * Who changed what? Read only: the database grants nothing else. It tells of every key of the
 * platform, so it takes a caller that reaches all of it.
 */
import { z } from '@hono/zod-openapi'
import type { AuditEvent } from '../db/audit.ts'
import { Call, createPart, type ManageApp } from './call.ts'
import type { Desk } from './desk.ts'
import { endpoint, refusals } from './endpoint.ts'
import { exampleKey } from './examples.ts'
import { fields } from './faults.ts'
import { timeField } from './key-fields.ts'
import { answerNdjson, ndjsonType, wantsNdjson } from './ndjson.ts'
import { pageOf, pageQuery, platformQuery, timeOf } from './page.ts'

const eventObject = z
  .object({
    id: z.string(),
    object: z.literal('audit_event'),
    at: z.iso.datetime(),
    action: z.string(),
    actor: z.object({ type: z.string(), id: z.string() }),
    address: z.string().nullable(),
    request_id: z.string().nullable(),
    resource: z.object({ type: z.string(), id: z.string() }),
    changes: z.record(z.string(), z.tuple([z.unknown(), z.unknown()])),
  })
  .openapi('AuditEvent')

const example = {
  id: 'evt_4f0c9a7be1d84c62a5930b7d6e2f8a15',
  object: 'audit_event',
  at: '2026-11-25T09:30:00.000Z',
  action: 'api_key.updated',
  actor: { type: 'api_key', id: 'key_7a2c5e8b1d4f4a90b3c6d9e2f5a8b1c4' },
  address: '203.0.113.7',
  request_id: 'req_5f0c2d9e8b7a4c6d9e1f2a3b4c5d6e7f',
  resource: { type: 'api_key', id: exampleKey.id },
  changes: { name: ['checkout-live', 'checkout'] },
}

const id = (description: string) => z.string().max(100).optional().openapi({ description })

const read = endpoint(
  { asks: 'audit' },
  {
    method: 'get',
    path: '/audit-events',
    operationId: 'listAuditEvents',
    summary: 'Read the audit',
    description: `With Accept: ${ndjsonType}, every event that passes the filters, oldest first.`,
    tags: ['Audit'],
    request: {
      query: fields({
        ...pageQuery,
        ...platformQuery,
        actor: id('The id of who acted.'),
        action: id('`api_key.revoked` and so on.'),
        resource: id('The id of what was changed.'),
        since: timeField
          .optional()
          .openapi({ type: 'string', format: 'date-time', description: 'Not before.' }),
        until: timeField
          .optional()
          .openapi({ type: 'string', format: 'date-time', description: 'Before.' }),
      }),
    },
    responses: {
      200: {
        description: 'A page of events.',
        content: {
          'application/json': {
            schema: pageOf(eventObject),
            example: {
              success: true,
              object: 'list',
              data: [example],
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

/** The part of the API that tells what was changed. */
export function auditEvents({ audit, cursors, defer }: Desk): ManageApp {
  return createPart().openapi(read, async (c) => {
    const call = new Call(c)
    call.demandWhole('Reading the audit')
    const { limit, order, cursor, platform: _, ...filter } = c.req.valid('query')
    if (wantsNdjson(c.req.header('accept'))) {
      const rows = audit.exportAll(call.platform.id, filter)
      return answerNdjson(rows, show, defer)
    }
    const page = cursors.read(c, call.platform.id, { limit, order, cursor })
    const found = await audit.list(call.platform.id, { ...filter, ...page })
    return c.json(cursors.write(c, call.platform.id, found, show), 200)
  })
}

function show(event: AuditEvent): z.infer<typeof eventObject> {
  return {
    id: event.id,
    object: 'audit_event',
    at: timeOf(event.at),
    action: event.action,
    actor: { type: event.actor.kind, id: event.actor.id },
    address: event.address,
    request_id: event.requestId,
    resource: { type: event.resource.kind, id: event.resource.id },
    changes: Object.fromEntries(
      Object.entries(event.changes).map(([field, [before, after]]) => [field, [before, after]]),
    ),
  }
}
