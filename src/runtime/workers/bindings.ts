/**
 * What was this Worker given? Bindings, secrets and the bundled postern.yaml, read once per isolate.
 * Whatever is missing is told all at once, by name and with the command that helps, and no value of
 * anything is in it.
 */
import { renderErrors } from '../../config/report.ts'
import { type Config, parseConfig } from '../../config.ts'
import type { FieldError } from '../../problem.ts'
import { parseRedisUrl, type RedisTarget } from '../redis-url.ts'
import { parseVersions, type RootSecrets } from '../root-secrets.ts'
import type { CounterNamespace } from './durable-lender.ts'

/** A Hyperdrive binding. */
export type Hyperdrive = { readonly connectionString: string }

/** What wrangler.toml and `wrangler secret put` provide. Anything may be missing. */
export type WorkerEnv = {
  /** One database login for everything; it takes the role for each flight. Development. */
  readonly POSTERN_DB?: Hyperdrive
  /** A login per role. Production. */
  readonly POSTERN_TENANT_DB?: Hyperdrive
  readonly POSTERN_GATEWAY_DB?: Hyperdrive
  /** Durable Objects of the class `PosternCounter`. Not asked where there is a REDIS_URL. */
  readonly POSTERN_COUNTER?: CounterNamespace
  readonly POSTERN_PEPPER?: string
  readonly POSTERN_MASTER_KEY?: string
  readonly REDIS_URL?: string
}

export type Databases = { readonly tenant: Hyperdrive; readonly gateway: Hyperdrive }

export type Settings = {
  readonly config: Config
  readonly secrets: RootSecrets
  /** Whether one login serves for both roles. */
  readonly oneLogin: boolean
  readonly redis: RedisTarget | null
}

export type ReadSettings =
  | { readonly ok: true; readonly settings: Settings }
  /** `cause` is for the log alone. */
  | { readonly ok: false; readonly missing: readonly FieldError[]; readonly cause: string }

const redeploy = 'Set it in wrangler.toml and run: npm run deploy:worker'

/** Reads everything. Never throws. `config` is the text of postern.yaml. */
export function readSettings(
  env: WorkerEnv,
  config: string,
  handlers: readonly string[],
): ReadSettings {
  const missing: FieldError[] = []
  const causes: string[] = []
  const attempt = <T>(location: string, fix: string, read: () => T): T | null => {
    try {
      return read()
    } catch (error) {
      const message = error instanceof Error ? error.message : 'cannot be read'
      missing.push({ location, code: 'misconfigured', message, fix })
      return null
    }
  }
  const secret = (name: 'POSTERN_PEPPER' | 'POSTERN_MASTER_KEY'): string => {
    const value = env[name]
    if (typeof value === 'string' && value !== '') return value
    throw new Error(`The secret ${name} is not set.`)
  }
  const put = (name: string): string =>
    `openssl rand -base64 32 | npx wrangler secret put ${name} --env production (locally: in .dev.vars)`
  const peppers = attempt('POSTERN_PEPPER', put('POSTERN_PEPPER'), () =>
    parseVersions('POSTERN_PEPPER', secret('POSTERN_PEPPER')),
  )
  const masters = attempt('POSTERN_MASTER_KEY', put('POSTERN_MASTER_KEY'), () =>
    parseVersions('POSTERN_MASTER_KEY', secret('POSTERN_MASTER_KEY')),
  )
  const redis = attempt('REDIS_URL', 'npx wrangler secret put REDIS_URL', () => redisOf(env))
  missing.push(...missingBindings(env))
  const parsed = parseConfig(config, 'postern.yaml', variablesOf(env), handlers)
  if (!parsed.ok) {
    causes.push(renderErrors(parsed.errors))
    const message = 'The bundled postern.yaml is not valid; the log names every fault.'
    const fix = 'Correct it and run: npm run deploy:worker'
    missing.push({ location: 'postern.yaml', code: 'misconfigured', message, fix })
  } else missing.push(...unkeptFields(parsed.config))
  if (parsed.ok && peppers !== null && masters !== null && missing.length === 0) {
    const settings = {
      config: parsed.config,
      secrets: { peppers, masters },
      oneLogin: env.POSTERN_DB !== undefined,
      redis,
    }
    return { ok: true, settings }
  }
  causes.unshift(...missing.map(({ message }) => message))
  return { ok: false, missing, cause: causes.join('\n') }
}

