/**
 * What would a request be told now, that has long been answered? The questions of one round over many
 * open sockets: each tenant is asked about once. It closes nothing.
 */
import type { KeyRecord, Platform } from '../context.ts'
import type { Refusal } from '../problem.ts'
import { authorize, type Demand } from './authorize.ts'
import type { Call } from './restrictions.ts'
import { mayActFor, type Tenants, type TenantVerdict } from './tenant.ts'
import type { Verdict } from './verify.ts'

/** What a socket was opened for. */
export type Asker = {
  readonly platform: Platform
  readonly tenant: string | null
  readonly route: Demand
  readonly call: Call
}
type Known = Extract<Verdict, { ok: true }>

const foreign: Refusal = Object.freeze({ code: 'tenant/mismatch', cause: 'no longer its tenant' })
const unavailable: Refusal = Object.freeze({ code: 'auth/unavailable' })

/** One round, at `now` (ms) as keys expire. `broken` is the first thing that broke in it, or null. */
export class Round {
  readonly now: number
  broken: unknown = null
  readonly #tenants: Pick<Tenants, 'recheck'>
  readonly #asked = new Map<string, Promise<TenantVerdict>>()

  constructor(tenants: Pick<Tenants, 'recheck'>, now: number) {
    this.#tenants = tenants
    this.now = now
  }

  /** What broke says nothing against the caller: it counts as a store that is down. */
  async orUnavailable<T>(asked: Promise<T>): Promise<T | { ok: false; refusal: Refusal }> {
    try {
      return await asked
    } catch (error) {
      this.broken ??= error
      return { ok: false, refusal: unavailable }
    }
  }

  /** What a request of this caller would be told now. */
  async judge({ record }: Known, { platform, tenant, route, call }: Asker) {
    const bound = tenant === null ? null : await this.#tenant(record, platform, tenant)
    return bound ?? authorize(record, route, call)
  }

  async #tenant(record: KeyRecord, platform: Platform, tenant: string): Promise<Refusal | null> {
    if (!mayActFor(record, tenant)) return foreign
    // No id has a line break, so no two pairs share a name.
    const name = `${platform.id}\n${tenant}`
    const asked =
      this.#asked.get(name) ?? this.orUnavailable(this.#tenants.recheck(platform, tenant))
    this.#asked.set(name, asked)
    const verdict = await asked
    return verdict.ok ? null : verdict.refusal
  }
}
