import { afterAll, beforeAll } from 'vitest'
import { clusterUrl } from '../../../database.ts'
import { type Server, startPgBouncer } from '../../../servers.ts'
import { signalSuite } from '../../../suites/signal.suite.ts'
import { postgresDeployment } from './nodes.ts'

const hardened = { scope: 'hardened', pooler: false } as const

signalSuite(
  'PostgreSQL',
  () => postgresDeployment(({ gatewayUrl }) => ({ ...hardened, url: gatewayUrl, role: null })),
  true,
)

signalSuite(
  'PostgreSQL with one login',
  () =>
    postgresDeployment(({ ownerUrl }) => ({ ...hardened, url: ownerUrl, role: 'postern_gateway' })),
  true,
)

let bouncer: Server
beforeAll(async () => {
  bouncer = await startPgBouncer(clusterUrl())
})
afterAll(() => bouncer?.stop())

signalSuite(
  'PostgreSQL behind a pooler',
  () =>
    postgresDeployment(({ gatewayUrl }) => {
      const url = new URL(gatewayUrl)
      url.port = `${bouncer.port}`
      return { scope: 'hardened', pooler: true, url: url.href, role: null }
    }),
  true,
)
