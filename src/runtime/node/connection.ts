/** One connection of a client: its peer, and the requests on it that have not been answered yet. */
import type { Refusal } from '../../problem.ts'
import type { Peer } from './client-address.ts'
import type { Outgoing } from './outgoing.ts'

type ConnectionFront = { readonly draining: boolean; readonly keepAlive: string }

export class Connection {
  readonly peer: Peer
  readonly port: number
  /** What follows on the connection is not read as requests any more. */
  deaf = false
  /** What to say once the requests before it have been answered. */
  refusal: Refusal | null = null
  /** The last request that came in, for as long as any is unanswered. */
  current: Outgoing | null = null
  pending = 0
  readonly #front: ConnectionFront

  constructor(peer: Peer, port: number, front: ConnectionFront) {
    this.peer = peer
    this.port = port
    this.#front = front
  }

  /** How a head ends whose connection is kept. */
  get keepAlive(): string {
    return this.#front.keepAlive
  }

  /** Whether the answer being written is the last this connection gets. */
  get ending(): boolean {
    return this.#front.draining && this.pending <= 1
  }
}
