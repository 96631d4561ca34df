/** How much was a key used? Its days as the meter wrote them; test traffic is never billable. */
import { z } from '@hono/zod-openapi'
import type { UsageDay } from '../db/usage.ts'
import { keyParams } from './api-keys.ts'
import { Call, createPart, type ManageApp } from './call.ts'
import type { Desk } from './desk.ts'
import { endpoint, refusals } from './endpoint.ts'
import { exampleKey } from './examples.ts'
import { fault, fields, refuse } from './faults.ts'
import { platformQuery, timeOf } from './page.ts'

const counts = { requests: z.int(), errors: z.int(), bytes_in: z.int(), bytes_out: z.int() }
const day = z.object({
  day: z.iso.date(),
  environment: z.enum(['test', 'live']),
  billable: z.boolean(),
  ...counts,
  last_used_at: z.iso.datetime(),
  last_address: z.string().nullable(),
  last_origin: z.string().nullable(),
})
const date = z.iso.date({ error: 'must be a day such as 2026-11-25' }).optional()

const usage = z.object({
  object: z.literal('usage'),
  key_id: z.string(),
  from: z.iso.date(),
  to: z.iso.date(),
  total: z.object(counts),
  days: z.array(day),
})

const read = endpoint(
  { asks: 'usage' },
  {
    method: 'get',
    path: '/api-keys/{id}/usage',
    operationId: 'getApiKeyUsage',
    summary: 'Read the use of an API key',
    description: 'By day (UTC), at most 366 of them; days without use are left out.',
    tags: ['API keys'],
    request: {
      params: keyParams,
      query: fields({
        ...platformQuery,
        from: date.openapi({ description: 'The first day. Default: 30 days up to `to`.' }),
        to: date.openapi({ description: 'The last day. Default: today.' }),
      }),
    },
    responses: {
      200: {
        description: 'The use.',
        content: {
          'application/json': {
            schema: z.object({ success: z.literal(true), data: usage }),
            example: {
              success: true,
              data: {
                object: 'usage',
                key_id: exampleKey.id,
                from: '2026-11-01',
                to: '2026-11-30',
                total: { requests: 0, errors: 0, bytes_in: 0, bytes_out: 0 },
                days: [],
              },
            },
          },
        },
      },
      ...refusals,
    },
  },
)

const dayMs = 86_400_000
const dayOf = (ms: number): string => timeOf(ms).slice(0, 10)

/** The part of the API that tells the use of keys. */
export function keyUsage({ keys, usage: store }: Desk): ManageApp {
  return createPart().openapi(read, async (c) => {
    const call = new Call(c)
    const { id } = c.req.valid('param')
    call.reached(await keys.find(call.platform.id, id))
    const query = c.req.valid('query')
    const to = query.to ?? dayOf(Date.now())
    const from = query.from ?? dayOf(Date.parse(to) - 29 * dayMs)
    const span = (Date.parse(to) - Date.parse(from)) / dayMs
    refuse(
      span >= 0 && span < 366 ? [] : [fault('query.from', 'must be at most 365 days before to')],
    )
    const days = await store.usageOf(call.platform.id, id, from, to)
    const sum = (pick: (day: UsageDay) => number) => days.reduce((all, one) => all + pick(one), 0)
    const data = {
      object: 'usage' as const,
      key_id: id,
      from,
      to,
      total: {
        requests: sum((one) => one.requests),
        errors: sum((one) => one.errors),
        bytes_in: sum((one) => one.bytesIn),
        bytes_out: sum((one) => one.bytesOut),
      },
      days: days.map((one) => ({
        day: one.day,
        environment: one.environment,
        billable: one.billable,
        requests: one.requests,
        errors: one.errors,
        bytes_in: one.bytesIn,
        bytes_out: one.bytesOut,
        last_used_at: timeOf(one.lastUsedAt),
        last_address: one.lastAddress,
        last_origin: one.lastOrigin,
      })),
    }
    return c.json({ success: true as const, data }, 200)
  })
}
