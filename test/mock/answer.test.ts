import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { MockAnswer } from '../../src/mock/answer.ts'
import { createMock } from '../../src/mock/mock.ts'
import { createSampler } from '../../src/mock/sample.ts'
import { clockOf, scenarioOf } from '../../src/mock/scenario.ts'
import { createValidator } from '../../src/mock/schema.ts'
import { createVariants } from '../../src/mock/variants.ts'
import { problems, type Refusal } from '../../src/problem.ts'
import { call, documentNamed, mockNamed, setting, shapeOf } from './read.ts'

const shop = await mockNamed('shop.yaml')
const sessions = await mockNamed('sessions.json')
type Sent = Parameters<typeof call>[1]

type Asked = Partial<Refusal & Omit<MockAnswer, 'body'>> & {
  places?: string[]
  // What a document's answer holds is what the tests look at.
  body?: ReturnType<typeof JSON.parse>
}

function ask(mock: typeof shop, line: string, sent?: Sent, seed = setting.seed): Asked {
  const answer = mock.answer(call(line, sent), { ...setting, seed })
  if ('code' in answer)
    return { ...answer, places: answer.errors?.map((one) => `${one.location} ${one.code}`) }
  const isJson = answer.headers['content-type'] === 'application/json'
  return { ...answer, body: isJson && answer.body !== null ? JSON.parse(answer.body) : answer.body }
}

describe('what the document does not have is refused', () => {
  test.each<[string, Sent, object]>([
    ['GET /v1/nothing', {}, { code: 'mock/no_response' }],
    ['PUT /v1/customers', {}, { code: 'mock/no_response' }],
    ['GET /v1/customers?limit=0', {}, { code: 'request/invalid', places: ['query.limit minimum'] }],
    ['GET /v1/customers?limit=x', {}, { code: 'request/invalid', places: ['query.limit type'] }],
    [
      'GET /v1/customers/no',
      {},
      { code: 'request/invalid', param: 'customer_id', places: ['path.customer_id pattern'] },
    ],
    ['POST /v1/customers', {}, { places: ['body required'] }],
    [
      'POST /v1/customers',
      { body: { email: 'x', status: 'y' } },
      { places: ['body.email format', 'body.status enum'] },
    ],
    [
      'POST /v1/customers',
      { body: 1, headers: { 'content-type': 'text/csv' } },
      { code: 'request/unsupported_media_type' },
    ],
    [
      'GET /v1/customers/cus_1234',
      { headers: { prefer: 'code=418' } },
      { places: ['header.Prefer unknown'] },
    ],
    [
      'GET /v1/customers/cus_1234',
      { headers: { prefer: 'code=404, example=wrong' } },
      { places: ['header.Prefer unknown'] },
    ],
  ])('%s %j', (line, sent, expected) => {
    expect(ask(shop, line, sent)).toMatchObject(expected)
  })
})

describe('Prefer and Accept choose', () => {
  test.each<[string, Sent, object]>([
    [
      'GET /v1/customers/cus_1234',
      { headers: { prefer: 'code=404, example="never"' } },
      { status: 404, body: { code: 'never' } },
    ],
    [
      'GET /v1/customers/cus_1234',
      { headers: { prefer: 'respond-async, code=404' } },
      { status: 404, body: { code: 'gone' } },
    ],
    ['GET /v1/reports/sales.csv', {}, { headers: { 'content-type': 'text/csv; charset=utf-8' } }],
    [
      'GET /v1/reports/sales.csv',
      { headers: { accept: 'text/*;q=0.1, application/json' } },
      { body: [{ total: 12 }] },
    ],
    ['GET /v1/reports/sales.csv', { headers: { accept: 'image/png' } }, { status: 200 }],
    ['GET /v1/ping', {}, { status: 200, body: null }],
    ['DELETE /v1/customers/cus_1234', {}, { status: 204, body: null }],
  ])('%s %j', (line, sent, expected) => {
    expect(ask(shop, line, sent)).toMatchObject(expected)
  })

  test.each<[string, object]>([
    ['example=long', { body: { tokens: 6 } }],
    ['code=402', { status: 402, body: { error: 'no credit' } }],
    ['code=503', { status: 503, headers: { 'preference-applied': 'code=503' } }],
  ])('Prefer: %s', (prefer, expected) => {
    expect(ask(sessions, 'POST /v1/infer', { headers: { prefer } })).toMatchObject(expected)
  })
})

