/**
 * What is this database called? A random name that the first node gives it, under which the nodes of
 * one deployment find each other in a Redis that others use too. It says nothing of where the database
 * is, and moves with a copy of it.
 */
import type { Sql } from '../context.ts'

export type DeploymentName = {
  readonly name: string
  /** It was given just now: no node has served from this database before. */
  readonly first: boolean
}

// Its own: it belongs to no platform. As `operatorPlatformId` of keys/schemes.ts.
const scope = { platform: 'plt_operator' }

/** Reads the name, or gives one. Rejects when the database does not answer, or was not migrated. */
export async function nameDeployment(sql: Sql): Promise<DeploymentName> {
  const made = await sql.query<{ name: string }>(scope, {
    text: `insert into postern.deployment (id) values ('signal') on conflict do nothing returning name`,
  })
  if (made.rows[0] !== undefined) return { name: made.rows[0].name, first: true }
  const { rows } = await sql.query<{ name: string }>(scope, {
    text: `select name from postern.deployment where id = 'signal'`,
  })
  if (rows[0] === undefined) throw new Error('the name of the deployment was removed')
  return { name: rows[0].name, first: false }
}
