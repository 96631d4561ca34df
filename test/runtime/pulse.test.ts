import { afterEach, describe, expect, it } from 'vitest'
import { StoreDown } from '../../src/context.ts'
import { Pulse } from '../../src/runtime/pulse.ts'
import { createSql } from '../../src/runtime/sql.ts'
import { createDatabase, type TestDatabase, withClient } from '../database.ts'
import { until } from '../redis.ts'
import { type Relay, startRelay } from '../relay.ts'
import { limits } from '../sql.ts'

describe('a pulse', () => {
  let pulse: Pulse
  const cuts: StoreDown[] = []
  const cut = (cause: StoreDown) => void cuts.push(cause)
  afterEach(() => {
    pulse.close()
    cuts.length = 0
  })

  it('asks nothing while callers are answered soon', async () => {
    let probes = 0
    pulse = new Pulse({ probe: async () => probes++ })
    for (let turn = 0; turn < 40; turn++) {
      const waiting = pulse.enter(cut)
      await new Promise((resolve) => setTimeout(resolve, 10))
      pulse.leave(waiting)
    }
    expect([probes, cuts, pulse.silence]).toEqual([0, [], null])
  })

  it('lets a statement take long that is alone in that', async () => {
    let probes = 0
    pulse = new Pulse({ probe: async () => probes++ })
    pulse.enter(cut)
    await until(() => probes === 2)
    expect([cuts, pulse.silence]).toEqual([[], null])
  })

  it('Q7: cuts all who wait when the database says nothing to a probe either, until it does', async () => {
    let dead = true
    pulse = new Pulse({ probe: () => (dead ? Promise.reject(new Error()) : Promise.resolve()) })
    pulse.enter(cut)
    pulse.leave(pulse.enter(cut))
    pulse.enter(cut)
    await until(() => pulse.silence !== null)
    expect(cuts).toEqual([pulse.silence, pulse.silence])
    expect(pulse.silence).toBeInstanceOf(StoreDown)
    dead = false
    await until(() => pulse.silence === null)
  })

  it('believes an answer that somebody got meanwhile more than its probe', async () => {
    let probes = 0
    pulse = new Pulse({
      probe: async () => {
        probes += 1
        pulse.leave(pulse.enter(cut))
        throw new Error('too slow to connect')
      },
    })
    pulse.enter(cut)
    await until(() => probes === 2)
    expect([cuts, pulse.silence]).toEqual([[], null])
  })

  it('asks nothing once it is closed', async () => {
    let probes = 0
    pulse = new Pulse({ probe: async () => probes++ })
    pulse.enter(cut)
    pulse.close()
    await new Promise((resolve) => setTimeout(resolve, 400))
    expect(probes).toBe(0)
  })
})

describe('a pool with a pulse', () => {
  let database: TestDatabase
  let relay: Relay
  const opened: { close(): Promise<void> }[] = []
  const open = async () => {
    database = await createDatabase()
    const url = new URL(database.tenantUrl)
    relay = await startRelay(Number(url.port))
    url.port = String(relay.port)
    const role = { role: null, scope: 'hardened', embedded: false } as const
    const sql = createSql({ ...role, ...limits, connection: url.href, pulse: true })
    opened.push(sql)
    return sql
  }
  afterEach(async () => {
    relay.mend()
    await Promise.all(opened.splice(0).map((sql) => sql.close()))
    await relay.stop()
    await database.drop()
  })

  it('Q7: gives up what hangs, in a second, and refuses more at once; then goes on', async () => {
    const sql = await open()
    const one = { text: 'select 1 as one' }
    await sql.query(null, one)
    const transaction = await sql.begin(null)
    relay.set({ hold: 'both' })
    const from = performance.now()
    const waiting = [sql.query(null, one), transaction.query(one), sql.begin(null)]
    for (const outcome of await Promise.allSettled(waiting)) {
      expect(outcome).toMatchObject({ status: 'rejected', reason: expect.any(StoreDown) })
    }
    expect(performance.now() - from).toBeLessThan(3000)
    await expect(sql.query(null, one)).rejects.toThrow('has said nothing')
    await expect(transaction.end('rollback')).resolves.toBeUndefined()
    relay.mend()
    await until(() =>
      sql
        .query(null, one)
        .then(({ rows }) => rows.length === 1)
        .catch(() => false),
    )
  })

  it('waits for a statement that takes long, and for a lock', async () => {
    const sql = await open()
    await expect(sql.query(null, { text: 'select pg_sleep(1.6)' })).resolves.toBeDefined()
    await withClient(database.ownerUrl, async (client) => {
      await client.query('begin; select pg_advisory_xact_lock(7)')
      const waiting = sql.query(null, { text: 'select pg_advisory_xact_lock(7)' })
      await new Promise((resolve) => setTimeout(resolve, 1600))
      await client.query('commit')
      await expect(waiting).resolves.toBeDefined()
    })
  })
})
