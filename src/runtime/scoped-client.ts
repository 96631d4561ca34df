/**
 * How does one `pg` client speak for a scope? It knows what goes ahead of a statement in each kind of
 * deployment, and prepares that when the client connects.
 *
 * It refuses to know about pools and errors' meaning. The danger is a scope that outlives its
 * flight: everything here is set for one transaction only, and a connection that starts out with a
 * scope of its own is refused (threats D3-D6).
 */
import type pg from 'pg'
import type { Statement } from '../context.ts'
import { HandleMisuse } from '../db/fault.ts'
import { extended, fly, isPrepared, type Landing, type Lead } from './flight.ts'

export type Role = 'postern_tenant' | 'postern_gateway'

export type Speaking = {
  /**
   * The role to take for each flight, where one login serves for all (development). null: the login
   * already is the role, or a member that inherits from it.
   */
  readonly role: Role | null
  /**
   * `hardened`: injected SQL cannot change the scope, where `set_config` has been revoked.
   * `plain`: for databases where that could not be done. The same with a `role`.
   */
  readonly scope: 'hardened' | 'plain'
  /**
   * A transaction pooler stands in between (PgBouncer, Hyperdrive): each flight may meet another
   * session. So nothing is prepared under a name, and nothing is set for a session.
   */
  readonly pooler?: boolean
  /** Milliseconds until a flight is given up and its client dropped. */
  readonly answerTimeoutMs: number
}

/** What a pool does with a client. Each call lands exactly once; one at a time. */
export type ScopedClient = {
  /** Once, after connecting. A landing without `result` means: do not use this client. */
  prepare(client: pg.Client, land: (landing: Landing) => void): void
  /** A statement in a transaction of its own, as `scope`. */
  single(
    client: pg.Client,
    scope: string,
    statement: Statement,
    land: (landing: Landing) => void,
  ): void
  /** Opens a transaction as `scope`. `begin` is trusted text. */
  begin(client: pg.Client, scope: string, begin: string, land: (landing: Landing) => void): void
  /** A statement in the open transaction; also its `commit` or `rollback`. */
  inside(client: pg.Client, statement: Statement, land: (landing: Landing) => void): void
}

const scopeName = 'postern_scope'
const roleName = 'postern_role'
/**
 * How the hardened scope is bound: a function of drizzle/rls.sql, which refuses once a scope is bound.
 * SET LOCAL, which is used where it is missing, makes the server log a warning for every statement
 * ("can only be used in transaction blocks").
 */
const bindScope = 'select public.postern_bind_scope($1)'

/**
 * For PostgreSQL: the scope and the statement are two executions before one Sync. Behind a pooler it
 * asks the database once what it needs to know, for all the clients it is used with.
 */
export function scopedClient({
  role,
  scope: mode,
  pooler,
  answerTimeoutMs,
}: Speaking): ScopedClient {
  if (pooler) return pooledClient({ role, scope: mode, answerTimeoutMs })
  const setRole = role === null ? '' : `set_config('role', '${role}', true)`
  const scopeText =
    role !== null
      ? `select ${setRole}, set_config('app.scope', $1, true)`
      : mode === 'plain'
        ? `select set_config('app.scope', $1, true)`
        : bindScope

  /** null: nothing to say, the login is the role and there is no scope. */
  function lead(client: pg.Client, scope: string): Lead | null {
    if (scope === '') return role === null ? null : { name: roleName, text: `select ${setRole}` }
    if (isPrepared(client, scopeName)) return { name: scopeName, text: scopeText, values: [scope] }
    // encodeScope lets nothing through that could end the literal.
    return { text: `set local app.scope = '${scope}'` }
  }

  return {
    prepare(client, land) {
      const prepareScope = () =>
        fly(client, [], { name: scopeName, text: scopeText, values: [''] }, answerTimeoutMs, land)
      fly(client, quiet, { text: startState }, answerTimeoutMs, (first) => {
        const state = first.result?.rows[0]
        if (state === undefined) return land(first)
        if (state.scope !== '') return land({ ...first, result: null, error: startsScoped() })
        if (role !== null) {
          const text = `select ${setRole}`
          return fly(client, [], { name: roleName, text }, answerTimeoutMs, (next) =>
            next.result === null ? land(next) : prepareScope(),
          )
        }
        return mode === 'plain' || state.binds === true ? prepareScope() : land(first)
      })
    },
    single(client, scope, statement, land) {
      const ahead = lead(client, scope)
      fly(client, ahead === null ? [] : [ahead], statement, answerTimeoutMs, land)
    },
    begin(client, scope, begin, land) {
      const ahead = lead(client, scope)
      const opening = { text: begin }
      if (ahead === null) return fly(client, [], opening, answerTimeoutMs, land)
      // The client knows the lead's name as prepared, so it is not parsed again.
      fly(client, [opening], ahead, answerTimeoutMs, land)
    },
    inside(client, statement, land) {
      fly(client, [], statement, answerTimeoutMs, land)
    },
  }
}

