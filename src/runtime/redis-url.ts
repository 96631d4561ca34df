/**
 * Reads the URL of a Redis. One server, a cluster or a set of Sentinels:
 *
 * - `redis://user:password@host:6379/0`, and `rediss://` over TLS
 * - `redis+cluster://user:password@a:7000,b:7000,c:7000`; so is a comma-separated list of `redis://`
 * - `redis+sentinel://user:password@a:26379,b:26379/primary-name/0`; the credentials are the data
 *   servers'; Sentinels that ask for credentials of their own are not supported
 *
 * `rediss+cluster` and `rediss+sentinel` speak TLS. Passwords are percent-encoded, as in any URL.
 */
export type Endpoint = { readonly host: string; readonly port: number }

export type RedisTarget = {
  readonly kind: 'single' | 'cluster' | 'sentinel'
  readonly endpoints: readonly [Endpoint, ...Endpoint[]]
  readonly tls: boolean
  readonly username: string | undefined
  readonly password: string | undefined
  readonly db: number
  /** The name Sentinel knows the primary by. Empty for the other kinds. */
  readonly primary: string
}

const pattern =
  /^(rediss?)(?:\+(cluster|sentinel))?:\/\/(?:([^@/]*)@)?([^@/?#]+)(?:\/([^/?#]*))?(?:\/(\d+))?\/?$/

/** Parses a Redis URL. Throws a RangeError that names what is wrong and repeats no credentials. */
export function parseRedisUrl(url: string): RedisTarget {
  const [first = '', ...others] = url.trim().split(/,\s*(?=rediss?:\/\/)/)
  const extra = others.map((other) => match(other))
  const [, scheme, kindName, credentials, hosts = '', path = '', db = ''] = match(first)
  const list = [hosts, ...extra.map((parts) => parts[4] ?? '')].join(',').split(',')
  const kind = kindOf(kindName, list.length)
  const [user, secret] = split(credentials)
  if (kind === 'sentinel' && path === '') {
    throw new RangeError('a redis+sentinel URL ends in /NAME, the name of the primary')
  }
  const number = kind === 'sentinel' ? db : path
  if (!/^\d*$/.test(number)) throw new RangeError('the database of a Redis URL is a number')
  if (kind === 'cluster' && Number(number) !== 0) {
    throw new RangeError('a Redis Cluster has only database 0')
  }
  const [head = '', ...tail] = list
  const port = kind === 'sentinel' ? 26379 : 6379
  return {
    kind,
    endpoints: [endpoint(head, port), ...tail.map((text) => endpoint(text, port))],
    tls: scheme === 'rediss',
    username: user,
    password: secret,
    db: Number(number),
    primary: kind === 'sentinel' ? decodeURIComponent(path) : '',
  }
}

function match(url: string): RegExpExecArray {
  const parts = pattern.exec(url)
  if (parts !== null) return parts
  throw new RangeError(
    'a Redis URL is redis://, rediss://, redis+cluster://HOST,HOST or redis+sentinel://HOST,HOST/NAME',
  )
}

function kindOf(name: string | undefined, endpoints: number): RedisTarget['kind'] {
  if (name === 'cluster' || name === 'sentinel') return name
  return endpoints > 1 ? 'cluster' : 'single'
}

function split(credentials: string | undefined): [string | undefined, string | undefined] {
  if (credentials === undefined || credentials === '') return [undefined, undefined]
  const colon = credentials.indexOf(':')
  if (colon < 0) return [decodeURIComponent(credentials), undefined]
  const user = decodeURIComponent(credentials.slice(0, colon))
  return [user === '' ? undefined : user, decodeURIComponent(credentials.slice(colon + 1))]
}

function endpoint(text: string, defaultPort: number): Endpoint {
  const parts = /^(\[[0-9a-fA-F:.]+\]|[^:[\]]+)(?::(\d{1,5}))?$/.exec(text)
  const port = Number(parts?.[2] ?? defaultPort)
  if (parts === null || port < 1 || port > 65535) {
    throw new RangeError('a host of a Redis URL is HOST or HOST:PORT')
  }
  return { host: parts[1]!.replace(/^\[|\]$/g, ''), port }
}
