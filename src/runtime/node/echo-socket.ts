/**
 * The server side of a WebSocket that sends every message back (RFC 6455), for the echo upstream. No
 * extension is negotiated. It holds one message at most, of 1 MiB; whoever breaks the protocol is told
 * which rule by a close code, and is gone.
 */
import { isUtf8 } from 'node:buffer'
import type { Socket } from 'node:net'
import { closeFrame, opcodes, serverFrame } from '../../proxy/websocket.ts'

const messageBytesMax = 1_048_576
const frameBytesMin = 2
/** For the client to close its side after a close frame. */
const closeMs = 1000

type Frame = {
  readonly final: boolean
  readonly opcode: number
  readonly payload: Buffer
  /** Bytes that it took, head included. */
  readonly bytes: number
}
type Needed = { readonly needed: number }
/** A close code of RFC 6455 section 7.4.1: what was broken. */
type Broken = 1002 | 1007 | 1009

/** Echoes until either side closes. `head` is what had been read already. Takes the socket. */
export function echoFrames(socket: Socket, head: Buffer): void {
  const echo = new EchoSocket(socket)
  socket.on('error', () => {})
  socket.on('end', () => socket.end())
  socket.on('drain', () => socket.resume())
  socket.on('data', (chunk: Buffer) => echo.take(chunk))
  echo.take(head)
}

class EchoSocket {
  readonly #socket: Socket
  /** What has come and makes no whole frame yet. Joined once it may, and not at every piece. */
  #unread: Buffer[] = []
  #unreadBytes = 0
  #neededBytes = frameBytesMin
  /** The pieces of a message whose final frame has not come. */
  #pieces: Buffer[] = []
  #pieceBytes = 0
  #opcode: number = opcodes.continuation
  #closing = false

  constructor(socket: Socket) {
    this.#socket = socket
  }

  take(chunk: Buffer): void {
    if (this.#closing || chunk.length === 0) return
    this.#unread.push(chunk)
    this.#unreadBytes += chunk.length
    while (!this.#closing && this.#unreadBytes >= this.#neededBytes) this.#takeFrame()
  }

  #takeFrame(): void {
    const bytes = this.#unread.length === 1 ? this.#unread[0]! : Buffer.concat(this.#unread)
    const read = readFrame(bytes, messageBytesMax - this.#pieceBytes)
    const rest = typeof read === 'object' && 'payload' in read ? bytes.subarray(read.bytes) : bytes
    this.#unread = [rest]
    this.#unreadBytes = rest.length
    this.#neededBytes = frameBytesMin
    if (typeof read === 'number') this.#close(read)
    else if ('needed' in read) this.#neededBytes = read.needed
    else if (read.opcode >= opcodes.close) this.#control(read)
    else this.#data(read)
  }

  #control({ opcode, payload }: Frame): void {
    if (opcode === opcodes.ping) this.#send(opcodes.pong, payload)
    if (opcode === opcodes.close) this.#close(codeToReturn(payload))
  }

  #data({ final, opcode, payload }: Frame): void {
    const begun = this.#opcode !== opcodes.continuation
    if ((opcode === opcodes.continuation) !== begun) {
      this.#close(1002)
      return
    }
    if (!begun) this.#opcode = opcode
    this.#pieces.push(payload)
    this.#pieceBytes += payload.length
    if (!final) return
    const message = this.#pieces.length === 1 ? payload : Buffer.concat(this.#pieces)
    if (this.#opcode === opcodes.text && !isUtf8(message)) this.#close(1007)
    else this.#send(this.#opcode, message)
    this.#pieces = []
    this.#pieceBytes = 0
    this.#opcode = opcodes.continuation
  }

  #send(opcode: number, payload: Uint8Array): void {
    if (!this.#socket.write(serverFrame(opcode, payload))) this.#socket.pause()
  }

  #close(code: number): void {
    this.#closing = true
    this.#socket.end(closeFrame(code, ''))
    this.#socket.resume()
    const timer = setTimeout(() => this.#socket.destroy(), closeMs)
    this.#socket.once('close', () => clearTimeout(timer))
  }
}

/** The frame that stands at the start, or how many bytes tell more, or the rule that it breaks. */
function readFrame(bytes: Buffer, payloadMax: number): Frame | Needed | Broken {
  const [first = 0, second = 0] = bytes
  const opcode = first & 0x0f
  const final = (first & 0x80) !== 0
  const control = opcode >= opcodes.close
  const short = second & 0x7f
  // Section 5: no reserved bit or opcode, masked (5.1), control frames short and whole (5.5).
  if ((first & 0x70) !== 0 || (second & 0x80) === 0 || !known.has(opcode)) return 1002
  if (control && (!final || short > 125)) return 1002
  let maskAt = 2
  if (short === 126) maskAt = 4
  if (short === 127) maskAt = 10
  if (bytes.length < maskAt) return { needed: maskAt }
  let length = short
  if (short === 126) length = bytes.readUInt16BE(2)
  if (short === 127) length = Number(bytes.readBigUInt64BE(2))
  if (!control && length > payloadMax) return 1009
  const start = maskAt + 4
  if (bytes.length < start + length) return { needed: start + length }
  const payload = Buffer.from(bytes.subarray(start, start + length))
  for (let at = 0; at < length; at += 1) payload[at]! ^= bytes[maskAt + (at & 3)]!
  return { final, opcode, payload, bytes: start + length }
}

const known: ReadonlySet<number> = new Set(Object.values(opcodes))

/** RFC 6455 section 5.5.1: a close frame is answered with its own code. 1000 where it has none. */
function codeToReturn(payload: Buffer): number {
  if (payload.length === 0) return 1000
  const code = payload.length === 1 ? 0 : payload.readUInt16BE(0)
  const allowed = (code >= 3000 && code <= 4999) || /^10(?:0[0-37-9]|1[0-4])$/.test(`${code}`)
  return allowed && isUtf8(payload.subarray(2)) ? code : 1002
}
