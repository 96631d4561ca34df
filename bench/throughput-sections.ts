/** The sections of the bench about throughput: what each runs, and which figure has which target. */
import { benchGate, type GateKind, gateKinds } from './gate.ts'
import { benchGrowth, type GrowthKind, growthKinds } from './growth.ts'
import { benchProxy, type ProxyFigures, type ProxyKind, proxyKinds } from './proxy.ts'
import {
  atLeast,
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
  type Table,
} from './report.ts'
import type { Figures, Spread } from './rounds.ts'

const counting = {
  memory: 'counting in memory',
  leased: 'leased from Redis',
  exact: 'exact in Redis',
} as const

const gateNames: Readonly<Record<GateKind, string>> = {
  bare: 'bare Hono',
  memory: `the gate, ${counting.memory}`,
  leased: `the gate, ${counting.leased}`,
  exact: `the gate, ${counting.exact}`,
}

const proxyNames: Readonly<Record<ProxyKind, string>> = {
  ...gateNames,
  bare: 'bare proxy',
  fastify: 'fastify with its proxy and limiter on Redis',
  nginx: 'nginx with a key map and limit_req',
  haproxy: 'HAProxy with a key map and a stick table',
}

const growthNames: Readonly<Record<GrowthKind, string>> = {
  small: '10 keys, 10 routes, 1 limit per key',
  keys1000: '1 000 keys',
  keys100000: '100 000 keys',
  routes1000: '1 000 routes',
  limits4: '4 limits per key',
  limits8: '8 limits per key',
}

const servedBy =
  'One core for the server, 50 keep-alive connections that ask again when they are answered, in turn; so the percentiles are those of a server that is never idle. Memory is the resident set at the end of a round. Processor time is of the server, per request, in its own code and in the kernel.'

/** A handler's answer behind the whole gate. */
export async function gate({ redisUrl, say }: Setting): Promise<Section> {
  const found = await benchGate({ redisUrl, say })
  const of = 'of bare Hono'
  return {
    title: 'The full gate',
    about: `Five rounds of two seconds each. ${servedBy} Bare is Hono on @hono/node-server answering a small JSON. The gate answers the same from an in-process handler after key, tenant, permission, and limits of the tenant and of the key; its log is off. All get the same request, header for header, and one that is not answered with 200 fails the bench.`,
    figures: [
      held(`${counting.leased}, ${of}`, found.leased.ofBase, 0.6),
      held(`${counting.memory}, ${of}`, found.memory.ofBase, 0.6),
      held(`${counting.exact}, ${of}`, found.exact.ofBase, 0.4),
      ...(['leased', 'memory', 'exact'] as const).map((kind) =>
        byTime(`${counting[kind]}, ${of}, by processor time`, found[kind]),
      ),
    ],
    table: tableOf(
      'of bare Hono',
      gateKinds.map((kind) => [gateNames[kind], found[kind]]),
    ),
    noise: noiseOf('bare Hono', found.bare.perSecond),
  }
}

/** Throughput of a forwarded GET. */
export async function proxy({ redisUrl, say }: Setting): Promise<Section> {
  const found = await benchProxy({ redisUrl, say })
  const figuresOf = (kind: ProxyKind): ProxyFigures => {
    const figures = found.get(kind)
    if (figures === undefined) throw new Error(`${kind} was not measured`)
    return figures
  }
  const [leased, memory, exact] = (['leased', 'memory', 'exact'] as const).map(figuresOf)
  if (!leased || !memory || !exact) throw new Error('a gate was not measured')
  const of = 'of a bare proxy'
  return {
    title: 'Forwarding',
    about: `A GET that is forwarded to an upstream on the core of the load, which answers a small JSON. Five rounds of two seconds each. ${servedBy} The bare proxy is \`node:http\` and undici \`Pool.stream\`, and checks nothing. The gate checks key, tenant, permission and limits, and signs an identity; its log is off. fastify is @fastify/http-proxy with @fastify/rate-limit on Redis; nginx is one process, HAProxy one thread. All get the same request, header for header, and one that is not answered with a 2xx fails the bench.`,
    figures: [
      held(`${counting.leased}, ${of}`, leased.ofBase, 0.85),
      held(`${counting.leased}, of fastify`, leased.ofFastify, 1.6),
      held(`${counting.memory}, ${of}`, memory.ofBase, 0.7),
      held(`${counting.exact}, ${of}`, exact.ofBase, 0.5),
      held(`${counting.exact}, of fastify`, exact.ofFastify, 1),
      byTime(`${counting.leased}, ${of}, by processor time`, leased),
      byTime(`${counting.memory}, ${of}, by processor time`, memory),
      byTime(`${counting.exact}, ${of}, by processor time`, exact),
    ],
    table: tableOf(
      'of the bare proxy',
      proxyKinds.map((kind) => [proxyNames[kind], found.get(kind)]),
    ),
    noise: noiseOf('the bare proxy', figuresOf('bare').perSecond),
  }
}

