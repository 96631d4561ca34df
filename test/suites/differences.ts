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
    node: 'A key is asked for again after `keys.positiveTtl`, and honoured for `keys.stale` while the database is away.',
    workers: 'Both count as 0: every request asks, and is answered 503 while the database is away.',
    instead: 'A revoked key is dead at its next request.',
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
