/**
 * Programs that run in a session's sandbox, with the secrets of the session that they declare. An
 * object here is an agent as it was when it was asked for: what became of it says another one.
 */
import { sleep } from './deadline.ts'
import { type RequestOptions, segment, type Transport } from './transport.ts'

/** `lost`: the gateway that ran it died, and its program with it. */
export type AgentStatus = 'running' | 'exited' | 'failed' | 'stopped' | 'timeout' | 'lost'

/** An agent in a list. Times are RFC 3339, UTC. */
export type AgentInfo = {
  readonly id: string
  readonly sessionId: string
  readonly compute: 'python' | 'node' | 'shell'
  readonly status: AgentStatus
  /** null where it did not end by itself. */
  readonly exitCode: number | null
  /** Names that it declared. */
  readonly secrets: readonly string[]
  readonly createdAt: string
  readonly endedAt: string | null
}

/** What is to be run. */
export type CreateAgent = {
  readonly compute: 'python' | 'node' | 'shell'
  /** The program: a Python script, an ES module, a POSIX script. Without it nothing is done. */
  readonly code?: string
  /** Names of secrets of the session: it finds these in its environment, and no others. */
  readonly secrets?: readonly string[]
  /** Seconds after which it is ended: 1 to 600, without a word 60. */
  readonly timeout?: number
}

type AgentBody = AgentInfo & { readonly output: string; readonly truncated: boolean }

/** `session.agents`. Every call rejects with a `PosternError`. */
export class Agents {
  readonly #transport: Transport
  readonly #path: string

  /** `sessionPath`: of the session that they run in. */
  constructor(transport: Transport, sessionPath: string) {
    this.#transport = transport
    this.#path = `${sessionPath}/agents`
  }

  /**
   * Starts one. Rejects with `secret/not_found` where the session has no secret of a declared name.
   * It is not tried again when its answer is lost: it may have been started.
   */
  create(agent: CreateAgent, options?: RequestOptions): Promise<Agent> {
    const ask = { method: 'POST', path: this.#path, body: agent, isVerbatim: true } as const
    return this.#one({ ...ask, isUnrepeatable: true, options })
  }

  /** The newest, without what they printed. `limit`: 1 to 100, without a word 20. */
  async list(
    which: { readonly limit?: number } = {},
    options?: RequestOptions,
  ): Promise<{ readonly agents: readonly AgentInfo[]; readonly total: number }> {
    return this.#transport.json({ method: 'GET', path: this.#path, query: which, options })
  }

  /** One, with what it has printed so far. */
  get(id: string, options?: RequestOptions): Promise<Agent> {
    return this.#one({ method: 'GET', path: this.#pathOf(id), options })
  }

  /** Ends one and all that it started. One that has ended stays as it is. */
  stop(id: string, options?: RequestOptions): Promise<Agent> {
    return this.#one({ method: 'POST', path: `${this.#pathOf(id)}/stop`, options })
  }

  /** Removes the record of one that has ended, and what it printed. */
  delete(id: string, options?: RequestOptions): Promise<void> {
    return this.#transport.nothing({ method: 'DELETE', path: this.#pathOf(id), options })
  }

  async #one(ask: Parameters<Transport['json']>[0]): Promise<Agent> {
    return new Agent(this, await this.#transport.json<AgentBody>(ask))
  }

  #pathOf(id: string): string {
    return `${this.#path}/${segment(id)}`
  }
}

const pollMs = { first: 100, most: 1000 }

/** An agent, as it was when it was asked for. */
export class Agent implements AgentInfo {
  readonly id: string
  readonly sessionId: string
  readonly compute: 'python' | 'node' | 'shell'
  readonly status: AgentStatus
  readonly exitCode: number | null
  readonly secrets: readonly string[]
  readonly createdAt: string
  readonly endedAt: string | null
  /** What it printed to either stream, with the values of its secrets covered. */
  readonly output: string
  /** It printed more than is kept. */
  readonly truncated: boolean
  readonly #agents: Agents

  constructor(agents: Agents, body: AgentBody) {
    this.#agents = agents
    this.id = body.id
    this.sessionId = body.sessionId
    this.compute = body.compute
    this.status = body.status
    this.exitCode = body.exitCode
    this.secrets = body.secrets
    this.createdAt = body.createdAt
    this.endedAt = body.endedAt
    this.output = body.output
    this.truncated = body.truncated
  }

  /** Asks until it has ended, and answers how. To give up earlier, give a signal. */
  async wait(options?: RequestOptions): Promise<Agent> {
    let found: Agent = this
    for (let ms = pollMs.first; found.status === 'running'; ms = Math.min(ms * 2, pollMs.most)) {
      await sleep(ms, options?.signal)
      found = await this.#agents.get(this.id, options)
    }
    return found
  }

  /** Ends it and all that it started. */
  stop(options?: RequestOptions): Promise<Agent> {
    return this.#agents.stop(this.id, options)
  }
}
