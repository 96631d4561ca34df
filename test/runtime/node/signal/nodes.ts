/** Nodes of a deployment for tests, each with connections of its own, in this process or another. */
import { randomBytes } from 'node:crypto'
import type { Channel, Wire } from '../../../../src/runtime/node/signal/channel.ts'
import { Member, type MemberOptions } from '../../../../src/runtime/node/signal/member.ts'
import {
  type PostgresPlace,
  postgresChannel,
} from '../../../../src/runtime/node/signal/postgres-channel.ts'
import { redisChannel } from '../../../../src/runtime/node/signal/redis-channel.ts'
import { createDatabase, type TestDatabase } from '../../../database.ts'
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

/** Deployments in databases of their own, which are made once and used again by the next test. */
export class PostgresDeployments {
  readonly #placeOf: (database: TestDatabase) => PostgresPlace
  readonly #made: TestDatabase[] = []
  readonly #free: TestDatabase[] = []

  constructor(placeOf: (database: TestDatabase) => PostgresPlace) {
    this.#placeOf = placeOf
  }

  async make(): Promise<SignalDeployment & { readonly place: PostgresPlace }> {
    const known = this.#free.pop()
    const database = known ?? (await createDatabase())
    if (known === undefined) this.#made.push(database)
    const place = this.#placeOf(database)
    let first = known === undefined
    return {
      place,
      open() {
        const options = { first }
        first = false
        return postgresNode(place, options)
      },
      drop: async () => {
        this.#free.push(database)
      },
    }
  }

  async drop(): Promise<void> {
    for (const database of this.#made.splice(0)) await database.drop()
  }
}
