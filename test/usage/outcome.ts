/** Outcomes of requests, as the gate hands them to the meter. */
import type { Outcome } from '../../src/context.ts'

/** Of a request with that secret; null: with no key that was good. */
export const outcomeOf = (secret: string | null, more: Partial<Outcome> = {}): Outcome => ({
  ...{ requestId: 'req_1', method: 'GET', path: '/', route: 'r', tenant: null, origin: null },
  ...{ platform: 'plt_a', environment: 'live', clientAddress: '192.0.2.1', status: 200 },
  ...{
    code: null,
    cause: null,
    cost: 1,
    requestBytes: 10,
    responseBytes: 100,
    durationMs: 1,
    mocked: false,
  },
  credential:
    secret === null
      ? null
      : {
          ...{ kind: 'api_key', id: `key_of_${secret}`, secretId: secret },
          ...{ prefix: 'sk_live_', ref: 'r', last4: 'abcd' },
        },
  ...more,
})
