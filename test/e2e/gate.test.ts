import { afterAll, beforeAll } from 'vitest'
import { createDatabase, type TestDatabase } from '../database.ts'
import { startGate } from '../gate.ts'
import { gateSuite } from '../suites/gate.suite.ts'

const redisUrl = (): string => {
  const url = process.env.REDIS_URL
  if (url === undefined || url === '') throw new Error('REDIS_URL is not set')
  return url
}

let single: TestDatabase
let perRole: TestDatabase
beforeAll(async () => {
  single = await createDatabase({ migrate: false })
  perRole = await createDatabase()
})
afterAll(async () => {
  await single?.drop()
  await perRole?.drop()
})

gateSuite('PGlite, counted in memory', () => startGate())

gateSuite('PostgreSQL with one URL, counted in memory', () =>
  startGate({ DATABASE_URL: single.ownerUrl }),
)

gateSuite('PostgreSQL with a URL per role, counted in Redis', () =>
  startGate({
    POSTERN_TENANT_DATABASE_URL: perRole.tenantUrl,
    POSTERN_GATEWAY_DATABASE_URL: perRole.gatewayUrl,
    REDIS_URL: redisUrl(),
  }),
)
