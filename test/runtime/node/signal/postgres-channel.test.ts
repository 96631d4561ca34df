import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { leaseMs } from '../../../../src/runtime/node/signal/channel.ts'
import type { Member } from '../../../../src/runtime/node/signal/member.ts'
import type { PostgresPlace } from '../../../../src/runtime/node/signal/postgres-channel.ts'
import { clusterUrl, createDatabase, type TestDatabase, withClient } from '../../../database.ts'
import { until } from '../../../redis.ts'
import { type Relay, startRelay } from '../../../relay.ts'
import { type Server, startPgBouncer } from '../../../servers.ts'
import { changeOf, complete, keep, maxStaleMs, signalSuite } from '../../../suites/signal.suite.ts'
import { PostgresDeployments, postgresNode } from './nodes.ts'

const hardened = { scope: 'hardened', pooler: false } as const
const through = (url: string, port: number): string => Object.assign(new URL(url), { port }).href

let bouncer: Server
beforeAll(async () => {
  bouncer = await startPgBouncer(clusterUrl())
})
const places: readonly (readonly [string, PostgresDeployments])[] = [
  [
    'PostgreSQL',
    new PostgresDeployments(({ gatewayUrl: url }) => ({ ...hardened, url, role: null })),
  ],
  [
    'PostgreSQL with one login',
    new PostgresDeployments(({ ownerUrl: url }) => ({ ...hardened, url, role: 'postern_gateway' })),
  ],
  [
    'PostgreSQL behind a pooler',
    new PostgresDeployments(({ gatewayUrl }) => {
      const url = through(gatewayUrl, bouncer.port)
      return { scope: 'hardened', pooler: true, url, role: null }
    }),
  ],
]
afterAll(async () => {
  await bouncer?.stop()
  for (const [, deployments] of places) await deployments.drop()
})

for (const [name, deployments] of places) signalSuite(name, () => deployments.make(), true)

describe('PostgreSQL', () => {
  let database: TestDatabase
  let place: PostgresPlace
  let relay: Relay
  let one: Member
  let other: Member
  const admin = (text: string) => withClient(database.ownerUrl, (client) => client.query(text))
  const settled = (count: number) =>
    until(async () => {
      const { nodes, maxStalenessMs } = await one.announce(changeOf(), 2000)
      return nodes === count && maxStalenessMs === 0
    })

  beforeAll(async () => {
    database = await createDatabase()
    place = { ...hardened, url: database.gatewayUrl, role: null }
    relay = await startRelay(Number(new URL(clusterUrl()).port))
    one = await postgresNode(place, { first: true })
    other = await postgresNode({ ...place, url: through(place.url, relay.port) })
  })
  afterAll(async () => {
    await Promise.all([one?.close(), other?.close()])
    await relay?.stop()
    await database?.drop()
  })
  afterEach(() => relay.mend())

  it.each([
    ['an older copy', 'update postern.signal_state set epoch = epoch - 1'],
    ['a record seen in the future', 'update postern.signal_state set seen_ms = seen_ms + 3600000'],
    ['a record last seen long ago', 'update postern.signal_state set seen_ms = seen_ms - 3600000'],
    [
      'what a crash leaves of it',
      'truncate postern.signal_state, postern.signal_nodes, postern.signal_entries',
    ],
  ])('%s: everybody forgets everything and goes on', async (_, text) => {
    await settled(2)
    const heards = [one, other].map(keep)
    const before = (await one.announce(changeOf(), 5000)).epoch ?? 0
    await admin(text)
    await until(() => heards.every((heard) => heard.includes(null)))
    await settled(2)
    const receipt = await other.announce(changeOf(), 5000)
    expect(receipt).toMatchObject(complete(2))
    expect(receipt.epoch).toBeGreaterThan(before)
  })

  it('L15: entries that are none, and entries that are missing, are everything', async () => {
    await settled(2)
    const heard = keep(other)
    await admin('update postern.signal_state set epoch = epoch + 1')
    await until(() => heard.splice(0).includes(null))
    await admin(`with s as (update postern.signal_state set epoch = epoch + 1 returning platform, epoch)
      insert into postern.signal_entries (platform, id, epoch, entry)
      select platform, epoch::text, epoch, '{}' from s`)
    await until(() => heard.splice(0).includes(null))
    await settled(2)
  })

  it('D7: a tenant may wake nodes, and neither reads nor forges what they hear', async () => {
    await settled(2)
    const heard = keep(other)
    await withClient(database.tenantUrl, async (client) => {
      for (const payload of ['', 'x', '{"by":"n","waits":true,"changes":[]}']) {
        await client.query(`select pg_notify('postern_signal', $1)`, [payload])
      }
      for (const text of [
        'select * from postern.signal_entries',
        'delete from postern.signal_nodes',
        `select postern.signal_turn('n', 0, 1, 1, 1, null, false, false, false, '{}')`,
      ]) {
        await expect(client.query(text)).rejects.toThrow('permission denied')
      }
    })
    const change = changeOf()
    expect(await one.announce(change, 5000)).toMatchObject(complete(2))
    expect(heard).toEqual([change])
  })

  it('V3: a node whose session is ended forgets everything, and is certain again', async () => {
    await settled(2)
    const heard = keep(other)
    await admin(`select pg_terminate_backend(pid) from pg_stat_activity
      where application_name = 'postern signal' and datname = current_database()`)
    await until(() => heard.includes(null) && other.silentMs() === 0)
    await settled(2)
  })

  it('V3: a node that is cut off trusts nothing at once, and what it announces is kept', async () => {
    await settled(2)
    relay.cut()
    await until(() => other.silentMs() > 0)
    expect(other.health().ok).toBe(false)
    const heard = keep(one)
    const change = changeOf()
    const cut = await other.announce(change, 5000)
    expect(cut).toMatchObject({ epoch: null, acknowledged: 1, maxStalenessMs: maxStaleMs })
    const early = await one.announce(changeOf(), 0)
    expect(early).toMatchObject({ nodes: 2, acknowledged: 1, maxStalenessMs: maxStaleMs })
    const late = await one.announce(changeOf(), 10_000)
    expect(late).toMatchObject({ nodes: 2, acknowledged: 1 })
    expect(late.maxStalenessMs).toBeGreaterThan(0)
    expect(late.maxStalenessMs).toBeLessThanOrEqual(maxStaleMs - leaseMs)
    expect(heard).not.toContainEqual(change)
    relay.mend()
    await until(() => heard.some((one) => one?.id === change.id))
    await settled(2)
  })

  it('a lock on the record delays an announcement no longer than it may take', async () => {
    await settled(2)
    await withClient(database.ownerUrl, async (client) => {
      await client.query('begin; lock table postern.signal_state in access exclusive mode')
      const from = performance.now()
      const receipt = await one.announce(changeOf(), 300)
      expect(performance.now() - from).toBeLessThan(3000)
      expect(receipt).toMatchObject({ epoch: null, nodes: 2, acknowledged: 1 })
      await client.query('rollback')
    })
    await until(() => one.silentMs() === 0 && other.silentMs() === 0)
    await settled(2)
  })

  it('the record is not logged, and the name of the deployment is', async () => {
    const { rows } = await admin(`select relname, relpersistence from pg_class
      where relnamespace = 'postern'::regnamespace and relkind = 'r'
        and (relname like 'signal%' or relname = 'deployment') order by 1`)
    expect(rows.map(({ relname, relpersistence }) => `${relname} ${relpersistence}`)).toEqual([
      ...['deployment p', 'signal_entries u', 'signal_nodes u', 'signal_state u'],
    ])
  })
})
