/** Platforms, upstreams and principals to make identity tokens for. */
import { parseConfig } from '../../src/config.ts'
import type { Platform, Principal, Upstream } from '../../src/context.ts'
import { exampleConfig } from '../gate-process.ts'

/** The platform of postern.yaml under another id. */
export function platformOf(id: string): Platform {
  const text = exampleConfig.replace('id: plt_acme', `id: ${id}`)
  const parsed = parseConfig(text, 'postern.yaml', { PORT: '0' }, ['subscriptions'])
  const [platform] = parsed.ok ? parsed.config.platforms : []
  if (platform === undefined) throw new Error('the example is no config')
  return platform
}

export const upstreamOf = (audience: string): Upstream => ({
  name: audience,
  audience,
  builtin: null,
  targets: [{ origin: 'http://127.0.0.1:1', weight: 1 }],
  host: null,
  allow: [],
  connectMs: 1000,
  headersMs: 1000,
  idleMs: 1000,
  connectionsMax: 1,
  queueMax: 1,
  retries: 0,
  breaker: { failures: 1, openMs: 1000 },
  health: null,
  tls: { ca: null, cert: null, key: null, serverName: null },
  keepAuthorization: false,
})

export const principalOf = (
  platform: Pick<Platform, 'id'>,
  changes: Partial<Principal> = {},
): Principal => ({
  platform: platform.id,
  environment: 'live',
  tenant: 'tenant_abc123',
  class: 'secret',
  permissions: ['vec:read', 'data:*'],
  credential: {
    ...{ kind: 'api_key', id: 'key_1', secretId: 'sec_1' },
    ...{ prefix: 'sk_live_', ref: 'k7Gh2Qm9x', last4: 'wxyz' },
  },
  ...changes,
})
