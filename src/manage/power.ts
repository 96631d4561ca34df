/**
 * Can a key give this away? A key makes and changes only keys that can do no more than it can
 * itself, in every respect at once (threats G3): permissions, tenants, environment, class,
 * restrictions, limits and expiry. It decides by the two rows alone; the danger is a rule that means
 * more than its text, so what cannot be shown to be inside counts as outside.
 */
import type { KeyRecord, Limit, Restrictions } from '../context.ts'
import { permits } from '../keys/authorize.ts'
import { isEndpointWithin } from '../keys/restrictions.ts'
import { inRange, parseRange } from '../lib/address.ts'

/** What of a key says how much it can do. */
export type Power = Pick<
  KeyRecord,
  'environment' | 'class' | 'tenants' | 'permissions' | 'restrictions' | 'limits' | 'expiresAt'
>

/** The fields in which `child` could do what `parent` cannot; empty when it could not. */
export function excess(parent: Power, child: Power): (keyof Power)[] {
  const inside: Record<keyof Power, boolean> = {
    environment: parent.environment === 'live' || child.environment === 'test',
    class: parent.class === 'secret' || child.class === 'publishable',
    tenants: isSubset(child.tenants, parent.tenants),
    permissions: child.permissions.every((one) => mayGrant(parent.permissions, one)),
    restrictions: areWithin(child.restrictions, parent.restrictions),
    limits: parent.limits === null || areAsStrict(child.limits, parent.limits),
    expiresAt:
      parent.expiresAt === null ||
      (child.expiresAt !== null && child.expiresAt <= parent.expiresAt),
  }
  // The names of the record above, which `Object.keys` forgets.
  return (Object.keys(inside) as (keyof Power)[]).filter((field) => !inside[field])
}

/** Whoever may rotate every key may let a key rotate itself. */
export const mayGrant = (grants: readonly string[], permission: string): boolean =>
  permits(grants, permission) || (permission === 'self:rotate' && permits(grants, 'admin:keys'))

/** null is everything. */
function isSubset(child: readonly string[] | null, parent: readonly string[] | null): boolean {
  return parent === null || child?.every((one) => parent.includes(one)) === true
}

function areWithin(child: Restrictions, parent: Restrictions): boolean {
  // Of origins and referrers, each stands in for the other where that is not given.
  const origins = isSubset(child.origins ?? child.referrers, parent.origins ?? parent.referrers)
  const referrers = isSubset(child.referrers ?? child.origins, parent.referrers ?? parent.origins)
  return (
    origins &&
    referrers &&
    isCovered(child.ips, parent.ips, isRangeWithin) &&
    isCovered(child.endpoints, parent.endpoints, isEndpointWithin)
  )
}

function isCovered(
  child: readonly string[] | null,
  parent: readonly string[] | null,
  within: (inner: string, outer: string) => boolean,
): boolean {
  if (parent === null) return true
  return child?.every((inner) => parent.some((outer) => within(inner, outer))) === true
}

function isRangeWithin(inner: string, outer: string): boolean {
  const [a, b] = [parseRange(inner), parseRange(outer)]
  return a !== null && b !== null && a.bits >= b.bits && inRange(a.base, b)
}

/** Fewer units in a longer window are never more in the shorter one. */
function areAsStrict(child: readonly Limit[] | null, parent: readonly Limit[]): boolean {
  return parent.every(
    ({ quota, windowSeconds }) =>
      child?.some((own) => own.quota <= quota && own.windowSeconds >= windowSeconds) === true,
  )
}