/** Cost as there is more of everything. */
export async function growth({ redisUrl, say }: Setting): Promise<Section> {
  const { figures: found, cold } = await benchGrowth({ redisUrl, say })
  const of = 'of 10 keys and 10 routes'
  const figuresOf = (kind: GrowthKind): Figures => {
    const figures = found.get(kind)
    if (figures === undefined) throw new Error(`${kind} was not measured`)
    return figures
  }
  return {
    title: 'Growth',
    about: `A small JSON from an in-process handler, after key, tenant, permission and limits leased from Redis; requests of keys and routes drawn at random, after each key and each route has been used. Three rounds of three seconds each. ${servedBy} The load is a client of our own, as \`wrk\` sends one key. Each limit of a key is on a window of another length.`,
    figures: [
      ...(['keys100000', 'routes1000'] as const).map((kind) =>
        held(`${growthNames[kind]}, ${of}`, figuresOf(kind).ofBase, 0.9),
      ),
      ...growthKinds
        .filter((kind) => kind !== 'small')
        .map((kind) => byTime(`${growthNames[kind]}, by processor time`, figuresOf(kind))),
    ],
    table: tableOf(
      'of the first',
      growthKinds.map((kind) => [growthNames[kind], found.get(kind)]),
    ),
    noise: [noiseOf('the smallest gate', figuresOf('small').perSecond), noiseOfCold(cold)]
      .filter((one) => one !== null)
      .join(' '),
  }
}

const noiseOfCold = (cold: readonly GrowthKind[]): string | null =>
  cold.length === 0
    ? null
    : `Growth begins cold: 45 s were too short to use each key once (${cold.map((kind) => growthNames[kind]).join(', ')}).`

const held = (name: string, spread: Spread, least: number): Figure =>
  atLeast(name, spread.median, least, ratio, spreadOf(spread, ratio))

const byTime = (name: string, { ofBaseByTime }: Figures): Figure =>
  fact(name, ratio(ofBaseByTime.median) + spreadOf(ofBaseByTime, ratio))

/** A row for each server; one that did not run is not installed. */
function tableOf(
  of: string,
  rows: readonly (readonly [name: string, figures: Figures | undefined])[],
): Table {
  const columns = ['', 'requests', 'p50', 'p99', 'its own code', 'the kernel', 'memory', of]
  const none = columns.slice(2).map(() => '')
  return {
    columns,
    rows: rows.map(([name, figures]) =>
      figures === undefined ? [name, 'not installed', ...none] : [name, ...cellsOf(figures)],
    ),
  }
}

function cellsOf(figures: Figures): string[] {
  const unseen = 'not seen'
  const { userMicros, systemMicros, rssBytes } = figures
  const seen = (value: Spread, show: (value: number) => string) =>
    value.max > 0 ? show(value.median) : unseen
  return [
    perSecond(figures.perSecond.median),
    fineMillis(figures.p50Ms.median),
    fineMillis(figures.p99Ms.median),
    seen(userMicros, micros),
    seen(systemMicros, micros),
    seen(rssBytes, megabytes),
    ratio(figures.ofBase.median),
  ]
}
