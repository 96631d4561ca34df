import { describe, expect, test } from 'vitest'
import type { Platform, Principal, Route } from '../src/context.ts'
import type { TenantDb } from '../src/db/scope.ts'
import { createHandler, type Given, mountHandlers } from '../src/handler.ts'
import { presets } from '../src/keys/schemes.ts'
import { Problem } from '../src/problem.ts'

const route = (path: string, handler: string, methods: Route['methods'] = null): Route => ({
  id: `${methods?.join() ?? '*'} ${path}`,
  path,
  methods,
  handler,
  hosts: [],
  upstream: null,
  sandbox: null,
  secrets: null,
  rewrite: null,
  cors: null,
  permission: null,
  classes: ['secret'],
  environments: ['test', 'live'],
  cost: 1,
  limits: [],
  bodyBytesMax: 1000,
  jsonOnly: false,
  requireHttps: false,
  encodedSlash: false,
})

const platformOf = (...routes: Route[]): Platform => ({
  id: 'plt_x',
  slug: 'x',
  name: 'x',
  scheme: presets.azotte,
  hosts: [],
  port: null,
  vocabulary: 'slash',
  docsUrl: null,
  issuer: 'urn:postern:test',
  upstreams: [],
  testMode: 'sandbox',
  openapi: null,
  permissions: [],
  limits: {
    environments: { test: { key: [], tenant: [] }, live: { key: [], tenant: [] } },
    classes: {},
  },
  routes,
})

// Never looked into here: a handler gets what it is given.
const db = {} as TenantDb
// Nor into this.
const vault = {} as Given['vault']
const agents = {} as Given['agents']
const principal: Principal = {
  platform: 'plt_x',
  environment: 'test',
  tenant: 'a',
  class: 'secret',
  permissions: [],
  credential: {
    ...{ kind: 'api_key', id: 'key_1', secretId: 'sec_1' },
    ...{ prefix: 'sk_dev_', ref: 'r', last4: 'abcd' },
  },
}
const given = (body: Given['body'] = null): Given => ({
  db,
  principal,
  vault,
  agents,
  requestId: 'req_1',
  body,
})

const saying = (word: string) => createHandler().all('*', (c) => c.text(word))

test('the handler of the route runs, whatever others would take the path', async () => {
  const wide = route('/v1/**', 'wide')
  const narrow = route('/v1/x/**', 'narrow')
  const reading = route('/v2/**', 'wide', ['GET'])
  const writing = route('/v2/**', 'narrow', ['POST'])
  const handlers = { wide: saying('wide'), narrow: saying('narrow') }
  const handle = mountHandlers([platformOf(wide, narrow, reading, writing)], handlers)
  const run = async (one: Route, path: string, method = 'GET') =>
    (await handle(one, new Request(`http://x${path}`, { method }), given())).text()
  expect(await run(narrow, '/v1/x/y')).toBe('narrow')
  expect(await run(wide, '/v1/x/y')).toBe('wide')
  expect(await run(reading, '/v2/y')).toBe('wide')
  expect(await run(writing, '/v2/y', 'POST')).toBe('narrow')
})

test('a handler stands behind * as behind a parameter', async () => {
  const wild = route('/v1/*/items/**', 'items')
  const items = createHandler().get('/:id', (c) => c.text(c.req.param('id')))
  const handle = mountHandlers([platformOf(wild)], { items })
  const answer = await handle(wild, new Request('http://x/v1/a%20b/items/7'), given())
  expect(await answer.text()).toBe('7')
})

test('a handler that is not there is refused when mounted, by name of the route', () => {
  expect(() => mountHandlers([platformOf(route('/v1/**', 'nobody'))], {})).toThrow(
    'route * /v1/**: no handler "nobody"',
  )
})

describe('one route', () => {
  const only = route('/v1/things/**', 'things')
  const things = createHandler()
    .get('/', (c) => c.json([c.var.principal.tenant, c.var.requestId, c.var.db === db]))
    .get('/:id', (c) => c.text(c.req.param('id')))
    .post('/', async (c) => c.json([c.var.body ?? null, await c.req.text()]))
    .put('/', async (c) => c.json(await c.req.json()))
    .delete('/', () => {
      throw new RangeError('as thrown')
    })
  const handle = mountHandlers([platformOf(only)], { things })
  const ask = async (path: string, method = 'GET', body: Given['body'] = null) =>
    handle(only, new Request(`http://x${path}`, { method }), given(body))

  test('paths are relative to its own', async () => {
    expect(await (await ask('/v1/things')).json()).toEqual(['a', 'req_1', true])
    expect(await (await ask('/v1/things/7')).text()).toBe('7')
  })

  test.each(['/v1/things/7/8', '/v1/things/', '/v1/other'])(
    '%s is route/not_found',
    async (path) => {
      const error = await ask(path).catch((thrown: unknown) => thrown)
      expect(error).toBeInstanceOf(Problem)
      expect(error).toMatchObject({ refusal: { code: 'route/not_found' } })
    },
  )

  test('what it throws comes out as it was thrown', async () => {
    await expect(ask('/v1/things', 'DELETE')).rejects.toThrow(RangeError)
  })

  test('the body that was read is there in every form, and undefined where there was none', async () => {
    const body = { text: '{"a":1}', value: { a: 1 } }
    expect(await (await ask('/v1/things', 'POST', body)).json()).toEqual([{ a: 1 }, '{"a":1}'])
    expect(await (await ask('/v1/things', 'PUT', body)).json()).toEqual({ a: 1 })
    expect(await (await ask('/v1/things', 'POST')).json()).toEqual([null, ''])
  })
})
