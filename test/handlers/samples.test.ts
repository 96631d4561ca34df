/** The example handlers beside each other on one platform: each shows its own kind, of one tenant. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createDatabase, type TestDatabase, withClient } from '../database.ts'
import { startGate, type TestGate } from '../gate.ts'

const config = `
version: 1
platforms:
  - id: plt_x
    slug: x
    hosts: [127.0.0.1]
    permissions: { data: [read] }
    routes:
      - { path: /users/**, methods: [GET], handler: users }
      - { path: /databases, methods: [GET], handler: databases }
      - { path: /sessions, methods: [GET], handler: sessions }
    seed: [{ id: a }, { id: b }]
  - id: plt_y
    slug: y
    hosts: [y.example.com]
    routes: [{ path: /subscriptions, handler: subscriptions }]
    seed: [{ id: a }]
`

let database: TestDatabase
let gate: TestGate
let key: string
beforeAll(async () => {
  database = await createDatabase({ migrate: false })
  gate = await startGate({ DATABASE_URL: database.ownerUrl }, config)
  key = await gate.mint({})
})
afterAll(async () => {
  await gate?.stop()
  await database?.drop()
})

async function get(path: string, tenant: string) {
  const headers = { 'x-api-key': key, 'x-tn': tenant }
  const response = await fetch(gate.url + path, { headers })
  return { status: response.status, json: await response.json() }
}
const ids = (rows: readonly { id: string }[]) => rows.map(({ id }) => id)

test('a list holds its own kind, and no row of another tenant', async () => {
  const lists = await Promise.all(
    ['a', 'b'].map(async (tenant) => [
      ids((await get('/databases', tenant)).json.data),
      ids((await get('/sessions', tenant)).json.sessions),
    ]),
  )
  for (const [databases, sessions] of lists) {
    expect(databases?.every((id) => id.startsWith('vdb_'))).toBe(true)
    expect(sessions?.every((id) => id.startsWith('ses_'))).toBe(true)
  }
  const all = lists.flat(2)
  expect(all).toHaveLength(2 * (2 + 3))
  expect(new Set(all).size).toBe(all.length)
})

test('one is found by its id among its kind alone', async () => {
  const [a, b] = [await get('/users/usr_123', 'a'), await get('/users/usr_123', 'b')]
  expect([a.status, b.status]).toEqual([200, 200])
  expect(a.json.data.email).not.toBe(b.json.data.email)
  const [session = ''] = ids((await get('/sessions', 'a')).json.sessions)
  const other = await get(`/users/${session}`, 'a')
  expect([other.status, other.json.code]).toEqual([404, 'resource/not_found'])
})

test('the first start makes what a platform has routes for, and nothing else', async () => {
  const { rows } = await withClient(database.ownerUrl, (client) =>
    client.query(`select distinct platform, kind from public.example_resources order by 2`),
  )
  expect(rows).toEqual([
    { platform: 'plt_x', kind: 'databases' },
    { platform: 'plt_x', kind: 'users' },
  ])
})
