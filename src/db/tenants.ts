/**
 * Which tenants does a platform have? Made, suspended, resumed and described by the platform's
 * people; each change with its audit event in one transaction.
 *
 * It refuses to delete: a suspended tenant keeps its rows. Another platform's tenant is as unknown
 * here as a random one. How a request finds its tenant is src/db/root.ts.
 */
import type { Sql, SqlResult, Statement } from '../context.ts'
import type { Acting, Changes } from './audit.ts'
import { change, kept, note, undone } from './change.ts'
import {
  Conditions,
  type Page,
  type Paging,
  type Place,
  pageClauses,
  placeText,
  toPage,
} from './page.ts'

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
export function createTenantStore(sql: Sql): TenantStore {
  async function find(platform: string, id: string): Promise<StoredTenant | null> {
    return one(await sql.query<Row>({ platform }, byId(id)))
  }

  return {
    find,
    create: (platform, { id, metadata }, acting) =>
      change<StoredTenant | 'conflict'>(sql, platform, acting, null, async (transaction) => {
        const { rowCount } = await transaction.query({
          text: 'insert into postern.tenants (id, metadata) values ($1, $2) on conflict do nothing',
          values: [id, JSON.stringify(metadata)],
        })
        if (rowCount !== 1) return undone('conflict')
        await note(transaction, acting, 'tenant.created', id, { metadata: [null, metadata] })
        return kept(must(one(await transaction.query<Row>(byId(id)))))
      }),
    async list(platform, which) {
      const { suspended, limit } = which
      const where = new Conditions().add('(suspended_at is not null) = ?', suspended)
      const text = `select ${tenant} as tenant, ${placeText('created_at')} as place
        from postern.tenants where ${pageClauses(where, 'created_at', which)}`
      const { rows } = await sql.query<Row>({ platform }, { text, values: where.values })
      return toPage(rows, limit, (row) => row.tenant)
    },
    update: (platform, id, version, { metadata }, acting) =>
      change<StoredTenant | 'changed' | null>(sql, platform, acting, null, async (transaction) => {
        const before = one(await transaction.query<Row>(byId(id, 'for no key update')))
        if (before === null) return undone(null)
        if (before.version !== version) return undone('changed')
        await transaction.query({
          text: `update postern.tenants set metadata = $2, ${touched} where id = $1`,
          values: [id, JSON.stringify(metadata)],
        })
        const changes: Changes = { metadata: [before.metadata, metadata] }
        await note(transaction, acting, 'tenant.updated', id, changes)
        return kept(must(one(await transaction.query<Row>(byId(id)))))
      }),
    setSuspended: (platform, id, suspended, acting) =>
      change<SettledTenant | null>(sql, platform, acting, null, async (transaction) => {
        const before = one(await transaction.query<Row>(byId(id, 'for no key update')))
        if (before === null) return undone(null)
        if ((before.suspendedAt !== null) === suspended) {
          return undone({ tenant: before, done: false })
        }
        await transaction.query({
          text: `update postern.tenants
            set suspended_at = case when $2 then clock_timestamp() end, ${touched} where id = $1`,
          values: [id, suspended],
        })
        const [action, changes] = suspended
          ? (['tenant.suspended', { suspended: [false, true] }] as const)
          : (['tenant.resumed', { suspended: [true, false] }] as const)
        await note(transaction, acting, action, id, changes)
        const after = must(one(await transaction.query<Row>(byId(id))))
        return kept({ tenant: after, done: true })
      }),
  }
}

type Row = { readonly tenant: StoredTenant; readonly place: Place }

const touched = 'version = version + 1, updated_at = clock_timestamp()'
const tenant = `jsonb_build_object('id', id, 'metadata', metadata, 'version', version,
  'suspendedAt', floor(extract(epoch from suspended_at) * 1000),
  'createdAt', floor(extract(epoch from created_at) * 1000),
  'updatedAt', floor(extract(epoch from updated_at) * 1000))`

const byId = (id: string, lock = ''): Statement => ({
  text: `select ${tenant} as tenant from postern.tenants where id = $1 ${lock}`,
  values: [id],
})

const one = ({ rows }: SqlResult<Row>): StoredTenant | null => rows[0]?.tenant ?? null

/** What was written a moment ago, in the same transaction. */
function must(found: StoredTenant | null): StoredTenant {
  if (found === null) throw new Error('a tenant is gone in the middle of its change')
  return found
}
