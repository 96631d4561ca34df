/** The gates themselves: restarted in turns under load, out of descriptors, standing still, besieged. */
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { WebSocket } from 'ws'
import { until } from '../../redis.ts'
import { type HttpUpstream, startHttpUpstream } from '../../upstream.ts'
import { tenants } from '../callers.ts'
import { isGood, machineMs, of, quantileMs, type Seen, tookMs } from '../oracles.ts'
import { ask, preload, type Rig, type RigNode, startRig } from '../rig.ts'
import { alwaysChecks, busyOf, limitChecks, tryFault } from '../trial.ts'
import {
  atLeast,
  atMost,
  type Check,
  exactly,
  type Group,
  inTime,
  type Lengths,
  lasting,
} from '../verdicts.ts'

const slowMs = 1500
const pollMs = 100

/** Before an upstream that is slow to answer on `/slow`, behind a load balancer that polls. */
async function startRestartRig(): Promise<Rig> {
  const upstream: HttpUpstream = await startHttpUpstream(({ url = '' }, response) => {
    if (url.startsWith('/slow')) setTimeout(() => response.end('{}'), slowMs)
    else response.end('{}')
  })
  upstream.server.keepAliveTimeout = 60_000
  try {
    const server = 'shutdownDelay: 1s, shutdownGrace: 30s'
    const rig = await startRig({ upstreamUrl: upstream.url, config: { server } })
    return {
      ...rig,
      async stop() {
        await rig.stop()
        await upstream.stop()
      },
    }
  } catch (error) {
    await upstream.stop()
    throw error
  }
}

/** WebSockets that come back as soon as they are closed; says with which codes they were. */
function keepSockets(rig: Rig, count: number) {
  const codes: number[] = []
  let isOver = false
  const sockets = new Set<WebSocket>()
  const headers = { 'x-api-key': rig.variable('POSTERN_SK_LIVE'), 'x-tn': tenants[0] }
  const open = (node: number): void => {
    if (isOver) return
    const socket = new WebSocket(`${rig.urls[node]}/echo/socket`.replace('http', 'ws'), { headers })
    sockets.add(socket)
    let opened = false
    socket.on('open', () => {
      opened = true
    })
    // One that was refused is no socket that was lost: the node is being restarted.
    socket.on('error', () => {})
    socket.on('close', (code) => {
      sockets.delete(socket)
      if (opened && !isOver) codes.push(code)
      setTimeout(() => open((node + 1) % rig.urls.length), 200)
    })
  }
  for (let at = 0; at < count; at++) open(at % rig.urls.length)
  return {
    openCount: () => [...sockets].filter(({ readyState }) => readyState === 1).length,
    end() {
      isOver = true
      for (const socket of sockets) socket.terminate()
      return codes
    },
  }
}

export const restartGroup: Group = {
  name: 'restarts',
  start: startRestartRig,
  rows: [
    {
      id: 'Q11',
      did: 'all four are restarted in turns for 5 min, with slow requests and 20 WebSockets',
      async run(rig, lengths) {
        const exits: { code: number | null; ms: number }[] = []
        const sockets = keepSockets(rig, 20)
        const headers = { 'x-api-key': rig.variable('POSTERN_SK_LIVE'), 'x-tn': tenants[0] }
        const slow = { name: 'slow', perSecond: 2, headers, path: '/up/slow/:nonce' }
        const rounds = Math.max(1, Math.round(7.5 * lengths.scale))
        const trial = await tryFault(
          rig,
          lengths,
          async () => {
            await until(() => sockets.openCount() === 20)
            for (let round = 0; round < rounds; round++) {
              for (const node of rig.nodes) exits.push(await renew(node))
            }
          },
          { streams: [...rig.mix(), slow], pollMs, afterMs: 3000 },
        )
        const codes = sockets.end()
        return [
          // Between saying no and refusing lies a second, in which a load balancer must have asked.
          ...alwaysChecks(trial, [], /^(503 (storage|auth)\/unavailable|0 )/),
          atLeast('slow ones', of(trial.seen, 'slow').filter(isGood).length, 5),
          exactly('exit codes', [...new Set(exits.map(({ code }) => code))], [0]),
          atMost('until it ended', Math.max(...exits.map(({ ms }) => ms)), 30_000, ' ms'),
          exactly('closes of WebSockets', [...new Set(codes)], [1001]),
          atLeast('of which', codes.length, 4),
        ]
      },
    },
    {
      id: 'Q19',
      did: '2 000 clients that send slowly, or read nothing',
      async run(rig, lengths) {
        const count = Math.max(200, Math.round(2000 * lengths.scale))
        const rss = () => Math.max(...rig.nodes.map(rssMegabytes))
        const before = rss()
        let most = 0
        const trial = await tryFault(rig, lengths, async () => {
          const slow = await openSlow(rig, count)
          const end = performance.now() + lengths.of(60, 5000)
          while (performance.now() < end) {
            for (const socket of slow) socket.write('a')
            most = Math.max(most, rss())
            await pause(500)
          }
          for (const socket of slow) socket.destroy()
        })
        const p99 = (some: readonly Seen[]) =>
          quantileMs(
            some.filter(({ stream }) => stream === 'echo'),
            0.99,
          )
        const busy = busyOf(trial.seen)
        const quiet = Math.max(p99(trial.quiet), lengths.slack(10))
        return [
          ...alwaysChecks(trial),
          inTime(busy, atMost('p99 of the others', p99(trial.during), 2 * quiet, ' ms')),
          atMost('memory added', most - before, 100, ' MB'),
        ]
      },
    },
  ],
}

