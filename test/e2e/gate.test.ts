import { afterAll, beforeAll } from 'vitest'
import { clusterUrl, createDatabase, type TestDatabase } from '../database.ts'
import { roomyConfig, startGate } from '../gate.ts'
import { type Server, startPgBouncer } from '../servers.ts'
import { gateSuite } from '../suites/gate.suite.ts'

const redisUrl = (): string => {
  const url = process.env.REDIS_URL
  if (url === undefined || url === '') throw new Error('REDIS_URL is not set')
  return url
}

let single: TestDatabase
let perRole: TestDatabase
let behind: TestDatabase
let bouncer: Server
beforeAll(async () => {
  bouncer = await startPgBouncer(clusterUrl())
  single = await createDatabase({ migrate: false })
  perRole = await createDatabase()
  behind = await createDatabase()
})
afterAll(async () => {
  await bouncer?.stop()
  await single?.drop()
  await perRole?.drop()
  await behind?.drop()
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

const pooled = (url: string): string => Object.assign(new URL(url), { port: bouncer.port }).href

gateSuite('PostgreSQL through a PgBouncer that pools by transaction', () =>
  startGate(
    {
      POSTERN_TENANT_DATABASE_URL: pooled(behind.tenantUrl),
      POSTERN_GATEWAY_DATABASE_URL: pooled(behind.gatewayUrl),
    },
    `${roomyConfig()}storage: { pooler: true }\n`,
  ),
)
