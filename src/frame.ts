/**
 * Is this one well-formed request, with one meaning? The first question of all, asked of the header
 * lines as they arrived, before anything has joined or dropped them.
 *
 * It knows nothing of keys, routes or sockets, and it never repairs: a request that two parsers could
 * read in two ways is refused. The danger is to look at headers after somebody has merged them: two
 * `x-tn` lines are one harmless-looking value by then (threats T1, F5).
 */
import type { Refusal } from './problem.ts'

/** A request as a parser delivers it: names and values of the header lines in turn, in order. */
export type RawFrame = {
  readonly method: string
  readonly target: string
  readonly httpVersion: string
  readonly rawHeaders: readonly string[]
}

/** What the framing says. `target` is in origin-form, whatever form was sent. */
export type Frame = {
  readonly target: string
  /** Lower case, without port; empty where HTTP/1.0 sent none. */
  readonly host: string
  /** Bytes announced; null for a chunked body; 0 where there is none. */
  readonly bodyBytes: number | null
}

const headerLinesMax = 100
const headerBytesMax = 16_384
const allow = 'GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS'

const singletons = [
  'host',
  'content-length',
  'transfer-encoding',
  'expect',
  'upgrade',
  'x-api-key',
  'authorization',
  'x-tn',
  'postern-session',
  'content-type',
  'origin',
  'referer',
  'idempotency-key',
  'traceparent',
] as const
type Singleton = (typeof singletons)[number]

/** Spellings seen most, so that one lookup settles a name: its place in `singletons`, or -1. */
const spellings = new Map<string, number>(
  ['accept', 'accept-encoding', 'accept-language', 'cookie', 'user-agent', 'connection'].flatMap(
    (name) => spelt(name, -1),
  ),
)
for (const [index, name] of singletons.entries()) {
  for (const [spelling] of spelt(name, index)) spellings.set(spelling, index)
}
const lengths = new Set(singletons.map((name) => name.length))

function spelt(name: string, index: number): [string, number][] {
  return [
    [name, index],
    [name.replace(/\b[a-z]/g, (letter) => letter.toUpperCase()), index],
  ]
}

const other = -1
const alias = -2

/** Which singleton a header line is; `alias` for `x_tn` and `x.tn`, which some servers read as `x-tn`. */
function singletonOf(name: string): number {
  const known = spellings.get(name)
  if (known !== undefined) return known
  if (!lengths.has(name.length)) return other
  const lower = name.toLowerCase()
  const index = singletons.indexOf(lower as Singleton) // any string may be looked for
  if (index >= 0) return index
  return singletons.includes(lower.replace(/[_.]/g, '-') as Singleton) ? alias : other
}

// What makes the end of this message doubtful ends the connection with it (RFC 9112 section 9.6):
// nothing after it may be read as a request.
const close = { connection: 'close' }
const malformed = (detail: string): Refusal => ({
  code: 'request/malformed',
  detail,
  headers: close,
})

/**
 * Inspects a request before anything is made of it. Refuses with 400 `request/malformed` or
 * `request/duplicate_header`, 405, 417, 431 or 501; a refusal that carries `connection: close` must
 * end the connection. A header whose name only looks like a security header (`x_tn`) is a 400 too:
 * some server further on would take it for the real one (threats T7).
 */
export function inspectFrame(raw: RawFrame): Frame | Refusal {
  const { method, httpVersion, rawHeaders } = raw
  if (httpVersion !== '1.1' && httpVersion !== '1.0') return malformed('Send HTTP/1.1.')
  if (method === 'TRACE' || method === 'CONNECT') {
    return { code: 'route/method_not_allowed', headers: { allow, ...close } }
  }
  if (rawHeaders.length > headerLinesMax * 2) return headersTooLarge
  const values: (string | undefined)[] = []
  let bytes = 0
  for (let line = 0; line < rawHeaders.length; line += 2) {
    const name = rawHeaders[line] ?? ''
    const value = rawHeaders[line + 1] ?? ''
    bytes += name.length + value.length + 4
    const index = singletonOf(name)
    if (index === other) continue
    if (index === alias) return lookalike(name)
    if (values[index] !== undefined) return duplicate(index)
    values[index] = value
  }
  if (bytes > headerBytesMax) return headersTooLarge
  const bodyBytes = inspectBody(values, httpVersion)
  return typeof bodyBytes === 'object' && bodyBytes !== null
    ? bodyBytes
    : inspectTarget(raw, values[0], bodyBytes)
}

const headersTooLarge: Refusal = { code: 'request/headers_too_large', headers: close }

const lookalike = (name: string): Refusal => ({
  code: 'request/malformed',
  detail: `Write header names with hyphens: ${name} is not read.`,
  headers: close,
})

