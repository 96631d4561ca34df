/**
 * How does a change come about? In one transaction: who makes it still stands and is held, what is
 * changed is held, the change, its audit event. All of it is committed, or none.
 *
 * It refuses to know what is changed. The danger is two changes that wait for each other: so rows of
 * `api_keys` are held in the order of their ids, by everyone (add_usage in drizzle/rls.sql too).
 */
import type { Sql, SqlTransaction } from '../context.ts'
import type { Acting, AuditAction, Changes } from './audit.ts'

/** What came of a change: `keep` false undoes what it did so far. */
export type Done<T> = { readonly keep: boolean; readonly value: T }

/** The change stands. */
export const kept = <T>(value: T): Done<T> => ({ keep: true, value })
/** Nothing of it stays. */
export const undone = <T>(value: T): Done<T> => ({ keep: false, value })

/** Operator keys belong to no platform; their rows stand under an id that none can have. */
const operatorPlatform = 'plt_operator'

/**
 * Runs `work` in a transaction of the platform's scope, with the actor's row and that of the API key
 * `target` held. 'actor_gone': the actor does not stand any more, and `work` was not run.
 */
export async function change<T>(
  sql: Sql,
  platform: string,
  acting: Acting,
  target: string | null,
  work: (transaction: SqlTransaction) => Promise<Done<T>>,
): Promise<T | 'actor_gone'> {
  const transaction = await sql.begin({ platform })
  let how: 'commit' | 'rollback' = 'rollback'
  let value: T | 'actor_gone' = 'actor_gone'
  try {
    if (await hold(transaction, platform, acting, target)) {
      const done = await work(transaction)
      value = done.value
      if (done.keep) how = 'commit'
    }
  } catch (error) {
    // The first error is the one that says what is wrong, whatever becomes of the rollback.
    await transaction.end('rollback').catch(() => undefined)
    throw error
  }
  await transaction.end(how)
  return value
}

async function hold(
  transaction: SqlTransaction,
  platform: string,
  { actor, secretId }: Acting,
  target: string | null,
): Promise<boolean> {
  const stands = await (actor.kind === 'operator' && platform !== operatorPlatform
    ? holdOperator(transaction, actor.id, secretId)
    : null)
  if (stands !== null) {
    if (stands && target !== null) await holdTarget(transaction, target)
    return stands
  }
  const self = actor.kind === 'api_key' || actor.kind === 'operator' ? actor.id : null
  // A share of one's own row could not become the whole of it while another has a share too.
  const first = target !== null && (self === null || target <= self)
  if (first) await holdTarget(transaction, target)
  if (self !== null && !(await holdActor(transaction, self, secretId))) return false
  if (!first && target !== null) await holdTarget(transaction, target)
  return true
}

async function holdTarget(transaction: SqlTransaction, id: string): Promise<void> {
  const text = 'select from postern.api_keys where id = $1 for no key update'
  await transaction.query({ text, values: [id] })
}

async function holdOperator(
  transaction: SqlTransaction,
  id: string,
  secretId: string | null,
): Promise<boolean> {
  const { rows } = await transaction.query<{ stands: boolean }>({
    text: 'select postern.hold_operator($1, $2) as stands',
    values: [id, secretId],
  })
  return rows[0]?.stands === true
}

async function holdActor(
  transaction: SqlTransaction,
  id: string,
  secretId: string | null,
): Promise<boolean> {
  const key = await transaction.query({
    text: `select from postern.api_keys where id = $1 and revoked_at is null
      and disabled_at is null and (expires_at is null or expires_at > clock_timestamp()) for share`,
    values: [id],
  })
  if (key.rowCount !== 1) return false
  // A statement of its own, behind the wait for the row: it sees what a rotation has just ended.
  const secret = await transaction.query({
    text: `select from postern.api_key_secrets where key_id = $1 and id = $2
      and (expires_at is null or expires_at > clock_timestamp())`,
    values: [id, secretId],
  })
  return secret.rowCount === 1
}

/** Writes the audit event of a change, in its transaction. */
export async function note(
  transaction: SqlTransaction,
  { actor, address, requestId }: Acting,
  action: AuditAction,
  resourceId: string,
  changes: Changes,
): Promise<void> {
  await transaction.query({
    text: `insert into postern.audit_events (action, actor_kind, actor_id, address, request_id,
        resource_kind, resource_id, changes, at)
      values ($1, $2, $3, $4, $5, split_part($1, '.', 1), $6, $7, clock_timestamp())`,
    values: [action, actor.kind, actor.id, address, requestId, resourceId, JSON.stringify(changes)],
  })
}
