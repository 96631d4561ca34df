/**
 * How does a scope reach the server together with a statement, at the price of one round trip? As
 * extended-protocol executions before a single Sync: they are one implicit transaction, so what the
 * first sets for its transaction holds for the second and is gone afterwards.
 *
 * It refuses to know what a scope is and where clients come from; it is shared by every runtime that
 * speaks to PostgreSQL through `pg`. The dangers are all in when a flight is over. `pg` calls back at
 * ErrorResponse, with the Sync still to be answered: a client given to someone else at that moment
 * hands them the rest. So a flight lands at ReadyForQuery, with the transaction's status, or with
 * none, and then the client must be dropped (threats F1, D21, D26).
 */
import pg from 'pg'
import type { SqlResult, Statement } from '../context.ts'

/** A statement that goes ahead in the same flight; its rows are thrown away. */
export type Lead = {
  readonly text: string
  /** Set where the statement was prepared under this name when the client connected. */
  readonly name?: string
  readonly values?: readonly string[]
}

/**
 * How a flight ended. `status` is the server's word on the transaction (idle, open, failed), or null
 * when there is no session to speak of any more: then the client must not be used again.
 */
export type Landing = {
  readonly status: 'I' | 'T' | 'E' | null
  readonly result: SqlResult | null
  readonly error: unknown
}

type Land = (landing: Landing) => void

// What pg's Connection and Query are made of, as far as a flight touches it. The published types
// stop at `submit`, while pg-cursor and pg-query-stream build on the same members as this file does.
type Wire = NodeJS.EventEmitter & {
  readonly parsedStatements: Record<string, string | undefined>
  parse(message: { text: string; name?: string }): void
  bind(message: { statement?: string; values?: readonly string[] }): void
  execute(message: { portal?: string }): void
  close(message: { type: 'S'; name: string }): void
}
type QueryMembers = {
  name: string | undefined
  callback: (() => void) | undefined
  readonly _results: SqlResult
  readonly _canceledDueToError: unknown
  hasBeenParsed(wire: Wire): unknown
  prepare(wire: Wire): void
  handleDataRow(message: object): void
  handleCommandComplete(message: object, wire: Wire): void
}
type QueryClass = new (config: pg.QueryConfig) => QueryMembers & pg.Submittable
const Query = withMembers(pg.Query)

function withMembers(query: unknown): QueryClass {
  // It is pg's Query in any case; only its members are missing from the type.
  return query as QueryClass
}

const ignore = () => undefined

/** A statement in pg's own words, always in the extended protocol. */
export function extended(statement: Statement): pg.QueryConfig {
  const { text, name, values, rowMode, types } = statement
  const config = {
    text,
    name,
    rowMode,
    // Without it a query without parameters goes by the simple protocol, where `;` starts another.
    queryMode: 'extended',
    // pg only reads the list.
    values: values as unknown[] | undefined,
    // Drizzle's own, made for pg.
    types: types as pg.CustomTypesConfig | undefined,
  }
  return config
}

class Flight extends Query {
  readonly #client: pg.Client
  readonly #leads: readonly Lead[]
  readonly #land: Land
  readonly #timer: ReturnType<typeof setTimeout>
  #leading: number
  #preparing = false
  #landed = false
  #failed = false
  #error: unknown

  constructor(
    client: pg.Client,
    leads: readonly Lead[],
    statement: Statement,
    timeoutMs: number,
    land: Land,
  ) {
    super(extended(statement))
    this.#client = client
    this.#leads = leads
    this.#leading = leads.length
    this.#land = land
    // pg asks its listeners for every row description unless there is a callback.
    this.callback = ignore
    this.#timer = setTimeout(() => {
      this.#fail(new Error(`no answer within ${timeoutMs} ms`))
      this.#finish(null)
    }, timeoutMs)
  }

  override prepare(wire: Wire): void {
    for (const { text, name, values } of this.#leads) {
      if (name === undefined) wire.parse({ text })
      wire.bind({ statement: name, values })
      wire.execute({})
    }
    // A flight that failed may have left the caller's statement parsed or not; closing one that is
    // not there is no error, parsing one that is there would be.
    if (this.name !== undefined && !this.hasBeenParsed(wire)) {
      wire.close({ type: 'S', name: this.name })
    }
    this.#preparing = true
    try {
      super.prepare(wire)
    } finally {
      this.#preparing = false
    }
  }

  override handleDataRow(message: object): void {
    if (this.#leading === 0) super.handleDataRow(message)
  }

  override handleCommandComplete(message: object, wire: Wire): void {
    if (this.#leading === 0) super.handleCommandComplete(message, wire)
    else this.#leading -= 1
  }

  /** From pg: an ErrorResponse, a lost connection, or a parameter that could not be encoded. */
  handleError(error: unknown, wire: Wire): void {
    this.#fail(error)
    // The lead's ParseComplete has marked the caller's statement as parsed, which it may not be.
    if (this.name !== undefined) delete wire.parsedStatements[this.name]
    // A parameter that could not be encoded: pg has sent the Sync, and will see it answered.
    if (this.#preparing) return
    if (!(error instanceof pg.DatabaseError)) {
      this.#finish(null)
      return
    }
    // pg forgets a query at ErrorResponse. Its own listener runs first and notes the status.
    const finish = () => {
      wire.removeListener('readyForQuery', finish)
      wire.removeListener('end', lost)
      this.#finish(this.#client.getTransactionStatus())
    }
    const lost = () => this.#finish(null)
    wire.once('readyForQuery', finish)
    wire.once('end', lost)
  }

  /** From pg: the flight is over, unless an error was seen before. */
  handleReadyForQuery(): void {
    // A row that a type parser choked on.
    if (this._canceledDueToError) this.#fail(this._canceledDueToError)
    this.#finish(this.#client.getTransactionStatus())
  }

  #fail(error: unknown): void {
    if (this.#failed) return
    this.#failed = true
    this.#error = error
  }

  #finish(status: Landing['status']): void {
    if (this.#landed) return
    this.#landed = true
    clearTimeout(this.#timer)
    const result = this.#failed ? null : this._results
    this.#land({ status, result, error: this.#failed ? this.#error : null })
  }
}

/**
 * Sends the leads and a statement in one flight with one Sync, and calls `land` exactly once: when
 * the server is ready again, when the connection is lost, or after `timeoutMs`. A landing with
 * `result: null` failed with `error`. Nothing else may be sent on the client until then.
 */
export function fly(
  client: pg.Client,
  leads: readonly Lead[],
  statement: Statement,
  timeoutMs: number,
  land: Land,
): void {
  client.query(new Flight(client, leads, statement, timeoutMs, land))
}

/** Whether a statement has been prepared under this name on the client. */
export function isPrepared(client: pg.Client, name: string): boolean {
  // Wire says more than the published type of the same object.
  return (client.connection as pg.Connection & Wire).parsedStatements[name] !== undefined
}
