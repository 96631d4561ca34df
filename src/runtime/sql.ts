/**
 * The `sql` port: a pool of `pg` clients that all speak as one role. On Node it lives as long as the
 * process, on Workers as long as a request.
 *
 * It refuses to know what a statement means. The danger is a client that goes back to the pool with
 * something still open on it; so one goes back only when the server said that it is idle, and every
 * other one is dropped with its error. A frozen server is a timeout here and a dropped client, never
 * a caller that waits (threats F1, F2, D21, D26).
 */
import pg from 'pg'
import {
  type Sql,
  type SqlResult,
  type SqlScope,
  type SqlTransaction,
  type Statement,
  StoreDown,
} from '../context.ts'
import { DatabaseFault, HandleMisuse, toFault } from '../db/fault.ts'
import { encodeScope } from '../db/scope.ts'
import type { Landing } from './flight.ts'
import { Pulse } from './pulse.ts'
import { embeddedClient, type Role, type ScopedClient, scopedClient } from './scoped-client.ts'

export type SqlOptions = {
  /** A URL, or the parts of one; `host` may be the folder of a unix socket. */
  readonly connection:
    | string
    | {
        readonly host: string
        readonly port?: number
        readonly user?: string
        readonly password?: string
        readonly database?: string
      }
  /** The role that every flight takes; null where the login is the role already. */
  readonly role: Role | null
  /** Ignored where `role` is given or `embedded` is set: see `Speaking` in runtime/scoped-client.ts. */
  readonly scope: 'hardened' | 'plain'
  /** PGlite behind its socket. */
  readonly embedded: boolean
  /**
   * A transaction pooler stands in between: see `Speaking`. It passes no settings on at connect, so
   * the server's time limits are then what the login was given: `alter role … set statement_timeout`.
   */
  readonly pooler?: boolean
  /** How clients speak, where many pools share what one has learned of the database. */
  readonly scoped?: ScopedClient
  /** Connections at most. */
  readonly max: number
  /** For a connection to be made, or for one of the pool to come free. */
  readonly connectTimeoutMs: number
  /** The server's own `statement_timeout`. */
  readonly statementTimeoutMs: number
  /** Until an unanswered flight is given up. Without it, a second more than the server's. */
  readonly answerTimeoutMs?: number
  /** How long a transaction may stay open with nothing running in it. */
  readonly idleInTransactionTimeoutMs: number
  /** Whether a database that says nothing is found out before `answerTimeoutMs`: see `Pulse`. */
  readonly pulse?: boolean
  /** For the log: what happened to a connection while nobody was using it. */
  onError(cause: StoreDown): void
}

/**
 * Opens a pool; connections are made when they are needed. Statements reject with `DatabaseFault` or
 * `StoreDown`. `close` waits for what is running, and may be called twice.
 */
export function createSql(options: SqlOptions): Sql {
  const answerTimeoutMs = options.answerTimeoutMs ?? options.statementTimeoutMs + 1000
  const scoped =
    options.scoped ??
    (options.embedded ? embeddedClient(options) : scopedClient({ ...options, answerTimeoutMs }))
  const pool = openPool(options, scoped, answerTimeoutMs)
  const pulse = options.pulse === true ? new Pulse({ probe: (ms) => probe(options, ms) }) : null
  let closed: Promise<void> | undefined

  /** A client of the pool. `refuse` is called instead, also later, where nothing can be had. */
  function connect(
    refuse: (fault: Error) => void,
    use: (client: pg.PoolClient, done: () => void) => void,
  ): void {
    if (pulse === null) {
      pool.connect((error, client) => {
        if (client === undefined) refuse(toFault(error, false))
        else use(client, noop)
      })
      return
    }
    if (pulse.silence !== null) {
      refuse(pulse.silence)
      return
    }
    let held: pg.PoolClient | null = null
    const waiting = pulse.enter((cause) => {
      if (held !== null) destroy(held)
      refuse(cause)
    })
    pool.connect((error, client) => {
      // Nobody waits for it any more.
      if (client !== undefined && waiting.place < 0) return client.release()
      if (client === undefined) {
        pulse.leave(waiting)
        return refuse(toFault(error, false))
      }
      held = client
      use(client, () => pulse.leave(waiting))
    })
  }

  return {
    query<Row>(scope: SqlScope, statement: Statement) {
      return new Promise<SqlResult<Row>>((resolve, reject) => {
        const encoded = encodeScope(scope)
        connect(reject, (client, done) => {
          scoped.single(client, encoded, statement, (landing) => {
            done()
            release(client, landing)
            // The caller says what its rows look like.
            if (landing.result !== null) resolve(landing.result as SqlResult<Row>)
            else reject(faultOf(landing))
          })
        })
      })
    },
    begin(scope, begin = 'begin') {
      return new Promise((resolve, reject) => {
        const encoded = encodeScope(scope)
        if (!beginning.test(begin)) throw new Error('not a BEGIN')
        connect(reject, (client, done) => {
          scoped.begin(client, encoded, begin, (landing) => {
            done()
            if (landing.result !== null && landing.status === 'T') {
              const idleMs = options.idleInTransactionTimeoutMs
              return resolve(new Transaction(client, scoped, idleMs, pulse))
            }
            release(client, landing)
            reject(faultOf(landing))
          })
        })
      })
    },
    close() {
      pulse?.close()
      closed ??= pool.end()
      return closed
    },
  }
}

