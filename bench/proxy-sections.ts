/** The sections of the bench about the strains of forwarding: what each runs, and which figure has which target. */
import { arrivalsPerSecond, benchLatency } from './latency.ts'
import {
  atMost,
  below,
  fact,
  fineMillis,
  megabytes,
  ratio,
  type Section,
  type Setting,
  spreadOf,
} from './report.ts'
import type { Spread } from './rounds.ts'
import { benchStrain } from './strain.ts'

/** Latency that the gate adds. */
export async function latency({ redisUrl, say }: Setting): Promise<Section> {
  const { direct, gate, added } = await benchLatency({ redisUrl, say })
  const pair = ({ p50Ms, p99Ms }: typeof direct) =>
    `${fineMillis(p50Ms.median)}, ${fineMillis(p99Ms.median)}`
  return {
    title: 'Latency of forwarding',
    about: `${arrivalsPerSecond} requests a second that arrive evenly, whatever became of those before them, and are timed from when they were due; directly to the upstream and through the gate (counting in Redis) in turn, five rounds of three seconds each. Added is the difference within a round.`,
    figures: [
      atMost('added, median', added.p50Ms.median, 1, fineMillis, spreadOf(added.p50Ms, fineMillis)),
      atMost(
        'added, 99th percentile',
        added.p99Ms.median,
        5,
        fineMillis,
        spreadOf(added.p99Ms, fineMillis),
      ),
      fact('directly: median, 99th percentile', pair(direct)),
      fact('through the gate: median, 99th percentile', pair(gate)),
    ],
    noise: noiseOfLatency(direct.p99Ms),
  }
}

/** An upstream that does nothing else answers within a millisecond or two. */
function noiseOfLatency({ median }: Spread): string | null {
  if (median < 5) return null
  return `Latency is not to be relied on: the 99th percentile of the upstream alone was ${fineMillis(median)}, so something else used the machine.`
}

/** Large bodies and slow clients. */
export async function strain({ redisUrl, say }: Setting): Promise<Section> {
  const found = await benchStrain({ redisUrl, say })
  const { grown, slowdown, slow } = found
  return {
    title: 'Forwarding under strain',
    about:
      "1 GB up and 1 GB down through a gate that has served 2 s of small requests; memory is the most of the process's resident set, looked at every 25 ms, above what it was before. Then 300 requests a second of one client, alone and beside 2 000 connections of another tenant: a third sends its headers a byte a second, a third its body, and a third reads nothing of an answer of 50 MB; a connection that the gate cuts is opened again. Three rounds.",
    figures: [
      below('memory grown by 1 GB up and 1 GB down', grown.firstBytes, 50e6, megabytes),
      atMost(
        "a client's 99th percentile beside 2 000 slow ones, of its own alone",
        slowdown.median,
        2,
        ratio,
        spreadOf(slowdown, ratio),
      ),
      fact('memory grown by the same once more', megabytes(grown.secondBytes)),
      fact('memory of the bare proxy, grown by the same', megabytes(grown.bareBytes)),
      fact(
        'that percentile alone, beside them',
        `${fineMillis(found.aloneP99Ms.median)}, ${fineMillis(found.besideSlowP99Ms.median)}`,
      ),
      fact('memory held for the slow ones', megabytes(found.slowGrowthBytes)),
      fact(
        'slow connections at the end of a round, cut by the gate in all',
        `${slow.connected}, ${slow.cut}`,
      ),
    ],
  }
}
