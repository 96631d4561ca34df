import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { parse } from 'yaml'
import type { World } from '../../src/context.ts'
import { bindDb } from '../../src/db/scope.ts'
import { createWorld } from '../../src/db/world.ts'
import { createMock, type Mock } from '../../src/mock/mock.ts'
import { withClient } from '../database.ts'
import { production, type Stores } from '../db/stores.ts'
import { readText } from '../source.ts'
import { call, documentOf, mockNamed, setting } from './read.ts'

let stores: Stores
let shop: Mock
let sessions: Mock
const worldOf = (tenant: string, ttlSeconds = 3600): World =>
  createWorld(
    bindDb(stores.tenantSql, { platform: 'plt_w', environment: 'test', tenant }),
    ttlSeconds,
  )

beforeAll(async () => {
  stores = await production()
  shop = await mockNamed('shop.yaml')
  sessions = await mockNamed('sessions.json')
})
afterAll(() => stores.close())
beforeEach(async () => {
  await worldOf('a').reset()
  await worldOf('b').reset()
})

type Sent = Parameters<typeof call>[1]
async function ask(mock: Mock, line: string, sent?: Sent, world = worldOf('a')) {
  const answer = await mock.remember(call(line, sent), setting, world)
  if ('code' in answer) return { code: answer.code, errors: answer.errors, body: null }
  return { status: answer.status, body: answer.body === null ? null : JSON.parse(answer.body) }
}

test('what is not there is a 404, in the shape of the document where it has one', async () => {
  expect(await ask(shop, 'GET /v1/customers/cus_gone')).toMatchObject({
    status: 404,
    body: { code: expect.any(String) },
  })
  expect(await ask(sessions, 'GET /v1/sessions/ses_gone')).toMatchObject({
    code: 'resource/not_found',
  })
  expect(await ask(shop, 'DELETE /v1/customers/cus_gone')).toMatchObject({
    code: 'resource/not_found',
  })
})

test('what does not fit the document is refused and not remembered', async () => {
  const before = await ask(shop, 'GET /v1/customers')
  expect(await ask(shop, 'POST /v1/customers', { body: { email: 'no' } })).toMatchObject({
    code: 'request/invalid',
  })
  expect(await ask(shop, 'GET /v1/customers')).toEqual(before)
})

test('what is posted can be fetched, listed, changed and deleted', async () => {
  const posted = await ask(shop, 'POST /v1/customers', {
    body: { email: 'ada@example.com', name: 'Ada' },
  })
  expect(posted).toMatchObject({
    status: 201,
    body: { email: 'ada@example.com', created_at: '2026-11-26T12:00:00.000Z' },
  })
  const line = `/v1/customers/${posted.body.id}`
  expect((await ask(shop, `GET ${line}`)).body).toEqual(posted.body)
  const list = await ask(shop, 'GET /v1/customers?limit=2')
  expect(list.body).toMatchObject({ object: 'list', has_more: true, total_count: 4 })
  expect(list.body.data).toHaveLength(2)
  const patched = await ask(shop, `PATCH ${line}`, { body: { status: 'blocked' } })
  expect(patched.body).toEqual({ ...posted.body, status: 'blocked' })
  expect((await ask(shop, 'GET /v1/customers?status=blocked&limit=100')).body.data).toContainEqual(
    patched.body,
  )
  expect(await ask(shop, `DELETE ${line}`)).toEqual({ status: 204, body: null })
  expect((await ask(shop, `GET ${line}`)).status).toBe(404)
})

test('the same thing posted twice is two things', async () => {
  const sent = { body: { userId: 'u1', labels: ['x'] } }
  const [one, two] = [
    await ask(sessions, 'POST /v1/sessions', sent),
    await ask(sessions, 'POST /v1/sessions', sent),
  ]
  expect(one.body.data).toMatchObject({ userId: 'u1', labels: ['x'] })
  expect(two.body.data.id).not.toBe(one.body.data.id)
  const { body } = await ask(sessions, 'GET /v1/sessions?per_page=2&page=3')
  expect(body).toMatchObject({ total: 5, page: 3 })
  expect(body.sessions).toHaveLength(1)
  expect(
    await ask(sessions, `PUT /v1/sessions/${one.body.data.id}`, { body: { userId: 'u2' } }),
  ).toMatchObject({
    status: 200,
    body: { id: one.body.data.id, userId: 'u2' },
  })
  expect(await ask(sessions, `DELETE /v1/sessions/${one.body.data.id}`)).toMatchObject({
    body: { id: one.body.data.id, deleted: true },
  })
})

test('a collection below a parent is the parent’s', async () => {
  const lines = [{ sku: 'ABC-123', quantity: 1 }]
  const body = { lines, total: 5, payment: { kind: 'card', last4: '4242' } }
  const posted = await ask(shop, 'POST /v1/customers/cus_1/orders', { body })
  expect(posted).toMatchObject({ status: 201, body: { customer_id: 'cus_1', lines } })
})

test('O5: a tenant’s world is its own, and a reset forgets it', async () => {
  const posted = await ask(shop, 'POST /v1/customers', { body: { email: 'ada@example.com' } })
  const line = `GET /v1/customers/${posted.body.id}`
  expect((await ask(shop, line, {}, worldOf('b'))).status).toBe(404)
  await worldOf('b').reset()
  expect((await ask(shop, line)).status).toBe(200)
  await worldOf('a').reset()
  expect((await ask(shop, line)).status).toBe(404)
})

test('what was not written for its time is forgotten', async () => {
  const world = worldOf('a', 0)
  const posted = await ask(
    shop,
    'POST /v1/customers',
    { body: { email: 'ada@example.com' } },
    world,
  )
  expect((await ask(shop, `GET /v1/customers/${posted.body.id}`, {}, world)).status).toBe(404)
})

test('things that callers name are set, listed and removed by name, and what was sent is not kept', async () => {
  const theazo = createMock(await documentOf(parse(readText('examples/theazo-openapi.yaml'))))
  const { body: session } = await ask(theazo, 'POST /v1/sessions', { body: { userId: 'u' } })
  const at = `/v1/sessions/${session.id}/secrets`
  const names = async () => {
    const { body } = await ask(theazo, `GET ${at}`)
    return [body.secrets.map(({ name }: { name: string }) => name).toSorted(), body.total]
  }
  // A session that was made here has none yet; one that the world began with shows the example.
  expect(await names()).toEqual([[], 0])
  expect((await ask(theazo, 'GET /v1/sessions/ses_1/secrets')).body.total).toBe(2)
  const set = { TOKEN: 'sk-canary-value', OTHER: 'sk-canary-other' }
  expect(await ask(theazo, `POST ${at}`, { body: set })).toEqual({ status: 204, body: null })
  expect(await names()).toEqual([['OTHER', 'TOKEN'], 2])
  const { secrets } = (await ask(theazo, `GET ${at}`)).body
  await ask(theazo, `POST ${at}`, { body: { TOKEN: 'another' } })
  expect((await ask(theazo, `GET ${at}`)).body.secrets).toEqual(secrets)
  const kept = await withClient(String(stores.owner), (client) =>
    client.query('select * from test_world'),
  )
  expect(JSON.stringify(kept.rows)).toContain('TOKEN')
  expect(JSON.stringify(kept.rows)).not.toMatch(/canary|another/)
  expect((await ask(theazo, `DELETE ${at}/TOKEN`)).status).toBe(204)
  expect(await names()).toEqual([['OTHER'], 1])
  expect(await ask(theazo, `DELETE ${at}/TOKEN`)).toMatchObject({ code: 'resource/not_found' })
})
