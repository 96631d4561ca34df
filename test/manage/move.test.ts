/** Keys from elsewhere work with their old string; keys that leave can come in again. */
import { createHash } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createDatabase, type TestDatabase } from '../database.ts'
import { roomyConfig, startGate, type TestGate } from '../gate.ts'
import { callerOf, refusal } from './caller.ts'

const config = roomyConfig().replace(
  '    vocabulary: azotte',
  `    vocabulary: azotte
    adopted:
      - { prefix: old_, class: secret, environment: live }
      - { prefix: web_, class: publishable, environment: live }`,
)
const ndjson = { 'content-type': 'application/x-ndjson' }

let database: TestDatabase
let gate: TestGate
let api: ReturnType<typeof callerOf>
beforeAll(async () => {
  database = await createDatabase({ migrate: false })
  gate = await startGate({ DATABASE_URL: database.ownerUrl }, config)
  api = callerOf(gate.url, gate.seeded.admin)
})
afterAll(async () => {
  await gate?.stop()
  await database?.drop()
})

const use = async (key: string, method = 'GET') => {
  const headers = { 'x-api-key': key, 'x-tn': 'tenant_abc123' }
  return (await fetch(`${gate.url}/v1/subscriptions`, { method, headers })).status
}
const bring = (lines: readonly unknown[]) =>
  api.call('POST', '/v1/api-keys/import', {
    ...{ raw: lines.map((line) => JSON.stringify(line)).join('\n'), headers: ndjson },
  })
let count = 0
const oldKey = () => `old_${createHash('sha256').update(`${count++}`).digest('hex')}`
const permissions = ['data:read']

test('by its string or by its SHA-256, however that is written: it works as it did', async () => {
  const keys = Array.from({ length: 5 }, oldKey)
  const sha = (key: string, as: 'hex' | 'base64' | 'base64url') =>
    createHash('sha256').update(key).digest(as)
  const [plain = '', hex = '', base64 = '', base64url = '', listed = ''] = keys
  // Tried before it is there, and remembered as unknown.
  expect(await use(plain)).toBe(401)
  const of = (key: string) => ({ name: 'old', prefix: 'old_', last4: key.slice(-4), permissions })
  const answer = await bring([
    { name: 'old', key: plain, permissions },
    { ...of(hex), sha256: sha(hex, 'hex').toUpperCase() },
    { ...of(base64), sha256: sha(base64, 'base64') },
    { ...of(base64url), sha256: sha(base64url, 'base64url') },
  ])
  expect(answer.json.data).toMatchObject({ imported: 4, conflicts: 0 })
  const list = await api.call('POST', '/v1/api-keys/import', {
    body: [{ ...of(listed), sha256: sha(listed, 'hex') }],
  })
  expect(list.json.data.imported).toBe(1)
  for (const key of keys) expect([await use(key), await use(key, 'DELETE')]).toEqual([200, 403])
  const { id } = answer.json.data.keys[0]
  const { json } = await api.call('GET', `/v1/api-keys/${id}`)
  expect(json.data).toMatchObject({ prefix: 'old_', ref: '', last4: plain.slice(-4) })
  expect(await gate.logged()).not.toContain(plain)
  // K15: the same secret again, alone and beside a new one.
  const again = await bring([
    { ...of(hex), sha256: sha(hex, 'hex') },
    { name: 'n', key: oldKey() },
  ])
  const outcomes = again.json.data.keys.map(({ outcome }: { outcome: string }) => outcome)
  expect(outcomes).toEqual(['conflict', 'imported'])
})

