/**
 * The body of a request on its way to an upstream, held back by the upstream's pace.
 *
 * The danger is an end that is none: a body that fails, or whose client leaves, must be cut off at
 * the upstream, and never be ended in order (threats R20, R25).
 */
import type { Socket } from 'node:net'
import { HopFault } from '../../../context.ts'
import { Problem } from '../../../problem.ts'
import type { Incoming } from '../incoming.ts'

/** Up to here the garbage collector is quick enough. */
const smallBytesMax = 4096

/** Told what becomes of a body. */
export type Sender = {
  /** A piece has gone. */
  onSent(): void
  /** The body cannot be sent to its end. */
  onFault(fault: HopFault | Problem): void
}

export class Upload {
  readonly #socket: Socket
  readonly #body: Incoming
  readonly #chunked: boolean
  readonly #sender: Sender
  /** All of it has been handed to the socket. */
  isDone = false

  /** Sends `head` (latin-1), and behind it the body as it comes. */
  constructor(socket: Socket, head: string, body: Incoming, chunked: boolean, sender: Sender) {
    this.#socket = socket
    this.#body = body
    this.#chunked = chunked
    this.#sender = sender
    // The head goes out with the first piece, or with the end of this turn.
    socket.cork()
    process.nextTick(uncork, socket)
    socket.write(head, 'latin1')
    socket.on('drain', this.#onDrain)
    body.on('end', this.#onEnd)
    body.on('error', this.#onError)
    body.on('close', this.#onClose)
    body.on('data', this.#onData)
  }

  /** Sends nothing more, and leaves the rest of the body where it is. */
  stop(): void {
    this.#socket.off('drain', this.#onDrain)
    this.#body.off('end', this.#onEnd)
    this.#body.off('error', this.#onError)
    this.#body.off('close', this.#onClose)
    this.#body.off('data', this.#onData)
    if (!this.isDone) this.#body.pause()
  }

  readonly #onData = (piece: Buffer): void => {
    const socket = this.#socket
    if (piece.length === 0) return
    const written = piece.length > smallBytesMax ? giveUp(piece) : undefined
    let ready: boolean
    if (this.#chunked) {
      socket.cork()
      socket.write(`${piece.length.toString(16)}\r\n`, 'latin1')
      socket.write(piece, written)
      ready = socket.write('\r\n', 'latin1')
      socket.uncork()
    } else ready = socket.write(piece, written)
    if (!ready) this.#body.pause()
    this.#sender.onSent()
  }

  readonly #onDrain = (): void => {
    this.#body.resume()
    this.#sender.onSent()
  }

  readonly #onEnd = (): void => {
    this.isDone = true
    if (this.#chunked) this.#socket.write('0\r\n\r\n', 'latin1')
    this.stop()
    this.#sender.onSent()
  }

  readonly #onError = (error: Error): void => {
    this.#sender.onFault(error instanceof Problem ? error : brokenOff())
  }

  readonly #onClose = (): void => {
    if (!this.isDone) this.#sender.onFault(brokenOff())
  }
}

/**
 * What gives the memory of a piece back once the system has taken its bytes, if all of it is the
 * piece's. V8 would let 64 MB of such pieces gather before it looked for them.
 */
const giveUp =
  ({ buffer, length }: Buffer) =>
  (error?: Error | null): void => {
    // After an error the bytes may still be on their way.
    if (error || !(buffer instanceof ArrayBuffer) || buffer.byteLength !== length) return
    buffer.transfer(0)
  }

const uncork = (socket: Socket): void => socket.uncork()

const brokenOff = (): HopFault =>
  new HopFault('client_gone', false, 'the client broke off its body')
