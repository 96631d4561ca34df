/** What the figures were measured on and with: the machine, the servers, the versions. */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { availableParallelism, cpus, release, totalmem, type } from 'node:os'
import { Redis } from 'ioredis'
import { clusterUrl, withClient } from '../test/database.ts'
import { haproxyVersion } from './haproxy.ts'
import { coresName, loadName } from './load.ts'
import { nginxVersion } from './nginx.ts'

const packages = [
  ...['hono', '@hono/node-server', 'pg', 'drizzle-orm', 'ioredis', 'undici'],
  ...['fastify', '@fastify/http-proxy', '@fastify/rate-limit'],
]

/** Names and values, in the order to show them. */
export async function readFacts(redisUrl: string): Promise<[string, string][]> {
  const [processor] = cpus()
  const manifest: unknown = JSON.parse(
    readFileSync(new URL('../package.json', import.meta.url), 'utf8'),
  )
  // Our own package.json, which pins every version exactly.
  const { dependencies, devDependencies } = manifest as Readonly<
    Record<'dependencies' | 'devDependencies', Record<string, string>>
  >
  const versions = { ...dependencies, ...devDependencies }
  return [
    ['processor', `${availableParallelism()} × ${processor?.model.trim() ?? 'unknown'}`],
    ['memory', `${Math.round(totalmem() / 2 ** 30)} GiB`],
    ['system', `${type()} ${release()}`],
    ['Node', process.version],
    ['PostgreSQL', await postgresVersion()],
    ['Redis', await redisVersion(redisUrl)],
    ['nginx', nginxVersion() ?? 'not installed'],
    ['HAProxy', haproxyVersion()?.replace('HAProxy ', '') ?? 'not installed'],
    ['load', loadVersion()],
    ['cores', coresName],
    ['packages', packages.map((name) => `${name} ${versions[name] ?? '?'}`).join(', ')],
  ]
}

async function postgresVersion(): Promise<string> {
  return withClient(clusterUrl(), async (client) => {
    const { rows } = await client.query<{ server_version: string }>('show server_version')
    return rows[0]?.server_version ?? 'unknown'
  })
}

async function redisVersion(url: string): Promise<string> {
  const redis = new Redis(url)
  try {
    return /^redis_version:(\S+)/m.exec(await redis.info('server'))?.[1] ?? 'unknown'
  } finally {
    redis.disconnect()
  }
}

function loadVersion(): string {
  if (loadName !== 'wrk') return loadName
  try {
    execFileSync('wrk', ['-v'], { stdio: 'pipe' })
  } catch (error) {
    // It says its version and ends with 1.
    const text = error instanceof Error && 'stdout' in error ? String(error.stdout) : ''
    return /^wrk \S+/.exec(text)?.[0] ?? 'wrk'
  }
  return 'wrk'
}
