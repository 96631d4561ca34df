/**
 * A fault under load, and what the oracles say of it: quiet first, then the fault, then quiet again,
 * and every request that was sent meanwhile.
 */
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
  wrongAnswers,
} from './oracles.ts'
import { type Rig, type RigKey, windowMs } from './rig.ts'
import { atLeast, atMost, type Check, exactly, type Lengths, lasting, none } from './verdicts.ts'

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
  fault: (load: Load) => Promise<void>,
  options: TrialOptions = {},
): Promise<Trial> {
  const { quietMs = 2500, afterMs = 6000, pollMs } = options
  const streams = options.streams ?? rig.mix(await limitedOf(rig))
  const load = await startLoad({ nodes: rig.urls, streams, pollMs })
  const started = machineMs()
  let [fromMs, untilMs] = [0, 0]
  try {
    await lasting(quietMs)
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
    // The first calls open connections, and each node asks for each key.
    quiet: between(seen, started + 1000, fromMs),
    during: between(seen, fromMs, untilMs),
    after: between(seen, untilMs, Number.POSITIVE_INFINITY),
    fromMs,
    untilMs,
  }
}

export const limitedOf = async (rig: Rig): Promise<{ key: RigKey; perSecond: number }> => ({
  key: await rig.makeKey(quota),
  perSecond: limitedPerSecond,
})

/** What holds whatever is broken. `allowed`: answers that this fault may cause, `503 a/b`. */
export function alwaysChecks({ seen }: Trial, allowed: readonly string[] = []): Check[] {
  return [
    atLeast('requests', seen.length, 100),
    none('wrong answers', wrongAnswers(seen, allowed)),
    exactly('foreign rows', foreignSeen(seen), 0),
  ]
}

export type LimitAllowances = {
  /** Times the quota, in any window at all. */
  readonly ever: number
  /** Times the quota, in windows that lie within the fault. */
  readonly within?: number
  /** How long after the end of the fault the limit must be exact again. */
  readonly exactAfterMs?: number
}

/** How far the limited key came. */
export function limitChecks(
  { seen, during, after, untilMs }: Trial,
  { ever, within, exactAfterMs = 2000 }: LimitAllowances,
): Check[] {
  const most = (some: readonly Seen[]) => mostInWindow(of(some, 'limited'), windowMs)
  const settled = between(after, untilMs + exactAfterMs, Number.POSITIVE_INFINITY)
  return [
    atMost('in any window', most(seen), quota * ever),
    ...(within === undefined ? [] : [atMost('in windows within', most(during), quota * within)]),
    atMost('in windows later', most(settled), quota),
    // It is asked for more than it has, so it must get nearly all that it has.
    atLeast('let through later', most(settled), quota * 0.8),
  ]
}

/** How long those waited whom the fault is no reason to keep waiting. */
export function waitChecks(
  { quiet, during, fromMs }: Trial,
  nodes: number,
  lengths: Lengths,
): Check[] {
  const added = (some: readonly Seen[]) =>
    Math.max(0, quantileMs(some, 0.99) - quantileMs(quiet, 0.99))
  const held = during.filter(({ sentMs, endedMs }) => endedMs - sentMs > lengths.slack(100))
  const settled = between(during, fromMs + 1000, Number.POSITIVE_INFINITY)
  return [
    atMost('longest wait', longestMs(during), lengths.slack(300), ' ms'),
    atMost('held up', held.length, lengths.slack(5 * nodes)),
    atMost('p99 added after 1 s', added(settled), lengths.slack(5), ' ms'),
  ]
}

/** How soon all of some callers were well served again, once the fault was over. */
export const recoveryCheck = (
  { seen, untilMs }: Trial,
  allowedMs: number,
  is: (one: Seen) => boolean = ({ stream }) => /^(rows|write|echo)/.test(stream),
): Check => atMost('recovery', recoveryMs(seen.filter(is), untilMs, isGood), allowedMs, ' ms')
