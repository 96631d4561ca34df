/**
 * Which tenants does a platform have? Made, suspended, resumed and described by the platform's
 * people; each change with its audit event in one transaction.
 *
 * It refuses to delete: a suspended tenant keeps its rows. Another platform's tenant is as unknown
 * here as a random one. How a request finds its tenant is src/db/root.ts.
 */
import type { Sql } from '../context.ts'
import type { Acting, Page, Paging } from './audit.ts'

/** A tenant as its platform's people see it. Times in milliseconds since 1970. */
export type StoredTenant = {
  readonly id: string
  readonly metadata: Readonly<Record<string, unknown>>
  readonly suspendedAt: number | null
  /** One more with each change: what an ETag is made of. */
  readonly version: number
  readonly createdAt: number
  readonly updatedAt: number
}

/** `done` is false when it was so already. */
export type SettledTenant = { readonly tenant: StoredTenant; readonly done: boolean }

/**
 * The tenants of platforms. Unknown ids are null; 'actor_gone' as in src/db/keys.ts. Everything
 * rejects when the database does not answer.
 */
export type TenantStore = {
  /** Adds a tenant, unless there is one. Rejects with a `DatabaseFault` on an id of another shape. */
  create(
    platform: string,
    tenant: Pick<StoredTenant, 'id' | 'metadata'>,
    acting: Acting,
  ): Promise<StoredTenant | 'conflict' | 'actor_gone'>
  find(platform: string, id: string): Promise<StoredTenant | null>
  /** `suspended` left out or null: all. */
  list(
    platform: string,
    which: { readonly suspended?: boolean | null } & Paging,
  ): Promise<Page<StoredTenant>>
  /** Changes a tenant that still has this `version`; otherwise 'changed'. */
  update(
    platform: string,
    id: string,
    version: number,
    changes: Pick<StoredTenant, 'metadata'>,
    acting: Acting,
  ): Promise<StoredTenant | 'changed' | 'actor_gone' | null>
  /** Suspends a tenant, or resumes it. Of several at once, one is `done`. */
  setSuspended(
    platform: string,
    id: string,
    suspended: boolean,
    acting: Acting,
  ): Promise<SettledTenant | 'actor_gone' | null>
}

/** Builds the store on the gateway role's connections. */
export function createTenantStore(_sql: Sql): TenantStore {
  throw new Error('not written yet')
}
