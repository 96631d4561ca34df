/**
 * How do drizzle's statements become flights? A session of drizzle's own kind that sends to the `Sql`
 * port instead of a `pg` client, so that nothing of drizzle is patched.
 *
 * It refuses to know whose scope it is. The dangers: a handle used outside its own open transaction
 * would wait for itself on a small pool and for ever on PGlite, so that is refused (D24); drizzle's
 * errors carry every bound parameter, so they end here (F9); and what is not a query (SET, EXPLAIN,
 * COPY, DO, …) is turned away before it is sent (D6, D13, D16).
 */
import {
  DrizzleQueryError,
  NoopLogger,
  type RelationalSchemaConfig,
  type TablesRelationalConfig,
} from 'drizzle-orm'
import { NoopCache } from 'drizzle-orm/cache/core'
import {
  type NodePgClient,
  NodePgPreparedQuery,
  NodePgSession,
  NodePgTransaction,
} from 'drizzle-orm/node-postgres'
import type { PgDialect, PgTransactionConfig, PreparedQueryConfig } from 'drizzle-orm/pg-core'
import type { Scope, Sql, SqlResult, SqlTransaction, Statement } from '../context.ts'
import { HandleMisuse } from './fault.ts'

type Schema = Record<string, unknown>

// What drizzle's session sends to, instead of a pg client.
type Door = { query(config: Statement, values?: readonly unknown[]): Promise<SqlResult> }

/** A scope's way to the database. It knows whether its own transaction is open. */
export class Handle implements Door {
  readonly #sql: Sql
  readonly #scope: Scope
  #transacting = false

  constructor(sql: Sql, scope: Scope) {
    this.#sql = sql
    this.#scope = scope
  }

  async query(config: Statement, values?: readonly unknown[]): Promise<SqlResult> {
    this.#refuseWhileTransacting()
    refuseNonQuery(config.text)
    return this.#sql.query(this.#scope, { ...config, values })
  }

  async transact<T>(begin: string, work: (open: SqlTransaction) => Promise<T>): Promise<T> {
    this.#refuseWhileTransacting()
    this.#transacting = true
    try {
      const open = await this.#sql.begin(this.#scope, begin)
      let result: T
      try {
        result = await work(open)
      } catch (error) {
        // The first error is the one that says what is wrong, whatever becomes of the rollback.
        await open.end('rollback').catch(() => undefined)
        throw error
      }
      await open.end('commit')
      return result
    } finally {
      this.#transacting = false
    }
  }

  #refuseWhileTransacting(): void {
    if (!this.#transacting) return
    throw new HandleMisuse('this handle has a transaction open: use the `tx` that it was given')
  }
}

class TransactionDoor implements Door {
  readonly open: SqlTransaction

  constructor(open: SqlTransaction) {
    this.open = open
  }

  async query(config: Statement, values?: readonly unknown[]): Promise<SqlResult> {
    refuseNonQuery(config.text)
    return this.open.query({ ...config, values })
  }
}

