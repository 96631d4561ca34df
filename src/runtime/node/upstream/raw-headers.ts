/** What undici says of an answer's head, as text: the way in of every forwarded header. */
import type { Dispatcher } from 'undici'

/**
 * The header lines as they came. Bytes above 127 are latin-1 on the way in and on the way out.
 *
 * undici gives pieces of what the socket read, most often of one read: then all of it becomes text at
 * once and is cut, which costs a tenth of making text of each piece.
 */
export function textsOf(raw: Dispatcher.DispatchController['rawHeaders']): string[] {
  const texts: string[] = []
  // The type also allows what undici gives for HTTP/2, which is not spoken here.
  const pieces = (Array.isArray(raw) ? raw : []) as readonly Buffer[]
  let read: ArrayBufferLike | null = null
  let from = 0
  let text = ''
  for (const piece of pieces) {
    if (piece.length === 0) texts.push('')
    else {
      if (piece.buffer !== read) {
        read = piece.buffer
        from = piece.byteOffset
        text = textFrom(pieces, read, from)
      }
      const at = piece.byteOffset - from
      texts.push(text.slice(at, at + piece.length))
    }
  }
  return texts
}

/** What was read from `from` to the end of the last piece of the same read. */
function textFrom(pieces: readonly Buffer[], read: ArrayBufferLike, from: number): string {
  let end = from
  for (const piece of pieces) {
    if (piece.buffer === read) end = Math.max(end, piece.byteOffset + piece.length)
  }
  return Buffer.from(read, from, end - from).toString('latin1')
}

/** Bytes, of `Content-Length`, -1 without one. undici has refused what is no length. */
export function lengthOf(raw: readonly string[]): number {
  for (let at = 0; at < raw.length; at += 2) {
    const name = raw[at]
    if (name?.length === 14 && name.toLowerCase() === 'content-length') return Number(raw[at + 1])
  }
  return -1
}

/** Trailers as `addTrailers` takes them. */
export function trailersOf(trailers: Record<string, string | string[]>): [string, string][] {
  return Object.entries(trailers).flatMap(([name, value]) =>
    (Array.isArray(value) ? value : [value]).map((one): [string, string] => [name, one]),
  )
}
