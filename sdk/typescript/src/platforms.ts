/** What the gateway's configuration says, for reading. */
import type { PermissionGroup, Platform } from './schema.ts'
import type { RequestOptions, Transport } from './transport.ts'

/** `client.platforms`. */
export class Platforms {
  readonly #transport: Transport

  constructor(transport: Transport) {
    this.#transport = transport
  }

  /** The platforms that this key reaches: its own; for an operator key, all. */
  list(options?: RequestOptions): Promise<readonly Platform[]> {
    return this.#transport.data({ method: 'GET', path: '/platforms', options })
  }
}

/** `client.permissions`. */
export class Permissions {
  readonly #transport: Transport

  constructor(transport: Transport) {
    this.#transport = transport
  }

  /** The permissions that a key of the platform can hold, by service. */
  list(options?: RequestOptions): Promise<readonly PermissionGroup[]> {
    return this.#transport.data({ method: 'GET', path: '/permissions', options })
  }
}
