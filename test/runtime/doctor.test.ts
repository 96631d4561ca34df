import { afterAll, beforeAll, expect, test } from 'vitest'
import { askGateway, examine } from '../../src/runtime/node/doctor.ts'
import { createDatabase, type TestDatabase, withClient } from '../database.ts'
import { startGate, type TestGate } from '../gate.ts'
import { freePort } from '../servers.ts'

const secret = Buffer.alloc(32, 7).toString('base64')
const secrets = { POSTERN_PEPPER: secret, POSTERN_MASTER_KEY: secret }
let database: TestDatabase
let gate: TestGate
beforeAll(async () => {
  database = await createDatabase()
  gate = await startGate({ DATABASE_URL: database.ownerUrl })
})
afterAll(async () => {
  await gate?.stop()
  await database?.drop()
})

const roles = () => ({
  ...secrets,
  POSTERN_TENANT_DATABASE_URL: database.tenantUrl,
  POSTERN_GATEWAY_DATABASE_URL: database.gatewayUrl,
})
const said = async (env: Record<string, string | undefined>) =>
  (await examine(env)).map(({ ok, says }) => `${ok ? 'ok' : 'bad'} ${says}`).join('\n')

test('production as it should be has nothing bad, and says hardened', async () => {
  const findings = await said({ ...roles(), REDIS_URL: process.env.REDIS_URL })
  expect(findings).not.toContain('bad ')
  expect(findings).toContain('ok Scope: hardened.')
  expect(findings).toContain('ok The tenant role has a login of its own.')
  expect(findings).toContain('ok Redis answers')
})

test('one URL for everything is said to be for development', async () => {
  const findings = await said({ DATABASE_URL: database.ownerUrl })
  expect(findings).toContain('bad One login serves for every role')
  expect(findings).toContain('ok Scope: hardened.')
})

test('D1: a table whose row-level security is not forced is named', async () => {
  const alter = (how: string) =>
    withClient(database.ownerUrl, (client) =>
      client.query(`alter table subscriptions ${how} row level security`),
    )
  await alter('no force')
  const findings = await said(roles())
  await alter('force')
  expect(findings).toMatch(/bad The table \S*subscriptions does not FORCE row-level security\./)
})

test('a missing secret, a database and a Redis that are not there are findings, not stacks', async () => {
  const nowhere = `127.0.0.1:${await freePort()}`
  const findings = await said({
    ...roles(),
    POSTERN_PEPPER: undefined,
    POSTERN_GATEWAY_DATABASE_URL: `postgres://x:hidden@${nowhere}/x`,
    REDIS_URL: `redis://${nowhere}`,
  })
  expect(findings).toMatch(/bad POSTERN_PEPPER is not set/)
  expect(findings).toMatch(/bad The gateway role: /)
  expect(findings).toMatch(/bad Redis does not answer/)
  expect(findings).not.toContain('hidden')
})

test('a running gateway gives its own word; what is no gateway is said to be none', async () => {
  const findings = await askGateway(gate.url)
  expect(findings).toContainEqual({ ok: true, says: 'database: answers.' })
  const [none] = await askGateway(`http://127.0.0.1:${await freePort()}`)
  expect(none).toMatchObject({ ok: false })
})
