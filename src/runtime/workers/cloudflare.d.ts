// What is used of workerd's own modules and globals, in place of a package of all its types.
declare module 'cloudflare:workers' {
  export abstract class DurableObject<Env = unknown> {
    protected readonly env: Env
    constructor(state: object, env: Env)
  }
}

// Bundled as text: see `rules` in wrangler.toml.
declare module '*.yaml' {
  const text: string
  export default text
}

/** Two ends of a WebSocket: one for the answer, one for the Worker. */
declare const WebSocketPair: new () => { readonly 0: WebSocket; readonly 1: WebSocket }

interface WebSocket {
  /** Begins to take messages. */
  accept(): void
}

interface Response {
  /** Of a 101. */
  readonly webSocket?: WebSocket | null
}

interface ResponseInit {
  /** `manual`: the body is in the `Content-Encoding` that its header names, and stays so. */
  encodeBody?: 'automatic' | 'manual'
  webSocket?: WebSocket | null
}

interface RequestInit {
  /** `manual`: an answer is not decoded. */
  encodeResponseBody?: 'automatic' | 'manual'
}

type Passage = {
  readonly readable: ReadableStream<Uint8Array>
  readonly writable: WritableStream<Uint8Array>
}
declare const IdentityTransformStream: new () => Passage
/** As many bytes and no other number. What is sent from it has a `Content-Length`. */
declare const FixedLengthStream: new (bytes: number) => Passage