/** Ends a node as an operator does and starts it again. */
async function renew(node: RigNode): Promise<{ code: number | null; ms: number }> {
  const before = machineMs()
  const { code } = await node.stop()
  const ms = machineMs() - before
  await node.start()
  await until(async () => (await ask(node, '/readyz')).json.status === 'ready')
  return { code, ms }
}

/** A third each: a head that does not end, a body that does not, and an answer that nobody reads. */
async function openSlow(rig: Rig, count: number): Promise<Socket[]> {
  const credentials = `x-api-key: ${rig.variable('POSTERN_SK_LIVE')}\r\nx-tn: ${tenants[0]}\r\n`
  const starts = [
    'GET /echo/slow HTTP/1.1\r\nhost: a\r\nx-slow: ',
    `POST /echo/slow HTTP/1.1\r\nhost: a\r\n${credentials}content-length: 100000\r\n\r\n`,
    `GET /v1/subscriptions HTTP/1.1\r\nhost: a\r\n${credentials}x-more: `,
  ]
  return Promise.all(
    Array.from({ length: count }, async (_, at) => {
      const port = Number(new URL(rig.urls[at % rig.urls.length] ?? '').port)
      const socket = connect(port, '127.0.0.1')
      socket.on('error', () => {})
      if (at % 3 === 2) socket.pause()
      await once(socket, 'connect')
      socket.write(starts[at % 3] ?? '')
      return socket
    }),
  )
}

function rssMegabytes({ gate }: RigNode): number {
  const status = readFileSync(`/proc/${gate.pid}/status`, 'utf8')
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024
}

export const descriptorsGroup: Group = {
  name: 'descriptors',
  start: () => startRig({ nodes: 2, launchOf: (node) => (node === 0 ? limitedDescriptors : []) }),
  rows: [
    {
      id: 'Q20',
      did: '400 connections to a gate that may have 256 descriptors',
      async run(rig, lengths) {
        const [node] = rig.nodes
        if (node === undefined) throw new Error('there is no node')
        const sockets = Array.from({ length: 400 }, () => {
          const socket = connect(Number(new URL(node.url).port), '127.0.0.1')
          socket.on('error', () => {})
          return socket
        })
        await lasting(lengths.of(10, 2000))
        for (const socket of sockets) socket.destroy()
        const from = machineMs()
        const good = { key: rig.variable('POSTERN_SK_LIVE'), tenant: tenants[0] }
        await until(async () => (await ask(node, '/v1/subscriptions', good)).status === 200)
        return [
          atMost('serves again after', machineMs() - from, lengths.slack(5000), ' ms'),
          exactly(
            'the other one',
            (await ask(rig.nodes[1]!, '/v1/subscriptions', good)).status,
            200,
          ),
        ]
      },
    },
  ],
}

const limitedDescriptors = ['sh', '-c', 'ulimit -n 256 && exec "$0" "$@"']

export const standstillGroup: Group = {
  name: 'standing still',
  start: () => startRig({ envOf: () => preloaded('block') }),
  rows: [
    {
      id: 'Q25',
      did: 'the event loops of all gates stand still for 500 ms, one after the other and together',
      async run(rig, lengths) {
        const from = rig.nodes.map(({ gate }) => gate.stderr().length)
        const still = async (nodes: readonly RigNode[]) => {
          for (const { gate } of nodes) gate.signal('SIGUSR2')
          await lasting(1000)
        }
        const trial = await tryFault(rig, lengths, async () => {
          for (const node of rig.nodes) await still([node])
          await still(rig.nodes)
        })
        const printed = rig.nodes.map(({ gate }, at) => gate.stderr().slice(from[at]))
        const downs = printed.filter((text) => text.includes('redis is down')).length
        const stood = printed.join('').match(/stood still/g)?.length ?? 0
        const busy = busyOf(trial.seen)
        return [
          ...alwaysChecks(trial),
          atLeast('stood still', stood, 8),
          ...limitChecks(trial, { ever: 1 }, lengths),
          exactly('took Redis for dead', downs, 0),
          inTime(busy, longestStill(trial.during, lengths)),
        ]
      },
    },
  ],
}

const longestStill = (seen: readonly Seen[], lengths: Lengths): Check =>
  atMost('longest wait', Math.max(0, ...seen.map(tookMs)), 500 + lengths.slack(500), ' ms')

/** The environment of a gate that preload.ts is loaded into. */
export const preloaded = (what: 'clock' | 'block') => ({
  NODE_OPTIONS: `--import=${preload}`,
  FAULT_PRELOAD: what,
})
