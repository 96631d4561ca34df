/**
 * How does a test call answer truly and leave nothing behind? Its statements run in one transaction,
 * which is rolled back whatever they did: later ones see what earlier ones wrote, and nobody else does.
 *
 * Each statement, and each transaction of the handler, is a savepoint of it, so that one that fails
 * leaves the others standing, as it would have been. The danger is a transaction that stays open: it
 * holds a connection and the locks of its rows, so it ends after `timeoutMs` at the latest.
 *
 * What is not as it would have been: constraints that are deferred to the commit are not checked, and
 * the isolation level of an inner transaction is that of the outer one.
 */
import {
  type Sql,
  type SqlResult,
  type SqlScope,
  type SqlTransaction,
  type Statement,
  StoreDown,
} from '../context.ts'
import { DatabaseFault, HandleMisuse } from './fault.ts'

export type Discarding = {
  /** For one scope and one request. Rejects as `Sql` does, and with `StoreDown` past the time. */
  readonly sql: Sql
  /** Rolls everything back; what is asked for afterwards is refused. Never rejects. */
  end(): Promise<void>
}

/** Opens nothing until the first statement. `timeoutMs` runs from that one. */
export function discarding(sql: Sql, timeoutMs: number): Discarding {
  const outer = new Outer(sql, timeoutMs)
  return {
    sql: {
      async query<Row>(scope: SqlScope, statement: Statement): Promise<SqlResult<Row>> {
        const turn = await outer.enter(scope)
        try {
          return await outer.saved((open) => open.query<Row>(statement))
        } finally {
          turn()
        }
      },
      async begin(scope) {
        const turn = await outer.enter(scope)
        try {
          await outer.ask((open) => open.query({ text: `savepoint ${inner}` }))
          return new Inner(outer, turn)
        } catch (error) {
          turn()
          throw error
        }
      },
      async close() {},
    },
    end: () => outer.end(),
  }
}

const inner = 'postern_inner'

class Outer {
  readonly #sql: Sql
  readonly #timeoutMs: number
  readonly #late = Promise.withResolvers<never>()
  #opening: Promise<SqlTransaction> | null = null
  #timer: ReturnType<typeof setTimeout> | undefined
  #last: Promise<void> = Promise.resolve()
  #ended = false

  constructor(sql: Sql, timeoutMs: number) {
    this.#sql = sql
    this.#timeoutMs = timeoutMs
    this.#late.promise.catch(() => undefined)
  }

  /** Waits for whoever is inside, and answers how to leave. */
  async enter(scope: SqlScope): Promise<() => void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const before = this.#last
    this.#last = promise
    await before
    if (this.#opening === null && !this.#ended) {
      this.#opening = this.#sql.begin(scope)
      this.#opening.catch(() => undefined)
      this.#timer = setTimeout(() => {
        this.#late.reject(new StoreDown(`a discarded request took ${this.#timeoutMs} ms`))
      }, this.#timeoutMs)
    }
    return resolve
  }

  /** What the transaction says, or that it is too late. */
  async ask<T>(question: (open: SqlTransaction) => Promise<T>): Promise<T> {
    if (this.#ended || this.#opening === null) throw new HandleMisuse('this request is over')
    return Promise.race([this.#opening.then(question), this.#late.promise])
  }

  /** The same in a savepoint, to which a failure goes back. */
  async saved<T>(question: (open: SqlTransaction) => Promise<T>): Promise<T> {
    await this.ask((open) => open.query({ text: `savepoint ${inner}` }))
    let answer: T
    try {
      answer = await this.ask(question)
    } catch (error) {
      // If this fails too, the transaction is beyond saving, and the next statement says so.
      await this.back().catch(() => undefined)
      throw error
    }
    await this.ask((open) => open.query({ text: `release savepoint ${inner}` }))
    return answer
  }

  back(): Promise<unknown> {
    return this.ask((open) => open.query({ text: `rollback to savepoint ${inner}` }))
  }

  async end(): Promise<void> {
    if (this.#ended) return
    this.#ended = true
    clearTimeout(this.#timer)
    if (this.#opening === null) return
    // Where no answer comes the connection is dropped, and what was open on it is gone with it.
    await this.#opening.then((open) => open.end('rollback')).catch(() => undefined)
  }
}

/** A handler's own transaction. */
class Inner implements SqlTransaction {
  readonly #outer: Outer
  readonly #leave: () => void
  #over = false

  constructor(outer: Outer, leave: () => void) {
    this.#outer = outer
    this.#leave = leave
  }

  async query<Row>(statement: Statement): Promise<SqlResult<Row>> {
    if (this.#over) throw new HandleMisuse('this transaction is over')
    return this.#outer.ask((open) => open.query<Row>(statement))
  }

  async end(how: 'commit' | 'rollback'): Promise<void> {
    if (this.#over) throw new HandleMisuse('this transaction is over')
    this.#over = true
    try {
      if (how === 'rollback') await this.#outer.back().catch(() => undefined)
      else await this.#outer.ask((open) => open.query({ text: `release savepoint ${inner}` }))
    } catch (error) {
      // 25P02: a statement failed and the error was swallowed, for which COMMIT would roll back.
      if (error instanceof DatabaseFault) await this.#outer.back().catch(() => undefined)
      throw error
    } finally {
      this.#leave()
    }
  }
}
