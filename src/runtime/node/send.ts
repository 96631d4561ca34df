/**
 * Writes a web `Response` to the client: at once where all of it is there, else as it comes.
 *
 * The adapter that could do it prints a stream's failure into the answer (`Error: …`) and onto the
 * console. Here a failure rejects, and whoever sent the answer knows how much of it has gone.
 */
import { STATUS_CODES } from 'node:http'
import type { Outgoing } from './outgoing.ts'

/** What RFC 9110 8.3 lets a text be taken for, where nobody says what it is. */
const plainText = 'text/plain; charset=UTF-8'

/**
 * Sends a response. Rejects when its body fails: before its first piece nothing has been written, later
 * the caller must cut the connection. Done when the last byte has been handed over or the client has
 * gone.
 */
export async function send(response: Response, outgoing: Outgoing): Promise<void> {
  const plain = plainOf(response)
  if (plain !== null) sendPlain(plain, outgoing)
  else if (response.body === null)
    outgoing.writeHead(response.status, plainHeaders(response.headers)).end()
  else await sendStream(response, response.body, outgoing)
}

function sendPlain({ status, body, headers }: Plain, outgoing: Outgoing): void {
  const own: Record<string, string | string[]> = {}
  let typed = body === null
  let sized = false
  for (const name in headers) {
    const value = headers[name]
    if (value === undefined) continue
    own[name] = value
    if (name.length === 12) typed ||= name.toLowerCase() === 'content-type'
    else if (name.length === 14) sized ||= name.toLowerCase() === 'content-length'
  }
  if (!typed) own['content-type'] = plainText
  if (body === null) {
    outgoing.writeHead(status, own).end()
    return
  }
  if (!sized) own['content-length'] = String(Buffer.byteLength(body))
  outgoing.writeHead(status, own).end(body)
}

/** A response as the bytes of an HTTP/1.1 message that ends its connection. */
export async function messageOf(
  response: Response,
  gate: Readonly<Record<string, string>>,
): Promise<{ readonly head: string; readonly body: Uint8Array }> {
  const body = new Uint8Array(await response.arrayBuffer())
  const fields = {
    ...plainHeaders(response.headers),
    ...gate,
    date: new Date().toUTCString(),
    connection: 'close',
    'content-length': String(body.length),
  }
  const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`)
  const reason = STATUS_CODES[response.status] ?? ''
  return { head: `HTTP/1.1 ${response.status} ${reason}\r\n${lines.join('')}\r\n`, body }
}

function plainHeaders(given: HeadersInit): Record<string, string | string[]> {
  const fields = given instanceof Headers ? given : new Headers(given)
  const headers: Record<string, string | string[]> = Object.fromEntries(fields)
  const cookies = fields.getSetCookie()
  if (cookies.length > 0) headers['set-cookie'] = cookies
  return headers
}

async function sendStream(
  response: Response,
  body: ReadableStream<Uint8Array>,
  outgoing: Outgoing,
): Promise<void> {
  if (outgoing.req.method === 'HEAD') {
    await body.cancel()
    outgoing.writeHead(response.status, plainHeaders(response.headers)).end()
    return
  }
  const reader = body.getReader()
  outgoing.once('close', () => void reader.cancel().catch(() => {}))
  let piece = reader.read()
  // A stream that is ready is looked at first; one that is not must not hold back the head.
  const ready = await Promise.race([piece, nextTurn()])
  outgoing.writeHead(response.status, plainHeaders(response.headers))
  if (ready === null && outgoing.headersSent) outgoing.flushHeaders()
  for (let read = await piece; !read.done && outgoing.headersSent; read = await piece) {
    if (!outgoing.write(read.value)) await drained(outgoing)
    if (outgoing.destroyed) return
    piece = reader.read()
  }
  outgoing.end()
}

/** When all that has arrived so far has been parsed. */
export const nextTurn = (): Promise<null> =>
  new Promise((resolve) => setImmediate(() => resolve(null)))

function drained(outgoing: Outgoing): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      outgoing.off('drain', done)
      outgoing.off('close', done)
      resolve()
    }
    outgoing.on('drain', done)
    outgoing.on('close', done)
  })
}

/** A response whose body is whole, and whose headers are plain. */
type Plain = {
  readonly status: number
  readonly body: string | Uint8Array | null
  readonly headers: Readonly<Record<string, string | string[]>>
}

/**
 * A response as it was made, where it is whole and simple; null for every other. To ask a response of
 * the adapter for its `body` would make a web stream of a string, so its own note is read instead.
 */
function plainOf(response: Response): Plain | null {
  const note: unknown = adapterNote() in response ? Reflect.get(response, adapterNote()) : null
  if (!Array.isArray(note)) return null
  const [status, body, headers = {}] = note
  const isWhole = body === null || typeof body === 'string' || body instanceof Uint8Array
  if (!isWhole || typeof status !== 'number') return null
  return { status, body, headers: isRecord(headers) ? headers : plainHeaders(headers) }
}

/** Headers or a list of pairs may hold a name twice. */
const isRecord = (headers: unknown): headers is Readonly<Record<string, string>> =>
  typeof headers === 'object' && !Array.isArray(headers) && !(headers instanceof Headers)

let found: symbol | undefined

/** The adapter keeps `[status, body, headers]` of a plain response under a symbol of its own. */
function adapterNote(): symbol {
  found ??= Object.getOwnPropertySymbols(new Response('')).find(
    (key) => key.description === 'cache',
  )
  found ??= Symbol('this adapter keeps no notes')
  return found
}
