/**
 * One connection to an upstream, which carries one request at a time.
 *
 * It is used again only when the answer has ended where its framing says, the request has been sent
 * whole, and not a byte came that nobody asked for. HTTP/1.1 answers are told apart by their order
 * alone, so in every other case the connection is cut: what is still to come on it would be read as
 * the answer to the next request (threats R24).
 */
import type { Socket } from 'node:net'
import { HopFault } from '../../../context.ts'
import type { Problem } from '../../../problem.ts'
import type { Incoming } from '../incoming.ts'
import { AnswerParser, type AnswerSink } from './answer.ts'
import { readBlock } from './blocks.ts'
import type { Cancel, Connect } from './connect.ts'
import { faultOf } from './fault.ts'
import { type Sender, Upload } from './upload.ts'

/** A request that a connection carries. Called until `onEnd`, `onSwitch` or `onFault`, or until it cuts. */
export type Rider = AnswerSink &
  Sender & {
    /** The connection is there: send now. False when nobody wants the answer any more. */
    board(wire: Wire): boolean
    /** All that has arrived so far has been told, and the answer is not over. */
    onPause(): void
    /** The answer is over; the connection has been seen to. */
    onEnd(trailers: string[]): void
    /** The upstream has switched to what was asked for. `head`: what followed its 101. */
    onSwitch(headers: string[], socket: Socket, head: Buffer): void
  }

/** Where a connection belongs. */
export type Keeper = {
  /** It may carry another request. */
  onIdle(wire: Wire, keepAliveSeconds: number | null): void
  /** It is closed, or no longer ours. */
  onGone(wire: Wire): void
  /** The upstream has sent what is no answer, or what nobody asked for. */
  onNonsense(): void
}

export class Wire {
  readonly owner: string
  /** Of an idle one: when it is let go, on the clock of `performance.now()`. */
  idleUntilMs = 0
  readonly #keeper: Keeper
  readonly #parser = new AnswerParser()
  #socket: Socket | null = null
  #cancel: Cancel | null = null
  #rider: Rider | null = null
  #upload: Upload | null = null
  #gone = false
  #paused = false

  constructor(owner: string, keeper: Keeper) {
    this.owner = owner
    this.#keeper = keeper
  }

  /** Connects for a rider. `leaves`: the socket may be handed to somebody else (an upgrade). */
  open(connect: Connect, rider: Rider, leaves: boolean): void {
    const callback = (size: number): boolean => {
      this.#read(readBlock, size)
      return true
    }
    const reader = leaves ? null : { buffer: readBlock, callback }
    const cancel = connect(reader, (found, readsItself) => {
      this.#cancel = null
      if (found instanceof HopFault) {
        this.#leave()
        rider.onFault(found)
      } else if (this.#gone) found.destroy()
      else {
        this.#attach(found, readsItself)
        if (!rider.board(this)) this.#rest()
      }
    })
    // A connection that failed at once has called back already.
    if (!this.#gone && this.#socket === null) this.#cancel = cancel
  }

  #attach(socket: Socket, readsItself: boolean): void {
    this.#socket = socket
    socket.on('error', this.#onError)
    socket.on('end', this.#onEnd)
    socket.on('close', this.#onClose)
    if (!readsItself) socket.on('data', this.#onData)
  }

  /**
   * Sends a request: its head, and its body as it comes. The connection is idle, or has just been
   * opened. `isHead`: the answer has no body; `upgrade`: it may be a 101.
   */
  send(
    rider: Rider,
    head: string,
    body: Incoming | null,
    chunked: boolean,
    isHead: boolean,
    upgrade: boolean,
  ): void {
    const socket = this.#socket
    if (socket === null) throw new Error('a connection that is not open')
    this.#rider = rider
    this.#parser.expect(rider, isHead, upgrade)
    if (body === null) socket.write(head, 'latin1')
    else this.#upload = new Upload(socket, head, body, chunked, rider)
  }

  /** Reads nothing until `resume`. */
  pause(): void {
    this.#paused = true
    this.#socket?.pause()
  }

  resume(): void {
    if (!this.#paused) return
    this.#paused = false
    this.#socket?.resume()
  }

  /** Cuts the connection. Its rider is told nothing more. */
  destroy(): void {
    this.#rider = null
    this.#upload?.stop()
    this.#upload = null
    this.#leave()
    this.#cancel?.()
    this.#socket?.destroy()
  }

  #read(bytes: Buffer, size: number): void {
    const rider = this.#rider
    if (rider === null) {
      this.#keeper.onNonsense()
      this.destroy()
      return
    }
    let end: number
    try {
      end = this.#parser.take(bytes, size)
    } catch (error) {
      this.#keeper.onNonsense()
      this.#fail(faultOf(error, false))
      return
    }
    // It may have given up meanwhile.
    if (this.#rider !== rider) return
    if (end < 0) rider.onPause()
    else if (this.#parser.switched !== null)
      this.#switch(rider, this.#parser.switched, bytes, end, size)
    else this.#over(rider, end === size)
  }

  #over(rider: Rider, isClean: boolean): void {
    const { persists, keepAliveSeconds } = this.#parser
    const sent = this.#upload?.isDone ?? true
    this.#upload?.stop()
    this.#upload = null
    this.#rider = null
    const trailers = this.#parser.trailers()
    if (!isClean) this.#keeper.onNonsense()
    // The end may have come with the piece that was too much for the client.
    this.resume()
    if (isClean && persists && sent) this.#rest(keepAliveSeconds)
    else this.destroy()
    rider.onEnd(trailers)
  }

  #rest(keepAliveSeconds: number | null = null): void {
    this.#keeper.onIdle(this, keepAliveSeconds)
  }

  #switch(rider: Rider, headers: string[], bytes: Buffer, from: number, to: number): void {
    const socket = this.#socket
    if (socket === null) return
    this.#rider = null
    this.#leave()
    socket.pause()
    socket.off('data', this.#onData)
    socket.off('end', this.#onEnd)
    socket.off('close', this.#onClose)
    rider.onSwitch(headers, socket, Buffer.from(bytes.subarray(from, to)))
  }

  #fail(fault: HopFault | Problem): void {
    const rider = this.#rider
    this.destroy()
    rider?.onFault(fault)
  }

  readonly #onData = (piece: Buffer): void => this.#read(piece, piece.length)

  readonly #onEnd = (): void => {
    const rider = this.#rider
    if (rider === null) {
      this.destroy()
      return
    }
    try {
      this.#parser.end()
    } catch (error) {
      this.#fail(faultOf(error, false))
      return
    }
    this.#over(rider, true)
  }

  readonly #onError = (error: Error): void => this.#fail(faultOf(error, false))

  readonly #onClose = (): void => {
    this.#fail(new HopFault('connection_terminated', false, 'the connection closed'))
  }

  #leave(): void {
    if (this.#gone) return
    this.#gone = true
    this.#keeper.onGone(this)
  }
}
