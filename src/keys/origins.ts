/**
 * May any key of this platform be used from this origin, for this call? A preflight carries no key,
 * so it is answered from the origins that publishable keys are restricted to. The request that
 * follows is held to its own key (restrictions.ts), so this proves nothing about it.
 *
 * Only keys that name the origin count: one without a list of origins may be used from anywhere, and
 * gives no page leave; one that lists referrers alone does not either; a secret key never belongs in
 * a page. The danger is a stranger who asks for ever new origins: both memories are bounded, what is
 * unknown has one of its own, and each address has few lookups at once.
 */
import { type KeyRule, type Platform, StoreDown } from '../context.ts'
import { addressBucket } from '../lib/address.ts'
import { createLru } from '../lib/lru.ts'
import { createTurnstile } from '../lib/turnstile.ts'
import type { Refusal } from '../problem.ts'
import { type Demand, permits } from './authorize.ts'
import { createMemory } from './memory.ts'
import { type Call, endpointsAllow, isOriginRule } from './restrictions.ts'
import { createTrust, type Trust } from './trust.ts'

/** A call that a page wants to make. */
export type OriginCall = Pick<Call, 'method' | 'path' | 'clientAddress'> & {
  readonly platform: Platform
  readonly route: Demand
  readonly origin: string
}

export type OriginsOptions = {
  /** What the platform's live publishable keys with that origin allow. Rejects with StoreDown. */
  findOrigin(platform: string, origin: string): Promise<readonly KeyRule[]>
  /** Origins held in memory; as many again that no key names. */
  readonly originsMax?: number
  /** How long what is known of an origin that some key names may be gone by. */
  readonly trust?: Trust
  /** How long an origin that no key names is not looked up again. 0: always. */
  readonly negativeTtlMs?: number
  /** Lookups of origins that are not in memory, at once, per client address (IPv6: per /64). */
  readonly lookupsPerAddress?: number
  /** How many more may wait per address. */
  readonly waitingPerAddress?: number
  /** Lookups under way or waiting, over all addresses. */
  readonly lookupsMax?: number
}

export type Origins = {
  /**
   * null when some key allows the call; else `auth/origin_not_allowed` (403), `auth/unavailable` or
   * `gateway/overloaded` (503). No promise when it needs no I/O. Rejects only when `findOrigin`
   * breaks otherwise.
   */
  judge(call: OriginCall): Refusal | null | Promise<Refusal | null>
  /** Forgets every origin: a change in the store is seen by whoever asks from here on. */
  forget(): void
  /** How much is held: known origins, unknown origins, lookups under way or waiting. */
  sizes(): { readonly known: number; readonly unknown: number; readonly lookups: number }
}

const notAllowed: Refusal = Object.freeze({
  code: 'auth/origin_not_allowed',
  detail: 'No publishable key may make this call from this origin.',
})
const unavailable: Refusal = Object.freeze({
  code: 'auth/unavailable',
  cause: 'the key store is down',
})
const overloaded: Refusal = Object.freeze({
  code: 'gateway/overloaded',
  cause: 'too many origin lookups at once',
})

/** Whether one of the rules lets a publishable key make this call. Never throws. */
export function originAllowedOn(
  rules: readonly KeyRule[],
  route: Demand,
  method: string,
  path: string,
): boolean {
  if (!route.classes.includes('publishable')) return false
  return rules.some(
    ({ environment, permissions, endpoints }) =>
      route.environments.includes(environment) &&
      (route.permission === null || permits(permissions, route.permission)) &&
      endpointsAllow(endpoints, { method, path }),
  )
}

/** Creates the judge of origins, with a bounded memory of them. */
export function createOrigins(options: OriginsOptions): Origins {
  const { findOrigin, originsMax = 5000, negativeTtlMs = 5000, trust = createTrust() } = options
  const known = createMemory<readonly KeyRule[]>({ entriesMax: originsMax, trust })
  const unknown = createLru<true>(originsMax)
  const turnstile = createTurnstile({
    insideMax: options.lookupsPerAddress ?? 4,
    waitingMax: options.waitingPerAddress ?? 256,
    totalMax: options.lookupsMax ?? 4096,
  })

  let changes = 0

  /** null: too many are looked up already. */
  function find(name: string, { platform, origin, clientAddress }: OriginCall) {
    const ask = async () => {
      const rules = await findOrigin(platform.id, origin)
      return rules.length === 0 ? undefined : rules
    }
    if (known.knows(name)) return known.learn(name, ask)
    const bucket = addressBucket(clientAddress)
    const turn = turnstile.enter(bucket)
    if (turn === 'full' || turn === 'overfull') return null
    return known.learn(name, async () => {
      try {
        if (turn !== undefined) await turn
        return await ask()
      } finally {
        turnstile.leave(bucket)
      }
    })
  }

  async function learn(name: string, call: OriginCall): Promise<Refusal | null> {
    const askedIn = changes
    try {
      const finding = find(name, call)
      if (finding === null) return overloaded
      const rules = await finding
      if (rules !== undefined) return verdict(rules, call)
      // Asked before a change, the answer may be older than the key that names it (threats V5).
      if (negativeTtlMs > 0 && askedIn === changes) {
        unknown.set(name, true, trust.now() + negativeTtlMs)
      }
      return notAllowed
    } catch (error) {
      if (error instanceof StoreDown) return unavailable
      throw error
    }
  }

  return {
    judge(call) {
      const { platform, route, origin } = call
      // No key can hold it, or no key may call there: nothing to look up.
      if (!route.classes.includes('publishable') || !isOriginRule(origin)) return notAllowed
      // Neither has a line break, so no two pairs share a name.
      const name = `${platform.id}\n${origin}`
      const rules = known.get(name)
      if (rules !== undefined) return verdict(rules, call)
      return unknown.get(name, trust.now()) === undefined ? learn(name, call) : notAllowed
    },
    forget() {
      changes++
      known.forget()
      unknown.clear()
    },
    sizes: () => ({ known: known.size, unknown: unknown.size, lookups: turnstile.size }),
  }
}

const verdict = (rules: readonly KeyRule[], { route, method, path }: OriginCall): Refusal | null =>
  originAllowedOn(rules, route, method, path) ? null : notAllowed
