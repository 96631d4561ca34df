import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { StoreDown } from '../../../src/context.ts'
import { createIdempotencyStore } from '../../../src/db/idempotency.ts'
import { createKeyStore } from '../../../src/db/keys.ts'
import { type SweeperOptions, startSweeper } from '../../../src/runtime/node/sweeper.ts'
import { createDatabase, type TestDatabase, withClient } from '../../database.ts'
import { roomyConfig, startGate, type TestGate } from '../../gate.ts'
import { logLines } from '../../gate-process.ts'
import { callerOf } from '../../manage/caller.ts'
import { until } from '../../redis.ts'

const days = (n: number) => n * 86_400_000

describe('an error', () => {
  afterEach(() => {
    vi.useRealTimers()
  })
  const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms)

  /** A sweeper of two platforms whose rotations are what `settle` says, and what it asked. */
  function sweep(settle: (platform: string) => Promise<readonly string[]>) {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    const asked: string[] = []
    const warned: string[] = []
    const options: SweeperOptions = {
      keys: {
        settleRotations(platform) {
          asked.push(platform)
          return settle(platform)
        },
        rotationDue: async () => [],
      },
      idempotency: { sweep: async () => 0 },
      platforms: () => ['plt_a', 'plt_b'],
      rotationMs: () => ({ test: days(180), live: days(90) }),
      log: { info: () => undefined, warn: (message) => warned.push(message) },
      everyMs: 1000,
      firstMs: 100,
    }
    return { asked, warned, sweeper: startSweeper(options) }
  }

  test('of one platform is told, and keeps neither the others nor the next round from it', async () => {
    const { asked, warned, sweeper } = sweep(async (platform) => {
      if (platform === 'plt_a') throw new Error('a row of it')
      return []
    })
    await pass(125)
    expect(asked).toEqual(['plt_a', 'plt_b'])
    expect(warned).toHaveLength(1)
    await pass(1250)
    expect(asked).toHaveLength(4)
    await sweeper.close()
  })

  test('of a database that is down ends the round, not the sweeping', async () => {
    const { asked, warned, sweeper } = sweep(async () => {
      throw new StoreDown('away')
    })
    await pass(125)
    expect([asked, warned.length]).toEqual([['plt_a'], 1])
    await pass(1250)
    expect(asked).toEqual(['plt_a', 'plt_a'])
    await sweeper.close()
    expect(vi.getTimerCount()).toBe(0)
  })

  test('is not what ends it: close waits for the statement under way, and nothing follows', async () => {
    const held = Promise.withResolvers<readonly string[]>()
    const { asked, sweeper } = sweep(() => held.promise)
    await pass(125)
    let closed = false
    const closing = sweeper.close().then(() => {
      closed = true
    })
    await pass(10_000)
    expect(closed).toBe(false)
    held.resolve([])
    await closing
    await pass(10_000)
    expect(asked).toEqual(['plt_a'])
    expect(vi.getTimerCount()).toBe(0)
  })
})

const databases: readonly [string, () => Promise<TestDatabase | null>][] = [
  ['PGlite', async () => null],
  ['PostgreSQL', () => createDatabase({ migrate: false })],
]

