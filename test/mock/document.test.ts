import { describe, expect, test } from 'vitest'
import { createMock } from '../../src/mock/mock.ts'
import { call, documentNamed, documentOf, readAny, setting, sourcesOf } from './read.ts'

const minimal = (paths: object, more: object = {}) => ({
  openapi: '3.1.0',
  info: { title: 'A', version: '1' },
  paths,
  ...more,
})
const ok = (schema: unknown) => ({
  responses: { 200: { description: '', content: { 'application/json': { schema } } } },
})

describe('what is no OpenAPI document is refused in a sentence', () => {
  test.each<[unknown, string]>([
    [null, 'no OpenAPI document'],
    [[], 'no OpenAPI document'],
    [{ swagger: '2.0' }, 'Swagger 2.0'],
    [{ openapi: 3.1 }, 'no OpenAPI document'],
    [{ openapi: '4.0.0' }, 'only OpenAPI 3'],
  ])('%j', async (value, says) => {
    expect(await readAny(value)).toContain(says)
  })
})

describe('O5: a hostile document is bounded', () => {
  test('aliases that double', async () => {
    let laugh: unknown = 'ha'
    for (let i = 0; i < 40; i++) laugh = [laugh, laugh]
    expect(await readAny(minimal({}, { laugh }))).toContain('more than 3000000 values')
  })

  test('a value that holds itself', async () => {
    const loop: Record<string, unknown> = {}
    loop.loop = loop
    expect(await readAny(minimal({}, { loop }))).toBe('it holds itself')
  })

  test('nesting', async () => {
    let deep: unknown = {}
    for (let i = 0; i < 200; i++) deep = { deep }
    expect(await readAny(minimal({}, { deep }))).toContain('nested more than 100 deep')
  })

  test('files that lead to more files', async () => {
    const files = Object.fromEntries(
      Array.from({ length: 500 }, (_, i) => [`f${i}.json`, { $ref: `f${i + 1}.json` }]),
    )
    const sources = await sourcesOf({ ...files, 'openapi.json': { $ref: 'f0.json' } })
    if (typeof sources === 'string') throw new Error(sources)
    expect(sources.resolve(sources.entry)).toMatch(/leads to (?:itself|a file)/)
  })

  test('names of the language are names', async () => {
    const paths = JSON.parse(
      '{"__proto__":{"get":{}},"/a":{"get":{"responses":{"200":{"$ref":"#/constructor"}}}}}',
    )
    const document = await documentOf(minimal(paths))
    expect(document.operations.map(({ id }) => id)).toEqual(['GET /a'])
    expect(document.notes).toEqual([
      { at: '#/paths/~1a/get/responses/200', says: 'its $ref leads to nothing' },
    ])
    expect(({} as Record<string, unknown>).get).toBeUndefined()
  })

  test('a required __proto__ makes no prototype', async () => {
    const schema = JSON.parse(
      '{"type":"object","required":["__proto__"],"properties":{"__proto__":{"type":"object"}}}',
    )
    const mock = createMock(await documentOf(minimal({ '/a': { get: ok(schema) } })))
    const answer = mock.answer(call('GET /a'), setting)
    expect(answer).toMatchObject({ code: 'mock/no_response' })
  })

  test('what can be run elsewhere is data here', async () => {
    const handler = 'globalThis.ran = true'
    const document = minimal(
      { '/a': { get: { ...ok({ const: 1 }), 'x-handler': handler } } },
      { 'x-seed': handler },
    )
    const mock = createMock(await documentOf(document))
    expect(mock.answer(call('GET /a'), setting)).toMatchObject({ status: 200, body: '1' })
    expect(Reflect.get(globalThis, 'ran')).toBeUndefined()
  })

  test('endless and enormous schemas have no answer', async () => {
    const schemas: Record<string, unknown> = {
      endless: {
        type: 'object',
        required: ['a'],
        properties: {
          a: { $ref: '#/paths/~1endless/get/responses/200/content/application~1json/schema' },
        },
      },
      items: { type: 'array', minItems: 1e9, items: { type: 'string' } },
      long: { type: 'string', minLength: 1e9 },
      never: { allOf: [{ type: 'string' }, { type: 'integer' }] },
      wide: { type: 'object', minProperties: 1e9, additionalProperties: true },
      nested: {
        type: 'array',
        minItems: 1000,
        items: { type: 'array', minItems: 1000, items: {} },
      },
    }
    const paths = Object.fromEntries(
      Object.entries(schemas).map(([name, schema]) => [`/${name}`, { get: ok(schema) }]),
    )
    const mock = createMock(await documentOf(minimal(paths)))
    for (const name of Object.keys(schemas)) {
      expect([name, mock.answer(call(`GET /${name}`), setting)]).toMatchObject([
        name,
        { code: 'mock/no_response' },
      ])
    }
  })
})

