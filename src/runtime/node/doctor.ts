/**
 * Is this set up as it should be? `postern doctor` looks at what an environment leads to (secrets,
 * database, Redis), or asks a running gateway for its own word. It changes nothing, and each finding
 * is one sentence for the operator: what was found and what it means.
 */
import { readInstallation } from '../../config/environment.ts'
import type { Sql } from '../../context.ts'
import { inspectDatabase, type Posture, readPosture } from '../../db/check.ts'
import { createSql } from '../sql.ts'
import { connectRedis } from './redis.ts'
import { readRootSecrets } from './secrets.ts'

export type Finding = { readonly ok: boolean; readonly says: string }

type Environment = Readonly<Record<string, string | undefined>>

const good = (says: string): Finding => ({ ok: true, says })
const bad = (says: string): Finding => ({ ok: false, says })
const messageOf = (error: unknown): string =>
  error instanceof Error ? error.message : String(error)

/** Looks at what the variables of `env` lead to. Never rejects: what cannot be asked is a finding. */
export async function examine(env: Environment): Promise<readonly Finding[]> {
  const { installation, faults } = readInstallation(env)
  if (faults.length > 0) return faults.map(({ path, message }) => bad(`${path}: ${message}.`))
  const { databaseUrl, tenantDatabaseUrl, gatewayDatabaseUrl, redisUrl } = installation
  const single = tenantDatabaseUrl === null
  const tenant = tenantDatabaseUrl ?? databaseUrl
  const gateway = gatewayDatabaseUrl ?? databaseUrl
  const found: Finding[] = []
  if (tenant === null || gateway === null) {
    found.push(good('The database is the embedded one, which is inspected at every start.'))
  } else {
    if (!single) found.push(examineSecrets(env))
    found.push(...(await examineRole(tenant, single, 'tenant')))
    found.push(...(await examineRole(gateway, single, 'gateway')))
  }
  return [...found, await examineRedis(redisUrl)]
}

function examineSecrets(env: Environment): Finding {
  try {
    readRootSecrets(env, null)
    return good('POSTERN_PEPPER and POSTERN_MASTER_KEY are there, of 32 bytes.')
  } catch (error) {
    return bad(`${messageOf(error)}.`)
  }
}

async function examineRole(
  connection: string,
  single: boolean,
  kind: 'tenant' | 'gateway',
): Promise<readonly Finding[]> {
  const sql = createSql({
    connection,
    role: single ? `postern_${kind}` : null,
    scope: 'hardened',
    // Right behind a pooler and without one: whether there is one, only postern.yaml says.
    pooler: true,
    embedded: false,
    max: 1,
    connectTimeoutMs: 5000,
    statementTimeoutMs: 5000,
    idleInTransactionTimeoutMs: 5000,
    onError: () => undefined,
  })
  try {
    return await judge(sql, kind)
  } catch (error) {
    return [bad(`The ${kind} role: ${messageOf(error)}.`)]
  } finally {
    await sql.close()
  }
}

async function judge(sql: Sql, kind: 'tenant' | 'gateway'): Promise<readonly Finding[]> {
  const faults = await inspectDatabase(sql, kind)
  if (faults.length > 0) return faults.map(bad)
  const served = good(`The ${kind} role is held by forced row-level security in all it can reach.`)
  return kind === 'gateway' ? [served] : [served, ...postureOf(await readPosture(sql))]
}

function postureOf({ hardened, ownLogin }: Posture): readonly Finding[] {
  return [
    hardened
      ? good('Scope: hardened. SQL injected into a handler cannot change its tenant.')
      : bad(
          'Scope: plain. SQL injected into a handler could change its tenant; `postern migrate` as a superuser hardens it.',
        ),
    ownLogin
      ? good('The tenant role has a login of its own.')
      : bad(
          'One login serves for every role, which is for development: in production set POSTERN_TENANT_DATABASE_URL and POSTERN_GATEWAY_DATABASE_URL.',
        ),
  ]
}

async function examineRedis(url: string | null): Promise<Finding> {
  if (url === null) return good('Limits are counted in memory, by each process for itself.')
  try {
    const redis = await connectRedis(url)
    const state = redis.state()
    await redis.close()
    if (state === 'ready') return good('Redis answers, and evicts no counters.')
    return bad('Redis does not answer: each limit does what its onStoreDown says.')
  } catch (error) {
    return bad(`Redis: ${messageOf(error)}`)
  }
}

/**
 * Asks the gateway at `url` how it stands (`/readyz`). On Workers, its database answers only after an
 * isolate has proved, by writing and reading through its own bindings, that no cache is in between.
 */
export async function askGateway(url: string): Promise<readonly Finding[]> {
  try {
    const response = await fetch(new URL('/readyz', url), { signal: AbortSignal.timeout(10_000) })
    // What own-paths.ts answers; anything else has no parts and is not a gateway.
    const health = (await response.json()) as {
      readonly parts?: Readonly<Record<string, { readonly ok: boolean; readonly detail: string }>>
    }
    if (health.parts === undefined) return [bad(`${url} is not a Postern gateway.`)]
    return Object.entries(health.parts).map(([name, { ok, detail }]) => ({
      ok,
      says: `${name}: ${detail}.`,
    }))
  } catch (error) {
    return [bad(`${url} cannot be asked: ${messageOf(error)}.`)]
  }
}
