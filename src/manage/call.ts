/**
 * Who makes this management call, for which platform, and which keys and tenants it reaches. A key
 * reaches its own platform, what is not above its environment, and, where it is bound to tenants, what
 * is bound to those alone; everything else answers like an id that does not exist (threats G4).
 */
import { OpenAPIHono } from '@hono/zod-openapi'
import type { Context } from 'hono'
import type { ReadBody } from '../body.ts'
import type { KeyRecord, Platform } from '../context.ts'
import type { Acting } from '../db/audit.ts'
import type { StoredKey } from '../db/keys.ts'
import { Problem, type Refusal } from '../problem.ts'
import { faultsOf, type Place, refuse } from './faults.ts'

/** What the gate knows of a request that has passed its checks. */
export type Caller = {
  /** The acting key, read from the database in this request. */
  readonly record: KeyRecord
  /** It belongs to the people who run Postern, and reaches every platform. */
  readonly operator: boolean
  /** The platform that the host or the port names; else the only one. */
  readonly named: Platform | null
  readonly clientAddress: string
  readonly requestId: string
  readonly body: ReadBody | null
}

/** The platforms of a deployment, and who calls. */
type Given = { readonly platforms: readonly Platform[]; readonly caller: Caller }

export type ManageEnv = { Bindings: Given }
export type ManageContext = Context<ManageEnv>
export type ManageApp = OpenAPIHono<ManageEnv>

const places: Readonly<Record<string, Place>> = { json: 'body', param: 'path' }

/** An empty part of the management API: every shape that does not fit throws `request/invalid`. */
export const createPart = (): ManageApp =>
  new OpenAPIHono<ManageEnv>({
    defaultHook: (result) => {
      if (result.success) return
      const place = places[result.target] ?? (result.target === 'header' ? 'header' : 'query')
      // What was validated comes with the result; the type does not say so.
      const value = 'data' in result ? result.data : undefined
      refuse(faultsOf(result.error.issues, place, value))
    },
  })

/** One management call. Throws `request/invalid` where an operator has to name a platform. */
export class Call {
  readonly record: KeyRecord
  readonly operator: boolean
  readonly platform: Platform
  readonly acting: Acting

  constructor({ env, req }: ManageContext) {
    const { caller, platforms } = env
    const { record, operator, clientAddress, requestId } = caller
    this.record = record
    this.operator = operator
    this.platform = platformOf(caller, platforms, req.query('platform'))
    this.acting = {
      actor: { kind: operator ? 'operator' : 'api_key', id: record.id },
      secretId: record.secretId,
      address: clientAddress,
      requestId,
    }
  }

  /** The tenants that the caller is bound to; null: none, it reaches all of the platform. */
  get tenants(): readonly string[] | null {
    return this.operator ? null : this.record.tenants
  }

  /** Whether a key exists as far as this caller is concerned. */
  reaches(key: Pick<KeyRecord, 'environment' | 'tenants'>): boolean {
    if (this.operator) return true
    const { environment, tenants } = this.record
    if (environment === 'test' && key.environment === 'live') return false
    return tenants === null || key.tenants?.every((one) => tenants.includes(one)) === true
  }

  /** The key of that id, or throws `resource/not_found`: the same for a foreign one as for none. */
  reached(key: StoredKey | null): StoredKey {
    if (key === null || !this.reaches(key)) throw new Problem('resource/not_found')
    return key
  }

  /** Refuses callers who reach a part of the platform only: what follows concerns all of it. */
  demandWhole(what: string): void {
    if (this.operator) return
    if (this.record.environment === 'test') {
      throw new Problem('auth/wrong_environment', { detail: `${what} takes a live key.` })
    }
    if (this.record.tenants !== null) {
      const detail = `${what} takes a key that is bound to no tenant.`
      throw new Problem('auth/insufficient_permission', { detail })
    }
  }
}

/** `platform` in the query or in the body, by slug or id; else what the request was sent to. */
function platformOf(
  { record, operator, named, body }: Caller,
  platforms: readonly Platform[],
  asked: string | undefined,
): Platform {
  const wanted = asked ?? namedIn(body?.value)
  const found =
    wanted === undefined
      ? named
      : platforms.find(({ slug, id }) => slug === wanted || id === wanted)
  if (operator && found !== undefined && found !== null) return found
  // To a platform's own key the others do not exist.
  if (!operator && found?.id === record.platform) return found
  if (wanted !== undefined) throw new Problem('resource/not_found', { param: 'platform' })
  const message = `name one of ${platforms.map(({ slug }) => slug).join(', ')}`
  const error = { location: 'query.platform', code: 'required', message }
  throw new Problem('request/invalid', { param: 'platform', errors: [error] })
}

function namedIn(body: unknown): string | undefined {
  if (typeof body !== 'object' || body === null || !('platform' in body)) return undefined
  return typeof body.platform === 'string' ? body.platform : undefined
}

type Outcome = 'actor_gone' | 'conflict' | 'changed' | 'revoked' | null

const outcomes: Readonly<Record<Exclude<Outcome, null>, Refusal>> = {
  actor_gone: { code: 'auth/key_revoked', detail: 'This API key has ended in the meantime.' },
  conflict: { code: 'resource/conflict' },
  changed: { code: 'resource/changed' },
  revoked: { code: 'resource/conflict', detail: 'This API key is revoked, and stays so.' },
}

/** The row that a store answered, or throws the refusal that its answer is. */
export function settled<Row extends object>(answer: Row | Outcome): Row {
  if (answer === null) throw new Problem('resource/not_found')
  if (typeof answer === 'string') throw Problem.of(outcomes[answer])
  return answer
}
