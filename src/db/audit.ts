/**
 * Who changed what, from where and when? The audit of a platform: written by the stores in the
 * transaction of the change itself, read here page by page.
 *
 * It refuses to change or remove anything: the gateway role is granted insert and select on these
 * rows and nothing else. The danger is a secret in `changes`; who writes an event shows dots instead.
 */
import type { Actor, Sql } from '../context.ts'
import {
  Conditions,
  everyRow,
  type Page,
  type Paging,
  type Place,
  pageClauses,
  placeText,
  toPage,
} from './page.ts'

/**
 * Who acts, from where, and in which request. A change made by an API key or an operator is carried
 * out only while `actor` still stands, its shown secret included: both are read again in the
 * transaction of the change and held until it commits (threats V9).
 */
export type Acting = {
  readonly actor: Actor
  /** The secret that was shown; null where the actor is no API key. */
  readonly secretId: string | null
  /** The client's address; null for what Postern does by itself. */
  readonly address: string | null
  readonly requestId: string | null
}

/** What can be done to a resource. Words of the API: never renamed. */
export type AuditAction =
  | 'api_key.created'
  | 'api_key.updated'
  | 'api_key.rotated'
  | 'api_key.revoked'
  | 'api_key.disabled'
  | 'api_key.enabled'
  | 'api_key.imported'
  | 'api_key.rotation_due'
  | 'tenant.created'
  | 'tenant.updated'
  | 'tenant.suspended'
  | 'tenant.resumed'

/** Fields by their names on the wire, each with what it was and what it became. */
export type Changes = Readonly<Record<string, readonly [before: unknown, after: unknown]>>

/** A row of the audit. `at`: milliseconds since 1970. */
export type AuditEvent = {
  readonly id: string
  readonly at: number
  readonly action: AuditAction
  readonly actor: Actor
  readonly address: string | null
  readonly requestId: string | null
  readonly resource: { readonly kind: 'api_key' | 'tenant'; readonly id: string }
  readonly changes: Changes
}

/** Which events. Left out or null: all. Times in milliseconds since 1970. */
export type AuditFilter = {
  /** The id of who acted. */
  readonly actor?: string | null
  readonly action?: string | null
  /** The id of what was changed. */
  readonly resource?: string | null
  /** Not before. */
  readonly since?: number | null
  /** Before. */
  readonly until?: number | null
}

/** The audit of platforms. Everything rejects when the database does not answer. */
export type AuditStore = {
  list(platform: string, filter: AuditFilter & Paging): Promise<Page<AuditEvent>>
  /** Every event that passes the filter, oldest first, read in pages while it is iterated. */
  exportAll(platform: string, filter?: AuditFilter): AsyncIterable<AuditEvent>
}

/** Builds the reads on the gateway role's connections. */
export function createAuditStore(sql: Sql): AuditStore {
  async function list(platform: string, filter: AuditFilter & Paging): Promise<Page<AuditEvent>> {
    const where = new Conditions()
      .add('actor_id = ?', filter.actor)
      .add('action = ?', filter.action)
      .add('resource_id = ?', filter.resource)
      .add('at >= to_timestamp(?::float8 / 1000)', filter.since)
      .add('at < to_timestamp(?::float8 / 1000)', filter.until)
    const text = `select ${event} as event, ${placeText('at')} as place
      from postern.audit_events where ${pageClauses(where, 'at', filter)}`
    const { rows } = await sql.query<Row>({ platform }, { text, values: where.values })
    return toPage(rows, filter.limit, (row) => row.event)
  }

  return {
    list,
    exportAll: (platform, filter = {}) =>
      everyRow(1000, (paging) => list(platform, { ...filter, ...paging })),
  }
}

type Row = { readonly event: AuditEvent; readonly place: Place }

const event = `jsonb_build_object('id', id, 'at', floor(extract(epoch from at) * 1000),
  'action', action, 'actor', jsonb_build_object('kind', actor_kind, 'id', actor_id),
  'address', address, 'requestId', request_id,
  'resource', jsonb_build_object('kind', resource_kind, 'id', resource_id), 'changes', changes)`
