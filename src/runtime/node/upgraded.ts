/**
 * The connections that have left HTTP, or are about to. No `http.Server` knows them any more: it
 * neither ends nor cuts them, but it waits for them, so a drain without this would never be over.
 */
import type { Socket } from 'node:net'
import type { OpenSocket } from '../../context.ts'

export class Upgraded {
  /** null while the handshake is not answered. */
  readonly #sockets = new Map<Socket, OpenSocket | null>()
  #ending = false
  #onEmpty: (() => void) | null = null

  /** Takes in a connection, until it closes or has a WebSocket. */
  add(socket: Socket): void {
    this.#sockets.set(socket, null)
    socket.once('close', () => {
      if (this.#sockets.get(socket) === null) this.remove(socket)
    })
  }

  /** Its WebSocket is open, until it is removed. While all are being ended, so is this one. */
  opened(socket: Socket, open: OpenSocket): void {
    this.#sockets.set(socket, open)
    if (this.#ending) sayGoodbye(open)
  }

  remove(socket: Socket): void {
    this.#sockets.delete(socket)
    if (this.#sockets.size === 0) this.#onEmpty?.()
  }

  /**
   * Ends every WebSocket with 1001, and from here on every new one. Handshakes are still answered.
   * Resolves when none is left, both sides of it and its line in the log included.
   */
  end(): Promise<void> {
    this.#ending = true
    for (const open of this.#sockets.values()) if (open !== null) sayGoodbye(open)
    return new Promise((resolve) => {
      if (this.#sockets.size === 0) resolve()
      else this.#onEmpty = resolve
    })
  }

  /** Cuts what is left. */
  cut(): void {
    for (const socket of this.#sockets.keys()) socket.destroy()
  }
}

/** RFC 6455 section 7.4.1, 1001: the endpoint is going away. Clients take it as a reason to reconnect. */
const sayGoodbye = (open: OpenSocket): void => open.close(1001, 'going away')
