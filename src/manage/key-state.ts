/**
 * API keys end, stop and go on. What takes a key away says in its answer since when no node takes it
 * (receipt.ts); here it is dead at its next request (threats V7). It refuses to raise a key that is
 * revoked, and lets nobody enable one that is stronger than his own.
 */
import { z } from '@hono/zod-openapi'
import {
  altered,
  answered,
  emptyBody,
  held,
  heldAnswer,
  keyAnswer,
  keyParams,
  named,
  onPlatform,
  onPlatformWaiting,
} from './api-keys.ts'
import { createPart, type ManageApp, type ManageContext, settled } from './call.ts'
import { boundsOf, type Desk, demandWithin } from './desk.ts'
import { endpoint, refusals } from './endpoint.ts'
import { exampleKey } from './examples.ts'
import { exampleReceipt, waitMsOf } from './receipt.ts'

const told = held.extend({ message: z.string() })

const revoke = endpoint(
  { asks: 'keys' },
  {
    method: 'delete',
    path: '/api-keys/{id}',
    operationId: 'deleteApiKey',
    summary: 'Revoke an API key',
    description:
      'For good. The row stays, for the audit. The answer waits until every node refuses the key, and says since when.',
    tags: ['API keys'],
    request: { params: keyParams, query: onPlatformWaiting },
    responses: {
      200: answered('It is revoked.', told, {
        success: true,
        message: 'API key revoked successfully',
        data: { ...exampleKey, status: 'revoked' },
        ...exampleReceipt,
      }),
      ...refusals,
    },
  },
)

const act = <const Verb extends 'revoke' | 'disable'>(verb: Verb, summary: string) =>
  endpoint(
    { asks: 'keys' },
    {
      method: 'post',
      path: `/api-keys/{id}/${verb}`,
      operationId: `${verb}ApiKey`,
      summary,
      description: 'The answer waits until every node goes by it, and says since when.',
      tags: ['API keys'],
      request: { params: keyParams, query: onPlatformWaiting, body: emptyBody },
      responses: heldAnswer('The key as it is now.'),
    },
  )

const enable = endpoint(
  { asks: 'keys' },
  {
    method: 'post',
    path: '/api-keys/{id}/enable',
    operationId: 'enableApiKey',
    summary: 'Enable a disabled API key',
    tags: ['API keys'],
    request: { params: keyParams, query: onPlatform, body: emptyBody },
    responses: keyAnswer('The key as it is now.'),
  },
)

/** The part of the API that ends and stops keys. */
export function keyStates(desk: Desk): ManageApp {
  const { keys } = desk

  async function end(c: ManageContext, id: string, waitMs: number) {
    const { call } = await named(desk, c, id)
    const { platform, acting } = call
    return altered(
      desk,
      call,
      id,
      waitMs,
      async () => settled(await keys.revoke(platform.id, id, acting)).key,
    )
  }

  async function setDisabled(c: ManageContext, id: string, disabled: boolean, waitMs: number) {
    const { call, key: before } = await named(desk, c, id)
    const { platform, acting } = call
    // Whoever disabled a stronger key had a reason.
    if (!disabled) demandWithin(await boundsOf(desk, call), before, 'path')
    return altered(
      desk,
      call,
      id,
      waitMs,
      async () => settled(await keys.setDisabled(platform.id, id, disabled, acting)).key,
    )
  }

  return createPart()
    .openapi(revoke, async (c) => {
      const waitMs = waitMsOf(c.req.valid('query').wait)
      const { body, receipt } = await end(c, c.req.valid('param').id, waitMs)
      const message = 'API key revoked successfully'
      return c.json({ success: true as const, message, data: body.data, ...receipt }, 200)
    })
    .openapi(act('revoke', 'Revoke an API key'), async (c) => {
      const waitMs = waitMsOf(c.req.valid('query').wait)
      const { body, receipt } = await end(c, c.req.valid('param').id, waitMs)
      return c.json({ ...body, ...receipt }, 200)
    })
    .openapi(act('disable', 'Disable an API key'), async (c) => {
      const waitMs = waitMsOf(c.req.valid('query').wait)
      const { body, receipt } = await setDisabled(c, c.req.valid('param').id, true, waitMs)
      return c.json({ ...body, ...receipt }, 200)
    })
    .openapi(enable, async (c) => {
      const { body } = await setDisabled(c, c.req.valid('param').id, false, 0)
      return c.json(body, 200)
    })
}
