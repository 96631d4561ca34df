/** The shape of a route: what can be called, who may, and what answers. */
import * as z from 'zod'
import {
  environment,
  hostName,
  judged,
  keyClass,
  limits,
  list,
  seconds,
  section,
  text,
  whole,
  word,
  yesNo,
} from './fields.ts'
import { pathFault } from './path.ts'
import { secretHeaders } from './secret-headers.ts'
import { upstreamName } from './upstream-schema.ts'

/** What an in-process handler can be asked for by name. */
export const handlerMethods: readonly string[] = [
  ...['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'],
]

/** Every method that Node's parser knows, but for CONNECT and TRACE (threats F9). */
export const methodNames: readonly string[] = [
  ...handlerMethods,
  ...['PROPFIND', 'PROPPATCH', 'MKCOL', 'COPY', 'MOVE', 'LOCK', 'UNLOCK', 'REPORT', 'SEARCH'],
  ...['MKCALENDAR', 'ACL', 'BIND', 'REBIND', 'UNBIND', 'MKACTIVITY', 'CHECKOUT', 'MERGE'],
  ...['M-SEARCH', 'NOTIFY', 'SUBSCRIBE', 'UNSUBSCRIBE', 'PURGE', 'LINK', 'UNLINK', 'SOURCE'],
  'QUERY',
]

/** Bytes. A handler's body may be held in memory; an upstream's streams past. */
export const bodyBytes = {
  handler: { usual: 1_048_576, most: 1_073_741_824 },
  upstream: { usual: 10_485_760, most: 1_099_511_627_776 },
} as const

const onePath = (error: string) => judged(error, pathFault)

const headerNames = (...usual: string[]) =>
  list(text(/^[a-z0-9][a-z0-9_-]{0,63}$/, 'must be a header name in lower case'))
    .max(64, { error: 'has more than 64 names' })
    .default(usual)

const corsFields = section({
  origins: list(judged('must be an origin', originFault))
    .max(1000, { error: 'has more than 1000 origins' })
    .default([])
    .describe('Where every key may be used from in a browser, such as https://app.example.com.'),
  requestHeaders: headerNames(
    ...['authorization', 'content-type', 'x-api-key', 'x-tn', 'idempotency-key', 'traceparent'],
  ).describe('Headers that a script may send.'),
  exposedHeaders: headerNames(
    ...['x-request-id', 'ratelimit', 'ratelimit-policy', 'retry-after', 'postern-mode'],
  ).describe('Headers of the answer that a script may read.'),
  maxAge: seconds('1d').prefault('10min').describe('How long a browser remembers the leave.'),
})

const cors = () =>
  z.union([
    z
      .literal(true, { error: 'must be true, or a section of fields' })
      .transform(() => corsFields.parse({})),
    corsFields,
  ])

/** Compared with `Origin` as it is, so it must be written as a browser serialises it (RFC 6454 6.2). */
function originFault(origin: string): string | null {
  const says = 'must be an origin such as https://app.example.com'
  const parsed = URL.parse(origin)
  if (parsed === null || !/^https?:$/.test(parsed.protocol) || origin.includes('*')) return says
  return parsed.origin === origin ? null : `${says}: scheme, host and port, as a browser sends it`
}

export const route = () =>
  section({
    path: z
      .union([
        onePath('must be a path such as /v1/items/:id or /v1/items/**'),
        list(onePath('must be a path')).min(1, { error: 'must name at least one path' }),
      ])
      .describe(
        'A path, or a list of paths served alike. :name or * is one segment, a last ** the rest.',
      ),
    hosts: list(hostName())
      .min(1, { error: 'must name at least one host' })
      .optional()
      .describe('Those of the platform that have this route. Default: all.'),
    methods: list(z.enum(methodNames))
      .min(1, { error: 'must name at least one method' })
      .optional()
      .describe('Default: every method. GET takes HEAD with it.'),
    handler: text(/^[A-Za-z][A-Za-z0-9_-]{0,63}$/, 'must be the name of a handler')
      .optional()
      .describe('The in-process handler that answers. This, or upstream.'),
    upstream: upstreamName()
      .optional()
      .describe('The upstream that requests are forwarded to. This, or handler.'),
    sandbox: upstreamName()
      .optional()
      .describe('The upstream for calls with test keys. Default: upstream, which is told so.'),
    rewrite: judged('must be a path such as /api/:id or /**', rewriteFault)
      .optional()
      .describe('The path that the upstream gets. Default: the path that was called.'),
    secrets: section({ headers: secretHeaders() })
      .optional()
      .describe(
        'Headers that the upstream gets with secrets of the session that the caller names.',
      ),
    cors: cors()
      .optional()
      .describe('Leave for browsers: true, or what differs from the defaults. Default: none.'),
    permission: text(
      new RegExp(`^${word}:${word}$`),
      'must be one permission of the tree, written service:action',
    )
      .optional()
      .describe('What a key must hold. Default: nothing beyond being good.'),
    classes: list(keyClass())
      .min(1, { error: 'must name at least one class' })
      .default(['secret'])
      .describe(
        'The classes of keys that may call. A publishable key calls only where it is named.',
      ),
    environments: list(environment())
      .min(1, { error: 'must name at least one environment' })
      .default(['test', 'live'])
      .describe('The environments the route exists for.'),
    cost: whole(1, 1_000_000).default(1).describe('Units a call takes from every limit.'),
    limits: limits().default([]).describe('Limits of this route, for each key.'),
    body: section({
      maxBytes: whole(0, bodyBytes.upstream.most)
        .optional()
        .describe('A longer body is a 413. Default: 1 MiB for a handler, 10 MiB for an upstream.'),
      json: yesNo().default(false).describe('A body must be JSON, else 415.'),
    })
      .prefault({})
      .describe('What a request body may be.'),
    https: yesNo().default(false).describe('Refuse callers who do not use HTTPS.'),
    encodedSlash: yesNo().default(false).describe('Let %2f and %25 stand in the path.'),
  })

/** What concerns the path of the route as well is asked of proxy/rewrite.ts in forwarding.ts. */
const rewriteFault = (template: string): string | null =>
  template.length > 1024 ? 'is longer than 1024 characters' : null
