/**
 * A fault under load, and what the oracles say of it: quiet first, then the fault, then quiet again,
 * and every request that was sent meanwhile.
 */

import { until } from '../redis.ts'
import type { RigKey } from './callers.ts'
import { type Load, type Stream, startLoad } from './load.ts'
import {
  between,
  foreignSeen,
  isGood,
  longestMs,
  machineMs,
  mostInWindow,
  of,
  quantileMs,
  recoveryMs,
  type Seen,
  tookMs,
  wrongAnswers,
} from './oracles.ts'
import { type Rig, windowMs } from './rig.ts'
import {
  atLeast,
  atMost,
  type Check,
  exactly,
  inTime,
  type Lengths,
  lasting,
  none,
} from './verdicts.ts'

/** What a limited key is allowed in `windowMs`, and how much more of it is asked for. */
export const quota = 40
export const limitedPerSecond = 30

export type Trial = {
  readonly seen: readonly Seen[]
  readonly quiet: readonly Seen[]
  readonly during: readonly Seen[]
  readonly after: readonly Seen[]
  readonly fromMs: number
  readonly untilMs: number
}

export type TrialOptions = {
  readonly quietMs?: number
  readonly afterMs?: number
  readonly streams?: readonly Stream[]
  readonly pollMs?: number
}

/** Runs `fault` under load: it breaks something, and resolves when that is mended. */
export async function tryFault(
  rig: Rig,
  lengths: Lengths,
  fault: (load: Load) => Promise<void>,
  options: TrialOptions = {},
): Promise<Trial> {
  const { quietMs = 2500, afterMs = 4500 + lengths.slack(2000), pollMs } = options
  const streams = options.streams ?? rig.mix(await limitedOf(rig))
  const load = await startLoad({ nodes: rig.urls, streams, pollMs })
  const started = machineMs()
  let [fromMs, untilMs] = [0, 0]
  try {
    await lasting(quietMs)
    // A key that a node has not verified yet is not one that it could go on serving.
    if (quietMs > 0) await until(() => haveAllServed(load.seen(), rig, streams))
    fromMs = machineMs()
    await fault(load)
    untilMs = machineMs()
    await lasting(afterMs)
  } catch (error) {
    await load.stop()
    throw error
  }
  const seen = await load.stop()
  return {
    seen,
    // The first calls open connections, and each node asks for each key; the last may be hit.
    quiet: between(seen, started + 1000, fromMs).filter(({ endedMs }) => endedMs < fromMs),
    during: between(seen, fromMs, untilMs),
    after: between(seen, untilMs, Number.POSITIVE_INFINITY),
    fromMs,
    untilMs,
  }
}

/** Whether every node has served every kind of caller that is to be served. */
function haveAllServed(seen: readonly Seen[], rig: Rig, streams: readonly Stream[]): boolean {
  const served = new Set(seen.filter(isGood).map(({ node, stream }) => `${node} ${stream}`))
  return streams
    .filter(({ name }) => name !== 'control' && name !== 'foreign')
    .every(({ name }) => rig.nodes.every((_, node) => served.has(`${node} ${name}`)))
}

export const limitedOf = async (rig: Rig): Promise<{ key: RigKey; perSecond: number }> => ({
  key: await rig.makeKey(quota),
  perSecond: limitedPerSecond,
})

/** What is said when a deadline of a gate has passed, or its caller's: on a starved machine too. */
const late = /^(503 (storage|auth)\/unavailable|0 GIVEN_UP)/

/** On which nodes an answer came, and when, counted from the start of the fault. */
function whereOf(answer: string, seen: readonly Seen[], fromMs: number): string {
  const those = seen.filter(
    ({ status, code, stream }) => `${status} ${code} of ${stream}` === answer,
  )
  const nodes = [...new Set(those.map(({ node }) => node))].sort().join(', ')
  const seconds = those.map(({ sentMs }) => Math.round((sentMs - fromMs) / 100) / 10)
  return `${answer}: nodes ${nodes}, ${Math.min(...seconds)} s to ${Math.max(...seconds)} s`
}

/**
 * What holds whatever is broken. `allowed`: answers that this fault may cause, `503 a/b`. Where the
 * control itself waited for more than a second, a deadline that passed says nothing; `deadlines`: which
 * answers mean that.
 */
export function alwaysChecks(
  { seen, fromMs }: Trial,
  allowed: readonly string[] = [],
  deadlines = late,
): Check[] {
  const wrong = Object.entries(wrongAnswers(seen, allowed))
  const passed = wrong.filter(([answer]) => deadlines.test(answer))
  const others = wrong.filter(([answer]) => !deadlines.test(answer))
  return [
    atLeast('requests', seen.length, 100),
    none('wrong answers', Object.fromEntries(others)),
    inTime(busyPast(1000, seen), {
      ...none('deadlines passed', Object.fromEntries(passed)),
      where: passed.map(([answer]) => whereOf(answer, seen, fromMs)).join('; '),
    }),
    exactly('foreign rows', foreignSeen(seen), 0),
  ]
}

