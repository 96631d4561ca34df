/**
 * Which programs run in a session, with which of its secrets, and what became of them? An agent is a
 * program in a sandbox of this machine; what is kept of it is a row, without its code and without
 * any value that it was given.
 *
 * It refuses to know who calls (the scope is given), how a sandbox is made and where rows are. The
 * danger is a program that nobody holds: so there is a row before there is a process, and what runs is
 * watched (runs.ts) from the moment it was started. A test key starts none, wherever it is used.
 */
import type { Compute, Sandbox, SandboxProcess, Scope } from '../context.ts'
import { newId } from '../lib/id.ts'
import type { Refusal } from '../problem.ts'
import type { Runs } from './runs.ts'

/**
 * `lost`: the gateway that ran it died or was cut off, and its program with it. `failed`: it was
 * ended by neither itself nor a caller nor time.
 */
export type AgentStatus = 'running' | 'exited' | 'failed' | 'stopped' | 'timeout' | 'lost'

/** What may be known of an agent. */
export type AgentInfo = {
  readonly id: string
  readonly sessionId: string
  readonly compute: Compute
  readonly status: AgentStatus
  /** null where it did not end by itself. */
  readonly exitCode: number | null
  /** Names that it declared. */
  readonly secrets: readonly string[]
  readonly createdAt: Date
  readonly endedAt: Date | null
}

/** The same with what it printed, in which its secrets are covered. */
export type Agent = AgentInfo & { readonly output: string; readonly truncated: boolean }

/** What is to be run. */
export type AgentWish = {
  readonly compute: Compute
  readonly code: string
  /** Names of secrets of the session: it gets these and no others. */
  readonly secrets: readonly string[]
  readonly timeoutMs: number
}

/** How an agent ended, for its row. */
export type AgentEnd = Pick<Agent, 'status' | 'exitCode' | 'output' | 'truncated'>

export type NewAgent = Pick<Agent, 'id' | 'sessionId' | 'compute' | 'secrets'> & {
  /** Of one that is over before it began; null: it runs. */
  readonly end: AgentEnd | null
}

/** The rows. A session of another scope is as unknown as one that never was. Rejects when it is down. */
export type AgentStore = {
  /** How long after its last beat a running agent counts as lost; that is final. */
  readonly lostAfterMs: number
  /** Nothing is stored unless it is `stored`. `no_session`: there is none, or it has ended. */
  insert(
    scope: Scope,
    agent: NewAgent,
    runningMax: number,
  ): Promise<'stored' | 'no_session' | 'too_many'>
  find(scope: Scope, session: string, id: string): Promise<Agent | null>
  /** Newest first; null: no such session. One that has ended still shows its agents. */
  list(
    scope: Scope,
    session: string,
    limit: number,
  ): Promise<{ readonly agents: readonly AgentInfo[]; readonly total: number } | null>
  /** Leaves word for whoever runs it. */
  askStop(scope: Scope, session: string, id: string): Promise<void>
  /** Removes one that does not run. */
  remove(scope: Scope, session: string, id: string): Promise<void>
  /** Says that these still run, and what they printed; answers those that are still to run. */
  beat(
    scope: Scope,
    beats: readonly {
      readonly id: string
      /** null: as it was. */
      readonly output: string | null
      readonly truncated: boolean
    }[],
  ): Promise<readonly string[]>
  /** Once; what counts as lost already stays so. */
  end(scope: Scope, id: string, end: AgentEnd): Promise<void>
}

/** What a handler may do with the agents of its tenant's sessions. Refusals are values. */
export type SessionAgents = {
  /**
   * Starts one. `secret/not_found` names the first name that the session does not have;
   * `sandbox/unavailable` where this gateway has no sandbox; `quota/exceeded` and
   * `gateway/overloaded` where too many run in the session, of the tenant, or here.
   */
  start(session: string, wish: AgentWish): Promise<Agent | Refusal>
  get(session: string, id: string): Promise<Agent | Refusal>
  list(
    session: string,
    limit: number,
  ): Promise<{ readonly agents: readonly AgentInfo[]; readonly total: number } | Refusal>
  /** Ends one: at once where it runs here, else within about a second. Harmless when it has ended. */
  stop(session: string, id: string): Promise<Agent | Refusal>
  /** Removes the record of one that has ended; `resource/conflict` while it runs. */
  remove(session: string, id: string): Promise<Refusal | null>
  /** Ends those of a session that has ended which run here; elsewhere they end within about a second. */
  endSession(session: string): void
}

/** Opens all of `names` or none: `secret/not_found` names the first that is missing. */
export type OpenSecrets = (
  scope: Scope,
  session: string,
  names: readonly string[],
) => Promise<ReadonlyMap<string, string> | Refusal>

export type AgentsOptions = {
  readonly store: AgentStore
  readonly sandbox: Pick<Sandbox, 'unavailable' | 'start'>
  readonly runs: Runs
  readonly openSecrets: OpenSecrets
}

/** How many agents of one session may run at once. */
export const runningMax = 4

const testOutput = 'This is a test agent: with a test key no program is run.\n'

