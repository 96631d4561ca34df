/**
 * What of RFC 6455 a gateway has to know: whether a request opens a WebSocket, where the frames of a
 * stream end, and how a server says goodbye. It carries bytes and never reads a message.
 *
 * The danger is to take for a tunnel what the upstream still reads as HTTP: whoever smuggles a request
 * through it has passed no check. So a handshake that is not exact is refused, with its connection.
 */
import type { Refusal } from '../problem.ts'

/** The part of `Headers` that is needed. A repeated field comes joined by commas, as in `Headers`. */
type HeaderReader = { get(name: string): string | null }

// What follows a handshake that failed may be frames, which nobody may read as requests.
const close = { connection: 'close' }
const malformed = (detail: string, headers: Record<string, string> = {}): Refusal =>
  Object.freeze({
    code: 'request/malformed',
    detail,
    headers: Object.freeze({ ...headers, ...close }),
  })

const notGet = malformed('Open a WebSocket with GET.')
const badKey = malformed('Send one Sec-WebSocket-Key: the base64 of 16 bytes.')
// RFC 6455 section 4.4: the refusal names the version that is spoken.
const badVersion = malformed('Send Sec-WebSocket-Version: 13.', { 'sec-websocket-version': '13' })

/** 16 bytes are 21 characters of six bits and one of two, which leaves four of 64 for the last. */
const sixteenBytes = /^[A-Za-z0-9+/]{21}[AQgw]==$/

/**
 * Whether a request asks for a WebSocket (RFC 6455 section 4.2.1). 'none' for a request that asks for
 * nothing, for another protocol (`h2c`), or in a way that must be ignored (RFC 9110 section 7.8:
 * HTTP/1.0, or no `Connection: upgrade`). Refuses a bad handshake with 400 `request/malformed` that
 * ends the connection. Never throws.
 */
export function upgradeOf(
  method: string,
  httpVersion: string,
  headers: HeaderReader,
): 'none' | 'websocket' | Refusal {
  const wanted = headers.get('upgrade')
  if (wanted === null || httpVersion !== '1.1') return 'none'
  if (!lists(wanted, 'websocket') || !lists(headers.get('connection') ?? '', 'upgrade')) {
    return 'none'
  }
  if (method !== 'GET') return notGet
  if (headers.get('sec-websocket-version') !== '13') return badVersion
  return sixteenBytes.test(headers.get('sec-websocket-key') ?? '') ? 'websocket' : badKey
}

const lists = (list: string, token: string): boolean =>
  list.split(',').some((part) => part.trim().toLowerCase() === token)

/** Follows the frames of one direction of a WebSocket. Holds no payload, whatever its length. */
export type FrameTracker = {
  /** No frame is begun and unfinished: another one may be put here. */
  readonly atBoundary: boolean
  /** Goes over bytes as they are sent. */
  take(bytes: Uint8Array): void
  /** Goes over bytes as far as the first end of a frame among them, and answers how many those are. */
  takeToBoundary(bytes: Uint8Array): number
}

/** Creates a tracker that stands at the first byte after a handshake (frames: RFC 6455 section 5.2). */
export function createFrameTracker(): FrameTracker {
  let awaited: 'opcode' | 'length' | 'more-length' = 'opcode'
  let lengthBytes = 0
  let length = 0
  let maskBytes = 0
  /** Bytes of mask and payload that are still to come. */
  let rest = 0

  const atBoundary = (): boolean => rest === 0 && awaited === 'opcode'

  function takeHeaderByte(byte: number): void {
    if (awaited === 'opcode') {
      awaited = 'length'
      return
    }
    if (awaited === 'length') {
      maskBytes = byte & 0x80 ? 4 : 0
      length = byte & 0x7f
      if (length < 126) lengthBytes = 0
      else lengthBytes = length === 126 ? 2 : 8
      if (lengthBytes > 0) {
        length = 0
        awaited = 'more-length'
        return
      }
    } else {
      length = length * 256 + byte
      lengthBytes -= 1
      if (lengthBytes > 0) return
    }
    awaited = 'opcode'
    rest = length + maskBytes
  }

  function walk(bytes: Uint8Array, stopping: boolean): number {
    let at = 0
    while (at < bytes.length) {
      if (rest > 0) {
        const step = Math.min(rest, bytes.length - at)
        rest -= step
        at += step
      } else {
        takeHeaderByte(bytes[at] ?? 0)
        at += 1
      }
      if (stopping && atBoundary()) return at
    }
    return at
  }

  return {
    get atBoundary() {
      return atBoundary()
    },
    take(bytes) {
      walk(bytes, false)
    },
    takeToBoundary: (bytes) => walk(bytes, true),
  }
}

export const opcodes = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const

/** One whole frame as a server sends it: final and not masked (RFC 6455 section 5.2). */
export function serverFrame(opcode: number, payload: Uint8Array): Uint8Array {
  const { length } = payload
  let headBytes = 2
  if (length > 125) headBytes = length < 65_536 ? 4 : 10
  const frame = new Uint8Array(headBytes + length)
  const view = new DataView(frame.buffer)
  frame[0] = 0x80 | opcode
  if (headBytes === 2) frame[1] = length
  else if (headBytes === 4) {
    frame[1] = 126
    view.setUint16(2, length)
  } else {
    frame[1] = 127
    view.setBigUint64(2, BigInt(length))
  }
  frame.set(payload, headBytes)
  return frame
}

/** What a control frame may carry, less the two bytes of the code (RFC 6455 section 5.5). */
const reasonBytesMax = 123

/**
 * A server's close frame (RFC 6455 section 5.5.1). A reason longer than 123 bytes is cut between two
 * characters. Throws a RangeError for a code that may not stand in a frame (section 7.4).
 */
export function closeFrame(code: number, reason: string): Uint8Array {
  const sendable =
    (code >= 3000 && code <= 4999) ||
    (code >= 1000 && code <= 1014 && code !== 1004 && code !== 1005 && code !== 1006)
  if (!sendable) throw new RangeError(`no close frame may carry the code ${code}`)
  const payload = new Uint8Array(2 + reasonBytesMax)
  const { written } = new TextEncoder().encodeInto(reason, payload.subarray(2))
  new DataView(payload.buffer).setUint16(0, code)
  return serverFrame(opcodes.close, payload.subarray(0, 2 + written))
}
