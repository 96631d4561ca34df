/** A key to be: what was asked for, filled up from the caller's own key, and what is wrong with it. */
import type { KeyPrefix, Platform, Restrictions } from '../context.ts'
import type { FieldError } from '../problem.ts'
import { fault } from './faults.ts'
import {
  limitFaults,
  limitsOf,
  mergeRestrictions,
  type PowerInput,
  permissionFaults,
  publishableFaults,
  ruleFaults,
} from './key-fields.ts'
import type { Power } from './power.ts'

const open: Restrictions = { ips: null, origins: null, referrers: null, endpoints: null }

/** A new key. What is left out is as narrow as the caller's own key is; permissions are none. */
export function draftOf(input: PowerInput, prefix: KeyPrefix, bounds: Power | null): Power {
  const before: Power = {
    environment: prefix.environment,
    class: prefix.class,
    permissions: [],
    tenants: bounds?.tenants ?? null,
    restrictions: bounds?.restrictions ?? open,
    limits: bounds?.limits ?? null,
    expiresAt: bounds?.expiresAt ?? null,
  }
  return { ...before, ...changesOf(input, before) }
}

/** What of a key changes. What is left out stays. */
export function changesOf(input: PowerInput, before: Power): Partial<Power> {
  const { tenants, permissions, expires_at, restrictions, rate_limit } = input
  return {
    ...(tenants !== undefined && { tenants: tenants === null ? null : [...new Set(tenants)] }),
    ...(permissions !== undefined && { permissions: [...new Set(permissions)] }),
    ...(expires_at !== undefined && { expiresAt: expires_at }),
    ...(restrictions !== undefined && {
      restrictions: mergeRestrictions(before.restrictions, restrictions),
    }),
    ...(rate_limit !== undefined && { limits: rate_limit === null ? null : limitsOf(rate_limit) }),
  }
}

/** Everything that is wrong with what was asked, given what comes of it. `at`: where it stands. */
export function draftFaults(
  input: PowerInput,
  power: Power,
  platform: Platform,
  at = 'body',
): FieldError[] {
  const { expires_at: expiresAt } = input
  const past = typeof expiresAt === 'number' && expiresAt <= Date.now()
  return [
    ...permissionFaults(input.permissions ?? [], platform, at),
    ...(past ? [fault(`${at}.expires_at`, 'must be in the future')] : []),
    ...(input.restrictions === undefined ? [] : ruleFaults(power.restrictions, at)),
    ...limitFaults(power.limits ?? [], at),
    ...(power.class === 'publishable' ? publishableFaults(power, platform, at) : []),
  ]
}
