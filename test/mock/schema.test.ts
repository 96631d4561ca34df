// biome-ignore-all lint/suspicious/noThenProperty: JSON Schema has a keyword of that name.
import { describe, expect, test } from 'vitest'
import { createValidator } from '../../src/mock/schema.ts'
import { shapeOf } from './read.ts'

const request = createValidator('request')
const response = createValidator('response')
const told = async (schema: unknown, value: unknown, version: '3.0' | '3.1' = '3.1') =>
  request
    .faults((await shapeOf(schema, version)).shape, value, 'body')
    .map(({ location, code }) => `${location} ${code}`)

describe('what does not fit is told with its place', () => {
  test.each<[unknown, unknown, string[]]>([
    [{ type: 'string' }, 1, ['body type']],
    [{ type: ['string', 'null'] }, 1, ['body type']],
    [{ type: 'integer' }, 1.5, ['body type']],
    [{ enum: ['a', { b: [1] }] }, { b: [2] }, ['body enum']],
    [{ const: null }, 0, ['body enum']],
    [{ minLength: 2 }, '😀', ['body length']],
    [{ pattern: '^a' }, 'ba', ['body pattern']],
    [{ format: 'uuid' }, 'x', ['body format']],
    [{ format: 'date' }, '2026-02-29', ['body format']],
    [{ format: 'date-time' }, '2026-02-28', ['body format']],
    [{ format: 'email' }, 'a b@c.de', ['body format']],
    [{ format: 'uri' }, '/relative', ['body format']],
    [{ format: 'int32' }, 2 ** 31, ['body format']],
    [{ minimum: 1, maximum: 2 }, 3, ['body maximum']],
    [{ exclusiveMinimum: 1 }, 1, ['body minimum']],
    [{ multipleOf: 0.1 }, 0.35, ['body multiple_of']],
    [{ items: { type: 'integer' } }, [1, 'a', 2, null], ['body[1] type', 'body[3] type']],
    [{ prefixItems: [{ type: 'string' }], items: false }, ['a', 1], ['body[1] not_allowed']],
    [{ contains: { const: 1 } }, [2], ['body contains']],
    [
      { uniqueItems: true },
      [
        { a: 1, b: 2 },
        { b: 2, a: 1 },
      ],
      ['body unique'],
    ],
    [{ minItems: 1 }, [], ['body items']],
    [{ required: ['a', 'b'] }, { a: 1 }, ['body.b required']],
    [
      { properties: { a: {} }, additionalProperties: false },
      { a: 1, b: 1 },
      ['body.b unknown_field'],
    ],
    [{ additionalProperties: { type: 'string' } }, { a: 1 }, ['body.a type']],
    [{ patternProperties: { '^x': { type: 'string' } } }, { x1: 1, y: 1 }, ['body.x1 type']],
    [{ propertyNames: { maxLength: 1 } }, { aa: 1 }, ['body.aa length']],
    [{ minProperties: 1 }, {}, ['body properties']],
    [
      { allOf: [{ required: ['a'] }, { required: ['b'] }] },
      {},
      ['body.a required', 'body.b required'],
    ],
    [{ anyOf: [{ type: 'string' }, { type: 'integer' }] }, true, ['body type']],
    [{ oneOf: [{ type: 'integer' }, { type: 'number' }] }, 1, ['body one_of']],
    [
      { oneOf: [{ required: ['a', 'b', 'c'] }, { required: ['d'] }] },
      { a: 1 },
      ['body.d required'],
    ],
    [{ not: { type: 'null' } }, null, ['body not']],
    [{ if: { required: ['a'] }, then: { required: ['b'] } }, { a: 1 }, ['body.b required']],
    [false, 1, ['body not_allowed']],
    [
      { properties: { a: { properties: { b: { type: 'string' } } } } },
      { a: { b: 1 } },
      ['body.a.b type'],
    ],
    [{ required: ['constructor'] }, {}, ['body.constructor required']],
    [{ properties: { toString: { type: 'string' } } }, { toString: 1 }, ['body.toString type']],
  ])('%j and %j', async (schema, value, faults) => {
    const { shape } = await shapeOf(schema)
    expect(await told(schema, value)).toEqual(faults)
    expect(request.fits(shape, value)).toBe(false)
  })
})

