/**
 * Which tenant is this request for? The header `x-tn` says it, or the key implies it; nothing in the
 * body, the query or a token is ever asked. The danger is a guess: there is no default tenant, ids
 * are compared byte for byte, and a tenant that is not there looks like one that is not yours.
 */
import type { KeyRecord, Platform, Scheme, TenantRecord } from '../context.ts'
import { StoreDown } from '../context.ts'
import type { Refusal } from '../problem.ts'
import type { HeaderReader } from './authenticate.ts'
import { createMemory } from './memory.ts'
import { createTrust, type Trust } from './trust.ts'

export type TenantReading =
  | { readonly ok: true; readonly tenant: string | null }
  | { readonly ok: false; readonly refusal: Refusal }

/** A tenant to bind the request to; null where the platform has no tenants. */
export type TenantVerdict = TenantReading

const refuse = (refusal: Refusal): TenantReading =>
  Object.freeze({ ok: false, refusal: Object.freeze(refusal) })
const bind = (tenant: string | null): TenantReading => Object.freeze({ ok: true, tenant })

const missing = refuse({ code: 'tenant/missing' })
const malformed = refuse({ code: 'tenant/malformed' })
const notSent = bind(null)
const noTenant = bind(null)
// The caller cannot tell these apart; the cause is for the log.
const foreign = refuse({ code: 'tenant/mismatch', cause: 'not a tenant of this key' })
const nobody = refuse({ code: 'tenant/mismatch', cause: 'no such tenant' })
const tenantless = refuse({ code: 'tenant/mismatch', cause: 'the platform has no tenants' })
const suspended = refuse({ code: 'tenant/suspended' })
const unavailable = refuse({ code: 'auth/unavailable', cause: 'the tenant store is down' })

/** The grammar of tenant ids. */
const grammar = /^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$/

/**
 * Reads `x-tn`: one tenant id by the grammar, or null when it was not sent and need not be. Refuses
 * with `tenant/missing` (empty, or not sent where it is required) or `tenant/malformed`. A comma
 * (two fields joined) is malformed. Never throws.
 */
export function readTenant(headers: HeaderReader, scheme: Scheme): TenantReading {
  const value = headers.get('x-tn')
  if (value === null) return scheme.tenancy === 'required' ? missing : notSent
  if (value === '') return missing
  return grammar.test(value) ? { ok: true, tenant: value } : malformed
}

export type TenantsOptions = {
  /** The tenant of that id on that platform, or null. Rejects with StoreDown. */
  findTenant(platform: string, tenant: string): Promise<TenantRecord | null>
  readonly entriesMax?: number
  /** How long what is known of a tenant may be gone by. */
  readonly trust?: Trust
}

export type Tenants = {
  /**
   * Binds a verified key to a tenant. `sent` is what `readTenant` read. Refuses with
   * `tenant/missing` (400), `tenant/mismatch` (403, the same for a foreign and an unknown tenant, and
   * for any tenant where the platform has none), `tenant/suspended` (403) or `auth/unavailable`
   * (503). No promise when it needs no I/O. Rejects only when `findTenant` breaks otherwise.
   */
  bind(
    record: KeyRecord,
    sent: string | null,
    platform: Platform,
  ): TenantVerdict | Promise<TenantVerdict>
  /**
   * Asks the store about a tenant that was bound before, whatever is remembered, and has it
   * remembered. Refuses as `bind` does after its lookup. Rejects when `findTenant` breaks.
   */
  recheck(platform: Platform, tenant: string): Promise<TenantVerdict>
  /** Forgets every tenant, or one: a change in the store is seen by whoever asks from here on. */
  forget(platform?: string, tenant?: string): void
}

/** Creates the binder of tenants, with a bounded memory of them. */
export function createTenants(options: TenantsOptions): Tenants {
  const { findTenant } = options
  const memory = createMemory<TenantVerdict>({
    entriesMax: options.entriesMax ?? 20_000,
    trust: options.trust ?? createTrust(),
  })

  async function ask(how: 'learn' | 'relearn', platform: string, tenant: string) {
    try {
      const verdict = await memory[how](nameOf(platform, tenant), async () =>
        judge(await findTenant(platform, tenant)),
      )
      return verdict ?? nobody
    } catch (error) {
      if (error instanceof StoreDown) return unavailable
      throw error
    }
  }

  return {
    bind(record, sent, platform) {
      const { tenancy } = platform.scheme
      if (tenancy === 'none') return sent === null ? noTenant : tenantless
      const wanted = sent ?? (tenancy === 'implied' ? impliedBy(record) : null)
      if (wanted === null) return missing
      // Before any lookup: a key with a list learns nothing about tenants outside it.
      if (!mayActFor(record, wanted)) return foreign
      const known = memory.get(nameOf(platform.id, wanted))
      return known ?? ask('learn', platform.id, wanted)
    },
    recheck: (platform, tenant) => ask('relearn', platform.id, tenant),
    forget(platform, tenant) {
      if (platform === undefined || tenant === undefined) memory.forget()
      else memory.forgetName(nameOf(platform, tenant))
    },
  }
}

/** No id has a line break, so no two pairs share a name. */
const nameOf = (platform: string, tenant: string): string => `${platform}\n${tenant}`

/** Whether a tenant is among those that a key is for. */
export const mayActFor = ({ tenants }: KeyRecord, tenant: string): boolean =>
  tenants === null || tenants.includes(tenant)

/** The tenant that a key implies: its only one. null for a key with several, or for all. */
export function impliedBy({ tenants }: KeyRecord): string | null {
  return tenants !== null && tenants.length === 1 ? tenants[0]! : null
}

function judge(tenant: TenantRecord | null): TenantVerdict {
  if (tenant === null) return nobody
  return tenant.suspended ? suspended : bind(tenant.id)
}