function redisOf({ REDIS_URL }: WorkerEnv): RedisTarget | null {
  if (REDIS_URL === undefined || REDIS_URL === '') return null
  const target = parseRedisUrl(REDIS_URL)
  if (target.kind === 'single') return target
  throw new Error('REDIS_URL: a cluster or Sentinels cannot be asked from Workers; use one server.')
}

function missingBindings(env: WorkerEnv): FieldError[] {
  const { POSTERN_DB, POSTERN_TENANT_DB, POSTERN_GATEWAY_DB, POSTERN_COUNTER, REDIS_URL } = env
  const found: FieldError[] = []
  const miss = (location: string, message: string, fix = redeploy) =>
    found.push({ location, code: 'misconfigured', message, fix })
  const roles = { POSTERN_TENANT_DB, POSTERN_GATEWAY_DB }
  const unbound = Object.entries(roles).filter(([, binding]) => binding === undefined)
  if (POSTERN_DB !== undefined && unbound.length < 2) {
    miss('POSTERN_DB', 'POSTERN_DB is bound beside a database of a role: bind one or the other.')
  }
  if (POSTERN_DB === undefined) {
    for (const [name] of unbound) {
      const create = `npx wrangler hyperdrive create ${name.toLowerCase().replaceAll('_', '-')} --caching-disabled --connection-string="postgres://…"`
      const message = `The Hyperdrive binding ${name} is missing.`
      miss(
        name,
        message,
        `${create}, then put its id in wrangler.toml and run: npm run deploy:worker`,
      )
    }
  }
  if (POSTERN_COUNTER === undefined && !REDIS_URL) {
    miss('POSTERN_COUNTER', 'The Durable Object binding POSTERN_COUNTER is missing.')
  }
  return found
}

/**
 * What an upstream is to be met with and cannot be: `fetch` writes `Host` itself and shows no
 * certificate. Without them it would be another upstream, or would not know us.
 */
function unkeptFields({ platforms }: Config): FieldError[] {
  return platforms.flatMap(({ slug, upstreams }) =>
    upstreams.flatMap(({ name, host, tls }) =>
      Object.entries({ host, ...tls })
        .filter(([, value]) => value !== null)
        .map(([field]) => {
          const of = field === 'host' ? field : `tls.${field}`
          const message = `Upstream ${name} of platform ${slug} has ${of}, which cannot be kept on Workers.`
          const fix = `Remove it, put the name into its url, and run: npm run deploy:worker`
          return { location: 'postern.yaml', code: 'misconfigured', message, fix }
        }),
    ),
  )
}

// Where a process listens and where its data is means nothing here.
const ofNode = /^(?:HOST|PORT|POSTERN_DIR|.*DATABASE_URL|REDIS_URL)$/

/** The texts that `${env:NAME}` in postern.yaml may stand for. */
function variablesOf(env: WorkerEnv): Record<string, string> {
  const texts: Record<string, string> = {}
  for (const [name, value] of Object.entries(env)) {
    if (typeof value === 'string' && !ofNode.test(name)) texts[name] = value
  }
  return texts
}

/** The two databases of a request; one and the same where one login serves for both. */
export function databasesOf(env: WorkerEnv): Databases {
  const tenant = env.POSTERN_DB ?? env.POSTERN_TENANT_DB
  const gateway = env.POSTERN_DB ?? env.POSTERN_GATEWAY_DB
  if (tenant === undefined || gateway === undefined) throw new Error('no database is bound')
  return { tenant, gateway }
}
