/**
 * The shape of postern.yaml: every field, its default and what it is for. The JSON Schema that
 * editors use comes from here, and so does docs/config.md's test. Routes and upstreams have files of
 * their own; what concerns more than one field stands in cross.ts.
 */
import * as z from 'zod'
import { presets } from '../keys/schemes.ts'
import {
  cidr,
  duration,
  durationOrOff,
  environment,
  hostName,
  judged,
  keyClass,
  limits,
  list,
  seconds,
  section,
  text,
  url,
  whole,
  word,
  yesNo,
} from './fields.ts'
import { basePathFault } from './path.ts'
import { route } from './route-schema.ts'
import { upstream } from './upstream-schema.ts'

/** Operator keys belong to no platform. */
export const presetNames = Object.keys(presets).filter((name) => name !== 'operator')

const permissionWord = () =>
  text(new RegExp(`^${word}$`), 'must be 1 to 32 of a-z 0-9 _ -, starting with a letter')

const prefix = (pattern: RegExp, says: string) =>
  section({
    prefix: text(pattern, says).describe('What every such key starts with.'),
    class: keyClass().describe('secret stays on servers; publishable may be in a browser.'),
    environment: environment().describe('The environment these keys belong to.'),
  })

const scheme = () =>
  z.union([
    z.enum(presetNames),
    section({
      preset: z.enum(presetNames).optional().describe('Start from a preset. This, or prefixes.'),
      prefixes: list(
        prefix(
          /^(?=.{2,32}$)[a-z][a-z0-9]*(?:_[a-z0-9]+)*_$/,
          'must be lower-case words that each end in _, such as acme_live_',
        ),
      )
        .min(1, { error: 'must name at least one prefix' })
        .optional()
        .describe('A scheme of your own. This, or preset.'),
      headers: list(z.enum(['x-api-key', 'authorization']))
        .min(1, { error: 'must name at least one header' })
        .optional()
        .describe(
          'The headers a key may come in; the first is the one to document. Default: both.',
        ),
      tenant: z
        .enum(['required', 'implied', 'none'])
        .optional()
        .describe('How callers name their tenant. Default: as the preset, else required.'),
    }),
  ])

const environmentFields = (key: string, tenant: string) => ({
  limits: section({
    key: limits().prefault([key]).describe('For each API key.'),
    tenant: limits().prefault([tenant]).describe('For each tenant, all its keys together.'),
  })
    .prefault({})
    .describe('Default limits of this environment. An empty list: no limit.'),
})

const testEnvironment = () =>
  section({
    ...environmentFields('100/min', '500/min'),
    mode: z
      .enum(['mock', 'sandbox', 'discard'])
      .optional()
      .describe(
        'What answers test keys. mock: the OpenAPI document; sandbox: handlers on test rows, and upstreams; discard: the same, and nothing that handlers write stays. Default: as the preset, else sandbox.',
      ),
  })

const platform = () =>
  section({
    id: text(/^plt_[a-z0-9]{1,32}$/, 'must be plt_ and 1 to 32 of a-z 0-9').describe(
      'What rows carry. Choose once; it stays when the slug changes.',
    ),
    slug: text(
      /^[a-z](?:[a-z0-9-]{0,30}[a-z0-9])?$/,
      'must be 1 to 32 of a-z 0-9 -, starting with a letter and not ending in -',
    ).describe('A short name for commands and variables.'),
    name: text(
      /^[^\x00-\x1f\x7f-\x9f\u2028\u2029]{1,100}$/,
      'must be 1 to 100 characters on one line',
    )
      .optional()
      .describe('The name people read. Default: the slug.'),
    scheme: scheme()
      .default('azotte')
      .describe('How keys look and where they are sent: a preset, or a scheme of your own.'),
    adopted: list(prefix(/^[A-Za-z0-9._~+/-]{2,32}$/, 'must be 2 to 32 of A-Z a-z 0-9 . _ ~ + / -'))
      .default([])
      .describe('Prefixes of keys issued elsewhere: they have no checksum of ours.'),
    hosts: list(hostName())
      .default([])
      .describe('The host names of this platform, without port. None: all there are.'),
    port: whole(1, 65_535).optional().describe('A listener of its own.'),
    vocabulary: z
      .enum(['slash', 'azotte', 'theazo'])
      .default('slash')
      .describe('Whose words error.code uses.'),
    docsUrl: url().optional().describe('Where error pages live. Default: the gateway serves them.'),
    issuer: url()
      .optional()
      .describe('Who signs identity tokens (iss). Default: urn:postern: and the id.'),
    permissions: z
      .record(permissionWord(), list(permissionWord()).min(1, { error: 'must name an action' }), {
        error: 'must be a tree of services and their actions, such as data: [read, write]',
      })
      .default({})
      .describe('Every permission there is, as service: [action, action].'),
    openapi: text(/^[^\x00-\x1f\x7f]{1,1024}$/, 'must be the path of a file')
      .optional()
      .describe('The OpenAPI document that mocks answer from, from the folder of this file.'),
    environments: section({
      test: testEnvironment().prefault({}).describe('Defaults 100/min, 500/min.'),
      live: section(environmentFields('1000/min', '5000/min'))
        .prefault({})
        .describe('Defaults 1000/min, 5000/min.'),
    })
      .prefault({})
      .describe('What differs between test and live.'),
    classes: section({
      secret: section({ limits: limits() }).optional(),
      publishable: section({ limits: limits().prefault(['100/min']) }).prefault({}),
    })
      .prefault({})
      .describe(
        "Limits of a class of keys; they win over the environment's. publishable: 100/min.",
      ),
    upstreams: list(upstream())
      .max(1000, { error: 'has more than 1000 upstreams' })
      .default([])
      .describe('The services that routes forward to.'),
    routes: list(route()).min(1, { error: 'must name at least one route' }),
    seed: list(
      section({
        id: text(
          /^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$/,
          'must be 1 to 63 of A-Z a-z 0-9 _ -, starting with a letter or a digit',
        ).describe('The tenant, as it stands in x-tn.'),
        suspended: yesNo().default(false).describe('Refuse every call for it.'),
      }),
    )
      .default([])
      .describe('Tenants with example rows, made at the first start.'),
  })