test.each<[unknown, unknown]>([
  [{ type: 'number' }, 1],
  [{ type: 'integer' }, 1.0],
  [{ multipleOf: 0.01 }, 19.99],
  [{ format: 'date-time' }, '2026-11-26T10:00:00.123+02:00'],
  [{ format: 'ipv6' }, '2001:db8::1'],
  [{ format: 'something-else' }, 'x'],
  [{ uniqueItems: true }, [1, '1', true, null, [1], { a: 1 }]],
  [{ properties: { a: { type: 'string' } } }, {}],
  [{ if: { required: ['a'] }, then: { required: ['b'] }, else: { required: ['c'] } }, { c: 1 }],
  [true, 'anything'],
  [{}, undefined],
])('%j takes %j', async (schema, value) => {
  expect(await told(schema, value)).toEqual([])
})

describe('the dialect of 3.0', () => {
  test('nullable is a type, and a boolean exclusiveMinimum an open bound', async () => {
    expect(await told({ type: 'string', nullable: true }, null, '3.0')).toEqual([])
    expect(await told({ enum: ['a'], type: 'string', nullable: true }, null, '3.0')).toEqual([])
    expect(await told({ minimum: 1, exclusiveMinimum: true }, 1, '3.0')).toEqual(['body minimum'])
    expect(await told({ type: 'string', nullable: true }, null, '3.1')).toEqual(['body type'])
  })

  test('what stands beside a $ref counts in 3.1 alone', async () => {
    const schema = {
      properties: { a: { $ref: '#/$defs/t', minLength: 3 } },
      $defs: { t: { type: 'string' } },
    }
    expect(await told(schema, { a: 'a' }, '3.0')).toEqual([])
    expect(await told(schema, { a: 'a' }, '3.1')).toEqual(['body.a length'])
    expect(await told(schema, { a: 1 }, '3.1')).toEqual(['body.a type'])
  })
})

test('readOnly fields are not asked of callers, and writeOnly ones not of answers', async () => {
  const { shape } = await shapeOf({
    required: ['id', 'secret'],
    properties: { id: { readOnly: true }, secret: { writeOnly: true } },
  })
  expect(request.fits(shape, { secret: 1 })).toBe(true)
  expect(request.fits(shape, { id: 1 })).toBe(false)
  expect(response.fits(shape, { id: 1 })).toBe(true)
  expect(response.fits(shape, { secret: 1 })).toBe(false)
})

test('a discriminator chooses the kind whose faults are told', async () => {
  const schema = {
    oneOf: [{ $ref: '#/$defs/Cat' }, { $ref: '#/$defs/Dog' }],
    discriminator: { propertyName: 'kind', mapping: { cat: '#/$defs/Cat' } },
    $defs: { Cat: { required: ['lives'] }, Dog: { required: ['breed'] } },
  }
  expect(await told(schema, { kind: 'cat' })).toEqual(['body.lives required'])
  expect(await told(schema, { kind: 'Dog' })).toEqual(['body.breed required'])
  expect(await told(schema, { kind: 'cow' })).toEqual(['body.kind discriminator'])
})

describe('O5: a hostile schema is refused in bounded time', () => {
  test('branches that double at every level', async () => {
    const levels = Object.fromEntries(
      Array.from({ length: 60 }, (_, i) => {
        const next = { $ref: i === 59 ? '#/$defs/end' : `#/$defs/l${i + 1}` }
        return [`l${i}`, { anyOf: [next, { allOf: [next] }] }]
      }),
    )
    const schema = { $ref: '#/$defs/l0', $defs: { ...levels, end: { type: 'string' } } }
    expect(await told(schema, 1)).toContain('body too_complex')
  })

  test('a schema that is itself', async () => {
    expect(await told({ allOf: [{ $ref: '#' }] }, 1)).toContain('body too_complex')
    expect(await told({ $ref: '#' }, 1)).toEqual([])
  })

  test('a long text and a dear pattern', async () => {
    const schema = { items: { pattern: '^(?:a{0,50}b?){20}$' } }
    const { shape } = await shapeOf(schema)
    expect(request.fits(shape, Array(50).fill('a'.repeat(20_000)))).toBe(false)
  })

  test('no more than fifty faults are told, and no value is repeated', async () => {
    const { shape } = await shapeOf({ items: { type: 'string', enum: ['a'], pattern: '^a$' } })
    const found = request.faults(shape, Array(5000).fill('th_live_secret'), 'body')
    expect(found).toHaveLength(50)
    expect(JSON.stringify(found)).not.toContain('th_live_secret')
  })
})

test('what is not enforced is noted', async () => {
  const { notes } = await shapeOf({
    properties: {
      a: { pattern: '(?=a)' },
      b: { $ref: '#/none' },
      c: { unevaluatedProperties: false },
    },
  })
  expect(notes.sort()).toEqual([
    '#/properties/a its pattern is not enforced: it cannot be run safely',
    '#/properties/b its $ref leads to nothing',
    '#/properties/c unevaluatedProperties is not enforced',
  ])
})
