/**
 * Sessions of a tenant's users, and what they hold in secret. Values go out and never come back: no
 * call reads one, no session keeps one, and no error repeats one.
 */
import { Agents } from './agents.ts'
import { type RequestOptions, segment, type Transport } from './transport.ts'

/** A session as the API writes it. Times are RFC 3339, UTC. */
export type SessionInfo = {
  readonly id: string
  readonly userId: string
  readonly status: 'active' | 'ended'
  readonly environment: 'test' | 'live'
  readonly createdAt: string
  /** When it ends by itself; null: never. */
  readonly expiresAt: string | null
  readonly endedAt: string | null
}

/** What may be known of a secret. */
export type SecretInfo = { readonly name: string; readonly createdAt: string }

/** Which sessions: of one user or of all, the newest first. `limit`: 1 to 100, without a word 20. */
export type ListSessions = { readonly limit?: number; readonly userId?: string }

/** `total` counts those that are not shown, too. */
export type SessionList = { readonly sessions: readonly Session[]; readonly total: number }

/** `client.sessions`. Every call rejects with a `PosternError`. */
export class Sessions {
  readonly #transport: Transport

  constructor(transport: Transport) {
    this.#transport = transport
  }

  /** The user's newest active session, or a new one. Many calls at once get the same. */
  forUser(userId: string, options?: RequestOptions): Promise<Session> {
    return this.#post({ userId, reuse: true }, options)
  }

  /** Opens a session. With a `ttl`, in seconds from 60 to a year, it ends by itself. */
  create(
    { userId, ttl }: { readonly userId: string; readonly ttl?: number },
    options?: RequestOptions,
  ): Promise<Session> {
    return this.#post({ userId, ttl }, options)
  }

  /** Sessions, newest first. */
  async list(which: ListSessions = {}, options?: RequestOptions): Promise<SessionList> {
    const { sessions, total } = await this.#transport.json<{
      readonly sessions: readonly SessionInfo[]
      readonly total: number
    }>({ method: 'GET', path: '/sessions', query: which, isVerbatim: true, options })
    return { sessions: sessions.map((one) => new Session(this.#transport, one)), total }
  }

  /** One session. */
  async get(id: string, options?: RequestOptions): Promise<Session> {
    const path = pathOf(id)
    const found = await this.#transport.json<SessionInfo>({ method: 'GET', path, options })
    return new Session(this.#transport, found)
  }

  /** Ends a session, stops its agents and destroys its secrets. One that has ended stays so. */
  delete(id: string, options?: RequestOptions): Promise<void> {
    return this.#transport.nothing({ method: 'DELETE', path: pathOf(id), options })
  }

  async #post(body: object, options?: RequestOptions): Promise<Session> {
    const ask = { method: 'POST', path: '/sessions', body, isVerbatim: true, options } as const
    return new Session(this.#transport, await this.#transport.json<SessionInfo>(ask))
  }
}

/** A session, as it was when it was asked for. */
export class Session implements SessionInfo {
  readonly id: string
  readonly userId: string
  readonly status: 'active' | 'ended'
  readonly environment: 'test' | 'live'
  readonly createdAt: string
  readonly expiresAt: string | null
  readonly endedAt: string | null
  /** What it holds in secret. */
  readonly secrets: Secrets
  /** Programs that run in it. */
  readonly agents: Agents

  constructor(transport: Transport, info: SessionInfo) {
    this.id = info.id
    this.userId = info.userId
    this.status = info.status
    this.environment = info.environment
    this.createdAt = info.createdAt
    this.expiresAt = info.expiresAt ?? null
    this.endedAt = info.endedAt
    this.secrets = new Secrets(transport, info.id)
    this.agents = new Agents(transport, pathOf(info.id))
  }
}

/** `session.secrets`. Every call rejects with a `PosternError`. */
export class Secrets {
  readonly #transport: Transport
  readonly #path: string

  constructor(transport: Transport, session: string) {
    this.#transport = transport
    this.#path = `${pathOf(session)}/secrets`
  }

  /** Sets or overwrites all of them, or none. */
  set(values: Readonly<Record<string, string>>, options?: RequestOptions): Promise<void> {
    const ask = { method: 'POST', path: this.#path, body: values, isVerbatim: true } as const
    return this.#transport.nothing({ ...ask, options })
  }

  /** Names, and since when: never values. */
  async list(options?: RequestOptions): Promise<readonly SecretInfo[]> {
    const { secrets } = await this.#transport.json<{ readonly secrets: readonly SecretInfo[] }>({
      ...{ method: 'GET', path: this.#path, options },
    })
    return secrets
  }

  /** Removes one. Rejects with `secret/not_found` where there is none of that name. */
  delete(name: string, options?: RequestOptions): Promise<void> {
    const path = `${this.#path}/${segment(name)}`
    return this.#transport.nothing({ method: 'DELETE', path, options })
  }
}

const pathOf = (id: string): string => `/sessions/${segment(id)}`
