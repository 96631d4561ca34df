/**
 * Servers loaded in turn, round after round, so that a ratio compares neighbours in time; what is
 * reported of each figure is the median over the rounds.
 */
import { type Load, type Loaded, load } from './load.ts'
import type { BenchServer } from './processes.ts'

/** Over the rounds. */
export type Spread = { readonly median: number; readonly min: number; readonly max: number }

/** One round of one server. Processor time of the server is per request, in microseconds. */
export type Sample = {
  readonly perSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly userMicros: number
  readonly systemMicros: number
  /** What the server held at the end of the round; 0 where it cannot be seen. */
  readonly rssBytes: number
}

export type RoundsOptions = {
  /** The body that each of them must answer with. */
  readonly answer: string
  readonly rounds: number
  readonly seconds: number
  readonly say: (line: string) => void
  /** What sends the requests; 50 connections. */
  readonly send?: (load: Load) => Promise<Loaded>
}

/** What the rounds showed. Throws when it is asked for a server that did not run. */
export type Rounds<Kind> = {
  of(kind: Kind, pick: (sample: Sample) => number): Spread
  /** The ratio of `kind` to `base`, each within its round. */
  against(kind: Kind, base: Kind, pick: (sample: Sample) => number): Spread
}

/** Warms each up, then loads them in turn. Throws when a single request is not answered with a 2xx. */
export async function inTurn<Kind extends string>(
  servers: ReadonlyMap<Kind, BenchServer>,
  { answer, rounds, seconds, say, send = load }: RoundsOptions,
): Promise<Rounds<Kind>> {
  const found = new Map<Kind, Sample[]>()
  for (let round = 0; round <= rounds; round++) {
    for (const [kind, server] of servers) {
      say(round === 0 ? `warming up: ${kind}` : `round ${round} of ${rounds}: ${kind}`)
      const sample = await measure(server, answer, round === 0 ? 2 : seconds, send)
      if (round > 0) found.set(kind, [...(found.get(kind) ?? []), sample])
    }
  }
  const samplesOf = (kind: Kind): readonly Sample[] => {
    const samples = found.get(kind)
    if (samples === undefined) throw new Error(`${kind} was not measured`)
    return samples
  }
  return {
    of: (kind, pick) => spread(samplesOf(kind).map(pick)),
    against(kind, base, pick) {
      const bases = samplesOf(base)
      return spread(samplesOf(kind).map((sample, round) => pick(sample) / pick(bases[round]!)))
    },
  }
}

async function measure(
  server: BenchServer,
  answer: string,
  seconds: number,
  send: (load: Load) => Promise<Loaded>,
): Promise<Sample> {
  const { url, headers } = server
  const response = await fetch(url, { headers })
  const text = await response.text()
  if (text !== answer) throw new Error(`${url} answers ${response.status} ${text}`)
  const before = await server.usage()
  const { requests, ...sent } = await send({ url, headers, connections: 50, seconds })
  const after = await server.usage()
  return {
    ...sent,
    userMicros: (after.userMicros - before.userMicros) / requests,
    systemMicros: (after.systemMicros - before.systemMicros) / requests,
    rssBytes: after.rssBytes,
  }
}

/** Median, least and most. */
export function spread(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b)
  const at = (index: number) => sorted[index] ?? 0
  return { median: at(sorted.length >> 1), min: at(0), max: at(sorted.length - 1) }
}

/** What a table shows of each server. */
export type Figures = Readonly<
  Record<'perSecond' | 'p50Ms' | 'p99Ms' | 'userMicros' | 'systemMicros' | 'rssBytes', Spread>
> & {
  /** Of the base's requests per second in the same round. */
  readonly ofBase: Spread
  /** The same by processor time, which holds where others use the machine too. */
  readonly ofBaseByTime: Spread
}

export const rate = ({ perSecond }: Sample): number => perSecond
const perMicro = ({ userMicros, systemMicros }: Sample): number => 1 / (userMicros + systemMicros)

export const figuresOf = <Kind extends string>(
  found: Rounds<Kind>,
  kind: Kind,
  base: Kind,
): Figures => ({
  perSecond: found.of(kind, rate),
  p50Ms: found.of(kind, ({ p50Ms }) => p50Ms),
  p99Ms: found.of(kind, ({ p99Ms }) => p99Ms),
  userMicros: found.of(kind, ({ userMicros }) => userMicros),
  systemMicros: found.of(kind, ({ systemMicros }) => systemMicros),
  rssBytes: found.of(kind, ({ rssBytes }) => rssBytes),
  ofBase: found.against(kind, base, rate),
  ofBaseByTime: found.against(kind, base, perMicro),
})
