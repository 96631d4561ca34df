/**
 * What may be said about a statement that the database did not carry out? Its SQLSTATE and the
 * names of the schema it ran into, and never what was in it.
 *
 * It refuses to keep the driver's error, even as a cause. The danger is that PostgreSQL quotes
 * values in its messages (`invalid input syntax for type integer: "…"`), in details and in contexts,
 * and that drizzle writes every bound parameter into its own: any of them in a log line is a leak
 * (threats F9, X7).
 */
import { StoreDown } from '../context.ts'

/** PostgreSQL Appendix A, only the codes that a handler's statement commonly meets. */
const conditions: Readonly<Record<string, string>> = {
  '0A000': 'feature not supported',
  '22000': 'data exception',
  '22001': 'string data right truncation',
  '22003': 'numeric value out of range',
  '22007': 'invalid datetime format',
  '22021': 'character not in repertoire',
  '22P02': 'invalid text representation',
  '23502': 'not null violation',
  '23503': 'foreign key violation',
  '23505': 'unique violation',
  '23514': 'check violation',
  '25006': 'read only transaction',
  '25P02': 'in failed transaction',
  '40001': 'serialization failure',
  '40P01': 'deadlock detected',
  '42501': 'insufficient privilege',
  '42601': 'syntax error',
  '42703': 'undefined column',
  '42883': 'undefined function',
  '42P01': 'undefined table',
  '42P17': 'invalid object definition',
  '55P03': 'lock not available',
}

/**
 * The database refused a statement. `code` is the SQLSTATE (`40001` and `40P01` are worth a retry of
 * the whole transaction); `constraint`, `table` and `column` are names of the schema, or null. No
 * value, no parameter and no statement text is in it, nor in anything it refers to.
 */
export class DatabaseFault extends Error {
  override readonly name = 'DatabaseFault'
  readonly code: string
  readonly constraint: string | null
  readonly table: string | null
  readonly column: string | null

  constructor(code: string, where: Partial<Pick<DatabaseFault, Place>> = {}) {
    const { constraint = null, table = null, column = null } = where
    const named = [constraint, table, column].filter((part) => part !== null).join(', ')
    super(`database: ${code} ${conditions[code] ?? 'error'}${named === '' ? '' : ` (${named})`}`)
    this.code = code
    this.constraint = constraint
    this.table = table
    this.column = column
  }
}

/** The handle was used in a way it does not allow. A bug in the handler; nothing has been sent. */
export class HandleMisuse extends Error {
  override readonly name = 'HandleMisuse'
}

type Place = 'constraint' | 'table' | 'column'

// The server or the way to it, not the statement: connection exceptions, out of resources, operator
// intervention (57014 is our own statement_timeout), and its two transaction timeouts.
const breakage = /^(?:08|53|57)|^25P0[34]$/
const sqlstate = /^[0-9A-Z]{5}$/

/**
 * What a driver threw, as one of the two things a caller may see: `DatabaseFault` when the server
 * refused the statement, `StoreDown` when it could not be asked. `connected` is false for whatever
 * happened before the session stood: a wrong password is a store that is down.
 */
export function toFault(thrown: unknown, connected = true): DatabaseFault | StoreDown {
  if (thrown instanceof DatabaseFault || thrown instanceof StoreDown) return thrown
  const code = field(thrown, 'code')
  // A socket's error has a code too (ECONNRESET), but no severity.
  if (code !== null && sqlstate.test(code) && field(thrown, 'severity') !== null) {
    if (!connected) return new StoreDown(`database: connection refused with ${code}`)
    if (breakage.test(code)) return new StoreDown(`database: ${code} ${field(thrown, 'routine')}`)
    return new DatabaseFault(code, {
      constraint: field(thrown, 'constraint'),
      table: field(thrown, 'table'),
      column: field(thrown, 'column'),
    })
  }
  // The driver's own words about a connection; they hold addresses and reasons, and no values.
  const reason = thrown instanceof Error && thrown.message !== '' ? thrown.message : code
  return new StoreDown(`database: ${reason ?? 'no answer'}`)
}

function field(thrown: unknown, name: string): string | null {
  if (typeof thrown !== 'object' || thrown === null) return null
  const value: unknown = Reflect.get(thrown, name)
  return typeof value === 'string' ? value : null
}
