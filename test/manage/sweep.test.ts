/** What falls due by itself, on the rows of a gate: nobody asks for it. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Change } from '../../src/context.ts'
import { createIdempotencyStore } from '../../src/db/idempotency.ts'
import { createKeyStore } from '../../src/db/keys.ts'
import { createSweep } from '../../src/manage/sweep.ts'
import { createDatabase, type TestDatabase, withClient } from '../database.ts'
import { startGate, type TestGate } from '../gate.ts'
import { callerOf } from './caller.ts'

let database: TestDatabase
let gate: TestGate
let api: ReturnType<typeof callerOf>
beforeAll(async () => {
  database = await createDatabase({ migrate: false })
  gate = await startGate({ DATABASE_URL: database.ownerUrl })
  api = callerOf(gate.url, gate.seeded.admin)
})
afterAll(async () => {
  await gate?.stop()
  await database?.drop()
})

test('a silent secret ends, a key that is due is named once, an old answer is removed', async () => {
  const { platforms } = gate.config
  const sql = gate.deployment.ports.gatewaySql
  const announced: Change[] = []
  const nobody = { epoch: 1, nodes: 1, acknowledged: 1, effectiveAt: 0, maxStalenessMs: 0 }
  const sweep = createSweep({
    ...{ platforms, keys: createKeyStore(sql), idempotency: createIdempotencyStore(sql) },
    rotationMs: { test: 3_600_000, live: 3_600_000 },
    async announce(change) {
      announced.push(change)
      return nobody
    },
  })
  const headers = { 'idempotency-key': 'old' }
  const made = await api.call('POST', '/v1/api-keys', {
    ...{ body: { name: 'rotated', environment: 'live' }, headers },
  })
  const { id } = made.json.data
  const due = await api.make({ name: 'due' })
  const body = { overlap: '7d', end_after_quiet_hours: 2 }
  await api.call('POST', `/v1/api-keys/${id}/rotate`, { body })
  await sweep()
  expect(announced).toEqual([])
  await withClient(database.ownerUrl, async (client) => {
    // The new secret was used three hours ago, the old one not since.
    await client.query(
      `update postern.api_key_secrets set created_at = created_at - interval '4 hours',
        first_used_at = case when superseded_by is null then now() - interval '3 hours' end
        where key_id = $1`,
      [id],
    )
    await client.query(
      `update postern.api_key_secrets set created_at = now() - interval '2 hours' where key_id = $1`,
      [due.id],
    )
    await client.query(
      `update postern.idempotency_keys set created_at = created_at - interval '25 hours',
        expires_at = expires_at - interval '25 hours'`,
    )
  })
  await Promise.all([sweep(), sweep()])
  await sweep()
  expect(announced).toEqual([{ kind: 'key', platform: 'plt_acme', id }])
  const { json } = await api.call('GET', `/v1/api-keys/${id}`)
  const states = json.data.rotation.secrets.map(({ state }: { state: string }) => state)
  expect(states).toEqual(['current', 'ended'])
  const { json: named } = await api.call(
    'GET',
    `/v1/audit-events?action=api_key.rotation_due&resource=${due.id}`,
  )
  expect(named.data).toHaveLength(1)
  const { rows } = await sql.query(
    { platform: 'plt_acme' },
    { text: 'select count(*)::int as count from postern.idempotency_keys' },
  )
  expect(rows).toEqual([{ count: 0 }])
})