function duplicate(index: number): Refusal {
  const name = singletons[index] ?? ''
  // A second Host or length leaves the message itself in doubt; a second x-tn only its meaning.
  const framing = index < 5
  return {
    code: 'request/duplicate_header',
    detail: `Send ${name} exactly once.`,
    param: name,
    ...(framing ? { headers: close } : {}),
  }
}

/** RFC 9112 section 6: how long the body is, or why nobody can be sure. */
function inspectBody(
  values: readonly (string | undefined)[],
  httpVersion: string,
): number | null | Refusal {
  const [, length, coding, expect, upgrade] = values
  if (expect !== undefined && expect.toLowerCase() !== '100-continue') {
    return { code: 'request/expectation_failed', headers: close }
  }
  if (length === undefined && coding === undefined) return 0
  if (upgrade !== undefined && upgrade.toLowerCase() !== 'h2c') {
    return malformed('A request that asks for an upgrade carries no body.')
  }
  if (coding !== undefined) {
    if (length !== undefined)
      return malformed('Send Content-Length or Transfer-Encoding, not both.')
    if (httpVersion === '1.0') return malformed('HTTP/1.0 knows no Transfer-Encoding.')
    if (coding.toLowerCase() !== 'chunked')
      return { code: 'request/transfer_coding', headers: close }
    return null
  }
  // Leading zeros are digits to RFC 9110 and octal to somebody else.
  if (!/^(?:0|[1-9]\d{0,14})$/.test(length ?? ''))
    return malformed('Content-Length is not a length.')
  return Number(length)
}

/** RFC 9112 section 3.2: one non-empty Host, and a target in origin-form or in agreement with it. */
function inspectTarget(
  raw: RawFrame,
  host: string | undefined,
  bodyBytes: number | null,
): Frame | Refusal {
  const name = host === undefined ? hostless(raw) : nameOf(host)
  if (name === null) {
    return malformed('Send one Host header with a host name and, if need be, a port.')
  }
  const target = raw.target.startsWith('/') ? raw.target : pathOfUrl(raw.target, host)
  if (target === null)
    return malformed('Send the path as the request target, in agreement with Host.')
  return { target, host: name, bodyBytes }
}

/** What follows the authority of an absolute-form target, or null when it names another host. */
function pathOfUrl(target: string, host: string | undefined): string | null {
  const [, authority, rest] = /^https?:\/\/([^/?#]*)(.*)$/is.exec(target) ?? []
  if (authority === undefined || rest === undefined) return null
  if (host !== undefined && authority.toLowerCase() !== host.toLowerCase()) return null
  if (host === undefined) return null
  return rest.startsWith('/') ? rest : `/${rest}`
}

const hostless = ({ httpVersion }: RawFrame): string | null => (httpVersion === '1.1' ? null : '')

// One request after the other names the same host, and reading one costs four expressions.
let last: { readonly host: string; readonly name: string | null } = { host: '', name: null }

/** The name in a Host header, without its port; null when it is none. */
function nameOf(host: string): string | null {
  if (host !== last.host) last = { host, name: isHost(host) ? hostName(host) : null }
  return last.name
}

const hostName = (host: string): string => host.replace(/:\d*$/, '').toLowerCase()

const plainName =
  /^(?:[a-z0-9](?:[a-z0-9_]|-(?!-))*\.)*[a-z](?:[a-z0-9]|-(?!-))*(?::[1-5]?\d{1,4})?$/
const byte = '(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)'
const plainAddress = new RegExp(`^${byte}(?:\\.${byte}){3}(?::[1-5]?\\d{1,4})?$`)

/**
 * Whether this is `uri-host [":" port]` (RFC 9110 section 7.2) that the URL parser reads as it
 * stands: no userinfo, no path, no `0x7f.1` for another address.
 */
function isHost(host: string): boolean {
  if (host.length > 260) return false
  if (plainAddress.test(host) || plainName.test(host)) return true
  if (!/^(?:[\w.-]+|\[[0-9a-f:.]+\])(?::\d{1,5})?$/i.test(host)) return false
  return URL.canParse(`http://${host}/`) && new URL(`http://${host}/`).hostname === hostName(host)
}

/**
 * The same for a runtime that has joined the header lines already (Workers): a security header
 * that was sent twice shows as a comma where none belongs. Refuses as `inspectFrame` does.
 */
export function inspectJoined(headers: Headers): Refusal | null {
  let lines = 0
  let bytes = 0
  for (const [name, value] of headers) {
    lines += 1
    bytes += name.length + value.length + 4
    const index = singletonOf(name)
    if (index === alias) return lookalike(name)
    if (index !== other && value.includes(',') && !mayHoldComma.has(name)) return duplicate(index)
  }
  if (lines > headerLinesMax || bytes > headerBytesMax) return headersTooLarge
  const body = inspectBody(
    singletons.map((name) => headers.get(name) ?? undefined),
    '1.1',
  )
  return typeof body === 'object' ? body : null
}

const mayHoldComma: ReadonlySet<string> = new Set(['upgrade', 'referer'])