describe('one fault, and none is stored', () => {
  const good = () => ({ name: 'good', key: oldKey() })
  test.each<[string, unknown, string]>([
    ['no secret', { name: 'x', prefix: 'old_', last4: 'abcd' }, 'body[1]'],
    ['two secrets', { name: 'x', key: 'old_0123456789abcdef', sha256: 'a'.repeat(64) }, 'body[1]'],
    ['a prefix of nobody', { name: 'x', key: 'new_0123456789abcdef' }, 'body[1].key'],
    [
      'a digest of an issued prefix',
      {
        ...{ name: 'x', prefix: 'sk_live_', sha256: 'a'.repeat(64), last4: 'abcd' },
      },
      'body[1].prefix',
    ],
    [
      'a short digest',
      { name: 'x', prefix: 'old_', sha256: 'a'.repeat(63), last4: 'abcd' },
      'body[1].sha256',
    ],
    ['no last four', { name: 'x', prefix: 'old_', sha256: 'a'.repeat(64) }, 'body[1].last4'],
    ['an unknown field', { name: 'x', key: 'old_0123456789abcdef', digest: 'x' }, 'body[1].digest'],
    [
      'an unknown permission',
      { name: 'x', key: 'old_0123456789abcdef', permissions: ['a:b'] },
      'body[1].permissions[0]',
    ],
    [
      'a browser key without origins',
      { name: 'x', key: 'web_0123456789abcdef' },
      'body[1].restrictions.origins',
    ],
    ['a line that is no object', 'text', 'body[1]'],
  ])('%s', async (_, line, location) => {
    const name = `beside ${location} ${count}`
    const answer = await bring([{ ...good(), name }, line])
    expect(refusal(answer)).toBe('400 request/invalid')
    expect(answer.json.errors.map((one: { location: string }) => one.location)).toContain(location)
    const { json } = await api.call('GET', `/v1/api-keys?name=${encodeURIComponent(name)}`)
    expect(json.data).toEqual([])
  })

  test.each([
    ['{"name":"a"', '400 request/malformed'],
    ['{"name":"a","name":"b"}', '400 request/malformed'],
    ['', '400 request/invalid'],
  ])('a body of %j', async (raw, expected) => {
    const answer = await api.call('POST', '/v1/api-keys/import', { raw, headers: ndjson })
    expect(refusal(answer)).toBe(expected)
  })

  test('a body of another type, or with too much in it', async () => {
    const headers = { 'content-type': 'text/csv' }
    const csv = await api.call('POST', '/v1/api-keys/import', { raw: 'a,b', headers })
    expect(refusal(csv)).toBe('415 request/unsupported_media_type')
    const many = await bring(Array.from({ length: 20_001 }, () => 1))
    expect(refusal(many)).toBe('400 request/invalid')
  })

  test('G3: nobody imports more than he holds', async () => {
    const { key } = await api.make({ permissions: ['admin:keys'] })
    const raw = JSON.stringify({ name: 'x', key: oldKey(), permissions: ['data:write'] })
    const sent = { key, raw, headers: ndjson }
    expect(refusal(await api.call('POST', '/v1/api-keys/import', sent))).toBe(
      '403 auth/insufficient_permission',
    )
  })
})

test('ten thousand keys come in one call, into a database that was nearly empty', async () => {
  const keys = Array.from({ length: 10_000 }, oldKey)
  const answer = await bring(keys.map((key, n) => ({ name: `bulk ${n}`, key, permissions })))
  expect(answer.json.data).toMatchObject({ imported: 10_000, conflicts: 0 })
  expect(await use(keys.at(-1) ?? '')).toBe(200)
})

test('what is exported comes in again, dead keys excepted', async () => {
  const kept = await api.make({ name: 'kept', permissions, metadata: { a: 1 } })
  const dead = await api.make({ name: 'dead' })
  await api.call('DELETE', `/v1/api-keys/${dead.id}`)
  const exported = await api.call('GET', '/v1/api-keys/export')
  expect(exported.headers.get('content-type')).toBe('application/x-ndjson')
  expect(exported.text).not.toContain(kept.key.slice(-38))
  const lines = exported.text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
  expect(lines.find(({ id }) => id === dead.id)).toBeUndefined()
  const line = lines.find(({ id }) => id === kept.id)
  expect(line).toMatchObject({ name: 'kept', prefix: 'sk_live_', ref: kept.ref, permissions })
  expect((await bring([line])).json.data).toMatchObject({ imported: 0, conflicts: 1 })
  // As if into another deployment under the same pepper.
  const { gatewaySql } = gate.deployment.ports
  const scope = { platform: 'plt_acme' }
  const move = 'update postern.api_key_secrets set digest = sha256(digest) where key_id = $1'
  await gatewaySql.query(scope, { text: move, values: [kept.id] })
  const rename = "update postern.api_keys set ref = 'xxxxxxxxx' where id = $1"
  await gatewaySql.query(scope, { text: rename, values: [kept.id] })
  const fresh = { ...line, id: line.id.replace(/.$/, (last: string) => (last === '0' ? '1' : '0')) }
  expect((await bring([fresh])).json.data).toMatchObject({ imported: 1, conflicts: 0 })
  expect(await use(kept.key)).toBe(200)
})
