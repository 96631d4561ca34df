/** What a key may do and why not, said as the gate would say it, and charged to nobody. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { generateKey } from '../../src/keys/format.ts'
import { createDatabase, type TestDatabase } from '../database.ts'
import { startGate, type TestGate } from '../gate.ts'
import { callerOf, refusal } from './caller.ts'

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

const path = '/v1/subscriptions'
const tenant = 'tenant_abc123'
const ask = async (body: Record<string, unknown>, key?: string) => {
  const sent = key === undefined ? { body } : { body, key }
  const { status, json } = await api.call('POST', '/v1/api-keys/verify', sent)
  expect(status).toBe(200)
  return json.data
}

test('says what the gate says, of one request after the other', async () => {
  const restrictions = { ips: ['192.0.2.0/24'], endpoints: ['GET /v1/**'] }
  const { key, id } = await api.make({
    ...{ permissions: ['data:read'], tenants: [tenant], restrictions },
    rate_limit: { quota: 1, window_seconds: 3600 },
  })
  const cases: [Record<string, unknown>, string | null][] = [
    [{}, null],
    [{ path, tenant }, null],
    [{ path }, 'tenant/missing'],
    [{ path, tenant, ip: '192.0.2.7', method: 'GET' }, null],
    [{ path, tenant, ip: '192.0.3.7' }, 'auth/ip_not_allowed'],
    [{ path, tenant: 'tenant_xyz789' }, 'tenant/mismatch'],
    [{ path, tenant, method: 'POST' }, 'auth/insufficient_permission'],
    [{ path, tenant, method: 'PURGE' }, 'route/method_not_allowed'],
    [{ path: '/nowhere', tenant }, 'route/not_found'],
    [{ path: '/v1/../x', tenant }, 'request/invalid_path'],
    [{ permission: 'data:read' }, null],
    [{ permission: 'data:write' }, 'auth/insufficient_permission'],
  ]
  for (const [asked, code] of cases) {
    const said = await ask({ key, ...asked })
    expect([asked, said.code, said.valid]).toEqual([asked, code, code === null])
    expect(said.key.id).toBe(id)
    expect(JSON.stringify(said)).not.toContain(key.slice(-38))
  }
  expect(await gate.logged()).not.toContain(key.slice(-38))
})

test('charges nothing', async () => {
  const { key } = await api.make({
    ...{ permissions: ['data:read'], rate_limit: { quota: 1, window_seconds: 3600 } },
  })
  for (let n = 0; n < 3; n++) expect((await ask({ key, path, tenant })).valid).toBe(true)
  const headers = { 'x-api-key': key, 'x-tn': tenant }
  expect((await fetch(gate.url + path, { headers })).status).toBe(200)
  expect((await fetch(gate.url + path, { headers })).status).toBe(429)
})

describe('a bad key is an answer', () => {
  test('by its state, once the whole of it matches', async () => {
    const states: [string, string][] = [
      ['disable', 'auth/key_disabled'],
      ['revoke', 'auth/key_revoked'],
    ]
    for (const [verb, code] of states) {
      const { id, key } = await api.make()
      await api.call('POST', `/v1/api-keys/${id}/${verb}`)
      expect(await ask({ key })).toMatchObject({ valid: false, code, status: 401 })
    }
    expect(await ask({ key: generateKey('sk_live_').key })).toMatchObject({
      ...{ valid: false, code: 'auth/invalid_key', key: null },
    })
    expect((await ask({ key: 'sk_live_nothing' })).code).toBe('auth/malformed_key')
  })

  test('G4: one that the caller does not reach looks like none', async () => {
    const mine = await api.make({ tenants: [tenant], permissions: ['admin:keys'] })
    const test = await api.make({ environment: 'test', permissions: ['admin:keys'] })
    const other = await api.make({ tenants: ['tenant_xyz789'] })
    const nobody = await ask({ key: generateKey('sk_live_').key }, mine.key)
    for (const caller of [mine.key, test.key]) {
      expect(await ask({ key: other.key }, caller)).toEqual(nobody)
    }
  })
})

test('a question that is no question is refused', async () => {
  for (const body of [
    {},
    { key: '' },
    { key: 'x', adress: '1.1.1.1' },
    { key: 'x', method: 'get' },
  ]) {
    const answer = await api.call('POST', '/v1/api-keys/verify', { body })
    expect(refusal(answer)).toBe('400 request/invalid')
  }
})
