import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { KeyRecord, Platform } from '../src/context.ts'
import { type Credentials, createCredentials } from '../src/db/credentials.ts'
import { presets } from '../src/keys/schemes.ts'
import { type SeedStores, seededKeys, seedOperator, seedPlatform } from '../src/seed.ts'
import { createDatabase, type TestDatabase } from './database.ts'
import { startGate, type TestGate } from './gate.ts'

let database: TestDatabase
let gate: TestGate
let credentials: Credentials
let stores: SeedStores
beforeAll(async () => {
  database = await createDatabase({ migrate: false })
  gate = await startGate({ DATABASE_URL: database.ownerUrl })
  const { gatewaySql, tenantSql } = gate.deployment.ports
  credentials = createCredentials(gatewaySql)
  stores = { credentials, tenantSql, pepper: { version: 1, bytes: new Uint8Array(32) } }
})
afterAll(async () => {
  await gate?.stop()
  await database?.drop()
})

const platformOf = (name: string, scheme: Platform['scheme']): Platform => ({
  ...gate.config.platforms[0]!,
  id: `plt_${name}`,
  scheme,
})
const two = [
  { id: 'first', suspended: true },
  { id: 'second', suspended: false },
]
const byName = (records: readonly KeyRecord[]) => new Map(records.map((one) => [one.name, one]))

describe('a platform without keys', () => {
  test('K17: gets one of each prefix: publishable ones read and nothing more', async () => {
    const platform = platformOf('azotte', presets.azotte)
    const made = await seedPlatform(platform, two, stores)
    expect(made?.map(({ name }) => name)).toEqual([
      'PK_DEV',
      'SK_DEV',
      'PK_LIVE',
      'SK_LIVE',
      'ADMIN',
    ])
    const records = byName(await credentials.listKeys(platform.id))
    expect(records.size).toBe(5)
    for (const name of ['local PK_DEV', 'local PK_LIVE']) {
      const { permissions = [], class: kind } = records.get(name) ?? {}
      expect(kind).toBe('publishable')
      expect(permissions.length).toBeGreaterThan(0)
      expect(
        permissions.filter((one) => !one.endsWith(':read') || one.startsWith('admin:')),
      ).toEqual([])
    }
    expect(records.get('local ADMIN')).toMatchObject({
      ...{ environment: 'live', class: 'secret', permissions: ['*'], tenants: null },
    })
    // The store has digests; what a key is called there does not hold it.
    for (const { key } of made ?? []) expect(JSON.stringify([...records])).not.toContain(key)
  })

  test('whose keys imply the tenant: each is for one, and for one that works', async () => {
    const platform = platformOf('theazo', presets.theazo)
    await seedPlatform(platform, two, stores)
    for (const { tenants } of await credentials.listKeys(platform.id)) {
      expect(tenants).toEqual(['second'])
    }
  })
})

test('what has keys is left alone', async () => {
  const platform = platformOf('twice', presets.generic)
  expect(await seedPlatform(platform, two, stores)).toHaveLength(3)
  const before = await credentials.listKeys(platform.id)
  expect(await seedPlatform(platform, two, stores)).toBeNull()
  expect(await credentials.listKeys(platform.id)).toEqual(before)
  // The gate's own start has made the operator key.
  expect(await seedOperator(stores)).toBeNull()
})

test('seeded keys are found by how their strings start; those revoked or made otherwise are not', async () => {
  const platform = platformOf('found', presets.generic)
  const made = await seedPlatform(platform, two, stores)
  const found = await seededKeys(platform, credentials)
  expect(found.map(({ name }) => name).sort()).toEqual(['ADMIN', 'SK_LIVE', 'SK_TEST'])
  for (const { name, start } of found) {
    expect(made?.find((one) => one.name === name)?.key.startsWith(start)).toBe(true)
  }
  const text = `update postern.api_keys set revoked_at = now() where name = 'local ADMIN'`
  await gate.deployment.ports.gatewaySql.query({ platform: platform.id }, { text })
  const left = await seededKeys(platform, credentials)
  expect(left.map(({ name }) => name).sort()).toEqual(['SK_LIVE', 'SK_TEST'])
  expect(await seededKeys(null, credentials)).toMatchObject([{ name: 'OPERATOR' }])
})