describe.each(databases)('rotation over a gate on %s', (_, create) => {
  let database: TestDatabase | null
  let gate: TestGate
  beforeAll(async () => {
    database = await create()
    // A key is remembered for long enough to be served from memory while its end is set.
    const text = roomyConfig().replace('positiveTtl: 50ms', 'positiveTtl: 500ms')
    gate = await startGate(database === null ? {} : { DATABASE_URL: database.ownerUrl }, text)
  })
  afterAll(async () => {
    await gate?.stop()
    await database?.drop()
  })

  const api = () => callerOf(gate.url, gate.seeded.operator)
  const call = async (key: string) => {
    const headers = { 'x-api-key': key, 'x-tn': 'tenant_abc123' }
    const response = await fetch(`${gate.url}/v1/subscriptions`, { headers })
    const body: { code?: string } = await response.json()
    return body.code ?? response.status
  }
  async function rotated(rotation: object) {
    const old = await api().make({ permissions: ['*'] })
    const path = `/v1/api-keys/${old.id}`
    const answer = await api().call('POST', `${path}/rotate`, { body: rotation })
    expect(answer.status).toBe(200)
    const older = async () =>
      (await api().call('GET', path)).json.data.rotation.secrets.find(
        ({ last4 }: { last4: string }) => last4 === old.last4,
      )
    return { id: old.id, old: old.key, next: answer.json.data.key, older }
  }

  test('the first use of the new secret starts the time of the old, and then it is over', async () => {
    const { old, next, older } = await rotated({ overlap: 1 })
    expect(await call(old)).toBe(200)
    expect(await older()).toMatchObject({ state: 'overlapping', expires_at: null })
    expect(await call(next)).toBe(200)
    await until(async () => (await older()).expires_at !== null)
    await until(async () => (await call(old)) === 'auth/key_expired')
    expect(await call(next)).toBe(200)
  })

  test('an old secret that has fallen silent ends early; what is remembered of it is not served on', async () => {
    const { id, old, next, older } = await rotated({ overlap: '7d', end_after_quiet_hours: 1 })
    const { gatewaySql } = gate.deployment.ports
    const platform = gate.config.platforms[0]?.id ?? ''
    await gatewaySql.query(
      { platform },
      {
        text: 'update postern.api_key_secrets set quiet_seconds = 1 where key_id = $1 and quiet_seconds is not null',
        values: [id],
      },
    )
    expect(await call(next)).toBe(200)
    await until(async () => (await older()).expires_at !== null)
    expect(await call(old)).toBe(200)
    const said: string[] = []
    const sweeper = startSweeper({
      keys: createKeyStore(gatewaySql),
      idempotency: createIdempotencyStore(gatewaySql),
      platforms: () => [platform],
      rotationMs: () => gate.config.management.rotationMs,
      log: { info: (message) => said.push(message), warn: (message) => said.push(message) },
      everyMs: 50,
      firstMs: 50,
    })
    try {
      // Sooner than the seven days: and in memory for no longer than `positiveTtl`, not for `stale`.
      await until(async () => (await older()).state === 'ended')
      await until(async () => (await call(old)) === 'auth/key_expired')
      expect(await call(next)).toBe(200)
      expect(said).toEqual(['old secrets fell silent and have ended'])
      const { json } = await api().call('GET', `/v1/audit-events?resource=${id}`)
      const actors = json.data.map(({ actor }: { actor: { type: string } }) => actor.type)
      expect(actors.filter((type: string) => type === 'system')).toHaveLength(1)
    } finally {
      await sweeper.close()
    }
  })
})

test('a deployment sweeps soon after its start, every platform and the operators', async () => {
  const database = await createDatabase({ migrate: false })
  const env = { DATABASE_URL: database.ownerUrl }
  const asOwner = (text: string) =>
    withClient(database.ownerUrl, async (client) => (await client.query(text)).rows)
  try {
    const first = await startGate(env)
    const platform = first.config.platforms[0]?.id ?? ''
    await first.stop()
    await asOwner(`update postern.api_key_secrets set created_at = now() - interval '200 days'`)
    for (const of of [platform, 'plt_operator']) {
      await asOwner(`insert into postern.idempotency_keys (platform, id, digest, claim, expires_at)
        values ('${of}', 'idk_old', sha256('x'), 'clm_1', now() - interval '1 minute')`)
    }
    const second = await startGate(env)
    try {
      await until(async () => {
        const [left] = await asOwner('select count(*)::int as n from postern.idempotency_keys')
        const [due] = await asOwner(`select count(distinct platform)::int as n
          from postern.audit_events where action = 'api_key.rotation_due'`)
        return left?.n === 0 && due?.n === 2
      })
      const warned = logLines(await second.logged()).filter(({ level }) => level !== 'info')
      expect(warned).toEqual([])
    } finally {
      await second.stop()
    }
  } finally {
    await database.drop()
  }
})
