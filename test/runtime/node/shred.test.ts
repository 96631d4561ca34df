/** POSTERN_SHRED_URL: the salts of sessions in a database of their own, with one URL for each. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { readInstallation } from '../../../src/config/environment.ts'
import { createDatabase, type TestDatabase, withClient } from '../../database.ts'
import { startGate, type TestGate } from '../../gate.ts'

const config = `
version: 1
platforms:
  - id: plt_s
    slug: s
    permissions: { sessions: [write] }
    routes:
      - { path: /sessions/**, handler: sessions, body: { json: true } }
      - { path: "/sessions/:sid/secrets/**", handler: secrets, body: { json: true } }
    seed: [{ id: a }]
`

let main: TestDatabase
let shred: TestDatabase
let gate: TestGate
beforeAll(async () => {
  main = await createDatabase({ migrate: false })
  shred = await createDatabase({ migrate: false })
  gate = await startGate({ DATABASE_URL: main.ownerUrl, POSTERN_SHRED_URL: shred.ownerUrl }, config)
})
afterAll(async () => {
  await gate?.stop()
  await main?.drop()
  await shred?.drop()
})

test.each(['postgres://x@db/app', 'postgresql://y:z@db:5432/app'])(
  'the database of the tenants itself, %s, is refused',
  (url) => {
    const env = { DATABASE_URL: 'postgres://u@db/app', POSTERN_SHRED_URL: url }
    expect(readInstallation(env).faults).toEqual([
      { path: ['POSTERN_SHRED_URL'], message: expect.stringContaining('another database') },
    ])
  },
)

test('X12: a salt is there alone, and gone with its session', async () => {
  const key = await gate.mint({})
  const call = (method: string, path: string, body?: unknown) =>
    fetch(`${gate.url}/sessions${path}`, {
      method,
      headers: { 'x-api-key': key, 'x-tn': 'a', 'content-type': 'application/json' },
      body: body === undefined ? null : JSON.stringify(body),
    })
  const { id } = await (await call('POST', '', { userId: 'u' })).json()
  expect((await call('POST', `/${id}/secrets`, { A: 'x' })).status).toBe(204)
  const salts = ({ ownerUrl }: TestDatabase) =>
    withClient(ownerUrl, async (client) => {
      const { rows } = await client.query('select id from public.session_salts')
      return rows
    })
  expect([await salts(main), await salts(shred)]).toEqual([[], [{ id }]])
  expect((await call('DELETE', `/${id}`)).status).toBe(204)
  expect(await salts(shred)).toEqual([])
})
