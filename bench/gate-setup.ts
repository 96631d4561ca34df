/** What a gate of the bench is set up with: its postern.yaml, and the keys that it knows. */
import { generateKey, storedDigest } from '../src/keys/format.ts'
import { withClient } from '../test/database.ts'

/** As JSON on the command line of bench/server.ts. What is left out is as small as it can be. */
export type GateSetup = {
  /** How it counts where it has a Redis; `leased`. Gates that count differently share no count. */
  readonly counting?: 'leased' | 'exact'
  /** What it forwards to; null: it answers from a handler. */
  readonly upstreamUrl?: string | null
  /** Routes, all to one handler: `/v1/hello`, and `/v1/r1` and so on. Only without an upstream. */
  readonly routes?: number
  /** Limits of each key, on windows of one minute, two, and so on: 8 at most. */
  readonly keyLimits?: number
  /** Keys to store beside those of the first start, and the file to write them to, one a line. */
  readonly keys?: { readonly count: number; readonly file: string }
}

const ownRoute = (path: string): string => `
      - { path: ${path}, methods: [GET], handler: hello, permission: data:read }`

/** The paths of a gate with so many routes. */
export const pathsOf = (routes: number): string[] =>
  Array.from({ length: routes }, (_, at) => (at === 0 ? '/v1/hello' : `/v1/r${at}`))

/** To the paths of bench/proxy-servers.ts; what may be large is not held to the usual size. */
const forwardedRoutes = `
      - { path: /v1/hello, methods: [GET], upstream: bench, permission: data:read }
      - { path: /v1/large, methods: [GET], upstream: bench, permission: data:read }
      - path: /v1/sink
        methods: [POST]
        upstream: bench
        permission: data:read
        body: { maxBytes: 2000000000 }`

/** Every slow client of bench/slow-clients.ts may hold a connection to it. */
const upstreamAt = (url: string): string => `
    upstreams:
      - { name: bench, url: "${url}", allow: [127.0.0.0/8], connections: 4000 }`

/**
 * The platform that is measured: every check of the gate, and limits that count but never refuse. The
 * queue is watched as ever, and refused only when the bench has failed in any case.
 */
export function platformFile(setup: GateSetup): string {
  const { counting = 'leased', upstreamUrl = null, routes = 1, keyLimits = 1 } = setup
  const limit = (minutes: number) =>
    `{ name: m${minutes}, quota: 100000000, window: ${minutes}min, counting: ${counting} }`
  const ofKey = Array.from({ length: keyLimits }, (_, at) => limit(at + 1)).join(', ')
  return `
version: 1
platforms:
  - id: plt_${counting}
    slug: bench
    scheme: azotte
    permissions: { data: [read] }
    environments:
      live: { limits: { key: [${ofKey}], tenant: [${limit(1)}] } }${upstreamUrl === null ? '' : upstreamAt(upstreamUrl)}
    routes:${upstreamUrl === null ? pathsOf(routes).map(ownRoute).join('') : forwardedRoutes}
    seed:
      - id: tenant_abc123
      - id: tenant_xyz789
keys: { failures: { count: 1000000, window: 1min } }
log: { level: silent }
server: { overload: 10s }
`
}

/** Stores live secret keys for all tenants as the API makes them, by the owner; answers their strings. */
export async function storeKeys(
  ownerUrl: string,
  platform: string,
  pepper: { readonly version: number; readonly bytes: Uint8Array },
  count: number,
): Promise<string[]> {
  const made = Array.from({ length: count }, () => generateKey('sk_live_'))
  await withClient(ownerUrl, async (client) => {
    await client.query(
      `insert into postern.api_keys (platform, id, environment, class, name, prefix, ref, permissions)
       select $1, 'key_' || i, 'live', 'secret', 'key ' || i, 'sk_live_', ref, '{data:read}'
       from unnest($2::text[]) with ordinality as made (ref, i)`,
      [platform, made.map(({ ref }) => ref)],
    )
    await client.query(
      `insert into postern.api_key_secrets (platform, key_id, digest, pepper_version, last4)
       select $1, 'key_' || i, decode(digest, 'hex'), $2, last4
       from unnest($3::text[], $4::text[]) with ordinality as made (digest, last4, i)`,
      [
        platform,
        pepper.version,
        made.map(({ key }) => Buffer.from(storedDigest(key, pepper.bytes)).toString('hex')),
        made.map(({ last4 }) => last4),
      ],
    )
    await client.query('analyze postern.api_keys, postern.api_key_secrets')
  })
  return made.map(({ key }) => key)
}
