/**
 * Where a caller of Workers sees something else than a caller of Node, why, and what protects there
 * instead. docs/workers.md holds the same table; a test compares them. There are five at most: what
 * is not in it is the same, and test/suites/gate.suite.ts shows it on both.
 */
export type Difference = {
  readonly name: string
  readonly node: string
  readonly workers: string
  readonly instead: string
}

export const differences: readonly Difference[] = [
  {
    name: 'Header lines arrive joined',
    node: 'A second line of a security header is `request/duplicate_header`; a comma inside one line is judged by the grammar of that header.',
    workers: 'Both are `request/duplicate_header`, because both arrive as one value with a comma.',
    instead:
      'No security header may hold a comma, and every value is matched whole (RFC 9110 5.3).',
  },
  {
    name: 'The URL arrives normalised',
    node: '`/v1/x/../a`, `/v1\\a`, `/v1/a#b` and a target that names another host are refused with 400.',
    workers: 'They arrive as the path that a browser would send, and are answered as that path.',
    instead:
      'Routing, limits, permissions and the log all see that one path; encoded slashes, controls and empty segments are refused as on Node.',
  },
  {
    name: 'The connection is not ours',
    node: 'Framing, header sizes, slow bodies and `Transfer-Encoding` are judged here: 400, 408, 417, 431, 501 with the error body.',
    workers:
      'What does not parse is answered by the edge, without the error body. What does is judged as on Node; there is no 408, and a transfer coding is not seen.',
    instead: 'The edge frames each request anew, so no byte of one is read as another.',
  },
  {
    name: 'Nothing about a key is remembered',
    node: 'A key is remembered until a change of it is heard, `keys.positiveTtl` at most, and honoured for `keys.outage` or `keys.stale` while the database is away.',
    workers: 'All count as 0: every request asks, and is answered 503 while the database is away.',
    instead:
      'A revoked key is dead at its next request; its receipt says `nodes: null` and `max_staleness_ms: 0`.',
  },
  {
    name: 'Counts live in memory that may be evicted',
    node: 'Failures are counted per process, limits in Redis or per process.',
    workers:
      'Failures are counted per isolate; limits in a Durable Object that starts at nothing after an eviction.',
    instead:
      'An eviction lets through one more quota at most of each open window; with `REDIS_URL` limits are counted in Redis.',
  },
]

/** The same for what is forwarded. test/suites/forward.suite.ts shows what is alike. */
export const forwardDifferences: readonly Difference[] = [
  {
    name: 'Forwarded lines lose their looks',
    node: 'Header lines pass in their case, their order and their number.',
    workers:
      'Names are lower case and sorted, lines of one name are joined (never `Set-Cookie`), bytes that are no UTF-8 are replaced, and `Pragma: no-cache` is added.',
    instead:
      'Names have no case, and joined lines mean the same (RFC 9110 5.1, 5.3). `no-cache` goes with `cache: no-store`, which keeps an answer out of a cache that knows no tenants.',
  },
  {
    name: 'Only the answer itself passes',
    node: '1xx answers and trailers reach the client.',
    workers: 'Neither does.',
    instead: '`TE` is not sent on, so no upstream is promised that trailers are read.',
  },
  {
    name: 'A failure has fewer names',
    node: '`Proxy-Status` tells a refused connection from a reset one, a bad name and bad TLS; what is not HTTP is `upstream/bad_response`.',
    workers:
      'All of them are `connection_terminated` and `upstream/unreachable`. `timeouts.connect` and `timeouts.headers` are one time, their sum.',
    instead:
      'Each is a 502 or a 504 and counts against the target; only what may be sent twice is tried again.',
  },
  {
    name: 'The connection to an upstream is not ours',
    node: '`host` and `tls` are used, and each address that a name resolves to is looked at before it is connected to.',
    workers:
      'An upstream with `host` or `tls` is refused at the start, by name. Names are resolved where it is not seen; an address that stands in a URL is looked at.',
    instead:
      'Cloudflare reaches public addresses only; a redirect is never followed, and `Via` ends a request that comes back.',
  },
  {
    name: 'An open WebSocket is out of our hands',
    node: 'It is ended with 1001 at a drain, and its line in the log is written when it closes, with the bytes.',
    workers:
      'It lasts until a side ends it, also when its key is revoked; its line in the log is written at the handshake.',
    instead: 'Nothing. Have the upstream end what has been open for long.',
  },
]
