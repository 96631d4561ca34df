/** What an operator is told, by the first request, when something is missing. */
import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { migrateDatabase } from '../../../src/runtime/node/migrations.ts'
import { createDatabase, type TestDatabase } from '../../database.ts'
import { freePort } from '../../servers.ts'
import { forwardConfig } from '../../suites/forward.suite.ts'
import { type Bound, startWorker, type TestWorker } from '../../worker.ts'

const secrets = {
  POSTERN_PEPPER: randomBytes(32).toString('base64'),
  POSTERN_MASTER_KEY: randomBytes(32).toString('base64'),
}

let migrated: TestDatabase
let empty: TestDatabase
beforeAll(async () => {
  migrated = await createDatabase()
  empty = await createDatabase({ migrate: false })
})
afterAll(async () => {
  await migrated?.drop()
  await empty?.drop()
})

async function withWorker(
  bound: Bound,
  work: (worker: TestWorker) => Promise<void>,
  text?: string,
) {
  const worker = await startWorker(bound, text)
  try {
    await work(worker)
  } finally {
    await worker.stop()
  }
}

type Named = { location: string; message: string; fix: string }
async function ask(worker: TestWorker, path = '/v1/subscriptions') {
  const response = await fetch(worker.url + path)
  const text = await response.text()
  expect(text, 'never a stack').not.toMatch(/\bat .*\.[tj]s\b|Error:/)
  const json: { code: string; errors: Named[]; error: { doc_url: string } } = JSON.parse(text)
  return { status: response.status, type: response.headers.get('content-type'), text, json }
}
const logged = (worker: TestWorker) =>
  worker.harness
    .getLogs()
    .map(({ message }) => message)
    .join('\n')

describe('settings', () => {
  test('with nothing bound, everything that is missing is named, each with what helps', async () => {
    await withWorker({ hyperdrives: {}, secrets: {}, counter: false }, async (worker) => {
      const { status, type, json } = await ask(worker)
      expect([status, type, json.code]).toEqual([
        503,
        'application/problem+json',
        'gateway/misconfigured',
      ])
      expect(json.errors.map(({ location }) => location)).toEqual([
        'POSTERN_PEPPER',
        'POSTERN_MASTER_KEY',
        'POSTERN_TENANT_DB',
        'POSTERN_GATEWAY_DB',
        'POSTERN_COUNTER',
      ])
      for (const { fix } of json.errors) expect(fix).toMatch(/wrangler|npm run/)
      expect(logged(worker)).toContain('POSTERN_COUNTER is missing')
      expect((await ask(worker, '/livez')).status).toBe(200)
      expect((await ask(worker, '/readyz')).status).toBe(503)
      expect((await ask(worker, '/docs/errors/nothing')).status).toBe(404)
      expect((await fetch(json.error.doc_url)).status, 'the error page is there').toBe(200)
    })
  })

  const hyperdrives = () => ({ POSTERN_DB: migrated.ownerUrl })
  const wrong: readonly [string, () => Bound, string, string][] = [
    [
      'a pepper that is too short',
      () => ({ hyperdrives: hyperdrives(), secrets: { ...secrets, POSTERN_PEPPER: 'c2hvcnQ=' } }),
      'POSTERN_PEPPER',
      'has 5 bytes',
    ],
    [
      'one database of two',
      () => ({ hyperdrives: { POSTERN_TENANT_DB: migrated.tenantUrl }, secrets }),
      'POSTERN_GATEWAY_DB',
      'is missing',
    ],
    [
      'both kinds of databases',
      () => ({ hyperdrives: { ...hyperdrives(), POSTERN_TENANT_DB: migrated.tenantUrl }, secrets }),
      'POSTERN_DB',
      'bind one or the other',
    ],
    [
      'a Redis cluster',
      () => ({
        hyperdrives: hyperdrives(),
        secrets: { ...secrets, REDIS_URL: 'redis+cluster://u:hunter2@a:1,b:2' },
      }),
      'REDIS_URL',
      'cannot be asked from Workers',
    ],
  ]
  test.each(wrong)('%s is named', async (_, bound, location, message) => {
    await withWorker(bound(), async (worker) => {
      const { status, json, text } = await ask(worker)
      expect(status).toBe(503)
      expect(json.errors).toHaveLength(1)
      expect(json.errors[0]?.location).toBe(location)
      expect(json.errors[0]?.message).toContain(message)
      for (const secret of ['hunter2', 'c2hvcnQ=', ...Object.values(secrets)]) {
        expect(text + logged(worker)).not.toContain(secret)
      }
    })
  })

  test('an upstream that is to be met with a Host or a certificate is named: fetch can show neither', async () => {
    const config = forwardConfig('https://a.example', 'https://b.example', 'https://c.example')
    const text = config.replace(
      'name: raw,',
      'name: raw, host: other.example, tls: { serverName: own.example },',
    )
    await withWorker(
      { hyperdrives: hyperdrives(), secrets },
      async (worker) => {
        const { status, json } = await ask(worker)
        expect([status, json.code]).toEqual([503, 'gateway/misconfigured'])
        expect(json.errors.map(({ location, message }) => [location, message])).toEqual([
          [
            'postern.yaml',
            'Upstream raw of platform forward has host, which cannot be kept on Workers.',
          ],
          [
            'postern.yaml',
            'Upstream raw of platform forward has tls.serverName, which cannot be kept on Workers.',
          ],
        ])
      },
      text,
    )
  })

  test('a postern.yaml that is not valid is named, and its faults stand in the log', async () => {
    const bound = { hyperdrives: hyperdrives(), secrets }
    const text = 'version: 1\nplatforms: [{ id: plt_a, slug: a, colour: red }]\n'
    const check = async (worker: TestWorker) => {
      const { json, text: body } = await ask(worker)
      expect(json.errors.map(({ location }) => location)).toEqual(['postern.yaml'])
      expect(body).not.toContain('colour')
      expect(logged(worker)).toContain('postern.yaml:2:')
    }
    await withWorker(bound, check, text)
  })
})

