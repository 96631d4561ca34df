/** G13: a request that was sent twice is carried out once. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createDatabase, type TestDatabase, withClient } from '../database.ts'
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

const body = (name: string) => ({ name, environment: 'live' })
const create = (name: string, header: string, key?: string, query = '') =>
  api.call('POST', `/v1/api-keys${query}`, {
    ...{ body: body(name), headers: { 'idempotency-key': header } },
    ...(key !== undefined && { key }),
  })

test('bare and quoted are the same key', async () => {
  const first = await create('a', 'same-key')
  expect([first.status, first.headers.get('idempotent-replayed')]).toEqual([201, null])
  const second = await create('a', '"same-key"')
  expect([second.status, second.text]).toEqual([201, first.text])
  expect(second.headers.get('idempotent-replayed')).toBe('true')
  expect((await create('a', '"same\\"key"')).headers.get('idempotent-replayed')).toBeNull()
})

test.each(['', '"', '""', '"a', 'a b', 'a, b', 'x'.repeat(256), '"a"b"'])(
  'the key %j is refused',
  async (header) => {
    // An empty field is sent by nobody's client; what is sent is trimmed.
    const expected = '400 request/invalid'
    expect(refusal(await create('b', header))).toBe(expected)
  },
)

test('another body, query or path under the same key is another request', async () => {
  await create('c', 'taken')
  expect(refusal(await create('c2', 'taken'))).toBe('422 idempotency/key_reused')
  expect(refusal(await create('c', 'taken', undefined, '?platform=acme'))).toBe(
    '422 idempotency/key_reused',
  )
  const { id } = await api.make()
  const headers = { 'idempotency-key': 'taken' }
  expect((await api.call('POST', `/v1/api-keys/${id}/disable`, { headers })).status).toBe(200)
})

test('the key of one caller is another one of the next', async () => {
  const other = await api.make({ permissions: ['*'] })
  const first = await create('d', 'each-his-own')
  const second = await create('d', 'each-his-own', other.key)
  expect(second.headers.get('idempotent-replayed')).toBeNull()
  expect(second.json.data.id).not.toBe(first.json.data.id)
})

test('a refusal keeps nothing: the same key may be tried again', async () => {
  const headers = { 'idempotency-key': 'refused' }
  const bad = await api.call('POST', '/v1/api-keys', { body: { nam: 'x' }, headers })
  expect(bad.status).toBe(400)
  expect((await create('e', 'refused')).status).toBe(201)
})

describe('after ten minutes', () => {
  test('the whole key is not shown again, and the rest is', async () => {
    const first = await create('f', 'later')
    await withClient(database.ownerUrl, (client) =>
      client.query(
        `update postern.idempotency_keys set created_at = created_at - interval '11 min'`,
      ),
    )
    const second = await create('f', 'later')
    expect(second.headers.get('idempotent-replayed')).toBe('true')
    const { key, ...rest } = first.json.data
    expect(key).toMatch(/^sk_live_/)
    expect(second.json).toEqual({ success: true, data: rest })
  })
})

test('X3: a body that was sealed for another request does not open', async () => {
  const [first] = [await create('g', 'seal-1'), await create('g', 'seal-2')]
  await withClient(database.ownerUrl, (client) =>
    client.query(`update postern.idempotency_keys k set sealed = other.sealed
      from postern.idempotency_keys other
      where k.sealed is not null and other.sealed is not null and k.ctid <> other.ctid`),
  )
  const replayed = await create('g', 'seal-1')
  expect(replayed.json.data.id).toBe(first?.json.data.id)
  expect(replayed.json.data.key).toBeUndefined()
})