const noop = () => {}

/** Asks on a connection of its own. What the server refuses it with is an answer as well. */
async function probe({ connection }: SqlOptions, timeoutMs: number): Promise<void> {
  const place = typeof connection === 'string' ? { connectionString: connection } : connection
  const client = new pg.Client({ ...place, application_name: 'postern pulse' })
  client.on('error', noop)
  const timer = setTimeout(() => destroy(client), timeoutMs)
  try {
    await client.connect()
    // A pooler lets everybody in, whether or not the database is there.
    await client.query('select 1')
  } catch (error) {
    if (!(error instanceof pg.DatabaseError)) throw error
  } finally {
    clearTimeout(timer)
    destroy(client)
  }
}

const beginning =
  /^begin( isolation level (read (un)?committed|repeatable read|serializable))?( read (only|write))?( (not )?deferrable)?$/

function openPool(options: SqlOptions, scoped: ScopedClient, answerTimeoutMs: number): pg.Pool {
  const { connection, embedded, statementTimeoutMs, idleInTransactionTimeoutMs } = options
  const pool = new pg.Pool({
    ...(typeof connection === 'string' ? { connectionString: connection } : connection),
    max: options.max,
    connectionTimeoutMillis: options.connectTimeoutMs,
    application_name: 'postern',
    keepAlive: true,
    ...(embedded ? { pipeline: true, query_timeout: answerTimeoutMs } : {}),
    // A pooler refuses settings it does not keep for each client.
    ...(embedded || options.pooler
      ? {}
      : {
          statement_timeout: statementTimeoutMs,
          idle_in_transaction_session_timeout: idleInTransactionTimeoutMs,
        }),
    // pg waits for the promise; its type does not say so.
    onConnect: (client) =>
      new Promise<void>((resolve, reject) => {
        // The pool makes nothing but clients; the type is that of their base class.
        scoped.prepare(client as pg.Client, (landing) => {
          if (landing.result !== null) return resolve()
          if (landing.status === null) destroy(client as pg.Client)
          reject(landing.error)
        })
      }),
  })
  // Without a listener, a connection lost while idle, or while in use, would end the process.
  pool.on('error', (error) => options.onError(toFaultInPool(error)))
  pool.on('connect', (client) => client.on('error', () => undefined))
  return pool
}

const toFaultInPool = (error: unknown): StoreDown => {
  const fault = toFault(error, false)
  return fault instanceof StoreDown ? fault : new StoreDown(fault.message)
}