/**
 * The same behind a transaction pooler. The leads have no name and are parsed anew in each flight:
 * PgBouncer knows prepared statements from 1.21 on only, and one that it does not know would meet a
 * session where it is missing, or is somebody else's.
 *
 * A session is everybody's here, and dropping the client does not end it. So nothing is sent that
 * could outlive its transaction, and every flight says its scope, even that it has none: on a session
 * that somebody else has left with a scope it is refused.
 */
function pooledClient({ role, scope: mode, answerTimeoutMs }: Speaking): ScopedClient {
  let binds: boolean | null = null
  const text =
    role !== null
      ? `select set_config('role', '${role}', true), set_config('app.scope', $1, true)`
      : mode === 'plain'
        ? `select set_config('app.scope', $1, true)`
        : bindScope

  function lead(scope: string): Lead {
    if (role !== null || mode === 'plain' || binds) return { text, values: [scope] }
    // encodeScope lets nothing through that could end the literal.
    return { text: `set local app.scope = '${scope}'` }
  }

  function flyNameless(
    client: pg.Client,
    leads: readonly Lead[],
    statement: Statement,
    land: (landing: Landing) => void,
  ): void {
    if (passing.test(statement.text)) {
      fly(client, leads, { ...statement, name: undefined }, answerTimeoutMs, land)
    } else {
      const error = new HandleMisuse('behind a pooler: what could outlive its transaction')
      land({ status: client.getTransactionStatus(), result: null, error })
    }
  }

  return {
    prepare(client, land) {
      if (binds !== null) return land(knownAlready)
      fly(client, [], { text: startState }, answerTimeoutMs, (first) => {
        const state = first.result?.rows[0]
        if (state === undefined) return land(first)
        if (state.scope !== '') return land({ ...first, result: null, error: startsScoped() })
        binds = state.binds === true
        land(first)
      })
    },
    single: (client, scope, statement, land) => flyNameless(client, [lead(scope)], statement, land),
    begin: (client, scope, begin, land) =>
      fly(client, [{ text: begin }], lead(scope), answerTimeoutMs, land),
    inside: (client, statement, land) => flyNameless(client, [], statement, land),
  }
}

/** What ends with its transaction, or ends it. */
const passing =
  /^\s*\(*\s*(?:select|insert|update|delete|merge|with|values|savepoint|release|rollback|commit|set\s+local)\b/i

const knownAlready: Landing = {
  status: 'I',
  result: { rows: [], rowCount: 0, command: '', fields: [] },
  error: null,
}

const quiet: readonly Lead[] = [{ text: 'set client_min_messages = error' }]
const startState = `select coalesce(current_setting('app.scope', true), '') as scope,
  has_function_privilege(to_regprocedure('public.postern_bind_scope(text)'), 'execute') as binds`
const startsScoped = () =>
  new Error('the connection starts with app.scope set: remove it from the role, database or URL')

/**
 * For PGlite behind its socket, where all connections share one session. There is no implicit
 * transaction over two executions, so each flight is BEGIN, statement, COMMIT, pipelined. BEGIN, the
 * role and the scope are one simple-protocol message: messages of other connections get in between
 * two of ours until we are in a transaction. Names of prepared statements would be shared: none is
 * used. The client must have been made with `pipeline: true`, which brings its own timeout.
 */
export function embeddedClient({ role }: Pick<Speaking, 'role'>): ScopedClient {
  const opening = (begin: string, scope: string) =>
    // The scope is set even to none: a session setting would be everybody's.
    [begin, role && `set local role ${role}`, `set local app.scope = '${scope}'`]
      .filter(Boolean)
      .join('; ')

  return {
    prepare(client, land) {
      void settle(client, [client.query('')], land)
    },
    single(client, scope, statement, land) {
      const before = client.query(opening('begin', scope))
      const answer = client.query(extended({ ...statement, name: undefined }))
      void settle(client, [answer, before, client.query('commit')], land)
    },
    begin(client, scope, begin, land) {
      void settle(client, [client.query(opening(begin, scope))], land)
    },
    inside(client, statement, land) {
      void settle(client, [client.query(extended({ ...statement, name: undefined }))], land)
    },
  }
}

/** Lands with the first answer, once all of them have been given; or with what went wrong. */
async function settle(
  client: pg.Client,
  [answer, ...others]: [Promise<pg.QueryResult>, ...Promise<pg.QueryResult>[]],
  land: (landing: Landing) => void,
): Promise<void> {
  const outcomes = await Promise.allSettled([...others, answer])
  const failed = outcomes.find((outcome) => outcome.status === 'rejected')
  if (failed === undefined) {
    return land({ status: client.getTransactionStatus(), result: await answer, error: null })
  }
  // pg answers at ErrorResponse, or when it cannot encode a parameter; an empty query is answered
  // behind the ReadyForQuery that follows, and not at all on a connection that is gone.
  const ready = await client.query('').catch(() => null)
  const status = ready === null ? null : client.getTransactionStatus()
  land({ status, result: null, error: failed.reason })
}
