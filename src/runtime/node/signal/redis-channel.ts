/**
 * The record between nodes in Redis: one hash, one script, and two channels for each node, one that
 * all are woken by and its own. It works with one server, Sentinel and a cluster, where the record
 * lives in one slot.
 *
 * The danger is a connection that is half open. A turn goes out several times a second, so on the
 * connection of turns that shows by itself; the one that only listens subscribes again as often, and is
 * dropped when it stays quiet.
 */
import { Cluster, type Redis } from 'ioredis'
import { openRedis } from '../../redis-client.ts'
import { parseRedisUrl } from '../../redis-url.ts'
import {
  type Answer,
  type Channel,
  entriesMax,
  readAnswer,
  registryMs,
  type Turn,
  type Wire,
} from './channel.ts'
import { turnScript } from './turn-script.ts'

declare module 'ioredis' {
  interface RedisCommander<Context> {
    /** The script of turn-script.ts. */
    posternTurn(key: string, ...args: readonly (string | number)[]): Promise<unknown>
  }
}

const timeoutMs = 400
const againMs = 250
const listenEveryMs = 400
/** The version of the record: those who speak another neither read nor hear this one. */
const version = 1

/**
 * Opens the way to the record of the deployment `scope` for `node`; both are words. Throws a
 * RangeError when the URL is wrong, and nothing for a server that is away.
 */
export function redisChannel(url: string, scope: string, node: string, wire: Wire): Channel {
  const target = parseRedisUrl(url)
  const key = `{postern-signal-${scope}}:${version}`
  const turns = openRedis(target, timeoutMs)
  turns.defineCommand('posternTurn', { lua: turnScript, numberOfKeys: 1 })
  // A cluster's client has a connection of its own for listening; any other is deaf to commands then.
  const ears = turns instanceof Cluster ? turns : openRedis(target, timeoutMs)
  let listening = false
  let listenedAt = 0
  let closed = false

  keepOpen(turns, () => closed)
  turns.on('ready', wire.woken)
  turns.on('close', () => wire.lost('the connection is lost'))
  if (ears !== turns) {
    keepOpen(ears, () => closed)
    ears.on('close', () => {
      listening = false
    })
  }
  ears.on('ready', listen)
  ears.on('message', wire.woken)

  /** Subscribes; where that has been done it asks whether the connection still answers. */
  function listen(): void {
    if (ears.status !== 'ready') return
    listenedAt = performance.now()
    ears.subscribe(`${key}:all`, `${key}:${node}`).then(
      () => {
        if (listening) return
        listening = true
        // Whatever was published before now was not heard.
        wire.woken()
      },
      () => {
        listening = false
      },
    )
  }

  return {
    name: 'Redis',
    async take(turn) {
      if (performance.now() - listenedAt > listenEveryMs) listen()
      try {
        return readReply(await turns.posternTurn(key, ...argumentsOf(node, turn)))
      } catch (error) {
        // An answer that is late says nothing of the server; any other error may mean another one.
        const cause = error instanceof Error ? error.message : String(error)
        if (!/timed out/i.test(cause)) wire.lost(cause)
        throw error
      }
    },
    pushes: () => (listening ? 'push' : 'lacking'),
    async close() {
      closed = true
      turns.disconnect()
      ears.disconnect()
    },
  }
}

function argumentsOf(node: string, turn: Turn): readonly (string | number)[] {
  const flag = (set: boolean): string => (set ? '1' : '')
  const { heard, entry, asks, leaves, first, staleMs, awaited } = turn
  const flags = [asks, leaves, first].map(flag)
  return [
    node,
    heard,
    registryMs,
    Math.max(staleMs, registryMs),
    entriesMax,
    entry ?? '',
    ...flags,
    ...awaited,
  ]
}

function readReply(reply: unknown): Answer {
  const [epoch, youngMs, nodes, gone, goneMs, heards, entries] = Array.isArray(reply) ? reply : []
  return readAnswer({ epoch, youngMs, nodes, gone, goneMs, heards, entries })
}

/** ioredis gives up for good when it is told to disconnect in the middle of connecting. */
function keepOpen(client: Redis | Cluster, closed: () => boolean): void {
  client.on('end', () => {
    const again = () => closed() || client.connect().catch(() => undefined)
    if (!closed()) setTimeout(again, againMs).unref()
  })
  // Without a listener ioredis prints errors; what matters of them arrives with the next turn.
  client.on('error', () => undefined)
  client.on('node error', () => undefined)
}
