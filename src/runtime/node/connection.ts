/** One connection of a client: its peer, and the requests on it that have not been answered yet. */
import type { Refusal } from '../../problem.ts'
import type { Peer } from './client-address.ts'
import type { Outgoing } from './outgoing.ts'

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
  readonly #front: { readonly draining: boolean }

  constructor(peer: Peer, port: number, front: { readonly draining: boolean }) {
    this.peer = peer
    this.port = port
    this.#front = front
  }

  /** Whether the answer being written is the last this connection gets. */
  get ending(): boolean {
    return this.#front.draining && this.pending <= 1
  }
}
