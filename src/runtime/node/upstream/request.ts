/**
 * A request as it is written: the head in one string of latin-1.
 *
 * The danger is a line break in what was to be one line: it would be a request that nobody checked.
 * Fields come from `requestHeaders`, which has looked at each; the rest is looked at here.
 */
import type { Hop } from '../../../context.ts'

/** Methods whose request says that it has no body (RFC 9110 8.6). */
const expectBody: ReadonlySet<string> = new Set([
  ...['PUT', 'POST', 'PATCH', 'QUERY', 'PROPFIND', 'PROPPATCH'],
])

/** Outside of this a byte ends a request line, or what is in it. */
const unfit = /[^\x21-\x7e\x80-\xff]/

export type HeadOptions = Pick<Hop, 'method' | 'path' | 'headers' | 'hasBody' | 'upgrade'> & {
  /** The body is whole, and has this many bytes; null: that is not known. */
  readonly wholeBytes: number | null
  /** No other request will follow on this connection. */
  readonly isLast: boolean
}

/**
 * The head of an HTTP/1.1 request: the host, what is of the connection, the other fields as they are,
 * and how the body ends. Throws when method, path or host hold what no line may hold.
 */
export function requestHead(options: HeadOptions): string {
  const { method, path, headers, hasBody, upgrade, isLast } = options
  const host = headers[1] ?? ''
  if (unfit.test(method) || unfit.test(path) || unfit.test(host)) {
    throw new Error('a request line that cannot be written')
  }
  const connection = isLast ? 'close' : 'keep-alive'
  let head = `${method} ${path} HTTP/1.1\r\nhost: ${host}\r\nconnection: `
  head += upgrade ? 'upgrade\r\nupgrade: websocket\r\n' : `${connection}\r\n`
  let length = hasBody ? options.wholeBytes : null
  for (let at = 2; at < headers.length; at += 2) {
    const name = headers[at] ?? ''
    const value = headers[at + 1] ?? ''
    if (hasBody && isLength(name)) length = Number(value)
    else head += `${name}: ${value}\r\n`
  }
  if (length !== null) return `${head}content-length: ${length}\r\n\r\n`
  if (hasBody) return `${head}transfer-encoding: chunked\r\n\r\n`
  return expectBody.has(method) ? `${head}content-length: 0\r\n\r\n` : `${head}\r\n`
}

/** Whether there is a body of which the client did not say how long it is. */
export function isUnsized({ hasBody, headers }: Pick<Hop, 'hasBody' | 'headers'>): boolean {
  if (!hasBody) return false
  for (let at = 2; at < headers.length; at += 2) if (isLength(headers[at] ?? '')) return false
  return true
}

const isLength = (name: string): boolean =>
  name.length === 14 && name.toLowerCase() === 'content-length'