test('what is left out is noted with its place, and the rest is read', async () => {
  const { operations, notes } = await documentOf(
    minimal({
      '/ok': { get: { operationId: 'same', responses: { 200: { description: '' }, 600: {} } } },
      '/other': {
        get: { operationId: 'same', parameters: [{ name: 'a', in: 'body' }], responses: {} },
      },
      'no-slash': { get: {} },
      '/{a}/{a}': { get: {} },
      '/gone': { $ref: 'gone.yaml' },
    }),
  )
  expect(operations.map(({ id }) => id)).toEqual(['same', 'GET /other'])
  expect(notes.map(({ at, says }) => `${at} ${says}`)).toEqual([
    '#/paths/~1ok/get/responses/600 is no status that can be read',
    '#/paths/~1other/get its operationId stands twice',
    '#/paths/~1other/get/parameters/0 is no parameter that can be read',
    '#/paths/no-slash is no path that can be served',
    '#/paths/~1{a}~1{a} names a parameter twice',
    '#/paths/~1gone its $ref leads to a file that cannot be read: there is no such file',
  ])
})

test('references to files and between them are followed, and servers give the base path', async () => {
  const { title, servers, operations, notes } = await documentNamed('shop.yaml')
  expect({ title, servers, notes }).toEqual({
    title: 'Shop',
    servers: ['https://eu.shop.example.com/v1'],
    notes: [],
  })
  const order = operations.find(({ id }) => id === 'createOrder')
  const failure = order?.body?.media[0]?.shape?.properties.get('failure')
  expect(failure?.at).toBe('common/errors.yaml#/Failure')
  expect(failure?.properties.get('inner')).toBe(failure)
})

test('a document of a thousand operations is read in seconds', async () => {
  const shared = Object.fromEntries(
    Array.from({ length: 300 }, (_, i) => [
      `T${i}`,
      {
        type: 'object',
        required: ['id'],
        properties: {
          id: { type: 'string', pattern: '^t_[a-z0-9]{10,20}$' },
          next: { $ref: `#/components/schemas/T${(i + 1) % 300}` },
          ...Object.fromEntries(
            Array.from({ length: 15 }, (_, n) => [`field_${n}`, { type: 'string', maxLength: 50 }]),
          ),
        },
      },
    ]),
  )
  const paths = Object.fromEntries(
    Array.from({ length: 500 }, (_, i) => [
      `/things${i}/{id}`,
      {
        parameters: [{ name: 'id', in: 'path', required: true, schema: { type: 'string' } }],
        get: ok({ $ref: `#/components/schemas/T${i % 300}` }),
        post: {
          requestBody: {
            content: {
              'application/json': { schema: { $ref: `#/components/schemas/T${i % 300}` } },
            },
          },
          ...ok({ type: 'array', items: { $ref: `#/components/schemas/T${i % 300}` } }),
        },
      },
    ]),
  )
  const text = JSON.stringify(minimal(paths, { components: { schemas: shared } }))
  const started = performance.now()
  const document = await documentOf(JSON.parse(text))
  const mock = createMock(document)
  const answers = document.operations.map(({ method, path }) =>
    mock.answer(call(`${method} ${path.replace('{id}', 't_1')}`), setting),
  )
  // Five seconds on a machine of its own; this one has others.
  expect(performance.now() - started).toBeLessThan(30_000)
  expect(document.operations).toHaveLength(1000)
  expect(answers.filter((answer) => 'code' in answer)).toEqual([])
})
