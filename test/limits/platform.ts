import type { KeyRecord, Limit, LimitPlan, Platform, Route } from '../../src/context.ts'

export const limit = (quota: number, windowSeconds: number, more: Partial<Limit> = {}): Limit => ({
  name: 'limit',
  quota,
  windowSeconds,
  onStoreDown: 'local',
  ...more,
})

const none: LimitPlan = {
  environments: { test: { key: [], tenant: [] }, live: { key: [], tenant: [] } },
  classes: {},
}

/** A platform with these limits for the keys and tenants of both environments. */
export function platformOf(
  key: readonly Limit[],
  tenant: readonly Limit[] = [],
  more: Partial<Platform> = {},
): Platform {
  return {
    id: 'plt_one',
    slug: 'one',
    name: 'One',
    scheme: {
      name: 'azotte',
      prefixes: [],
      adopted: [],
      headers: ['x-api-key'],
      tenancy: 'required',
    },
    hosts: [],
    port: null,
    vocabulary: 'slash',
    docsUrl: null,
    issuer: 'urn:postern:test',
    upstreams: [],
    testMode: 'sandbox',
    openapi: null,
    permissions: [],
    limits: { ...none, environments: { test: { key, tenant }, live: { key, tenant } } },
    routes: [],
    ...more,
  }
}

export const routeOf = (more: Partial<Route> = {}): Route => ({
  id: 'things',
  path: '/v1/things',
  methods: null,
  handler: 'things',
  hosts: [],
  upstream: null,
  sandbox: null,
  secrets: null,
  rewrite: null,
  cors: null,
  permission: null,
  classes: ['secret'],
  environments: ['test', 'live'],
  cost: 1,
  limits: [],
  bodyBytesMax: 0,
  jsonOnly: false,
  requireHttps: false,
  encodedSlash: false,
  ...more,
})

export const recordOf = (more: Partial<KeyRecord> = {}): KeyRecord => ({
  id: 'key_one',
  platform: 'plt_one',
  environment: 'live',
  class: 'secret',
  name: 'one',
  prefix: 'sk_live_',
  ref: 'k7Gh2Qm9x',
  last4: '0000',
  secretId: 'sec_1',
  tenants: null,
  permissions: [],
  restrictions: { ips: null, origins: null, referrers: null, endpoints: null },
  limits: null,
  expiresAt: null,
  revoked: false,
  disabled: false,
  pepperVersion: 1,
  ...more,
})
