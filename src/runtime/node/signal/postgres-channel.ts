/**
 * The record between nodes in PostgreSQL: rows that the function postern.signal_turn of
 * drizzle/rls.sql keeps, and NOTIFY to wake the others, over one connection as the gateway role.
 * Behind a transaction pooler there is no LISTEN; then each node asks often enough.
 *
 * A NOTIFY may come from anyone who may run a statement, a tenant's handler too; it carries nothing,
 * and the rows are under the gateway's policy. The danger is a connection that is kept after it
 * failed: it is dropped with the first error, and the next turn makes another.
 */
import pg from 'pg'
import { encodeScope } from '../../../db/scope.ts'
import type { Landing } from '../../flight.ts'
import { type Role, type ScopedClient, scopedClient } from '../../scoped-client.ts'
import {
  type Answer,
  type Channel,
  entriesMax,
  readAnswer,
  registryMs,
  type Turn,
  type Wire,
} from './channel.ts'

export type PostgresPlace = {
  /** The gateway role's, or with `role` one that may take that role. */
  readonly url: string
  readonly role: Role | null
  readonly scope: 'hardened' | 'plain'
  /** A transaction pooler stands in between. */
  readonly pooler: boolean
}

/** Belongs to no platform, as operators do not: `operatorPlatformId` of keys/schemes.ts. */
export const recordPlatform = 'plt_operator'

const timeoutMs = 800
const goodbyeMs = 200

/** Opens the way to the record of the database for `node` (a word in lower case). Never throws. */
export function postgresChannel(place: PostgresPlace, node: string, wire: Wire): Channel {
  const { url, role, scope, pooler } = place
  const speaking = { role, scope, pooler, answerTimeoutMs: timeoutMs }
  let scoped = scopedClient(speaking)
  let current: pg.Client | null = null

  function drop(client: pg.Client, cause: string): void {
    client.connection.stream.destroy()
    if (current !== client) return
    current = null
    wire.lost(cause)
  }

  async function connect(): Promise<pg.Client> {
    const client = new pg.Client({
      connectionString: url,
      connectionTimeoutMillis: timeoutMs,
      application_name: 'postern signal',
      keepAlive: true,
      // A pooler refuses settings that it does not keep for each client.
      ...(pooler ? {} : { statement_timeout: timeoutMs }),
    })
    client.on('error', ({ message }) => drop(client, message))
    client.on('end', () => drop(client, 'the connection is lost'))
    client.on('notification', wire.woken)
    try {
      await client.connect()
      // What one client has learned of the database may be wrong by now.
      scoped = scopedClient(speaking)
      await prepare(scoped, client)
      if (!pooler) await listen(client, node)
    } catch (error) {
      drop(client, '')
      throw error
    }
    current = client
    return client
  }

  return {
    name: 'PostgreSQL',
    async take(turn) {
      const client = current ?? (await connect())
      const { result, error } = await fly(scoped, client, turn, node)
      if (result !== null) return readRow(result.rows)
      const cause = error instanceof Error ? error.message : 'no answer'
      drop(client, cause)
      throw new Error(cause, { cause: error })
    },
    pushes: () => (pooler ? 'none' : 'push'),
    async close() {
      const client = current
      current = null
      if (client === null) return
      const late = setTimeout(() => client.connection.stream.destroy(), goodbyeMs)
      await client.end().catch(() => undefined)
      clearTimeout(late)
    },
  }
}

function prepare(scoped: ScopedClient, client: pg.Client): Promise<void> {
  return new Promise((resolve, reject) => {
    scoped.prepare(client, ({ result, error }) => (result === null ? reject(error) : resolve()))
  })
}

async function listen(client: pg.Client, node: string): Promise<void> {
  const text = `listen postern_signal; listen postern_signal_${node}`
  // The type of a query has the timeout nowhere; pg reads it from there.
  const query: pg.QueryConfig & { query_timeout: number } = { text, query_timeout: timeoutMs }
  await client.query(query)
}

const text = `select postern.signal_turn($1, $2::text::bigint, $3::text::integer, $4::text::integer,
  $5::text::integer, $6, $7::text::boolean, $8::text::boolean, $9::text::boolean, $10) as answer`

function fly(scoped: ScopedClient, client: pg.Client, turn: Turn, node: string): Promise<Landing> {
  const { heard, entry, asks, leaves, first, staleMs, awaited } = turn
  const flags = [asks, leaves, first].map(String)
  const numbers = [heard, registryMs, Math.max(staleMs, registryMs), entriesMax].map(String)
  const values = [node, ...numbers, entry, ...flags, awaited]
  const scope = encodeScope({ platform: recordPlatform })
  return new Promise((resolve) => {
    scoped.single(client, scope, { text, values, name: 'postern_signal' }, resolve)
  })
}

function readRow(rows: readonly Record<string, unknown>[]): Answer {
  return readAnswer(rows[0]?.answer)
}