export type LimitAllowances = {
  /** Times the quota, in any window at all. */
  readonly ever: number
  /** Times the quota, in windows that lie within the fault. */
  readonly within?: number
}

/** How many of the limited key were let through on a node's share, and not by the store. */
export const sharesOf = (seen: readonly Seen[]): number =>
  of(seen, 'limited').filter((one) => isGood(one) && one.quota !== quota).length

/** How far the limited key came: 2 s after the fault its limit must be exact again. */
export function limitChecks(
  { seen, during, after, untilMs }: Trial,
  { ever, within }: LimitAllowances,
  lengths: Lengths,
): Check[] {
  const most = (some: readonly Seen[]) => mostInWindow(of(some, 'limited'), windowMs)
  const settled = between(after, untilMs + lengths.slack(2000), Number.POSITIVE_INFINITY)
  const inStore = settled.filter((one) => one.quota === quota)
  const shared = sharesOf(settled)
  const asked = most(settled.map((one) => ({ ...one, status: 200 })))
  return [
    atMost('in any window', most(seen), quota * ever + (ever === 1 ? sharesOf(seen) : 0)),
    ...(within === undefined ? [] : [atMost('in windows within', most(during), quota * within)]),
    atMost('counted in windows later', most(inStore), quota),
    // Now and then an answer misses its 200 ms on any machine, and a share is spent beside the store.
    atMost('in windows later', most(settled), quota + shared),
    inTime(busyOf(seen), atMost('on shares later', shared, settled.length * 0.05)),
    // Nor less: it gets nearly all that it has and asks for.
    inTime(busyOf(seen), atLeast('let through later', most(settled), Math.min(quota, asked) * 0.8)),
  ]
}

/** Those who were asked what the control is asked, and those who called a gate. */
const isControl = ({ stream }: Seen): boolean => stream === 'control'
const apart = (seen: readonly Seen[]): [Seen[], Seen[]] => [
  seen.filter((one) => !isControl(one)),
  seen.filter(isControl),
]

/** Why the times of a trial say nothing: the control waited too, with nothing in its way; or null. */
export const busyOf = (seen: readonly Seen[]): string | null => busyPast(100, seen)

function busyPast(allowedMs: number, seen: readonly Seen[]): string | null {
  const [, control] = apart(seen)
  const ms = Math.round(longestMs(control))
  return ms > allowedMs ? `the machine was busy: the control waited ${ms} ms` : null
}

/**
 * How long callers waited whom the fault is no reason to keep waiting. What those of the control
 * waited at the same time comes on top: that is the machine's doing.
 */
export function waitChecks(trial: Trial, nodes: number, lengths: Lengths): Check[] {
  const [quiet, quietControl] = apart(trial.quiet)
  const [during, control] = apart(trial.during)
  const settled = (some: readonly Seen[]) =>
    some.filter(({ sentMs }) => sentMs >= trial.fromMs + 1500)
  // With fewer than a thousand of them the slowest hundredth is chance: ten must be slower.
  const share = Math.max(0.5, Math.min(0.99, 1 - 10 / settled(during).length))
  const added = (some: readonly Seen[], before: readonly Seen[]) =>
    Math.max(0, quantileMs(settled(some), share) - quantileMs(before, share))
  const name = `p${Math.floor(share * 100)} added after 1.5 s`
  const held = (some: readonly Seen[]) =>
    some.filter((one) => tookMs(one) > lengths.slack(100)).length
  const heldAnyway = (held(quiet) * during.length) / Math.max(1, quiet.length)
  // Five in a row on each node, and those under way when the fifth was given up after 200 ms.
  const heldByFault = 5 * nodes + limitedPerSecond * 0.2
  const allowed = lengths.slack(5) + added(control, quietControl)
  const busy = busyOf(trial.seen)
  return [
    longestCheck(trial, lengths),
    inTime(busy, atMost('held up', held(during), lengths.slack(heldByFault) + heldAnyway)),
    inTime(busy, atMost(name, added(during, quiet), allowed, ' ms')),
  ]
}

/** Nobody waits much longer for a store than its deadline, and what the machine adds at any time. */
export function longestCheck(trial: Trial, lengths: Lengths, allowedMs = 300): Check {
  const [during, control] = apart(trial.during)
  const [quiet] = apart(trial.quiet)
  const anyway = Math.max(longestMs(control), longestMs(quiet))
  const allowed = lengths.slack(allowedMs) + anyway
  const check = atMost('longest wait', longestMs(during), allowed, ' ms')
  return inTime(busyOf(trial.seen), check)
}

/** How soon all whom the fault may have hurt were well served again, once it was over. */
export function recoveryCheck(trial: Trial, lengths: Lengths, allowedMs: number): Check {
  const { seen, untilMs } = trial
  const hurt = seen.filter(({ stream }) => /^(rows|write|echo)/.test(stream))
  const check = atMost('recovery', recoveryMs(hurt, untilMs), lengths.slack(allowedMs), ' ms')
  return inTime(busyOf(seen), check)
}