test('what the request gave is in the answer, in an envelope too', () => {
  expect(ask(shop, 'GET /v1/customers/cus_1234').body).toMatchObject({ id: 'cus_1234' })
  expect(ask(sessions, 'GET /v1/sessions/ses_9').body).toMatchObject({
    success: true,
    data: { id: 'ses_9' },
  })
  expect(ask(sessions, 'POST /v1/sessions/ses_9/end').body).toMatchObject({ id: 'ses_9' })
  expect(
    ask(sessions, 'POST /v1/sessions', { body: { userId: 'u7', size: 'small' } }).body,
  ).toMatchObject({
    data: { userId: 'u7', size: 'small' },
  })
  const orders: { customer_id: string }[] = ask(shop, 'GET /v1/customers/cus_1234/orders').body
  expect(new Set(orders.map((one) => one.customer_id))).toEqual(new Set(['cus_1234']))
  const posted = ask(shop, 'POST /v1/customers', {
    body: { email: 'a@b.co', password: 'hunter2-hunter2' },
  })
  expect(posted.body).toMatchObject({ email: 'a@b.co' })
  expect(posted.body).not.toHaveProperty('password')
})

test('O5: the same seed has the same answer, another tenant another; ids are marked', () => {
  const list = ask(shop, 'GET /v1/customers')
  expect(ask(shop, 'GET /v1/customers')).toEqual(list)
  const other = ask(shop, 'GET /v1/customers', {}, 'plt_a/test/tenant_b')
  expect(other.body.data[0].id).not.toBe(list.body.data[0].id)
  for (const { id } of list.body.data) expect(id).toMatch(/^cus_mock/)
  expect(new Set(list.body.data.map((one: { id: string }) => one.id)).size).toBe(3)
})

test('a thing of a list is the same thing by itself', () => {
  const [first] = ask(shop, 'GET /v1/customers').body.data
  expect(ask(shop, `GET /v1/customers/${first.id}`).body).toEqual(first)
})

test('nothing is called "string", and the gateway’s own headers are not the document’s', () => {
  const { headers, body } = ask(shop, 'POST /v1/customers', { body: { email: 'a@b.co' } })
  expect(JSON.stringify(body)).not.toMatch(/"string"/)
  expect(Object.keys(headers ?? {})).toEqual(['location', 'content-type', 'postern-mock'])
})

test('a live answer that no longer fits is drift', () => {
  const line = { method: 'GET', path: '/v1/customers/cus_1234' }
  expect(
    shop.drift(line, 200, { id: 'cus_1', email: 'a@b.co', created_at: 'yesterday' }),
  ).toMatchObject([{ location: 'body.created_at', code: 'format' }])
  expect(shop.drift(line, 418, {})).toMatchObject([{ location: 'status' }])
  expect(shop.drift({ method: 'GET', path: '/v1/x' }, 200, {})).toMatchObject([
    { location: 'path' },
  ])
})

// ---- samples ---------------------------------------------------------------------------------------

const leaf = fc.oneof(
  fc.record({
    type: fc.constant('string'),
    minLength: fc.nat(5),
    maxLength: fc.integer({ min: 5, max: 40 }),
  }),
  fc
    .constantFrom(
      'date-time',
      'date',
      'email',
      'uuid',
      'uri',
      'ipv4',
      'ipv6',
      'hostname',
      'byte',
      'duration',
      'time',
    )
    .map((format) => ({ type: 'string', format })),
  fc
    .constantFrom('^[A-Z]{2}-\\d{3}$', '^(?:a|b)+$', '^x[^y]*z$')
    .map((pattern) => ({ type: 'string', pattern })),
  fc.record({
    type: fc.constantFrom('integer', 'number'),
    minimum: fc.integer({ min: -50, max: 50 }),
    maximum: fc.integer({ min: 51, max: 90 }),
  }),
  fc.record({ type: fc.constant('number'), multipleOf: fc.constantFrom(0.01, 0.5, 3) }),
  fc.constantFrom(
    { type: 'boolean' },
    { enum: ['a', 1, null] },
    { const: 7 },
    { type: ['string', 'null'] },
    {},
  ),
)
const names = fc.constantFrom(
  'id',
  'email',
  'createdAt',
  'price',
  'name',
  'status',
  'user_id',
  'count',
  'constructor',
  'tags',
)
const { schema } = fc.letrec<{ schema: object }>((tie) => ({
  schema: fc.oneof(
    { maxDepth: 3, withCrossShrink: true },
    leaf,
    fc.record({
      type: fc.constant('array'),
      items: tie('schema'),
      minItems: fc.nat(2),
      maxItems: fc.integer({ min: 2, max: 4 }),
    }),
    fc
      .dictionary(names, tie('schema'), { maxKeys: 4, noNullPrototype: true })
      .map((properties) => ({
        type: 'object',
        properties,
        required: Object.keys(properties).slice(0, 2),
        additionalProperties: false,
      })),
    fc.array(tie('schema'), { minLength: 1, maxLength: 3 }).map((anyOf) => ({ anyOf })),
  ),
}))

