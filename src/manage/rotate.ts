/**
 * Another secret for the same API key. The old one stays good for an overlap that begins when the new
 * one is first used, or at once; limits and counters know the key by its id and do not notice.
 *
 * The danger is the answer: it shows a whole key, so whoever rotates one could take its power. Only
 * what is inside the caller's own power is rotated, or, with `self:rotate`, the caller itself.
 */
import { z } from '@hono/zod-openapi'
import type { Scheme } from '../context.ts'
import type { StoredKey } from '../db/keys.ts'
import { generateKey, storedDigest } from '../keys/format.ts'
import { Problem } from '../problem.ts'
import { keyParams, onPlatformWaiting } from './api-keys.ts'
import { Call, createPart, type ManageApp, settled } from './call.ts'
import { boundsOf, type Desk, demandWithin } from './desk.ts'
import { endpoint, refusals } from './endpoint.ts'
import { exampleIssued } from './examples.ts'
import { fields, word } from './faults.ts'
import { etagOf, issuedKeyObject, showKey } from './key-object.ts'
import { platformQuery } from './page.ts'
import { announced, exampleReceipt, receiptFields, waitMsOf } from './receipt.ts'

const overlapSecondsMax = 7 * 86_400
const presets = {
  now: 0,
  '15min': 900,
  '1h': 3600,
  '24h': 86_400,
  '7d': overlapSecondsMax,
} as const
const presetNames = [
  'now',
  '15min',
  '1h',
  '24h',
  '7d',
] as const satisfies readonly (keyof typeof presets)[]
const overlapError = `must be seconds from 0 to ${overlapSecondsMax}, or one of ${presetNames.join(', ')}`

const rotation = fields({
  overlap: z
    .union([z.enum(presetNames), z.int().min(0).max(overlapSecondsMax)], { error: overlapError })
    .optional()
    .openapi({ description: 'How long the old secret stays good. Default: 24h.' }),
  overlap_from: word(['first_use', 'now']).optional().openapi({
    description: 'When that begins: with the first use of the new secret (default), or now.',
  }),
  end_after_quiet_hours: z
    .number({ error: 'must be hours from 1 to 168' })
    .min(1, { error: 'must be hours from 1 to 168' })
    .max(168, { error: 'must be hours from 1 to 168' })
    .optional()
    .openapi({ description: 'End it sooner, once the old secret has been silent for so long.' }),
  platform: platformQuery.platform,
})

const rotate = endpoint(
  { asks: 'rotate' },
  {
    method: 'post',
    path: '/api-keys/{id}/rotate',
    operationId: 'rotateApiKey',
    summary: 'Give an API key another secret',
    description:
      'Answers the whole key once. `self` is the calling key; with the permission self:rotate it may do this and nothing else. Where a secret ends at once, the answer waits until every node refuses it, and says since when.',
    tags: ['API keys'],
    request: {
      params: keyParams,
      query: onPlatformWaiting,
      body: {
        content: {
          'application/json': {
            schema: rotation,
            example: { overlap: '24h', overlap_from: 'first_use', end_after_quiet_hours: 2 },
          },
        },
      },
    },
    responses: {
      200: {
        description: 'The key with its new secret, this once.',
        content: {
          'application/json': {
            schema: z.object({
              success: z.literal(true),
              data: issuedKeyObject,
              ...receiptFields,
            }),
            example: { success: true, data: exampleIssued, ...exampleReceipt },
          },
        },
      },
      ...refusals,
    },
  },
)

/** The part of the API that rotates. */
export function rotations(desk: Desk): ManageApp {
  const { keys, pepper, rotationMs } = desk
  return createPart().openapi(rotate, async (c) => {
    const call = new Call(c)
    const { platform, record } = call
    const asked = c.req.valid('param').id
    const id = asked === 'self' ? record.id : asked
    const key = call.reached(await keys.find(platform.id, id))
    const bounds = id === record.id ? null : await boundsOf(desk, call)
    demandWithin(bounds, key, 'path')
    const { overlap = '24h', overlap_from: from = 'first_use', ...input } = c.req.valid('json')
    const quietHours = input.end_after_quiet_hours ?? null
    const made = generateKey(prefixFor(key, platform.scheme), key.ref === '' ? undefined : key.ref)
    const secret = {
      pepperVersion: pepper.version,
      digest: storedDigest(made.key, pepper.bytes),
      last4: made.last4,
    }
    const rotation = {
      secret,
      overlapSeconds: typeof overlap === 'number' ? overlap : presets[overlap],
      from,
      quietSeconds: quietHours === null ? null : Math.round(quietHours * 3600),
      // Of several at once, one: each would end the secret that another has just been shown.
      ifSecret: key.secrets[0]?.id ?? null,
    }
    const { wait } = c.req.valid('query')
    const ends = rotation.overlapSeconds === 0 || key.secrets.some(isOverlapping)
    const waitMs = ends || wait !== undefined ? waitMsOf(wait) : 0
    const change = { kind: 'key', platform: platform.id, id } as const
    const { result: rotated, receipt } = await announced(desk, change, waitMs, async () => {
      const answer = await keys.rotate(platform.id, id, rotation, call.acting)
      if (answer !== 'changed') return settled(answer)
      throw new Problem('resource/conflict', { detail: 'The key was rotated by another just now.' })
    })
    // It may have been made stronger in between: then nobody is shown the secret.
    demandWithin(bounds, rotated, 'path')
    c.header('etag', etagOf(rotated))
    const data = { ...showKey(rotated, rotationMs), key: made.key }
    return c.json({ success: true as const, data, ...receipt }, 200)
  })
}

/** Of two secrets that are good, a rotation ends the older at once. */
const isOverlapping = ({ state }: StoredKey['secrets'][number]): boolean => state === 'overlapping'

/**
 * What a new secret of this key begins with: its own prefix. A key that was adopted under a prefix
 * which the scheme does not issue cannot have another secret that works.
 */
function prefixFor({ prefix }: StoredKey, { prefixes }: Scheme): string {
  if (prefixes.some((one) => one.prefix === prefix)) return prefix
  const detail = 'This key was adopted under a prefix that is not issued here: create another key.'
  throw new Problem('resource/conflict', { detail })
}