export const fileSchema = section({
  version: z.literal(1, { error: 'must be 1, the only version there is' }),
  platforms: list(platform())
    .min(1, { error: 'must name at least one platform' })
    .describe('The API products guarded by this deployment. They never see each other.'),
  server: section({
    publicUrl: url()
      .optional()
      .describe('Where callers reach the gateway. Default: as they call it.'),
    trustedProxies: list(cidr())
      .default([])
      .describe('Proxies in front whose X-Forwarded-For and -Proto are believed.'),
    shutdownDelay: duration('0s', '5min')
      .prefault('0s')
      .describe('How long /readyz says no after SIGTERM before connections are refused.'),
    shutdownGrace: duration('0s', '10min')
      .prefault('10s')
      .describe('How long requests under way may take after SIGTERM.'),
    nodes: whole(1, 1000)
      .default(1)
      .describe('Gates that share the Redis; without it, each enforces its part of a limit.'),
    overload: durationOrOff('10ms', '10s')
      .prefault('100ms')
      .describe('How much work may queue before requests get a 503, those of test first; or off.'),
  })
    .prefault({})
    .describe('The listener. Address and port come from HOST and PORT.'),
  storage: section({
    scope: z
      .enum(['hardened', 'plain'])
      .default('hardened')
      .describe(
        'hardened holds against SQL injected into a handler; plain does not, and is faster.',
      ),
    pooler: z
      .boolean()
      .default(false)
      .describe('A pooler between here and PostgreSQL pools by transaction, as PgBouncer does.'),
  })
    .prefault({})
    .describe('Where the data is comes from DATABASE_URL, REDIS_URL and POSTERN_DIR.'),
  keys: section({
    cache: section({
      known: whole(1, 10_000_000).default(150_000).describe('Keys that exist.'),
      unknown: whole(1, 10_000_000).default(20_000).describe('Keys that do not.'),
    })
      .prefault({})
      .describe('How many lookups are remembered in each process.'),
    positiveTtl: duration('0s', '1h')
      .prefault('1min')
      .describe('How long a known key is not read again while every change is heard.'),
    negativeTtl: duration('0s', '1h').prefault('5s').describe('How long a key stays unknown.'),
    outage: duration('0s', '1d')
      .prefault('15min')
      .describe(
        'How much longer a known key works while the database is away and changes are heard.',
      ),
    stale: duration('0s', '1d')
      .prefault('1min')
      .describe('How long a known key works cut off from the database and from the other nodes.'),
    failures: section({
      count: whole(1, 1_000_000).default(20).describe('Failures before 429.'),
      window: seconds('1d').prefault('1min').describe('Counted over this time.'),
    })
      .prefault({})
      .describe('Failed authentication, for each client address.'),
    lookupsPerAddress: whole(1, 10_000)
      .default(4)
      .describe('Keys not remembered that are looked up at once, for each client address.'),
  })
    .prefault({})
    .describe('How keys are verified.'),
  management: section({
    basePath: judged('must be a path such as /v1', basePathFault)
      .default('/v1')
      .describe('The path below which the management API is.'),
    hosts: list(hostName())
      .default([])
      .describe('The hosts that have the management API. None: every host.'),
    rotation: section({
      test: duration('1d', '3650d').prefault('180d').describe('For keys of test.'),
      live: duration('1d', '3650d').prefault('90d').describe('For keys of live.'),
    })
      .prefault({})
      .describe("After how long a key's secret is due to be rotated. Lists show it."),
  })
    .prefault({})
    .describe('The management API: keys, tenants, audit.'),
  log: section({
    level: z
      .enum(['debug', 'info', 'warn', 'error', 'silent'])
      .default('info')
      .describe('info has one line for each request.'),
  })
    .prefault({})
    .describe('Lines of JSON on standard error.'),
})

export type ConfigFile = z.output<typeof fileSchema>

/** The JSON Schema (draft 7, which editors know best) of what may be written, as a file's text. */
export function schemaText(): string {
  const schema = z.toJSONSchema(fileSchema, { target: 'draft-07', io: 'input', reused: 'inline' })
  return `${JSON.stringify({ title: 'postern.yaml', ...schema }, null, 2)}\n`
}
