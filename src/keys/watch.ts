/**
 * May these WebSockets stay open? A request is judged once and over in moments; a socket stays for
 * days, and the key it was opened with may be revoked the next minute. So the sockets of a key or a
 * tenant are judged when a change of it is heard; while it is not certain that every change is heard,
 * all of them again and again, once per key and not per socket.
 *
 * The dangers: to hold the key strings themselves for that long; to miss a change that was heard
 * while a socket was being opened; to let a store that is down keep a revoked socket open for ever;
 * and to close everyone's sockets because it was down for a second.
 */
import type { Change, KeyRecord, OpenSocket, Platform } from '../context.ts'
import { problems, type Refusal } from '../problem.ts'
import { type Demand, judgedHeaders } from './authorize.ts'
import type { Call } from './restrictions.ts'
import { Round } from './round.ts'
import type { Tenants } from './tenant.ts'
import { createTrust, type Trust } from './trust.ts'
import type { Recheck, Verifier } from './verify.ts'

export type SocketWatchOptions = {
  readonly verifier: Pick<Verifier, 'recheck'>
  readonly tenants: Pick<Tenants, 'recheck'>
  /** How long what was said last keeps a socket open while the store is down. */
  readonly trust?: Trust
  /** Takes work that outlives the request, and tells the log when it fails (the `defer` port). */
  defer?(work: Promise<unknown>): void
  /** Between two rounds while changes may go unheard: a revocation is then seen within 2 s. */
  readonly everyMs?: number
  /** Between two rounds while every change is heard: for what was changed around Postern. */
  readonly slowMs?: number
  /** Keys that are asked about at the same time. */
  readonly atOnce?: number
}

/** Who opens a socket: what the request was judged by. */
export type SocketCaller = {
  readonly key: string
  readonly record: KeyRecord
  readonly platform: Platform
  /** null only where the platform has no tenants. */
  readonly tenant: string | null
  readonly route: Demand
  readonly call: Call
  /** What `changes` was before the request was judged. */
  readonly since: number
}

export type SocketWatch = {
  /**
   * What to tell when a socket of this caller opens; it answers what to call when it has closed. A
   * socket that may not stay is closed with 4401 (the key), 4403 (the tenant, a permission or a
   * restriction) or 1013 (nobody could say for too long), and a code of problem.ts as the reason.
   * Keeps neither the key nor the request.
   */
  opener(caller: SocketCaller): (socket: OpenSocket) => () => void
  /**
   * Judges the sockets that a change concerns, without being waited for; null: all. Where nobody can
   * say whether a changed key is still good, its sockets are closed.
   */
  heard(change: Change | null): void
  /** How many changes have been heard. */
  readonly changes: number
  /** One round of all at `now` (ms). Rejects, when all have been judged, with what broke on the way. */
  sweep(now: number): Promise<void>
  /** Open sockets. */
  readonly size: number
}

type Watched = Omit<SocketCaller, 'key' | 'record' | 'since'> & {
  readonly socket: OpenSocket
  /** When it was last said to be good, on the clock of `trust`. -Infinity: a change was heard since. */
  goodAt: number
  /** Nothing may have been missed since. */
  sure: boolean
}
type Group = {
  readonly recheck: Recheck
  readonly sockets: Set<Watched>
  /** As it was read last. */
  record: KeyRecord
  /** How often there was a reason to ask again. */
  doubts: number
}

