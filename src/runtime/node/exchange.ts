/** What Node knows of one exchange: the port of context.ts, and the one outcome on its way to the log. */
import type { Exchange, Outcome } from '../../context.ts'
import type { Frame } from '../../frame.ts'
import type { Client } from './client-address.ts'
import type { Handshake } from './handshake.ts'
import type { Incoming } from './incoming.ts'
import type { Outgoing } from './outgoing.ts'
import { requestOf } from './request.ts'

const noHeaders = { get: () => null }

type Sent = {
  readonly status: number
  readonly bytes: number
  readonly cause: string | null
  readonly requestBytes: number
}

export class NodeExchange implements Exchange {
  readonly target: string
  readonly host: string
  readonly port: number
  readonly clientAddress: string
  readonly secure: boolean
  readonly method: string
  /** Of a client that asks for a WebSocket: what forwards accepts it (`acceptUpgrade`). */
  handshake: Handshake | null = null
  /** The gate's headers: laid over the answer's own when its head is written. */
  headers: Record<string, string> | null = null
  /** Announced by the request; null when it is chunked. */
  readonly bodyBytes: number | null
  /** Where the answer goes; null where there is too little of a request to have one. */
  outgoing: Outgoing | null = null
  /** Told when the client leaves before its answer is whole. */
  hop: { clientLeft(): void } | null = null
  #request: Request | null = null
  #outcome: Outcome | null = null
  #sent: Sent | null = null
  readonly #startedMs = performance.now()
  /** null where there was too little of a request to have one. */
  incoming: Incoming | null
  readonly #log: (outcome: Outcome) => void

  constructor(
    frame: Frame,
    port: number,
    client: Client,
    incoming: Incoming | null,
    log: (outcome: Outcome) => void,
  ) {
    this.method = incoming?.method ?? ''
    this.target = frame.target
    this.host = frame.host
    this.bodyBytes = frame.bodyBytes
    this.port = port
    this.clientAddress = client.address
    this.secure = client.secure
    this.incoming = incoming
    this.#log = log
  }

  get rawHeaders(): readonly string[] {
    return this.incoming?.rawHeaders ?? []
  }

  get hasBody(): boolean {
    return this.bodyBytes !== 0
  }

  get bodyUsed(): boolean {
    return this.incoming?.wanted ?? false
  }

  get upgrade(): boolean {
    return this.handshake !== null
  }

  get requestHeaders(): { get(name: string): string | null } {
    return this.incoming ?? noHeaders
  }

  get origin(): string {
    const host = this.incoming?.headers.host ?? 'localhost'
    return `${this.secure ? 'https' : 'http'}://${host}`
  }

  get request(): Request {
    if (this.#request !== null) return this.#request
    const { incoming, outgoing } = this
    if (incoming === null || outgoing === null) throw new TypeError('there is no request here')
    this.#request = requestOf(incoming, outgoing)
    return this.#request
  }

  limitBody(bytesMax: number): boolean {
    const incoming = this.incoming
    if (Math.max(this.bodyBytes ?? 0, incoming?.receivedBytes ?? 0) > bytesMax) return false
    if (incoming !== null) incoming.bytesMax = bytesMax
    return true
  }

  reply(response: Response, headers: Record<string, string>, outcome: Outcome): Response {
    this.headers = headers
    this.#outcome = outcome
    // The client may have gone before the gate had its answer.
    if (this.#sent !== null) this.#settle()
    return response
  }

  /**
   * Lets go of the request and its headers, the key among them: a WebSocket can outlive them by days.
   */
  forgetRequest(): void {
    this.incoming = null
    this.#request = null
    this.handshake = null
    this.outgoing = null
    this.hop = null
  }

  /**
   * The answer has gone out, or never will. `status` 0: nothing was sent. `requestBytes` where they
   * came as no body.
   */
  sent(status: number, bytes: number, cause: string | null, requestBytes?: number): void {
    this.#sent ??= {
      status,
      bytes,
      cause,
      requestBytes: requestBytes ?? this.incoming?.receivedBytes ?? 0,
    }
    this.#settle()
  }

  #settle(): void {
    const outcome = this.#outcome
    if (outcome === null || this.#sent === null) return
    this.#outcome = null
    if (this.#sent.status !== 0) outcome.status = this.#sent.status
    outcome.cause ??= this.#sent.cause
    outcome.requestBytes = this.#sent.requestBytes
    outcome.responseBytes = this.#sent.bytes
    outcome.durationMs = performance.now() - this.#startedMs
    this.#log(outcome)
  }
}
