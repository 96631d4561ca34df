/**
 * Is this key good for that request, and why not? The gate's own checks in the gate's own order, of
 * what the caller says of the request; nothing is charged, and nothing that is not said is checked. A
 * bad key is an answer here, not a refusal. The danger is an oracle: a key that this caller does not
 * reach looks like one that does not exist.
 */
import { z } from '@hono/zod-openapi'
import type { KeyRecord, Platform } from '../context.ts'
import { authorize, type Demand } from '../keys/authorize.ts'
import { Problem, type ProblemCode, problems, type Refusal } from '../problem.ts'
import { canonicalPath } from '../routing.ts'
import { onPlatform } from './api-keys.ts'
import { Call, createPart, type ManageApp } from './call.ts'
import type { Desk } from './desk.ts'
import { endpoint, refusals } from './endpoint.ts'
import { fields, text } from './faults.ts'
import { tenantId } from './key-fields.ts'
import { keyObject, showKey } from './key-object.ts'
import { platformQuery } from './page.ts'

const line = (max: number) =>
  text(new RegExp(`^[ -~]{1,${max}}$`), `must be 1 to ${max} characters`)

const question = fields({
  key: line(512).openapi({ description: 'The whole key. It is not stored and not logged.' }),
  method: text(/^[A-Z]{1,16}$/, 'must be a method such as GET').optional(),
  path: line(4096).optional().openapi({ description: 'The path of the request, without query.' }),
  tenant: tenantId.optional(),
  ip: line(64).optional().openapi({ description: "The client's address." }),
  origin: line(512).optional().openapi({ description: 'The Origin header.' }),
  permission: line(65).optional().openapi({ description: 'A permission it should hold.' }),
  platform: platformQuery.platform,
})
type Question = z.output<typeof question>

const verdict = z.object({
  valid: z.boolean(),
  code: z.string().nullable(),
  status: z.int().nullable(),
  detail: z.string().nullable(),
  // Not `.nullable()`, which would make the component itself nullable in the document.
  key: z.union([keyObject, z.null()]),
})

const verify = endpoint(
  { asks: 'keys' },
  {
    method: 'post',
    path: '/api-keys/verify',
    operationId: 'verifyApiKey',
    summary: 'Ask whether a key is good, and for what',
    description:
      'Answers `valid: false` and the code that the gate would answer. Nothing is charged. What is left out is not checked.',
    tags: ['API keys'],
    request: {
      query: onPlatform,
      body: {
        required: true,
        content: {
          'application/json': {
            schema: question,
            example: {
              key: 'sk_live_k7Gh2Qm9x_mistyped',
              method: 'GET',
              path: '/v1/subscriptions',
            },
          },
        },
      },
    },
    responses: {
      200: {
        description: 'What the gate would say.',
        content: {
          'application/json': {
            schema: z.object({ success: z.literal(true), data: verdict }),
            example: {
              success: true,
              data: {
                valid: false,
                code: 'auth/malformed_key',
                status: 401,
                detail: problems['auth/malformed_key'].detail,
                key: null,
              },
            },
          },
        },
      },
      ...refusals,
    },
  },
)

/** The part of the API that says what a key is good for. */
export function verification(desk: Desk): ManageApp {
  const { verifier, keys, rotationMs } = desk
  return createPart().openapi(verify, async (c) => {
    const call = new Call(c)
    const { platform } = call
    const asked = c.req.valid('json')
    const now = Date.now()
    const { clientAddress } = c.env.caller
    const proof = await verifier.verifyNow(asked.key, platform, now, clientAddress)
    const known = proof.ok && call.reaches(proof.record) ? proof.record : null
    const unproven: Refusal | null = proof.ok ? null : proof.refusal
    const refusal =
      known === null
        ? (unproven ?? { code: 'auth/invalid_key' })
        : await judge(desk, platform, known, asked)
    // A store that is down, or a crowd at the door, says nothing about the key.
    if (refusal !== null && refusal.code in unjudged) throw Problem.of(refusal)
    const row = known === null ? null : await keys.find(platform.id, known.id)
    const data = {
      valid: refusal === null,
      code: refusal?.code ?? null,
      status: refusal === null ? null : problems[refusal.code].status,
      detail: refusal === null ? null : (refusal.detail ?? problems[refusal.code].detail),
      key: row === null ? null : showKey(row, rotationMs),
    }
    return c.json({ success: true as const, data }, 200)
  })
}

const unjudged: Partial<Record<ProblemCode, true>> = {
  'auth/unavailable': true,
  'auth/too_many_failures': true,
  'gateway/overloaded': true,
}

async function judge(
  { binder, router }: Desk,
  platform: Platform,
  record: KeyRecord,
  asked: Question,
): Promise<Refusal | null> {
  const { method = 'GET', path = '', tenant, permission, ip, origin } = asked
  let demand: Demand = {
    permission: null,
    classes: ['secret', 'publishable'],
    environments: ['test', 'live'],
  }
  if (asked.path !== undefined) {
    const canonical = canonicalPath(path, { encodedSlash: true })
    if ('code' in canonical) return canonical
    const route = router.match(platform, method, canonical.path, platform.hosts[0] ?? '')
    if ('code' in route) return route
    demand = route
  }
  if (asked.path !== undefined || tenant !== undefined) {
    const bound = await binder.bind(record, tenant ?? null, platform)
    if (!bound.ok) return bound.refusal
  }
  const { ips, origins, referrers, endpoints } = record.restrictions
  const restrictions = {
    ips: ip === undefined ? null : ips,
    origins: origin === undefined ? null : origins,
    referrers: origin === undefined ? null : referrers,
    endpoints: asked.path === undefined ? null : endpoints,
  }
  const headers = { get: (name: string) => (name === 'origin' ? (origin ?? null) : null) }
  const sent = { method, path, clientAddress: ip ?? '', headers }
  const held = { ...record, restrictions }
  const refusal = authorize(held, demand, sent)
  if (refusal !== null || permission === undefined) return refusal
  return authorize(held, { ...demand, permission }, sent)
}
