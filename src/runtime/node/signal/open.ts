/**
 * Which way do the nodes of this deployment hear of each other? Redis where there is one, else the
 * PostgreSQL that they share; a database in a folder is held by one process, which has nobody to tell.
 */
import { randomBytes } from 'node:crypto'
import type { Config } from '../../../config.ts'
import type { Signal, Sql } from '../../../context.ts'
import { nameDeployment } from '../../../db/deployment.ts'
import { localSignal } from '../../local-signal.ts'
import type { Wire } from './channel.ts'
import { Member, type MemberOptions } from './member.ts'
import { type PostgresPlace, postgresChannel } from './postgres-channel.ts'
import { redisChannel } from './redis-channel.ts'

export type NodeSignal = Signal & {
  /** For operators. `ok` is false while what others announce is not certain to be heard here. */
  health(): { readonly ok: boolean; readonly detail: string }
}

export type SignalOptions = Pick<MemberOptions, 'maxStaleMs' | 'onState' | 'warn'> & {
  /** How long to wait for the first turn before going on without; the default is a second. */
  readonly bootMs?: number
}

/** Where nodes meet, decided by what is configured. */
type Places = Pick<
  Config['storage'],
  'redisUrl' | 'databaseUrl' | 'gatewayDatabaseUrl' | 'tenantDatabaseUrl' | 'scope' | 'pooler'
>

/**
 * Opens the signal of this process. Resolves when it is certain, or after `bootMs` without: it then
 * goes on trying. `gatewaySql` is asked for the name of the deployment; rejects when it cannot say.
 */
export async function openSignal(
  places: Places,
  gatewaySql: Sql,
  options: SignalOptions,
): Promise<NodeSignal> {
  const place = placeOf(places)
  const { redisUrl } = places
  // With a folder there is one node, whatever it counts in.
  if (place === null) return { ...localSignal(), health: alone }
  const { name, first } = await nameDeployment(gatewaySql)
  const node = randomBytes(8).toString('hex')
  const wire: Wire = {
    woken: () => member.wake(),
    lost: (cause) => member.lost(cause),
  }
  const channel =
    redisUrl === null
      ? postgresChannel(place, node, wire)
      : redisChannel(redisUrl, name, node, wire)
  const member = new Member(channel, { ...options, node, first })
  member.wake()
  await member.certain(options.bootMs ?? 1000)
  return member
}

const alone = () => ({ ok: true, detail: 'this process is the only one' })

function placeOf(places: Places): PostgresPlace | null {
  const { databaseUrl, gatewayDatabaseUrl, tenantDatabaseUrl, scope, pooler } = places
  if (gatewayDatabaseUrl !== null && tenantDatabaseUrl !== null) {
    return { url: gatewayDatabaseUrl, role: null, scope, pooler }
  }
  return databaseUrl === null ? null : { url: databaseUrl, role: 'postern_gateway', scope, pooler }
}