describe('databases', () => {
  test('one that is not migrated is named, and served as soon as it is', async () => {
    const bound = { hyperdrives: { POSTERN_DB: empty.ownerUrl }, secrets }
    await withWorker(bound, async (worker) => {
      const { status, json } = await ask(worker)
      expect([status, json.code]).toEqual([503, 'gateway/misconfigured'])
      expect(json.errors[0]?.fix).toContain('npm run postern -- migrate')
      await migrateDatabase(empty.ownerUrl)
      expect((await ask(worker)).json.code).toBe('auth/missing_key')
    })
  })

  test('D1: a login that row-level security does not hold is never served from', async () => {
    const bound = {
      hyperdrives: {
        POSTERN_TENANT_DB: migrated.ownerUrl,
        POSTERN_GATEWAY_DB: migrated.gatewayUrl,
      },
      secrets,
    }
    await withWorker(bound, async (worker) => {
      const { status, json, text } = await ask(worker)
      expect([status, json.code]).toEqual([503, 'gateway/misconfigured'])
      expect(text).not.toContain('superuser')
      expect(logged(worker)).toContain('is a superuser')
    })
  })

  test('D1: the two logins may not be swapped', async () => {
    const bound = {
      hyperdrives: {
        POSTERN_TENANT_DB: migrated.gatewayUrl,
        POSTERN_GATEWAY_DB: migrated.tenantUrl,
      },
      secrets,
    }
    await withWorker(bound, async (worker) => {
      expect((await ask(worker)).json.code).toBe('gateway/misconfigured')
    })
  })

  test('F1: one that does not answer is a 503, asked again at the next request', async () => {
    const gone = `postgres://postgres:postgres@127.0.0.1:${await freePort()}/none`
    await withWorker({ hyperdrives: { POSTERN_DB: gone }, secrets }, async (worker) => {
      for (let turn = 0; turn < 2; turn++) {
        const { status, json } = await ask(worker)
        expect([status, json.code]).toEqual([503, 'storage/unavailable'])
      }
      expect((await ask(worker, '/livez')).status).toBe(200)
    })
  })
})
