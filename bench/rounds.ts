/**
 * Servers loaded in turn, round after round, so that a ratio compares neighbours in time; what is
 * reported of each figure is the median over the rounds.
 */
import { load } from './load.ts'
import type { BenchServer } from './processes.ts'

/** Over the rounds. */
export type Spread = { readonly median: number; readonly min: number; readonly max: number }

/** One round of one server. Processor time of the server is per request, in microseconds. */
export type Sample = {
  readonly perSecond: number
  readonly userMicros: number
  readonly systemMicros: number
}

export type RoundsOptions = {
  /** The body that each of them must answer with. */
  readonly answer: string
  readonly rounds: number
  readonly seconds: number
  readonly say: (line: string) => void
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
  { answer, rounds, seconds, say }: RoundsOptions,
): Promise<Rounds<Kind>> {
  const found = new Map<Kind, Sample[]>()
  for (let round = 0; round <= rounds; round++) {
    for (const [kind, server] of servers) {
      say(round === 0 ? `warming up: ${kind}` : `round ${round} of ${rounds}: ${kind}`)
      const sample = await measure(server, answer, round === 0 ? 2 : seconds)
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

async function measure(server: BenchServer, answer: string, seconds: number): Promise<Sample> {
  const { url, headers } = server
  const response = await fetch(url, { headers })
  const text = await response.text()
  if (text !== answer) throw new Error(`${url} answers ${response.status} ${text}`)
  const before = await server.usage()
  const { requests, perSecond } = await load({ url, headers, connections: 50, seconds })
  const after = await server.usage()
  return {
    perSecond,
    userMicros: (after.userMicros - before.userMicros) / requests,
    systemMicros: (after.systemMicros - before.systemMicros) / requests,
  }
}

/** Median, least and most. */
export function spread(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b)
  const at = (index: number) => sorted[index] ?? 0
  return { median: at(sorted.length >> 1), min: at(0), max: at(sorted.length - 1) }
}