/** Creates a watch over no sockets. It has a timer only while there are any. */
export function createSocketWatch(options: SocketWatchOptions): SocketWatch {
  const { verifier, tenants, defer, everyMs = 800, slowMs = 30_000, atOnce = 8 } = options
  const trust = options.trust ?? createTrust()
  const groups = new Map<string, Group>()
  const doubted = new Set<Group>()
  let size = 0
  let changes = 0
  let timer: ReturnType<typeof setInterval> | undefined
  let roundAt = 0
  let isTicking = false
  let isJudging = false

  function add(recheck: Recheck, record: KeyRecord, watched: Watched): Group {
    const held = groups.get(recheck.name)
    const group = held ?? { recheck, record, sockets: new Set(), doubts: 0 }
    groups.set(recheck.name, group)
    group.sockets.add(watched)
    size += 1
    if (timer === undefined) {
      roundAt = trust.now()
      timer = setInterval(tick, everyMs)
    }
    return group
  }

  /** False when it is gone already: two passes may judge one socket. */
  function remove({ recheck, sockets }: Group, watched: Watched): boolean {
    if (!sockets.delete(watched)) return false
    size -= 1
    if (sockets.size === 0) groups.delete(recheck.name)
    if (size === 0) {
      clearInterval(timer)
      timer = undefined
    }
    return true
  }

  function begin(work: Promise<void>): void {
    if (defer === undefined) work.catch(() => undefined)
    else defer(work)
  }

  function tick(): void {
    if (isTicking) return
    const now = Date.now()
    const due = dueAt(now)
    if (due.length === 0) return
    isTicking = true
    begin(
      judgeAll(due, now).finally(() => {
        isTicking = false
      }),
    )
  }

  /** All, or those alone whose end comes by itself. */
  function dueAt(now: number): readonly Group[] {
    const all = [...groups.values()]
    if (!trust.certain() || trust.now() - roundAt >= slowMs) {
      roundAt = trust.now()
      return all
    }
    return all.filter(
      ({ record: { expiresAt, replaced } }) =>
        replaced === true || (expiresAt !== null && expiresAt <= now),
    )
  }

  /** Has a group judged, if the change concerns it; null: some change may, nobody knows which. */
  function doubt(group: Group, change: Change | null): void {
    const concerned = change === null ? [...group.sockets] : concernedBy(change, group)
    if (concerned.length === 0) return
    group.doubts += 1
    doubted.add(group)
    for (const watched of concerned) {
      if (change === null) watched.sure = false
      else watched.goodAt = Number.NEGATIVE_INFINITY
    }
  }

  /** One pass at a time; what is doubted meanwhile is judged after it. */
  async function judgeDoubted(): Promise<void> {
    if (isJudging) return
    isJudging = true
    let broken: unknown = null
    while (doubted.size > 0) {
      const due = [...doubted]
      doubted.clear()
      await judgeAll(due, Date.now()).catch((error: unknown) => {
        broken ??= error
      })
    }
    isJudging = false
    if (broken !== null) throw broken
  }

  async function judgeAll(due: readonly Group[], now: number): Promise<void> {
    const round = new Round(tenants, now)
    const waiting = [...due]
    const work = async (): Promise<void> => {
      for (let group = waiting.pop(); group !== undefined; group = waiting.pop()) {
        if (group.sockets.size > 0) await judgeGroup(group, round)
      }
    }
    await Promise.all(Array.from({ length: Math.min(atOnce, waiting.length) }, work))
    if (round.broken !== null) throw round.broken
  }

  async function judgeGroup(group: Group, round: Round): Promise<void> {
    const { doubts } = group
    const askedAt = trust.now()
    const verdict = await round.orUnavailable(group.recheck.ask(round.now))
    if (verdict.ok) group.record = verdict.record
    for (const watched of [...group.sockets]) {
      const refusal = verdict.ok ? await round.judge(verdict, watched) : verdict.refusal
      const code = refusal === null ? null : closeCodeOf(refusal)
      if (code === null) {
        // What was asked before a change says nothing about it; after it, somebody asks again.
        if (doubts === group.doubts) Object.assign(watched, { goodAt: askedAt, sure: true })
      } else if (code !== 1013 || !mayStay(watched)) {
        if (remove(group, watched)) watched.socket.close(code, refusal?.code ?? '')
      }
    }
  }

  /** Whether a socket stays open though nobody can say whether it may. */
  function mayStay({ goodAt, sure }: Watched): boolean {
    const now = trust.now()
    return sure ? trust.unanswered(goodAt, now) : now - goodAt < trust.staleMs
  }

  return {
    opener({ key, record, platform, tenant, route, call, since }) {
      const recheck = verifier.recheck(key, platform)
      const judgedAt = trust.now()
      const kept = keepCall(call)
      return (socket) => {
        const watched: Watched = {
          ...{ platform, tenant, route, call: kept, socket },
          ...{ goodAt: judgedAt, sure: true },
        }
        const group = add(recheck, record, watched)
        if (since !== changes) {
          doubt(group, null)
          begin(judgeDoubted())
        }
        return () => void remove(group, watched)
      }
    },
    heard(change) {
      changes += 1
      for (const group of groups.values()) doubt(group, change)
      if (doubted.size > 0) begin(judgeDoubted())
    },
    get changes() {
      return changes
    },
    sweep: (now) => judgeAll([...groups.values()], now),
    get size() {
      return size
    },
  }
}

function concernedBy({ kind, platform, id }: Change, { record, sockets }: Group): Watched[] {
  if (kind === 'key') return record.id === id ? [...sockets] : []
  return [...sockets].filter((one) => one.tenant === id && one.platform.id === platform)
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