const query = /^[\s(]*(?:select|insert|update|delete|with|values|merge)\b/i

/** A statement handle takes queries only. Comments in front are refused too: nothing here needs one. */
function refuseNonQuery(text: string): void {
  // The wire format ends strings at NUL; what follows would be read as something else.
  if (text.includes('\0')) throw new HandleMisuse('a statement must not hold NUL')
  if (query.test(text)) return
  const [word = ''] = /^[\s(]*\w{0,20}/.exec(text) ?? []
  throw new HandleMisuse(`not a query: a tenant handle does not take ${word.trim().toUpperCase()}`)
}

/** `begin` with what drizzle's configuration asks for. */
function beginText({ isolationLevel, accessMode, deferrable }: PgTransactionConfig = {}): string {
  const isolation = isolationLevel && `isolation level ${isolationLevel}`
  const deferring = deferrable === undefined ? '' : deferrable ? 'deferrable' : 'not deferrable'
  return ['begin', isolation, accessMode, deferring].filter(Boolean).join(' ')
}

const logger = new NoopLogger()
const cache = new NoopCache()

/** Drizzle's node-postgres session, sending to a door. */
export class ScopedSession<
  S extends Schema,
  T extends TablesRelationalConfig,
> extends NodePgSession<S, T> {
  readonly #door: Door
  readonly #schema: RelationalSchemaConfig<T>

  constructor(door: Door, dialect: PgDialect, relational: RelationalSchemaConfig<T>) {
    super(asClient(door), dialect, relational)
    this.#door = door
    this.#schema = relational
  }

  override prepareQuery<C extends PreparedQueryConfig>(
    ...[query, fields, name, arrayMode, mapper, metadata, caching]: Parameters<
      NodePgSession<S, T>['prepareQuery']
    >
  ): ScopedQuery<C> {
    return new ScopedQuery<C>(
      asClient(this.#door),
      query.sql,
      query.params,
      logger,
      cache,
      metadata,
      caching,
      fields,
      name,
      arrayMode,
      mapper,
    )
  }

  /** Not drizzle's own: that lets a failed rollback hide the first error, and releases without it. */
  override async transaction<R>(
    work: (tx: ScopedTransaction<S, T>) => Promise<R>,
    config?: PgTransactionConfig,
  ): Promise<R> {
    if (!(this.#door instanceof Handle)) throw new HandleMisuse('already in a transaction')
    return this.#door.transact(beginText(config), (open) => {
      const session = new ScopedSession<S, T>(new TransactionDoor(open), this.dialect, this.#schema)
      return work(new ScopedTransaction<S, T>(open, this.dialect, session, this.#schema))
    })
  }
}

/** Drizzle's transaction; a nested one is a savepoint whose failed rollback hides no error. */
class ScopedTransaction<
  S extends Schema,
  T extends TablesRelationalConfig,
> extends NodePgTransaction<S, T> {
  readonly #open: SqlTransaction
  readonly #parts: [PgDialect, ScopedSession<S, T>, RelationalSchemaConfig<T>]

  constructor(
    open: SqlTransaction,
    dialect: PgDialect,
    session: ScopedSession<S, T>,
    relational: RelationalSchemaConfig<T>,
    depth = 0,
  ) {
    super(dialect, session, relational, depth)
    this.#open = open
    this.#parts = [dialect, session, relational]
  }

  override async transaction<R>(work: (tx: ScopedTransaction<S, T>) => Promise<R>): Promise<R> {
    const depth = this.nestedIndex + 1
    await this.#open.query({ text: `savepoint sp${depth}` })
    let result: R
    try {
      result = await work(new ScopedTransaction<S, T>(this.#open, ...this.#parts, depth))
    } catch (error) {
      // If this fails too, the transaction is beyond saving and its commit will say so.
      await this.#open.query({ text: `rollback to savepoint sp${depth}` }).catch(() => undefined)
      throw error
    }
    await this.#open.query({ text: `release savepoint sp${depth}` })
    return result
  }
}

/** Drizzle's prepared query, whose errors are what the port threw. */
class ScopedQuery<C extends PreparedQueryConfig> extends NodePgPreparedQuery<C> {
  override async execute(values?: Record<string, unknown>): Promise<C['execute']> {
    try {
      return await super.execute(values)
    } catch (error) {
      throw bare(error)
    }
  }

  override async all(values?: Record<string, unknown>): Promise<C['all']> {
    try {
      return await super.all(values)
    } catch (error) {
      throw bare(error)
    }
  }
}

/** DrizzleQueryError has the statement and every parameter in its message; its cause has neither. */
function bare(error: unknown): unknown {
  return error instanceof DrizzleQueryError ? error.cause : error
}

/** Drizzle asks for a pg client and calls nothing but `query` on it. */
function asClient(door: unknown): NodePgClient {
  // Its type wants a whole one.
  return door as NodePgClient
}
