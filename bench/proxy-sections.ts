/** The sections of the bench about forwarding: what each runs, and which figure has which target. */
import { arrivalsPerSecond, benchLatency } from './latency.ts'
import { benchProxy, type ProxyFigures, type ProxyKind, proxyKinds } from './proxy.ts'
import {
  atLeast,
  atMost,
  below,
  type Figure,
  fact,
  fineMillis,
  megabytes,
  micros,
  noiseOf,
  perSecond,
  ratio,
  type Section,
  type Setting,
  spreadOf,
} from './report.ts'
import type { Spread } from './rounds.ts'
import { benchStrain } from './strain.ts'

const names: Readonly<Record<ProxyKind, string>> = {
  bare: 'bare proxy',
  memory: 'the gate, memory',
  redis: 'the gate, redis',
  fastify: 'fastify with its proxy and limiter on Redis',
  nginx: 'nginx with a key map and limit_req',
}

/** Throughput of a forwarded GET. */
export async function proxy({ redisUrl, say }: Setting): Promise<Section> {
  const found = await benchProxy({ redisUrl, say })
  const figuresOf = (kind: ProxyKind): ProxyFigures => {
    const figures = found.get(kind)
    if (figures === undefined) throw new Error(`${kind} was not measured`)
    return figures
  }
  const memory = figuresOf('memory')
  const redis = figuresOf('redis')
  const of = 'of a bare proxy'
  return {
    title: 'Forwarding',
    about:
      'A GET that is forwarded to an upstream on the core of the load, which answers a small JSON. One core for the server, 50 keep-alive connections, five rounds of three seconds each, in turn. The bare proxy is `node:http` and undici `Pool.stream`, and checks nothing. The gate checks key, tenant, permission and limits, and signs an identity; its log is off. fastify is @fastify/http-proxy with @fastify/rate-limit on Redis; nginx is one process. All get the same request, header for header, and one that is not answered with a 2xx fails the bench. Processor time is of the server, per request.',
    figures: [
      atLeast(
        `counting in memory, ${of}`,
        memory.ofBare.median,
        0.7,
        ratio,
        spreadOf(memory.ofBare, ratio),
      ),
      atLeast(
        `counting in Redis, ${of}`,
        redis.ofBare.median,
        0.5,
        ratio,
        spreadOf(redis.ofBare, ratio),
      ),
      atLeast(
        'counting in Redis, of fastify',
        redis.ofFastify.median,
        1,
        ratio,
        spreadOf(redis.ofFastify, ratio),
      ),
      ...proxyKinds.map((kind) => lineOf(names[kind], found.get(kind))),
    ],
    noise: noiseOf('the bare proxy', figuresOf('bare').perSecond),
  }
}

function lineOf(name: string, figures: ProxyFigures | undefined): Figure {
  if (figures === undefined) return fact(name, 'not installed')
  const { median } = figures.micros
  const time = median > 0 ? micros(median) : 'time not measured'
  const of = ratio(figures.ofBare.median)
  return fact(name, `${perSecond(figures.perSecond.median)}, ${time}, ${of} of the bare proxy`)
}

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
