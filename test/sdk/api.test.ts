/** The client over a gate: every resource, with the answers of the API that it was made for. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  AuthenticationError,
  ConflictError,
  InvalidRequestError,
  NotFoundError,
  Postern,
  type PosternOptions,
} from '../../sdk/typescript/src/postern.ts'
import { createDatabase, type TestDatabase } from '../database.ts'
import { startGate, type TestGate } from '../gate.ts'
import { run } from '../process.ts'
import { readText, repository } from '../source.ts'

let database: TestDatabase
let gate: TestGate
let admin: Postern
const client = (options: PosternOptions = {}) =>
  new Postern({ apiKey: gate.seeded.admin, baseUrl: gate.url, ...options })
beforeAll(async () => {
  database = await createDatabase({ migrate: false })
  gate = await startGate({ DATABASE_URL: database.ownerUrl })
  admin = client()
})
afterAll(async () => {
  await gate?.stop()
  await database?.drop()
})

async function collect<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const found: Item[] = []
  for await (const one of items) found.push(one)
  return found
}
const call = (key: string) =>
  fetch(`${gate.url}/v1/subscriptions`, { headers: { 'x-api-key': key, 'x-tn': 'tenant_abc123' } })

describe('a key', () => {
  test('lives: made, called with, restricted, rotated, disabled, enabled, revoked', async () => {
    const made = await admin.apiKeys.create({
      ...{ name: 'life', environment: 'live', permissions: ['data:read'] },
      expiresAt: new Date('2037-01-31T00:00:00Z'),
      rateLimit: { quota: 100, windowSeconds: 60 },
      metadata: { snake_name: 'kept', camelName: 1 },
    })
    expect(made).toMatchObject({
      ...{ object: 'api_key', status: 'never_used', expiresAt: '2037-01-31T00:00:00.000Z' },
      rateLimit: { name: 'custom', quota: 100, windowSeconds: 60 },
      metadata: { snake_name: 'kept', camelName: 1 },
    })
    expect((await call(made.key)).status).toBe(200)
    expect(await admin.apiKeys.get(made.id)).not.toHaveProperty('key')

    const restrictions = { ips: ['203.0.113.0/24'] }
    const held = await admin.apiKeys.update(made.id, { restrictions }, { ifMatch: made.etag })
    expect(held.restrictions).toEqual({
      ...{ ips: ['203.0.113.0/24'], origins: null, referrers: null, endpoints: null },
    })
    expect((await call(made.key)).status).toBe(403)
    const stale = admin.apiKeys.update(made.id, { name: 'other' }, { ifMatch: made.etag })
    await expect(stale).rejects.toThrow(ConflictError)
    await admin.apiKeys.update(made.id, { restrictions: null, name: 'life two' })

    const rotated = await admin.apiKeys.rotate(made.id, { overlap: '1h', endAfterQuietHours: 2 })
    expect(rotated.id).toBe(made.id)
    expect(rotated.key).not.toBe(made.key)
    expect(rotated.rotation.secrets.map(({ state }) => state)).toEqual(['current', 'overlapping'])
    expect((await call(made.key)).status).toBe(200)
    expect((await call(rotated.key)).status).toBe(200)

    expect((await admin.apiKeys.disable(made.id)).status).toBe('disabled')
    expect((await call(rotated.key)).status).toBe(401)
    expect((await admin.apiKeys.enable(made.id)).status).not.toBe('disabled')
    expect((await call(rotated.key)).status).toBe(200)
    const ended = await admin.apiKeys.revoke(made.id, { wait: 'none' })
    expect(ended).toMatchObject({
      ...{ id: made.id, status: 'revoked' },
      receipt: { nodes: 1, acknowledged: 1, epoch: expect.any(Number), maxStalenessMs: 0 },
    })
    expect(Date.parse(ended.receipt.effectiveAt)).toBeLessThanOrEqual(Date.now())
    expect((await call(rotated.key)).status).toBe(401)
  })

  test('is made once by two calls with one Idempotency-Key', async () => {
    const options = { idempotencyKey: 'made-once' }
    const body = { name: 'once', environment: 'test' } as const
    const first = await admin.apiKeys.create(body, options)
    expect(await admin.apiKeys.create(body, options)).toEqual(first)
    expect(await collect(admin.apiKeys.list({ name: 'once' }))).toHaveLength(1)
  })

  test('is verified without a charge', async () => {
    const { key } = await admin.apiKeys.create({ name: 'asked', environment: 'live' })
    const verdict = await admin.apiKeys.verify({ key, permission: 'data:read' })
    expect(verdict).toMatchObject({
      ...{ valid: false, code: 'auth/insufficient_permission', key: { name: 'asked' } },
    })
    expect(await admin.apiKeys.verify({ key })).toMatchObject({ valid: true, code: null })
  })

  test('tells its use', async () => {
    const { id } = await admin.apiKeys.create({ name: 'used', environment: 'live' })
    expect(await admin.apiKeys.usage(id, { from: '2026-11-01', to: '2026-11-30' })).toEqual({
      ...{ object: 'usage', keyId: id, from: '2026-11-01', to: '2026-11-30', days: [] },
      total: { requests: 0, errors: 0, bytesIn: 0, bytesOut: 0 },
    })
  })

  test('is listed, page by page or all at once', async () => {
    for (const n of [1, 2, 3, 4, 5]) {
      await admin.apiKeys.create({ name: `listed ${n}`, environment: 'test' })
    }
    const all = await collect(admin.apiKeys.list({ limit: 2, environment: 'test' }))
    expect(all.length).toBeGreaterThanOrEqual(5)
    expect(new Set(all.map(({ id }) => id)).size).toBe(all.length)
    expect(all.every(({ environment }) => environment === 'test')).toBe(true)
    const page = await admin.apiKeys.list({ limit: 2, environment: 'test' }).page()
    expect([page.data.length, page.hasMore]).toEqual([2, true])
    const cursor = page.nextCursor ?? ''
    const rest = await collect(admin.apiKeys.list({ limit: 2, environment: 'test', cursor }))
    expect(rest.map(({ id }) => id)).toEqual(all.slice(2).map(({ id }) => id))
  })

  test('goes out as it comes in', async () => {
    // A first start makes publishable keys without an origin, which nobody else may.
    const all = await collect(admin.apiKeys.export())
    const exported = all.filter(({ prefix }) => prefix?.startsWith('sk_'))
    expect(exported.length).toBeGreaterThan(5)
    const { imported, conflicts, keys } = await admin.apiKeys.import(exported)
    expect([imported, conflicts]).toEqual([0, exported.length])
    expect(keys[0]?.outcome).toBe('conflict')
  })
})

test('tenants, platforms, permissions and the audit', async () => {
  const made = await admin.tenants.create({ id: 'tenant_sdk', metadata: { plan_name: 'team' } })
  expect(made).toMatchObject({
    status: 'active',
    suspendedAt: null,
    metadata: { plan_name: 'team' },
  })
  const changed = await admin.tenants.update('tenant_sdk', { metadata: { seats: 3 } })
  expect(changed.metadata).toEqual({ plan_name: 'team', seats: 3 })
  expect((await admin.tenants.suspend('tenant_sdk')).status).toBe('suspended')
  expect((await admin.tenants.resume('tenant_sdk')).status).toBe('active')
  expect(await admin.tenants.get('tenant_sdk')).toMatchObject({ id: 'tenant_sdk' })
  expect((await collect(admin.tenants.list({ limit: 1 }))).length).toBeGreaterThan(2)

  const [platform] = await admin.platforms.list()
  expect(platform).toMatchObject({ slug: 'acme', scheme: 'azotte' })
  expect(platform?.keyTypes.map(({ type }) => type)).toContain('sk_live')
  const [group] = await admin.permissions.list()
  expect(group).toMatchObject({ service: 'vec', permission: 'vec:*' })

  const filter = { resource: 'tenant_sdk' }
  const events = await collect(admin.auditEvents.list({ ...filter, limit: 2 }))
  expect(events.map(({ action }) => action)).toEqual(
    ['resumed', 'suspended', 'updated', 'created'].map((verb) => `tenant.${verb}`),
  )
  expect(await collect(admin.auditEvents.export(filter))).toEqual(events.toReversed())
})

test('an operator names the platform once', async () => {
  const operator = client({ apiKey: gate.seeded.operator, platform: 'acme' })
  expect((await operator.apiKeys.list({ limit: 1 }).page()).data).toHaveLength(1)
  const lost = client({ apiKey: gate.seeded.operator, platform: 'nobody' })
  await expect(lost.apiKeys.list().page()).rejects.toThrow(NotFoundError)
})

test('errors are those of the API', async () => {
  const unknown = admin.apiKeys.get('key_00000000000000000000000000000000')
  await expect(unknown).rejects.toThrow(NotFoundError)
  const bad = client({ apiKey: 'sk_live_k7Gh2Qm9x_typo' }).apiKeys.list().page()
  await expect(bad).rejects.toThrow(AuthenticationError)
  const wrong = admin.apiKeys.create({
    name: ' x',
    environment: 'live',
    permissions: ['data:raed'],
  })
  await expect(wrong).rejects.toThrow(InvalidRequestError)
  await expect(wrong).rejects.toMatchObject({
    code: 'request/invalid',
    requestId: expect.stringMatching(/^req_/),
    docUrl: expect.stringContaining('/docs/errors/request/invalid'),
    errors: expect.arrayContaining([expect.objectContaining({ location: 'body.name' })]),
  })
})

test('the README runs as it stands', async () => {
  const blocks = [...readText('sdk/typescript/README.md').matchAll(/^```ts\n([\s\S]*?)^```$/gm)]
  expect(blocks.length).toBeGreaterThan(4)
  const source = blocks.map(([, code]) => code).join('\n')
  const entry = join(repository, 'sdk/typescript/src/postern.ts')
  const folder = mkdtempSync(join(tmpdir(), 'postern-readme-'))
  writeFileSync(join(folder, 'readme.mts'), source.replaceAll('@postern/sdk', entry))
  const done = await run(process.execPath, [join(folder, 'readme.mts')], {
    env: { POSTERN_API_KEY: gate.seeded.admin, POSTERN_URL: gate.url },
  })
  rmSync(folder, { recursive: true })
  expect(done).toMatchObject({ code: 0, stderr: '' })
  expect(done.stdout).toMatch(/^sk_live_\w+\n/)
  expect(done.stdout).toContain('false auth/key_revoked')
  expect(done.stdout).toContain('did you mean "data:read"?')
})
