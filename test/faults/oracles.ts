/**
 * What may never happen, whatever is broken: read from the records of a load and from what the
 * processes printed. Each oracle counts only what is certain, so that a slow machine accuses nobody.
 */

/** One request, as its caller saw it. Times are milliseconds of the machine's monotonic clock. */
export type Seen = {
  readonly stream: string
  /** Which node it was sent to; -1: none of them. */
  readonly node: number
  readonly sentMs: number
  readonly endedMs: number
  /** 0: there was no answer; `code` then says what there was. */
  readonly status: number
  /** Of the error body, or the error of the connection; '' where all went well. */
  readonly code: string
  /** Of the limit it was held to, as its answer said; a node's share while the store is away. 0: none. */
  readonly quota: number
  /** It showed what is another's: a row, or the answer to another question. */
  readonly foreign: boolean
}

/** One clock for all processes of the machine. */
export const machineMs = (): number => Number(process.hrtime.bigint()) / 1e6

export const tookMs = ({ sentMs, endedMs }: Seen): number => endedMs - sentMs
export const isGood = ({ status }: Seen): boolean => status >= 200 && status < 300

/** Those sent within a time. */
export const between = (seen: readonly Seen[], fromMs: number, toMs: number): Seen[] =>
  seen.filter(({ sentMs }) => sentMs >= fromMs && sentMs < toMs)

/** Those of one stream. */
export const of = (seen: readonly Seen[], stream: string): Seen[] =>
  seen.filter((one) => one.stream === stream)

/**
 * How often each answer came that is not among those a row allows (`503 storage/unavailable`), and to
 * whom: `500 internal/error of echo` -> 3.
 */
export function wrongAnswers(
  seen: readonly Seen[],
  allowed: readonly string[] = [],
): Readonly<Record<string, number>> {
  const wrong: Record<string, number> = {}
  for (const one of seen) {
    const { status, code, stream } = one
    const said = `${status} ${code}`
    // Limited callers are told so, and whoever asks for another's row is told that there is none.
    const isMeant =
      (status === 429 && code === 'rate_limit/exceeded' && stream.startsWith('limited')) ||
      (status === 404 && stream.startsWith('foreign'))
    if (isGood(one) || isMeant || allowed.includes(said)) continue
    const name = `${said} of ${stream}`
    wrong[name] = (wrong[name] ?? 0) + 1
  }
  return wrong
}

export const foreignSeen = (seen: readonly Seen[]): number =>
  seen.filter(({ foreign }) => foreign).length

/**
 * The most that was certainly let through in any window: requests sent at its start or later and
 * answered by its end, so that they were counted within it wherever they were counted.
 */
export function mostInWindow(seen: readonly Seen[], windowMs: number): number {
  const admitted = seen.filter(isGood).toSorted((a, b) => a.sentMs - b.sentMs)
  let most = 0
  for (const [first, { sentMs }] of admitted.entries()) {
    let inside = 0
    for (let at = first; at < admitted.length; at++) {
      const one = admitted[at]
      if (one === undefined || one.sentMs > sentMs + windowMs) break
      if (one.endedMs <= sentMs + windowMs) inside += 1
    }
    most = Math.max(most, inside)
  }
  return most
}

/** The time that a share of the requests was answered within; 0 when there are none. */
export function quantileMs(seen: readonly Seen[], share: number): number {
  const times = seen.map(tookMs).toSorted((a, b) => a - b)
  return times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? 0
}

export const longestMs = (seen: readonly Seen[]): number => quantileMs(seen, 1)

/**
 * How long after `fromMs` a request was sent for the last time that did not go well: from then on all
 * did. 0: all did.
 */
export function recoveryMs(seen: readonly Seen[], fromMs: number, isWell = isGood): number {
  const last = seen.filter((one) => one.sentMs >= fromMs && !isWell(one)).map((one) => one.sentMs)
  return last.length === 0 ? 0 : Math.max(...last) - fromMs
}

/** The lines of a log that tell of an error nobody had thought of. */
export function uncaughtLines(stderr: string): string[] {
  return stderr
    .split('\n')
    .filter((line) => /uncaught|unhandled|internal\/error|^\s+at .*:\d+:\d+\)?$/i.test(line))
}

/** The quota in a `RateLimit-Policy` of one limit; 0 where there is none. */
export const quotaOf = (policy: string | readonly string[] | undefined): number =>
  Number(/;q=(\d+)/.exec(String(policy ?? ''))?.[1] ?? 0)
