/**
 * Which field is this header name, and what is done with it? Two tables, one for what a client sends
 * and one for what an upstream answers, read by name in whatever spelling it comes.
 *
 * It knows names only, never values. The danger is the name that is not ours to us and ours to
 * somebody further on: CGI and its heirs read `x_tn`, `X.TN` and `x-tn` as one variable, so every
 * character that is no letter and no digit counts as a hyphen here (threats T7, H1).
 */

/** A name in lower case, and what is done with its field. */
export type Field<Kind> = { readonly name: string; readonly kind: Kind }

/** `pass`: as it came. `drop`: never. The others depend on more than the name. */
export type RequestKind =
  | 'pass'
  | 'drop'
  | 'connection'
  | 'host'
  | 'via'
  | 'te'
  | 'length'
  | 'authorization'
  | 'websocket'

/** As for requests. `default`: the gate's is sent only where the upstream has none of its own. */
export type AnswerKind =
  | 'pass'
  | 'drop'
  | 'connection'
  | 'coding'
  | 'length'
  | 'status'
  | 'limits'
  | 'cors'
  | 'vary'
  | 'default'

type Rows<Kind> = { readonly [kind in Exclude<Kind, 'pass'> & string]?: readonly string[] }

const odd = /[^a-z0-9-]/
const token = /^[\w!#$%&'*+.^`|~-]+$/

/**
 * Makes the reader of one table. A name that ends in `*` stands for all that start so. `common` are
 * names that pass and are seen most; another name passes too, at the price of a longer look. A name
 * that only looks like one of the table (`x_tn`), or that is no token (RFC 9110 5.6.2), is dropped.
 */
function createReader<Kind extends string>(
  rows: Rows<Kind>,
  common: readonly string[],
): (name: string) => Field<Kind | 'pass' | 'drop'> {
  type Found = Field<Kind | 'pass' | 'drop'>
  const fields = new Map<string, Found>()
  const prefixes: Found[] = []
  // Object.entries forgets that the keys of `rows` are kinds.
  for (const [kind, names] of Object.entries(rows) as [Kind, readonly string[]][]) {
    for (const name of names) {
      if (name.endsWith('*')) prefixes.push({ name: name.slice(0, -1), kind })
      else fields.set(name, { name, kind })
    }
  }
  // Spellings seen most, so that one lookup settles a name.
  const spellings = new Map<string, Found>()
  for (const name of common) fields.set(name, { name, kind: 'pass' })
  for (const [name, field] of fields) {
    spellings.set(name, field)
    spellings.set(
      name.replace(/\b[a-z]/g, (letter) => letter.toUpperCase()),
      field,
    )
  }

  const judge = (spelling: string): Found => {
    const name = spelling.toLowerCase()
    // Asked of the spelling: the Kelvin sign is no letter of a name, and its lower case is a `k`.
    if (!token.test(spelling)) return { name, kind: 'drop' }
    const known = fields.get(name)
    if (known !== undefined) return known
    const plain = odd.test(name) ? name.replace(/[^a-z0-9]/g, '-') : name
    const ours = plain === name ? prefixOf(plain) : (fields.get(plain) ?? prefixOf(plain))
    if (ours === undefined || ours.kind === 'pass') return { name, kind: 'pass' }
    return { name, kind: plain === name ? ours.kind : 'drop' }
  }
  const prefixOf = (name: string): Found | undefined => {
    for (const prefix of prefixes) if (name.startsWith(prefix.name)) return prefix
    return undefined
  }
  return (spelling) => spellings.get(spelling) ?? judge(spelling)
}

const own = ['postern-*', 'x-postern-*', 'x-request-id', 'request-id']

// RFC 9110 7.6.1, and what older hops made of it.
const hopByHop = [
  ...['keep-alive', 'proxy-connection', 'proxy-authenticate', 'proxy-authentication-info'],
  ...['proxy-authorization', 'upgrade', 'http2-settings'],
]

/** Reads the name of a field that a client sent. */
export const readRequestName: (name: string) => Field<RequestKind> = createReader<RequestKind>(
  {
    connection: ['connection'],
    host: ['host'],
    via: ['via'],
    te: ['te'],
    length: ['content-length'],
    authorization: ['authorization'],
    websocket: ['sec-websocket-*'],
    drop: [
      ...own,
      ...['x-api-key', 'x-tn'],
      ...hopByHop,
      ...['transfer-encoding', 'trailer', 'expect'],
      // Who the client is, which only the runtime can vouch for (threats H3, H4).
      ...[
        'x-forwarded',
        'x-forwarded-*',
        'forwarded',
        'x-real-ip',
        'x-client-ip',
        'true-client-ip',
      ],
      ...['x-cluster-client-ip', 'cf-connecting-ip', 'cf-connecting-ipv6', 'fastly-client-ip'],
      ...['x-original-forwarded-for', 'x-original-host'],
      // Another path or method than the one that was authorised (threats H3, H6).
      ...['x-original-url', 'x-rewrite-url', 'x-http-method', 'x-http-method-override'],
      ...['x-method-override', 'x-middleware-subrequest'],
      // CGI makes HTTP_PROXY of it, which HTTP clients obey (CVE-2016-5385).
      'proxy',
    ],
  },
  [
    ...['accept', 'accept-encoding', 'accept-language', 'cache-control', 'content-encoding'],
    ...['content-type', 'cookie', 'date', 'dnt', 'git-protocol', 'idempotency-key', 'if-match'],
    ...['if-modified-since', 'if-none-match', 'if-range', 'origin', 'pragma', 'priority', 'range'],
    ...['referer', 'sec-ch-ua', 'sec-ch-ua-mobile', 'sec-ch-ua-platform', 'sec-fetch-dest'],
    ...['sec-fetch-mode', 'sec-fetch-site', 'sec-fetch-user', 'traceparent', 'tracestate'],
    ...['upgrade-insecure-requests', 'user-agent', 'x-requested-with'],
  ],
)

/** Reads the name of a field that an upstream answered. */
export const readAnswerName: (name: string) => Field<AnswerKind> = createReader<AnswerKind>(
  {
    connection: ['connection'],
    coding: ['transfer-encoding'],
    length: ['content-length'],
    status: ['proxy-status'],
    limits: ['ratelimit', 'ratelimit-*', 'x-ratelimit-*'],
    cors: ['access-control-*'],
    vary: ['vary'],
    default: [
      ...['x-content-type-options', 'referrer-policy', 'strict-transport-security'],
      'retry-after',
    ],
    // Alt-Svc (RFC 7838) would send the client past the gateway, to a door the upstream names.
    drop: [...own, ...hopByHop, 'te', 'server', 'x-powered-by', 'alt-svc'],
  },
  [
    ...['accept-ranges', 'age', 'allow', 'cache-control', 'content-disposition'],
    ...['content-encoding', 'content-language', 'content-range', 'content-security-policy'],
    ...['content-type', 'date', 'etag', 'expires', 'last-modified', 'link', 'location', 'pragma'],
    ...['set-cookie', 'trailer', 'www-authenticate', 'x-frame-options'],
  ],
)
