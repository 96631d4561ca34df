/** What every part of the management API works with, and what it asks of more than one store. */
import type { EnvironmentName, Signal } from '../context.ts'
import type { AuditStore } from '../db/audit.ts'
import type { KeyStore } from '../db/keys.ts'
import type { TenantStore } from '../db/tenants.ts'
import type { UsageStore } from '../db/usage.ts'
import type { Tenants } from '../keys/tenant.ts'
import type { Verifier } from '../keys/verify.ts'
import { type FieldError, Problem } from '../problem.ts'
import type { Router } from '../routing.ts'
import type { Call } from './call.ts'
import { fault } from './faults.ts'
import type { Cursors } from './page.ts'
import { excess, type Power } from './power.ts'

export type Desk = {
  readonly keys: KeyStore
  readonly tenants: TenantStore
  readonly audit: AuditStore
  readonly usage: UsageStore
  readonly cursors: Cursors
  /** What new secrets are stored under. */
  readonly pepper: { readonly version: number; readonly bytes: Uint8Array }
  /** After how long a secret is due to be replaced. */
  readonly rotationMs: Readonly<Record<EnvironmentName, number>>
  /** Tells every node what has changed, once it has been committed (receipt.ts). */
  readonly announce: Signal['announce']
  /** Takes work that outlives the answer. */
  defer(work: Promise<unknown>): void
  /** The gate's own answers: is this key good, for which tenant, and which route is that? */
  readonly verifier: Pick<Verifier, 'verifyNow'>
  readonly binder: Pick<Tenants, 'bind'>
  readonly router: Pick<Router, 'match'>
}

/** What the caller can give away at most; null: an operator, everything. */
export async function boundsOf({ keys }: Desk, call: Call): Promise<Power | null> {
  const { record, operator } = call
  if (operator) return null
  if (record.expiresAt === null) return record
  // The secret that was shown may end before its key does, as while it is rotated out; what the key
  // makes is held to the key.
  const own = await keys.find(record.platform, record.id)
  return own === null ? record : { ...record, expiresAt: own.expiresAt }
}

/** Throws a 403 that names every field in which `power` is more than the bounds. */
export function demandWithin(bounds: Power | null, power: Power, at = 'body'): void {
  const over = bounds === null ? [] : excess(bounds, power)
  if (over.length === 0) return
  const errors = over.map((field) => ({
    location: `${at}.${wireNames[field]}`,
    code: 'exceeds_own',
    message: 'is more than the calling key holds itself',
  }))
  const names = over.map((field) => wireNames[field])
  throw new Problem('auth/insufficient_permission', {
    detail: `A key gives away only what it holds itself. Beyond that: ${names.join(', ')}.`,
    param: names[0] ?? '',
    errors,
  })
}

const wireNames: Readonly<Record<keyof Power, string>> = {
  environment: 'environment',
  class: 'class',
  tenants: 'tenants',
  permissions: 'permissions',
  restrictions: 'restrictions',
  limits: 'rate_limit',
  expiresAt: 'expires_at',
}

/** What is wrong with binding a key to these tenants. */
export async function tenantFaults(
  { tenants: store }: Desk,
  { platform }: Call,
  tenants: readonly string[] | null,
  at = 'body',
): Promise<FieldError[]> {
  if (tenants === null) return []
  if (platform.scheme.tenancy === 'none') {
    return [fault(`${at}.tenants`, 'this platform has no tenants')]
  }
  const found = await Promise.all(tenants.map((id) => store.find(platform.id, id)))
  return tenants.flatMap((_, index) =>
    found[index] === null
      ? [fault(`${at}.tenants[${index}]`, 'is no tenant of this platform')]
      : [],
  )
}