// Nothing that answers with one of these outlives its transaction. SET, DO, PREPARE and their like
// may, so the connection they ran on is not used again.
const passing = new Set(['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'MERGE'])
const ending = new Set(['COMMIT', 'ROLLBACK'])
const saving = new Set(['SAVEPOINT', 'RELEASE', 'ROLLBACK'])

/** Back to the pool if the server says it is idle and nothing can have been left, else gone. */
function release(client: pg.PoolClient, { status, result, error }: Landing, kept = passing): void {
  if (status === null) destroy(client)
  if (status === 'I' && (result === null || kept.has(result.command))) client.release()
  else client.release(error instanceof Error ? error : new Error('not as it was'))
}

// A polite goodbye would wait for a server that may never read it.
const destroy = (client: pg.Client) => client.connection.stream.destroy()

function faultOf({ status, error }: Landing): Error {
  if (error instanceof HandleMisuse) return error
  const refused = error instanceof pg.DatabaseError
  // The session stands, so it was the driver that could not encode a parameter or read a value.
  if (!refused && error !== null && status !== null) return new DatabaseFault('22000')
  return toFault(error ?? new Error('the transaction did not open'))
}

class Transaction implements SqlTransaction {
  readonly #client: pg.PoolClient
  readonly #scoped: ScopedClient
  readonly #idleTimeoutMs: number
  readonly #pulse: Pulse | null
  #idle: ReturnType<typeof setTimeout> | undefined
  #last: Promise<unknown> = Promise.resolve()
  #over: Error | null = null
  #ending = false
  #marked = false

  constructor(
    client: pg.PoolClient,
    scoped: ScopedClient,
    idleTimeoutMs: number,
    pulse: Pulse | null,
  ) {
    this.#client = client
    this.#scoped = scoped
    this.#idleTimeoutMs = idleTimeoutMs
    this.#pulse = pulse
    this.#waitForNext()
  }

  async query<Row>(statement: Statement): Promise<SqlResult<Row>> {
    if (this.#ending) throw ended()
    const landing = await this.#next(statement)
    // Idle: the statement itself was a COMMIT, which is `end`'s to send.
    if (landing.status === null || landing.status === 'I') this.#drop(landing)
    if (landing.result === null) throw faultOf(landing)
    const { command } = landing.result
    if (!passing.has(command) && !saving.has(command)) this.#marked = true
    // The caller says what its rows look like.
    return landing.result as SqlResult<Row>
  }

  async end(how: 'commit' | 'rollback'): Promise<void> {
    if (this.#ending) throw ended()
    this.#ending = true
    const landing = await this.#next({ text: how })
    if (this.#over === null) {
      this.#over = ended()
      release(this.#client, this.#marked ? { ...landing, status: null } : landing, ending)
    }
    // A rollback needs no answer: where there is none, the connection is gone and so is the rest.
    if (how === 'rollback') return
    if (landing.result === null) throw faultOf(landing)
    // What PostgreSQL answers to COMMIT after a statement failed and the error was swallowed.
    if (landing.result.command === 'ROLLBACK') throw new DatabaseFault('25P02')
  }

  /** One at a time, in the order they were asked for. */
  #next(statement: Statement): Promise<Landing> {
    const landing = this.#last.then(() => this.#send(statement))
    this.#last = landing
    return landing
  }

  #send(statement: Statement): Promise<Landing> {
    clearTimeout(this.#idle)
    if (this.#over !== null) {
      return Promise.resolve({ status: null, result: null, error: this.#over })
    }
    return new Promise((resolve) => {
      // The connection is cut, and so the statement lands without a session.
      const waiting = this.#pulse?.enter(() => destroy(this.#client)) ?? null
      this.#scoped.inside(this.#client, statement, (landing) => {
        if (waiting !== null) this.#pulse?.leave(waiting)
        if (!this.#ending) this.#waitForNext()
        resolve(landing)
      })
    })
  }

  #waitForNext(): void {
    this.#idle = setTimeout(() => {
      const error = new Error(`a transaction was idle for ${this.#idleTimeoutMs} ms`)
      this.#drop({ status: null, result: null, error })
    }, this.#idleTimeoutMs)
  }

  #drop(landing: Landing): void {
    clearTimeout(this.#idle)
    if (this.#over !== null) return
    this.#over = landing.error instanceof Error ? toFault(landing.error) : ended()
    release(this.#client, { ...landing, status: null })
  }
}

const ended = () => new HandleMisuse('this transaction is over')
