/**
 * One call to the API: the request as it goes out, the tries, the answer as it comes in. It knows
 * nothing of keys and tenants.
 *
 * The danger is the credential. It goes to `baseUrl` and nowhere else (a redirect is an error), into
 * no message, and is shown by nothing that prints this object.
 */
import { fromWire, toWire } from './case.ts'
import { Deadline, sleep } from './deadline.ts'
import { connectionError, errorOf, PosternError, unreadable } from './errors.ts'
import { mayRetry, retryAfterOf, waitMs } from './retry.ts'
import type { Receipt } from './schema.ts'

/** What may be said about one call alone. */
export type RequestOptions = {
  /** Gives up: the call rejects with the signal's reason. */
  readonly signal?: AbortSignal
  /** The longest one try may take; for a stream, the longest silence. */
  readonly timeoutMs?: number
  /** How often it is tried again. */
  readonly maxRetries?: number
  /**
   * For calls that create or change: two calls with one key are carried out once. Made up where it
   * is not given; give your own to be safe over restarts of your program.
   */
  readonly idempotencyKey?: string
}

/** What may be said about a call that ends or narrows something. */
export type WaitOptions = RequestOptions & {
  /**
   * `all` (the default): the answer waits until every node goes by the change, for 2 seconds at most;
   * `none`: it does not. `receipt` of the answer says how far it has come.
   */
  readonly wait?: 'none' | 'all'
}

/** What was changed, and since when every node goes by it. */
export type Told<Data> = Data & { readonly receipt: Receipt }

type Settings = {
  /** With the base path, without a slash at its end. */
  readonly root: string
  /** Goes into every request. */
  readonly headers: Readonly<Record<string, string>>
  readonly platform: string | undefined
  readonly timeoutMs: number
  readonly maxRetries: number
  readonly fetch: typeof fetch
}

export type Ask = {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE'
  /** Below the base path. Every part of it from outside has gone through `segment`. */
  readonly path: string
  readonly query?: object
  /** Sent as JSON, in the names of the wire. */
  readonly body?: object
  /** Names in query and body are the caller's own, and stay as they are. */
  readonly isVerbatim?: boolean
  /** Sent as it is: lines of JSON. */
  readonly lines?: string
  readonly headers?: Readonly<Record<string, string>>
  /** A POST that changes nothing needs no idempotency key. */
  readonly isRead?: boolean
  /** Twice is not the same as once, and there is nothing that would make it so. */
  readonly isUnrepeatable?: boolean
  readonly options?: RequestOptions
}

const ndjson = 'application/x-ndjson'
const lineCharactersMax = 1 << 20

export class Transport {
  readonly #settings: Settings

  constructor(settings: Settings) {
    this.#settings = settings
  }

