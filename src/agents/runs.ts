/**
 * Which agents run in this process, and who is told? Each second their rows are told that they still
 * run, and say which of them are to end; at its end an agent's row is told how it ended.
 *
 * It outlives a gateway, because what runs does. It refuses to start anything. The danger is an agent
 * that runs on while everybody takes it for lost: one whose row could not be reached for two thirds of
 * that time is ended here, before anybody is told so.
 */
import type { SandboxEnd, SandboxProcess, Scope } from '../context.ts'
import type { Refusal } from '../problem.ts'
import type { AgentEnd, AgentStore } from './agents.ts'

export type RunsOptions = {
  readonly store: AgentStore
  /** How many run here at once; a tenant's environment gets half of them. */
  readonly placesMax: number
  readonly warn: (message: string) => void
}

type Run = {
  readonly scope: Scope
  readonly session: string
  readonly id: string
  readonly program: SandboxProcess
  /** When its row was last told, before it was; on a clock that does not step. */
  toldAtMs: number
  /** Characters of its output that the row has. */
  told: number
  end: SandboxEnd | null
  /** Its end, when it has been tried to write it once. Never rejects. */
  settled: Promise<void>
}

const beatMs = 1000
/** Output of so many characters is written with each beat that finds it longer, more with every fifth. */
const promptMax = 16_384

/** What runs in this process. One of it, for as long as the process lives. */
export class Runs {
  readonly #options: RunsOptions
  readonly #runs = new Map<string, Run>()
  /** By scope: those that run, and those that are about to. */
  readonly #held = new Map<string, number>()
  #heldInAll = 0
  #timer: ReturnType<typeof setInterval> | null = null
  #beating: Promise<void> | null = null
  #beats = 0
  #closed = false

  constructor(options: RunsOptions) {
    this.#options = options
  }

  /** Takes a place for an agent that is to be started; a refusal where there is none. */
  hold(scope: Scope): Refusal | null {
    const { placesMax } = this.#options
    const key = keyOf(scope)
    const held = this.#held.get(key) ?? 0
    if (this.#closed || this.#heldInAll >= placesMax) return full
    if (held >= Math.ceil(placesMax / 2)) return tooManyOfTenant
    this.#held.set(key, held + 1)
    this.#heldInAll += 1
    return null
  }

  /** Gives a place back that was taken for nothing. */
  release(scope: Scope): void {
    const key = keyOf(scope)
    const held = (this.#held.get(key) ?? 0) - 1
    if (held > 0) this.#held.set(key, held)
    else this.#held.delete(key)
    this.#heldInAll -= 1
  }

  /** Takes care of what was started, in a place that was taken for it. */
  watch(scope: Scope, session: string, id: string, program: SandboxProcess): void {
    const run: Run = {
      ...{ scope, session, id, program, toldAtMs: performance.now(), told: 0, end: null },
      settled: program.ended.then((end) => this.#ended(run, end)),
    }
    this.#runs.set(keyOf(scope, id), run)
    if (this.#closed) program.stop()
    else this.#timer ??= setInterval(() => this.#tick(), beatMs)
  }

  /** Ends one, and resolves when that has been written or could not be; at once where it is not here. */
  async stop(scope: Scope, id: string): Promise<void> {
    const run = this.#runs.get(keyOf(scope, id))
    run?.program.stop()
    await run?.settled
  }

  stopSession(scope: Scope, session: string): void {
    const key = keyOf(scope)
    for (const run of this.#runs.values()) {
      if (run.session === session && keyOf(run.scope) === key) run.program.stop()
    }
  }

  /** Ends all, and resolves when their ends have been written or could not be. */
  async close(): Promise<void> {
    this.#closed = true
    this.#rest()
    const runs = [...this.#runs.values()]
    for (const { program } of runs) program.stop()
    await Promise.all([this.#beating, ...runs.map(({ settled }) => settled)])
  }

  async #ended(run: Run, end: SandboxEnd): Promise<void> {
    run.end = end
    this.release(run.scope)
    await this.#settle(run, end)
  }

  async #settle(run: Run, { reason, exitCode }: SandboxEnd): Promise<void> {
    const { store, warn } = this.#options
    const { scope, id, program } = run
    const { text, truncated } = program.output()
    const end: AgentEnd = { status: reason, exitCode, output: storable(text), truncated }
    try {
      await store.end(scope, id, end)
    } catch (error) {
      // The next beat tries again, until the row counts as lost.
      if (performance.now() - run.toldAtMs < store.lostAfterMs) return
      warn(`agents: the end of ${id} could not be written: ${messageOf(error)}`)
    }
    this.#runs.delete(keyOf(scope, id))
    if (this.#runs.size === 0) this.#rest()
  }

  #rest(): void {
    if (this.#timer !== null) clearInterval(this.#timer)
    this.#timer = null
  }

  #tick(): void {
    // A slow store is asked again when it has answered.
    this.#beating ??= this.#beat().finally(() => {
      this.#beating = null
    })
  }

  async #beat(): Promise<void> {
    this.#beats += 1
    const byScope = new Map<string, Run[]>()
    const ends: Promise<void>[] = []
    for (const run of this.#runs.values()) {
      const { end } = run
      if (end !== null) {
        ends.push(this.#settle(run, end))
        continue
      }
      const key = keyOf(run.scope)
      const others = byScope.get(key)
      if (others === undefined) byScope.set(key, [run])
      else others.push(run)
    }
    await Promise.all([...ends, ...Array.from(byScope.values(), (runs) => this.#tell(runs))])
  }

  /** Tells the rows of one scope, and ends what they want ended. Never rejects. */
  async #tell(runs: readonly Run[]): Promise<void> {
    const { store, warn } = this.#options
    const scope = runs[0]?.scope
    if (scope === undefined) return
    const atMs = performance.now()
    const prompt = this.#beats % 5 === 0
    const beats = runs.map(({ id, program, told }) => {
      const { text, truncated } = program.output()
      const grown = text.length !== told && (prompt || text.length <= promptMax)
      return { id, output: grown ? storable(text) : null, truncated }
    })
    try {
      const on = new Set(await store.beat(scope, beats))
      for (const [at, run] of runs.entries()) {
        if (!on.has(run.id)) run.program.stop()
        run.toldAtMs = atMs
        run.told = beats[at]?.output?.length ?? run.told
      }
    } catch (error) {
      for (const { id, program, toldAtMs } of runs) {
        if (performance.now() - toldAtMs < (store.lostAfterMs * 2) / 3) continue
        warn(`agents: ${id} is ended, because its row cannot be reached: ${messageOf(error)}`)
        program.stop()
      }
    }
  }
}

/** No part has a slash in it. */
const keyOf = ({ platform, environment, tenant }: Scope, id = ''): string =>
  `${platform}/${environment}/${tenant}/${id}`

/** PostgreSQL stores every character but NUL. */
const storable = (text: string): string => text.replaceAll('\0', '\uFFFD')

const messageOf = (error: unknown): string =>
  error instanceof Error ? error.message : typeof error

const full: Refusal = {
  code: 'gateway/overloaded',
  detail: 'As many agents run here as may.',
  headers: { 'retry-after': '5' },
  cause: 'agents: all places are taken',
}
const tooManyOfTenant: Refusal = {
  code: 'quota/exceeded',
  detail: 'As many agents of this tenant run here as may: stop one, or wait for its end.',
  headers: { 'retry-after': '5' },
}
