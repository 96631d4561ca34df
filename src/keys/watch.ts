/**
 * May these WebSockets stay open? A request is judged once and over in moments; a socket stays for
 * days, and the key it was opened with may be revoked the next minute. So while any is open, every
 * key and tenant among them is asked about again, once per key and not per socket.
 *
 * The dangers: to hold the key strings themselves for that long; to let a store that is down keep a
 * revoked socket open for ever; and to close everyone's sockets because it was down for a second.
 */
import type { KeyRecord, OpenSocket, Platform } from '../context.ts'
import { problems, type Refusal } from '../problem.ts'
import { authorize, type Demand, judgedHeaders } from './authorize.ts'
import type { Call } from './restrictions.ts'
import { mayActFor, type Tenants, type TenantVerdict } from './tenant.ts'
import type { Recheck, Verdict, Verifier } from './verify.ts'

export type SocketWatchOptions = {
  readonly verifier: Pick<Verifier, 'recheck'>
  readonly tenants: Pick<Tenants, 'recheck'>
  /** Takes work that outlives the request, and tells the log when it fails (the `defer` port). */
  defer?(work: Promise<unknown>): void
  /** Between two rounds. With the time a frame may take to end, a revocation is seen within 2 s. */
  readonly everyMs?: number
  /** How long a socket stays open while the store is down, since that last said it may, or it opened. */
  readonly staleMs?: number
  /** Keys that are asked about at the same time. */
  readonly atOnce?: number
}

/** Who opens a socket: what the request was judged by. */
export type SocketCaller = {
  readonly key: string
  readonly platform: Platform
  /** null only where the platform has no tenants. */
  readonly tenant: string | null
  readonly route: Demand
  readonly call: Call
}

export type SocketWatch = {
  /**
   * What to tell when a socket of this caller opens; it answers what to call when it has closed. A
   * socket that may not stay is closed with 4401 (the key), 4403 (the tenant, a permission or a
   * restriction) or 1013 (nobody could say for `staleMs`), and a code of problem.ts as the reason.
   * Keeps neither the key nor the request.
   */
  opener(caller: SocketCaller): (socket: OpenSocket) => () => void
  /** One round at `now` (ms). Rejects, when all have been judged, with what broke on the way. */
  sweep(now: number): Promise<void>
  /** Open sockets. */
  readonly size: number
}

type Watched = Omit<SocketCaller, 'key'> & { readonly socket: OpenSocket; goodAt: number }
type Group = { readonly recheck: Recheck; readonly sockets: Set<Watched> }
type Known = Extract<Verdict, { ok: true }>

const foreign: Refusal = Object.freeze({ code: 'tenant/mismatch', cause: 'no longer its tenant' })
const unavailable: Refusal = Object.freeze({ code: 'auth/unavailable' })

/** Creates a watch over no sockets. It has a timer only while there are any. */
export function createSocketWatch(options: SocketWatchOptions): SocketWatch {
  const { verifier, tenants, defer, everyMs = 800, staleMs = 60_000, atOnce = 8 } = options
  const groups = new Map<string, Group>()
  let size = 0
  let timer: ReturnType<typeof setInterval> | undefined
  let sweeping = false

  function add(recheck: Recheck, watched: Watched): void {
    const group = groups.get(recheck.name) ?? { recheck, sockets: new Set() }
    groups.set(recheck.name, group)
    group.sockets.add(watched)
    size += 1
    timer ??= setInterval(tick, everyMs)
  }

  function remove({ recheck, sockets }: Group, watched: Watched): void {
    if (!sockets.delete(watched)) return
    size -= 1
    if (sockets.size === 0) groups.delete(recheck.name)
    if (size > 0) return
    clearInterval(timer)
    timer = undefined
  }

  function tick(): void {
    if (sweeping) return
    sweeping = true
    const work = sweep(Date.now()).finally(() => {
      sweeping = false
    })
    if (defer === undefined) work.catch(() => undefined)
    else defer(work)
  }

  async function sweep(now: number): Promise<void> {
    const round = new Round(tenants, now)
    const waiting = [...groups.values()]
    const work = async (): Promise<void> => {
      for (let group = waiting.pop(); group !== undefined; group = waiting.pop()) {
        await judgeGroup(group, round)
      }
    }
    await Promise.all(Array.from({ length: Math.min(atOnce, waiting.length) }, work))
    if (round.broken !== null) throw round.broken
  }

  async function judgeGroup(group: Group, round: Round): Promise<void> {
    const verdict = await round.orUnavailable(group.recheck.ask(round.now))
    for (const watched of [...group.sockets]) {
      const refusal = verdict.ok ? await round.judge(verdict, watched) : verdict.refusal
      const code = refusal === null ? null : closeCodeOf(refusal)
      if (code === null) watched.goodAt = round.now
      else if (code !== 1013 || round.now - watched.goodAt > staleMs) {
        remove(group, watched)
        watched.socket.close(code, refusal?.code ?? '')
      }
    }
  }

  return {
    opener({ key, platform, tenant, route, call }) {
      const recheck = verifier.recheck(key, platform)
      const kept = keepCall(call)
      return (socket) => {
        const watched: Watched = {
          ...{ platform, tenant, route, call: kept, socket },
          goodAt: Date.now(),
        }
        add(recheck, watched)
        return () => {
          const group = groups.get(recheck.name)
          if (group !== undefined) remove(group, watched)
        }
      }
    },
    sweep,
    get size() {
      return size
    },
  }
}

/** The questions of one round: each tenant is asked about once. */
class Round {
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
  async judge({ record }: Known, { platform, tenant, route, call }: Watched) {
    const bound = tenant === null ? null : await this.#tenant(record, platform, tenant)
    return bound ?? authorize(record, route, call)
  }

  async #tenant(record: KeyRecord, platform: Platform, tenant: string): Promise<Refusal | null> {
    if (!mayActFor(record, tenant)) return foreign
    // No id has a line break, so no two pairs share a name.
    const name = `${platform.id}\n${tenant}`
    const asked =
      this.#asked.get(name) ?? this.orUnavailable(this.#tenants.recheck(platform, tenant, this.now))
    this.#asked.set(name, asked)
    const verdict = await asked
    return verdict.ok ? null : verdict.refusal
  }
}

/** RFC 6455 section 7.4.2 leaves 4000 to 4999 to us; 1013 is "try again later" of its registry. */
function closeCodeOf(refusal: Refusal): 4401 | 4403 | 1013 {
  const { status } = problems[refusal.code]
  if (status === 401) return 4401
  return status === 403 ? 4403 : 1013
}

/** A call without its request: that holds every header, and the key is one of them. */
function keepCall({ method, path, clientAddress, headers }: Call): Call {
  const kept = new Map<string, string>()
  for (const name of judgedHeaders) {
    const value = headers.get(name)
    if (value !== null) kept.set(name, value)
  }
  return { method, path, clientAddress, headers: { get: (name) => kept.get(name) ?? null } }
}
