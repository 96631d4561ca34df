import type { Scope, Sql, SqlTransaction } from '../context.ts'

/**
 * Runs `work` in a transaction that is committed where it answers `good`, and undone otherwise.
 * Rejects with what `work` threw, or with what the commit did.
 */
export async function transact<Answer>(
  sql: Sql,
  scope: Scope,
  good: Answer,
  work: (open: SqlTransaction) => Promise<Answer>,
): Promise<Answer> {
  const open = await sql.begin(scope)
  let answer: Answer
  try {
    answer = await work(open)
  } catch (error) {
    // The first error is the one that says what is wrong, whatever becomes of the rollback.
    await open.end('rollback').catch(() => undefined)
    throw error
  }
  await open.end(answer === good ? 'commit' : 'rollback')
  return answer
}
