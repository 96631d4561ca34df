/** The examples of the OpenAPI document. A test holds each of them against the running API. */
import type { KeyObject } from './key-object.ts'

const made = '2026-11-25T09:30:00.000Z'

export const exampleKey: KeyObject = {
  id: 'key_0d4f1b6a9c3e47d2b8a5f60c7e9d1a23',
  object: 'api_key',
  name: 'checkout-live',
  type: 'sk_live',
  class: 'secret',
  environment: 'live',
  prefix: 'sk_live_',
  ref: 'k7Gh2Qm9x',
  last4: 'w3Zp',
  created_at: made,
  created_by: { type: 'api_key', id: 'key_7a2c5e8b1d4f4a90b3c6d9e2f5a8b1c4' },
  expires_at: null,
  last_used: null,
  last_used_at: null,
  status: 'never_used',
  permissions: ['data:read'],
  tenants: null,
  restrictions: { ips: ['203.0.113.0/24'], origins: null, referrers: null, endpoints: null },
  rate_limit: { name: 'custom', quota: 100, window_seconds: 60 },
  rotation: {
    due_at: '2027-02-23T09:30:00.000Z',
    secrets: [
      {
        id: 'sec_5b8e2f1c4a7d40e3962b0c9f8d7a6e51',
        last4: 'w3Zp',
        created_at: made,
        first_used_at: null,
        last_used_at: null,
        last_used_from: null,
        expires_at: null,
        state: 'current',
      },
    ],
  },
  metadata: {},
  etag: '"1"',
}

/** Not a key: an ellipsis stands where the secret would. */
export const exampleIssued = { ...exampleKey, key: 'sk_live_k7Gh2Qm9x_…' }

export const exampleTenant = {
  id: 'tenant_abc123',
  object: 'tenant' as const,
  status: 'active' as const,
  suspended_at: null,
  metadata: { plan: 'team' },
  created_at: made,
  updated_at: made,
  etag: '"1"',
}
