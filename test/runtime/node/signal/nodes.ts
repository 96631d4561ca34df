/** Nodes of a deployment for tests, each with connections of its own, in this process or another. */
import { randomBytes } from 'node:crypto'
import type { Channel, Wire } from '../../../../src/runtime/node/signal/channel.ts'
import { Member, type MemberOptions } from '../../../../src/runtime/node/signal/member.ts'
import {
  type PostgresPlace,
  postgresChannel,
} from '../../../../src/runtime/node/signal/postgres-channel.ts'
import { redisChannel } from '../../../../src/runtime/node/signal/redis-channel.ts'
import { createDatabase } from '../../../database.ts'
import { maxStaleMs, type SignalDeployment } from '../../../suites/signal.suite.ts'

export const word = (): string => randomBytes(8).toString('hex')

export type NodeOptions = Partial<Pick<MemberOptions, 'first' | 'onState' | 'warn'>> & {
  readonly bootMs?: number
}

type Connect = (node: string, wire: Wire) => Channel

/** Opens a node. It is certain, or `bootMs` have passed. */
export async function openNode(connect: Connect, options: NodeOptions = {}): Promise<Member> {
  const node = word()
  const channel = connect(node, {
    woken: () => member.wake(),
    lost: (cause) => member.lost(cause),
  })
  const { first = false, onState = () => {}, warn = () => {}, bootMs = 10_000 } = options
  const member = new Member(channel, {
    ...{ node, first, onState, warn },
    maxStaleMs: () => maxStaleMs,
  })
  member.wake()
  await member.certain(bootMs)
  return member
}

export const redisNode = (url: string, scope: string, options?: NodeOptions): Promise<Member> =>
  openNode((node, wire) => redisChannel(url, scope, node, wire), options)

export const postgresNode = (place: PostgresPlace, options?: NodeOptions): Promise<Member> =>
  openNode((node, wire) => postgresChannel(place, node, wire), options)

/** A deployment in a Redis that others use too; the first node knows that it is. */
export function redisDeployment(url: string, scope = word()): SignalDeployment {
  let first = true
  return {
    open() {
      const options = { first }
      first = false
      return redisNode(url, scope, options)
    },
    async drop() {},
  }
}

/** A deployment in a database of its own; `through` leads to it another way. */
export async function postgresDeployment(
  placeOf: (urls: { readonly gatewayUrl: string; readonly ownerUrl: string }) => PostgresPlace,
): Promise<SignalDeployment & { readonly place: PostgresPlace }> {
  const database = await createDatabase()
  const place = placeOf(database)
  let first = true
  return {
    place,
    open() {
      const options = { first }
      first = false
      return postgresNode(place, options)
    },
    drop: database.drop,
  }
}
