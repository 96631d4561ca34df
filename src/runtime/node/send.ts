/**
 * Writes a web `Response` where the adapter does not: whole answers to requests it never saw, and
 * streams, whose failure it would print into the answer (`Error: …`) and onto the console.
 */
import { STATUS_CODES } from 'node:http'
import type { Outgoing } from './outgoing.ts'

/** Sends a response read to its end. Rejects when its body does, before anything is written. */
export async function sendWhole(response: Response, outgoing: Outgoing): Promise<void> {
  const body = new Uint8Array(await response.arrayBuffer())
  outgoing.writeHead(response.status, { ...plainHeaders(response), 'content-length': body.length })
  outgoing.end(body)
}

/** A response as the bytes of an HTTP/1.1 message that ends its connection. */
export async function messageOf(
  response: Response,
  gate: Readonly<Record<string, string>>,
): Promise<{ readonly head: string; readonly body: Uint8Array }> {
  const body = new Uint8Array(await response.arrayBuffer())
  const fields = {
    ...plainHeaders(response),
    ...gate,
    date: new Date().toUTCString(),
    connection: 'close',
    'content-length': String(body.length),
  }
  const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\r\n`)
  const reason = STATUS_CODES[response.status] ?? ''
  return { head: `HTTP/1.1 ${response.status} ${reason}\r\n${lines.join('')}\r\n`, body }
}

function plainHeaders(response: Response): Record<string, string | string[]> {
  const headers: Record<string, string | string[]> = Object.fromEntries(response.headers)
  const cookies = response.headers.getSetCookie()
  if (cookies.length > 0) headers['set-cookie'] = cookies
  return headers
}

/**
 * Sends a response whose body is a stream. Rejects when the stream fails: before its first piece
 * nothing has been written, later the caller must cut the connection. Done when the last byte has
 * been handed over or the client has gone.
 */
export async function sendStream(
  response: Response,
  body: ReadableStream<Uint8Array>,
  outgoing: Outgoing,
): Promise<void> {
  if (outgoing.req.method === 'HEAD') {
    await body.cancel()
    outgoing.writeHead(response.status, plainHeaders(response)).end()
    return
  }
  const reader = body.getReader()
  outgoing.once('close', () => void reader.cancel().catch(() => {}))
  let piece = reader.read()
  // A stream that is ready is looked at first; one that is not must not hold back the head.
  const ready = await Promise.race([piece, nextTurn()])
  outgoing.writeHead(response.status, plainHeaders(response))
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

/**
 * The stream a response carries, or null for a body the adapter writes at once. Asking a response of
 * the adapter for its `body` would make a web stream of a string, so its own note is read instead.
 */
export function streamOf(response: Response): ReadableStream<Uint8Array> | null {
  const note: unknown = adapterNote() in response ? Reflect.get(response, adapterNote()) : null
  if (!Array.isArray(note)) return response.body
  const body: unknown = note[1]
  return body instanceof ReadableStream ? body : null
}

let found: symbol | undefined

/** The adapter keeps `[status, body, headers]` of a plain response under a symbol of its own. */
function adapterNote(): symbol {
  found ??= Object.getOwnPropertySymbols(new Response('')).find(
    (key) => key.description === 'cache',
  )
  found ??= Symbol('this adapter keeps no notes')
  return found
}
