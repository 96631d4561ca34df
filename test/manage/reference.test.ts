/**
 * The OpenAPI document says what the API does: every operation is called with the examples that stand
 * in it, and what comes back has the shape that the document gives it and the fields of its example.
 */
import { createHash } from 'node:crypto'
import { gunzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { createDatabase, type TestDatabase } from '../database.ts'
import { roomyConfig, startGate, type TestGate } from '../gate.ts'
import { callerOf, refusal } from './caller.ts'

const config = roomyConfig().replace(
  '    vocabulary: azotte',
  '    vocabulary: azotte\n    adopted: [{ prefix: old_, class: secret, environment: live }]',
)

let database: TestDatabase
let gate: TestGate
let api: ReturnType<typeof callerOf>
// A document is data: its shape is what is tested.
let document: ReturnType<typeof JSON.parse>
beforeAll(async () => {
  database = await createDatabase({ migrate: false })
  gate = await startGate({ DATABASE_URL: database.ownerUrl }, config)
  api = callerOf(gate.url, gate.seeded.admin)
  document = (await api.call('GET', '/v1/openapi.json', { key: '' })).json
})
afterAll(async () => {
  await gate?.stop()
  await database?.drop()
})

type Operation = {
  operationId: string
  parameters?: {
    $ref?: string
    name: string
    in: string
    example?: unknown
    schema: { example?: unknown }
  }[]
  requestBody?: { content: Record<string, { schema: object; example?: unknown }> }
  responses: Record<string, { content?: Record<string, { schema: object; example?: unknown }> }>
}

/** The schema with the components that it refers to, as a validator. */
function validator(schema: object) {
  const text = JSON.stringify({ ...schema, $defs: document.components.schemas })
  return z.fromJSONSchema(JSON.parse(text.replaceAll('#/components/schemas/', '#/$defs/')))
}

/** Names of all fields, as paths; of a list, those of its first item. */
function fieldsOf(value: unknown, at = ''): string[] {
  if (Array.isArray(value)) return value.length === 0 ? [] : fieldsOf(value[0], `${at}[]`)
  if (typeof value !== 'object' || value === null) return []
  // What a caller puts in there is his.
  if (/\.(?:metadata|changes)$/.test(at)) return []
  return Object.entries(value).flatMap(([name, one]) => [
    `${at}.${name}`,
    ...fieldsOf(one, `${at}.${name}`),
  ])
}

test('every operation is called as its example says, and answers as its example does', async () => {
  const called: string[] = []
  for (const [path, methods] of Object.entries<Record<string, Operation>>(document.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      called.push(operation.operationId)
      await callOperation(method.toUpperCase(), path, operation)
    }
  }
  expect(called.length).toBe(new Set(called).size)
  expect(called).toHaveLength(22)
})

async function callOperation(method: string, path: string, operation: Operation) {
  const { operationId } = operation
  const made = await api.make({ rate_limit: { quota: 5, window_seconds: 1 } })
  let target = path.replace('{id}', path.includes('tenants') ? 'tenant_abc123' : made.id)
  let body = operation.requestBody?.content['application/json']?.example
  const parameters = (operation.parameters ?? [])
    .filter(({ $ref }) => $ref === undefined)
    .map((one) => ({ ...one, example: one.example ?? one.schema.example }))
  const query = parameters.filter((one) => one.in === 'query' && one.example !== undefined)
  if (query.length > 0) {
    target += `?${query.map(({ name, example }) => `${name}=${String(example)}`).join('&')}`
  }
  const headers = Object.fromEntries(
    parameters
      .filter((one) => one.in === 'header' && one.example !== undefined)
      .map(({ name, example }) => [name, String(example)]),
  )
  if (operationId === 'updateTenant') headers['if-match'] = '*'
  const [expected] = Object.keys(operation.responses).filter((status) => status !== 'default')
  const documented = operation.responses[expected ?? '']?.content ?? {}
  if (operationId === 'updateApiKey') body = { ...Object(body), platform: 'acme' }
  const answer = await api.call(method, target, { body, headers })
  expect([operationId, answer.status, answer.json?.errors]).toEqual([
    operationId,
    Number(expected),
    undefined,
  ])
  const { schema, example } = documented['application/json'] ?? {}
  if (schema === undefined) {
    expect(Object.keys(documented)).toContain(answer.headers.get('content-type'))
    return
  }
  expect([operationId, validator(schema).safeParse(answer.json).error]).toEqual([
    operationId,
    undefined,
  ])
  expect(validator(schema).safeParse(example).error, operationId).toBeUndefined()
  const answered = fieldsOf(answer.json)
  const promised = fieldsOf(example)
  expect([operationId, promised.filter((field) => !answered.includes(field))]).toEqual([
    operationId,
    [],
  ])
}

test('is OpenAPI 3.1, needs no key, and its references lead somewhere', () => {
  expect(document.openapi).toBe('3.1.0')
  const text = JSON.stringify(document)
  for (const [, kind = '', name = ''] of text.matchAll(/"#\/components\/(\w+)\/(\w+)"/g)) {
    expect(document.components[kind]?.[name], name).toBeDefined()
  }
  expect(text).toContain('IdempotencyKey')
})

test('a refusal has the shape that the document gives it', async () => {
  const answer = await api.call('POST', '/v1/api-keys', { body: { nam: 'x' } })
  expect(
    validator(document.components.schemas.Problem).safeParse(answer.json).error,
  ).toBeUndefined()
})

describe('the page', () => {
  test('loads its scripts from here, and may load from nowhere else', async () => {
    const page = await api.call('GET', '/v1/docs', { key: '' })
    expect([page.status, page.headers.get('content-type')]).toEqual([
      200,
      'text/html; charset=utf-8',
    ])
    expect(page.headers.get('content-security-policy')).toMatch(
      /default-src 'none'; script-src 'self'/,
    )
    const scripts = [...page.text.matchAll(/src="([^"]+)"/g)].map(([, path = '']) => path)
    expect(scripts).toHaveLength(2)
    for (const path of scripts) {
      const script = await api.call('GET', path, { key: '' })
      expect([path, script.status]).toEqual([path, 200])
      expect(script.headers.get('content-type')).toBe('text/javascript; charset=utf-8')
    }
    expect(page.text).not.toMatch(/https?:/)
  })

  test('the script is the one that is written down, packed or not', async () => {
    const path = '/v1/docs/scalar-1.46.4.js'
    const hash = '81b8d2bdab4a42ab81465386441b9a0f928b68631364360f00e8cce620cc1efb'
    const { get } = await import('node:http')
    for (const encoding of ['gzip', 'identity', 'gzip;q=0', 'br, gzip']) {
      const chunks: Buffer[] = []
      const headers = await new Promise<NodeJS.Dict<string | string[]>>((resolve, reject) => {
        get(gate.url + path, { headers: { 'accept-encoding': encoding } }, (response) => {
          response.on('data', (chunk) => chunks.push(chunk))
          response.on('end', () => resolve(response.headers))
          response.on('error', reject)
        }).on('error', reject)
      })
      const body = Buffer.concat(chunks)
      const packed = headers['content-encoding'] === 'gzip'
      expect([encoding, packed]).toEqual([encoding, encoding === 'gzip' || encoding === 'br, gzip'])
      const script = packed ? gunzipSync(body) : body
      expect(createHash('sha256').update(script).digest('hex')).toBe(hash)
      expect(headers['cache-control']).toContain('immutable')
    }
  })

  test.each([
    ['GET', '/v1/docs/other.js', '404 route/not_found'],
    ['GET', '/v1/docs/', '404 route/not_found'],
    ['POST', '/v1/docs', '405 route/method_not_allowed'],
    ['DELETE', '/v1/openapi.json', '405 route/method_not_allowed'],
  ])('%s %s: %s', async (method, path, expected) => {
    expect(refusal(await api.call(method, path, { key: '' }))).toBe(expected)
  })
})
