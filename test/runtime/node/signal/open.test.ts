import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { Sql } from '../../../../src/context.ts'
import { type NodeSignal, openSignal } from '../../../../src/runtime/node/signal/open.ts'
import { createSql } from '../../../../src/runtime/sql.ts'
import { createDatabase, type TestDatabase } from '../../../database.ts'
import { until } from '../../../redis.ts'
import { limits } from '../../../sql.ts'
import { changeOf, complete, keep } from '../../../suites/signal.suite.ts'

const redisUrl = (): string => process.env.REDIS_URL ?? ''
const nowhere: Parameters<typeof openSignal>[0] = {
  ...{ redisUrl: null, databaseUrl: null, gatewayDatabaseUrl: null, tenantDatabaseUrl: null },
  scope: 'hardened',
  pooler: false,
}
const options = {
  maxStaleMs: () => 2500,
  onState: () => {},
  warn: () => {},
  bootMs: 10_000,
}

/** Until a store that is new to a deployment cannot lack a node that was there before it. */
const settled = (signal: NodeSignal, nodes: number) =>
  until(async () => {
    const receipt = await signal.announce(changeOf(), 5000)
    return receipt.nodes === nodes && receipt.maxStalenessMs === 0
  })

type Place = { readonly database: TestDatabase; readonly sql: Sql }

describe('the signal of a process', () => {
  const places: Place[] = []
  const signals: NodeSignal[] = []
  const open = async (place: Place, more: object): Promise<NodeSignal> => {
    const signal = await openSignal({ ...nowhere, ...more }, place.sql, options)
    signals.push(signal)
    return signal
  }
  const roles = ({ database: { tenantUrl, gatewayUrl } }: Place) => ({
    ...{ tenantDatabaseUrl: tenantUrl, gatewayDatabaseUrl: gatewayUrl },
  })

  beforeAll(async () => {
    for (let n = 0; n < 2; n++) {
      const database = await createDatabase()
      const role = { role: null, scope: 'hardened', embedded: false } as const
      const sql = createSql({ connection: database.gatewayUrl, ...role, ...limits })
      places.push({ database, sql })
    }
  })
  afterEach(async () => {
    await Promise.all(signals.splice(0).map((signal) => signal.close()))
  })
  afterAll(async () => {
    for (const { sql, database } of places) {
      await sql.close()
      await database.drop()
    }
  })

  it('a database that cannot be asked for the name of the deployment is an error', async () => {
    const { database } = places[0]!
    const role = { role: null, scope: 'hardened', embedded: false } as const
    const sql = createSql({ connection: database.tenantUrl, ...role, ...limits })
    const wanted = { ...nowhere, databaseUrl: database.ownerUrl }
    await expect(openSignal(wanted, sql, options)).rejects.toThrow()
    await sql.close()
  })

  it('a Redis that is away does not keep the process from starting', async () => {
    const [place] = places
    const wanted = { ...nowhere, ...roles(place!), redisUrl: 'redis://127.0.0.1:1' }
    const signal = await openSignal(wanted, place!.sql, { ...options, bootMs: 50 })
    signals.push(signal)
    expect(signal.health()).toMatchObject({ ok: false })
    expect(signal.silentMs()).toBe(Number.POSITIVE_INFINITY)
  })

  it('in a folder it is alone, whatever it counts in', async () => {
    const signal = await open(places[0]!, { redisUrl: redisUrl() })
    expect(signal.health()).toEqual({ ok: true, detail: 'this process is the only one' })
    expect(await signal.announce(changeOf(), 0)).toMatchObject(complete(1))
  })

  it('processes of one database hear each other in a Redis that others use', async () => {
    const [here, there] = places
    const [one, other, foreign] = [
      await open(here!, { ...roles(here!), redisUrl: redisUrl() }),
      await open(here!, { databaseUrl: here!.database.ownerUrl, redisUrl: redisUrl() }),
      await open(there!, { ...roles(there!), redisUrl: redisUrl() }),
    ]
    await settled(one, 2)
    const heards = [other, foreign].map(keep)
    const change = changeOf()
    expect(await one.announce(change, 5000)).toMatchObject(complete(2))
    expect(heards).toEqual([[change], []])
    expect(one.health()).toMatchObject({ ok: true, detail: expect.stringContaining('Redis') })
  })

  it('without Redis they hear each other in the database', async () => {
    const [here] = places
    const one = await open(here!, roles(here!))
    const other = await open(here!, { databaseUrl: here!.database.ownerUrl })
    await settled(one, 2)
    const heard = keep(other)
    const change = changeOf()
    expect(await one.announce(change, 5000)).toMatchObject(complete(2))
    expect(heard).toEqual([change])
    expect(one.health()).toMatchObject({ ok: true, detail: expect.stringContaining('PostgreSQL') })
  })
})