test('a sample fits its schema, whatever the schema, and is the same for the same seed', async () => {
  const validator = createValidator('response')
  await fc.assert(
    fc.asyncProperty(schema, fc.string(), async (one, seed) => {
      const { shape } = await shapeOf(one)
      const wish = {
        seed,
        request: 'r',
        today: setting.now,
        owner: 'thing',
        given: new Map(),
        above: new Map(),
        isWhole: false,
        items: null,
      }
      const sampler = createSampler(validator, createVariants())
      const made = sampler.sample(shape, wish)
      expect(made).not.toBeNull()
      expect(validator.faults(shape, made?.value, 'body')).toEqual([])
      expect(createSampler(validator, createVariants()).sample(shape, wish)).toEqual(made)
    }),
    { numRuns: Number(process.env.FUZZ_RUNS ?? 300) },
  )
})

test.each(['shop.yaml', 'sessions.json'])('every answer of %s fits the document', async (name) => {
  const document = await documentNamed(name)
  const mock = createMock(document)
  const bodies: Record<string, unknown> = {
    createCustomer: { email: 'a@b.co' },
    'sessions.create': { userId: 'u' },
    'sessions.replace': { userId: 'u' },
  }
  for (const { id, method, path } of document.operations) {
    if (id === 'createOrder') continue
    const at = path.replace('{customer_id}', 'cus_1234').replaceAll(/\{\w+\}/g, 'ses_1')
    const answer = mock.answer(call(`${method} ${at}`, { body: bodies[id] }), setting)
    if ('code' in answer) throw new Error(`${id}: ${JSON.stringify(answer)}`)
    if (answer.headers['content-type'] !== 'application/json') continue
    expect([
      id,
      mock.drift({ method, path: at }, answer.status, JSON.parse(answer.body ?? '')),
    ]).toEqual([id, []])
  }
})

// ---- scenarios -------------------------------------------------------------------------------------

test.each(['', 'boom', 'constructor', '__proto__', 'rate_limited, slow'])(
  'no scenario: %j',
  (name) => {
    expect(scenarioOf(name, 0)).toMatchObject({ code: 'request/invalid' })
  },
)

test('every failure that the gateway can produce can be asked for', () => {
  expect(scenarioOf(null, 0)).toBeNull()
  for (const code of Object.keys(problems)) {
    expect(scenarioOf(code, 0)).toMatchObject({ kind: 'refuse', refusal: { code } })
  }
  expect(scenarioOf('rate_limited', 0)).toMatchObject({
    refusal: { code: 'rate_limit/exceeded', headers: { 'retry-after': '30' } },
  })
  expect(scenarioOf('upstream_timeout', 0)).toMatchObject({ refusal: { code: 'upstream/timeout' } })
  expect(scenarioOf('upstream_down', 0)).toMatchObject({
    refusal: { code: 'upstream/unreachable' },
  })
  expect(scenarioOf('slow', 0)).toMatchObject({ kind: 'pass', delayMs: 3000 })
  expect(scenarioOf('key_expiring', 0)).toMatchObject({
    headers: { 'postern-key-expires': '1970-01-02T00:00:00.000Z' },
  })
})

test.each([
  ['', null],
  ['tomorrow', null],
  ['+1y', null],
  ['-1d', null],
  ['+999999999d', null],
  ['2027-13-01T00:00:00Z', null],
  ['+30d', 30 * 86_400_000],
  ['1970-01-01T01:00:00Z', 3_600_000],
  [null, 0],
])('the clock %j', (header, now) => {
  expect(clockOf(header, 0)).toMatchObject(now === null ? { code: 'request/invalid' } : { now })
})