/** The agents of a deployment: one for all scopes, without state of any session. */
export class Agents {
  readonly #options: AgentsOptions

  constructor(options: AgentsOptions) {
    this.#options = options
  }

  /** Held to one tenant, for the handler of a request. */
  of(scope: Scope): SessionAgents {
    return new TenantAgents(this.#options, scope)
  }
}

class TenantAgents implements SessionAgents {
  readonly #options: AgentsOptions
  readonly #scope: Scope

  constructor(options: AgentsOptions, scope: Scope) {
    this.#options = options
    this.#scope = scope
  }

  async start(session: string, wish: AgentWish): Promise<Agent | Refusal> {
    const { runs, sandbox } = this.#options
    if (this.#scope.environment === 'test') return this.#pretend(session, wish)
    const { unavailable } = sandbox
    if (unavailable !== null)
      return { code: 'sandbox/unavailable', cause: `agents: ${unavailable}` }
    const full = runs.hold(this.#scope)
    if (full !== null) return full
    let watched = false
    try {
      const opened = await this.#open(session, wish)
      if ('code' in opened) return opened
      const { id, variables } = opened
      const started = await this.#run(id, wish, variables)
      if ('code' in started) return started
      runs.watch(this.#scope, session, id, started)
      watched = true
      return this.get(session, id)
    } finally {
      if (!watched) runs.release(this.#scope)
    }
  }

  async get(session: string, id: string): Promise<Agent | Refusal> {
    return (await this.#options.store.find(this.#scope, session, id)) ?? noAgent
  }

  async list(session: string, limit: number) {
    return (await this.#options.store.list(this.#scope, session, limit)) ?? noSession
  }

  async stop(session: string, id: string): Promise<Agent | Refusal> {
    const { store, runs } = this.#options
    const found = await this.get(session, id)
    if ('code' in found || found.status !== 'running') return found
    // Also where it runs here: of a process that is killed now, the next beat finds the word.
    await store.askStop(this.#scope, session, id)
    await runs.stop(this.#scope, id)
    return this.get(session, id)
  }

  async remove(session: string, id: string): Promise<Refusal | null> {
    const found = await this.get(session, id)
    if ('code' in found) return found
    if (found.status === 'running') return stillRuns
    await this.#options.store.remove(this.#scope, session, id)
    return null
  }

  endSession(session: string): void {
    this.#options.runs.stopSession(this.#scope, session)
  }

  /** Reads the secrets and stores the row: in this order, so that a session that ended has neither. */
  async #open(
    session: string,
    wish: AgentWish,
    end: AgentEnd | null = null,
  ): Promise<
    { readonly id: string; readonly variables: Readonly<Record<string, string>> } | Refusal
  > {
    const { store, openSecrets } = this.#options
    const { compute, secrets } = wish
    const values = secrets.length === 0 ? none : await openSecrets(this.#scope, session, secrets)
    if ('code' in values) {
      // A session that is not there has no secrets either, and that is what is to be said of it.
      const known = await store.list(this.#scope, session, 0)
      return known === null ? noSession : values
    }
    const id = newId('agt_')
    const agent: NewAgent = { id, sessionId: session, compute, secrets, end }
    const stored = await store.insert(this.#scope, agent, runningMax)
    if (stored === 'no_session') return noSession
    if (stored === 'too_many') return tooManyInSession
    return { id, variables: Object.fromEntries(values) }
  }

  async #run(
    id: string,
    { compute, code, timeoutMs }: AgentWish,
    variables: Readonly<Record<string, string>>,
  ): Promise<SandboxProcess | Refusal> {
    const { store, sandbox } = this.#options
    try {
      return await sandbox.start({ compute, code, variables, timeoutMs, network: false })
    } catch (error) {
      const failed = { status: 'failed', exitCode: null, output: '', truncated: false } as const
      await store.end(this.#scope, id, failed)
      const why = error instanceof Error ? error.message : typeof error
      return { code: 'sandbox/unavailable', cause: `agents: ${id} was not started: ${why}` }
    }
  }

  /** All that would be refused is; what would run is over at once. */
  async #pretend(session: string, wish: AgentWish): Promise<Agent | Refusal> {
    const end = { status: 'exited', exitCode: 0, output: testOutput, truncated: false } as const
    const opened = await this.#open(session, wish, end)
    return 'code' in opened ? opened : this.get(session, opened.id)
  }
}

const none: ReadonlyMap<string, string> = new Map()

const noSession: Refusal = {
  code: 'resource/not_found',
  detail: 'There is no such session in this tenant and environment, or it has ended.',
}
const noAgent: Refusal = {
  code: 'resource/not_found',
  detail: 'There is no such agent in this session.',
}
const stillRuns: Refusal = {
  code: 'resource/conflict',
  detail: 'The agent is running: stop it first.',
}
const tooManyInSession: Refusal = {
  code: 'quota/exceeded',
  detail: `At most ${runningMax} agents run in a session at once: stop one, or wait for its end.`,
  headers: { 'retry-after': '5' },
}
