/**
 * What the gate adds to the time of a request at a rate that keeps nobody busy: an upstream asked
 * directly and through the gate, in turn. Runs alone, with DATABASE_URL and REDIS_URL set:
 *
 *     node bench/latency.ts
 */
import { type Arrivals, measureArrivals } from './arrivals.ts'
import { startGateServer } from './gate.ts'
import { load } from './load.ts'
import { startServer } from './processes.ts'
import { type Spread, spread } from './rounds.ts'

/** Milliseconds; added: of the gate less direct, each within its round. */
export type LatencyBench = Readonly<
  Record<'direct' | 'gate' | 'added', { readonly p50Ms: Spread; readonly p99Ms: Spread }>
>

export type LatencyOptions = {
  readonly redisUrl: string
  /** Told what is running. */
  readonly say?: (line: string) => void
  readonly rounds?: number
  readonly seconds?: number
}

export const arrivalsPerSecond = 300

/** Runs the bench; three quarters of a minute. Throws when a request was not answered with a 200. */
export async function benchLatency(options: LatencyOptions): Promise<LatencyBench> {
  const { redisUrl, say = () => undefined, rounds = 5, seconds = 3 } = options
  const upstream = await startServer({ file: 'proxy-servers.ts', args: ['bulk'], core: 'load' })
  try {
    const gate = await startGateServer({ redisUrl, upstreamUrl: new URL(upstream.url).origin })
    try {
      const found: { direct: Arrivals; gate: Arrivals }[] = []
      const direct = { url: upstream.url, headers: gate.headers }
      say('warming up')
      for (const { url, headers } of [direct, gate]) {
        await load({ url, headers, connections: 50, seconds: 2 })
      }
      for (let round = 1; round <= rounds; round++) {
        say(`round ${round} of ${rounds}: ${arrivalsPerSecond} requests/s`)
        const rate = { perSecond: arrivalsPerSecond, seconds }
        found.push({
          direct: await measureArrivals({ ...direct, ...rate }),
          gate: await measureArrivals({ ...gate, ...rate }),
        })
      }
      const all = (of: (round: (typeof found)[number], pick: 'p50Ms' | 'p99Ms') => number) => ({
        p50Ms: spread(found.map((round) => of(round, 'p50Ms'))),
        p99Ms: spread(found.map((round) => of(round, 'p99Ms'))),
      })
      return {
        direct: all((round, pick) => round.direct[pick]),
        gate: all((round, pick) => round.gate[pick]),
        added: all((round, pick) => round.gate[pick] - round.direct[pick]),
      }
    } finally {
      await gate.stop()
    }
  } finally {
    await upstream.stop()
  }
}

if (import.meta.main) {
  const redisUrl = process.env.REDIS_URL
  if (redisUrl === undefined) throw new Error('REDIS_URL is not set')
  const say = (line: string) => void process.stderr.write(`${line}\n`)
  process.stdout.write(`${JSON.stringify(await benchLatency({ redisUrl, say }), null, 2)}\n`)
}