  /** The answer's body. Its shape is taken on the server's word. Throws `PosternError`. */
  json<Body>(ask: Ask): Promise<Body> {
    return this.#send(ask, async (response, deadline) => {
      const text = await response.text()
      deadline.close()
      try {
        // What the document says, schema.ts says; nothing is checked twice.
        return fromWire(JSON.parse(text)) as Body
      } catch (error) {
        throw unreadable(response, error)
      }
    })
  }

  /** An answer that says nothing. Throws `PosternError`. */
  nothing(ask: Ask): Promise<void> {
    return this.#send(ask, async (response, deadline) => {
      await response.body?.cancel()
      deadline.close()
    })
  }

  /** The `data` of an answer. */
  async data<Data>(ask: Ask): Promise<Data> {
    const { data } = await this.json<{ data: Data }>(ask)
    return data
  }

  /** The `data` of an answer that says how far a change has come. `wait` is sent in the query. */
  async told<Data>(ask: Ask, wait?: 'none' | 'all'): Promise<Told<Data>> {
    const asked = wait === undefined ? ask : { ...ask, query: { ...ask.query, wait } }
    const { data, epoch, nodes, acknowledged, effectiveAt, maxStalenessMs } = await this.json<
      { data: Data } & Receipt
    >(asked)
    return { ...data, receipt: { epoch, nodes, acknowledged, effectiveAt, maxStalenessMs } }
  }

  /** An answer in lines of JSON, as they arrive. Only its beginning is tried again. */
  async *lines<Line>(ask: Ask): AsyncGenerator<Line, void, undefined> {
    const headers = { accept: ndjson, ...ask.headers }
    const { response, deadline } = await this.#send({ ...ask, headers }, async (opened, own) => ({
      response: opened,
      deadline: own,
    }))
    try {
      for await (const line of linesOf(response, deadline)) {
        // As above.
        yield fromWire(JSON.parse(line)) as Line
      }
    } catch (error) {
      if (error instanceof SyntaxError) throw unreadable(response, error)
      throw this.#failure(error, deadline, ask.options)
    } finally {
      deadline.close()
      // A caller who stops reading ends the sending, too.
      await response.body?.cancel().catch(() => undefined)
    }
  }

  async #send<Answer>(
    ask: Ask,
    read: (response: Response, deadline: Deadline) => Promise<Answer>,
  ): Promise<Answer> {
    const { url, init } = this.#prepare(ask)
    const { maxRetries = this.#settings.maxRetries, signal } = ask.options ?? {}
    for (let attempt = 0; ; attempt++) {
      signal?.throwIfAborted()
      try {
        return await this.#attempt(url, init, ask, read)
      } catch (error) {
        if (!(error instanceof PosternError) || attempt >= maxRetries) throw error
        if (!mayRetry(error, ask.isUnrepeatable !== true)) throw error
        await sleep(waitMs(attempt, error.retryAfterMs, Math.random()), signal)
      }
    }
  }

  async #attempt<Answer>(
    url: string,
    init: RequestInit,
    { options }: Ask,
    read: (response: Response, deadline: Deadline) => Promise<Answer>,
  ): Promise<Answer> {
    const { timeoutMs = this.#settings.timeoutMs, signal } = options ?? {}
    const deadline = new Deadline(timeoutMs, signal)
    try {
      const response = await this.#settings.fetch(url, { ...init, signal: deadline.signal })
      if (response.ok) return await read(response, deadline)
      const text = await response.text()
      // A redirect is not followed: it would carry the key to wherever it points. Browsers hide its
      // status behind 0.
      throw errorOf(response, text, retryAfterOf(response.headers, Date.now()))
    } catch (error) {
      deadline.close()
      throw this.#failure(error, deadline, options)
    }
  }

  /** What `fetch` threw, in our words; the caller's own reason stays as it is. */
  #failure(error: unknown, { expired }: Deadline, options: RequestOptions = {}): unknown {
    if (error instanceof PosternError) return error
    if (options.signal?.aborted) return options.signal.reason
    const { root } = this.#settings
    if (expired) return connectionError('timeout', `No answer from ${root} in time.`)
    return connectionError('failed', `There is no connection to ${root}.`, error)
  }

  #prepare(ask: Ask): { readonly url: string; readonly init: RequestInit } {
    const { root, platform } = this.#settings
    const { method, path, body, isVerbatim = false, lines, options } = ask
    const named = (value: object) => (isVerbatim ? value : toWire(value)) ?? {}
    const query = new URLSearchParams()
    for (const [name, value] of Object.entries(named({ ...ask.query, platform }))) {
      if (value !== undefined && value !== null) query.set(name, String(value))
    }
    const search = query.size === 0 ? '' : `?${query}`
    const headers = new Headers({ accept: 'application/json', ...this.#settings.headers })
    for (const [name, value] of Object.entries(ask.headers ?? {})) headers.set(name, value)
    if (body !== undefined) headers.set('content-type', 'application/json')
    if (lines !== undefined) headers.set('content-type', ndjson)
    if (method === 'POST' && ask.isRead !== true) {
      headers.set('idempotency-key', options?.idempotencyKey ?? randomKey())
    }
    const sent = lines ?? (body === undefined ? undefined : JSON.stringify(named(body)))
    return { url: root + path + search, init: { method, headers, body: sent, redirect: 'manual' } }
  }

  toJSON(): string {
    return `Postern at ${this.#settings.root}`
  }
}

/** An id as one part of a path. Throws `TypeError` for one that would be another path. */
export function segment(id: string): string {
  if (/^\.{0,2}$/.test(id)) throw new TypeError(`${JSON.stringify(id)} is no id`)
  return encodeURIComponent(id)
}

/** `crypto.randomUUID` is missing in pages that were not loaded over https. */
function randomKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16))
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
}

/** Throws `SyntaxError` for a line without end. */
async function* linesOf({ body }: Response, deadline: Deadline): AsyncGenerator<string> {
  if (body === null) return
  const reader = body.getReader()
  const decoder = new TextDecoder()
  let rest = ''
  try {
    for (;;) {
      const { done, value } = await reader.read()
      deadline.renew()
      rest += decoder.decode(value, { stream: !done })
      const lines = rest.split('\n')
      rest = done ? '' : (lines.pop() ?? '')
      if (rest.length > lineCharactersMax) throw new SyntaxError('a line is too long')
      for (const line of lines) if (line.trim() !== '') yield line
      if (done) return
    }
  } finally {
    reader.releaseLock()
  }
}
