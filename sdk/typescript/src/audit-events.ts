/** Who changed what. */
import { type Page, type PageOptions, Pages } from './page.ts'
import type { AuditEvent, ListAuditEventsQuery } from './schema.ts'
import type { RequestOptions, Transport } from './transport.ts'

/** Which events, and how many at a time. */
export type ListAuditEvents = Omit<ListAuditEventsQuery, 'limit' | 'cursor'> & PageOptions

/** `client.auditEvents`. */
export class AuditEvents {
  readonly #transport: Transport

  constructor(transport: Transport) {
    this.#transport = transport
  }

  /** The events that pass the filter, newest first. */
  list(filter: ListAuditEvents = {}, options?: RequestOptions): Pages<AuditEvent> {
    return new Pages((cursor) => {
      const query = cursor === undefined ? filter : { ...filter, cursor }
      const ask = { method: 'GET', path: '/audit-events', query, options } as const
      return this.#transport.json<Page<AuditEvent>>(ask)
    })
  }

  /** Every event that passes the filter, oldest first, in one answer. */
  export(
    filter: Omit<ListAuditEventsQuery, 'limit' | 'cursor' | 'order'> = {},
    options?: RequestOptions,
  ): AsyncGenerator<AuditEvent, void, undefined> {
    return this.#transport.lines({ method: 'GET', path: '/audit-events', query: filter, options })
  }
}
