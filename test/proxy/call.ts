/** Upstreams, principals and calls for the tests of the room, each with its usual values. */
import type {
  Credential,
  Exchange,
  Forward,
  Platform,
  Principal,
  Route,
  Target,
  Upstream,
} from '../../src/context.ts'
import { Balancers } from '../../src/proxy/balance.ts'
import { type Call, createProxy, type ProxyOptions } from '../../src/proxy/send.ts'
import { platformOf, routeOf } from '../limits/platform.ts'

export const targetOf = (origin: string, weight = 1): Target => ({ origin, weight })

export const upstreamOf = (more: Partial<Upstream> = {}): Upstream => ({
  name: 'things',
  audience: 'things',
  builtin: null,
  targets: [targetOf('http://10.0.0.1:8080')],
  host: null,
  allow: [],
  connectMs: 100,
  headersMs: 1000,
  idleMs: 1000,
  connectionsMax: 8,
  queueMax: 8,
  retries: 1,
  breaker: { failures: 5, openMs: 5000 },
  health: null,
  tls: { ca: null, cert: null, key: null, serverName: null },
  keepAuthorization: false,
  ...more,
})

const credential: Credential = {
  kind: 'api_key',
  id: 'key_1',
  secretId: 'sec_1',
  prefix: 'sk_live_',
  ref: 'k7Gh2Qm9x',
  last4: '0000',
}

export const principalOf = (more: Partial<Principal> = {}): Principal =>
  Object.freeze({
    platform: 'plt_one',
    environment: 'live',
    tenant: 'acme',
    class: 'secret',
    permissions: ['things:read', 'things:write'],
    credential,
    ...more,
  })

export const exchange: Exchange = {
  method: 'GET',
  target: '/v1/things',
  host: 'api.example.com',
  port: 0,
  clientAddress: '203.0.113.7',
  secure: true,
  origin: 'https://api.example.com',
  upgrade: false,
  rawHeaders: [],
  requestHeaders: new Headers(),
  request: new Request('https://api.example.com/v1/things'),
  hasBody: false,
  bodyUsed: false,
  reply: (response) => response,
}

export const callOf = (platform: Platform, more: Partial<Call> = {}): Call => ({
  platform,
  route: platform.routes[0] ?? routeOf(),
  principal: principalOf(),
  method: 'GET',
  path: '/v1/things',
  search: '',
  rawHeaders: [],
  clientAddress: '203.0.113.7',
  secure: true,
  host: 'api.example.com',
  requestId: 'req_1',
  hasBody: false,
  upgrade: false,
  placed: null,
  gate: {},
  exchange,
  onOpen: () => () => {},
  ...more,
})

/** A proxy over one upstream, and the platform whose only route leads there. */
export function proxyOver(
  upstream: Upstream,
  forward: Forward,
  more: Partial<ProxyOptions> & { readonly route?: Partial<Route> } = {},
) {
  const { route, ...options } = more
  const platform = platformOf([], [], {
    upstreams: [upstream],
    routes: [routeOf({ handler: null, upstream, ...route })],
  })
  const proxy = createProxy({
    platforms: [platform],
    balancers: new Balancers(),
    forward,
    identityFor: () => 'token',
    rewriteFor: () => null,
    now: () => 1000,
    ...options,
  })
  return { proxy, platform }
}
