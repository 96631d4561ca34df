/**
 * What a request body may be: how large, of which type, and what JSON a handler may see. Headers are
 * checked before the credential; the bytes are read only after the last check has passed, so a
 * stranger's body is never parsed.
 */
import type { Exchange, Route } from './context.ts'
import { parseJson } from './lib/json.ts'
import { Problem, type Refusal } from './problem.ts'

const jsonType = /^application\/(?:[\w.-]+\+)?json\s*(?:;|$)/i

/** Methods whose requests are served without looking at a body. */
export const bodiless = (method: string): boolean => method === 'GET' || method === 'HEAD'

/** 403, 413 or 415 from what the headers say alone; null when they say nothing wrong. */
export function checkBody(route: Route, exchange: Exchange): Refusal | null {
  if (route.requireHttps && !exchange.secure) return { code: 'request/https_required' }
  if (bodiless(exchange.method)) return null
  const headers = exchange.requestHeaders
  const bytes = Number(headers.get('content-length') ?? 0)
  if (bytes > route.bodyBytesMax) return tooLarge(route)
  // What comes without a length is counted as it comes, whoever reads it.
  if (exchange.limitBody?.(route.bodyBytesMax) === false) return tooLarge(route)
  const sends = bytes > 0 || headers.get('transfer-encoding') !== null
  if (sends && route.jsonOnly && !isJson(headers)) return notJson(headers)
  return null
}

/** A body that has been read: its text for whoever asks the request, its value for `c.var.body`. */
export type ReadBody = { readonly text: string; readonly value: unknown }

/**
 * Reads a JSON body; null where there is none. On a route that is not `jsonOnly`, a body of another
 * type is left to the handler, unread. Throws `request/too_large`, `request/unsupported_media_type`
 * or `request/malformed`, saying what is wrong with the JSON.
 */
export async function readJson(route: Route, request: Request): Promise<ReadBody | null> {
  const { method, headers } = request
  if (bodiless(method) || !(route.jsonOnly || isJson(headers))) return null
  const text = await readText(route, request)
  if (text === '') return null
  if (!isJson(headers)) throw Problem.of(notJson(headers))
  const verdict = parseJson(text)
  if (!verdict.ok) throw malformed(verdict.reason)
  return { text, value: verdict.value }
}

/** Reads a body of any type as UTF-8. Throws `request/too_large`, or `request/malformed`. */
export async function readText(route: Route, request: Request): Promise<string> {
  return decode(await readBytes(route, request))
}

/** A declared length has been checked against the route; without one, bytes are counted as they come. */
async function readBytes(route: Route, request: Request): Promise<Uint8Array> {
  if (request.headers.has('content-length')) return new Uint8Array(await request.arrayBuffer())
  const chunks: Uint8Array[] = []
  let total = 0
  for await (const chunk of request.body ?? []) {
    total += chunk.byteLength
    if (total > route.bodyBytesMax) throw Problem.of(tooLarge(route))
    chunks.push(chunk)
  }
  const bytes = new Uint8Array(total)
  let at = 0
  for (const chunk of chunks) {
    bytes.set(chunk, at)
    at += chunk.byteLength
  }
  return bytes
}

function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    throw malformed('the body is not UTF-8')
  }
}

type Fields = Pick<Headers, 'get'>

const isJson = (headers: Fields): boolean => jsonType.test(headers.get('content-type') ?? '')

const malformed = (reason: string): Problem =>
  new Problem('request/malformed', { detail: `Send well-formed JSON: ${reason}.` })

const tooLarge = (route: Route): Refusal => ({
  code: 'request/too_large',
  detail: `The body may have at most ${route.bodyBytesMax} bytes here.`,
})

const notJson = (headers: Fields): Refusal => ({
  code: 'request/unsupported_media_type',
  detail:
    headers.get('content-type') !== null
      ? 'Send Content-Type: application/json; the body came with another type.'
      : 'Send Content-Type: application/json; the body came without a type.',
})
