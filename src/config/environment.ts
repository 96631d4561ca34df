/**
 * What one installation differs in from the next: where it listens and where its data is. These
 * come from environment variables only, so that the file can be shared. No message shows a value.
 */
import type { Environment } from './plain.ts'
import type { Fault } from './report.ts'

export type Installation = {
  readonly host: string
  /** 0: any free port. */
  readonly port: number
  readonly databaseUrl: string | null
  readonly tenantDatabaseUrl: string | null
  readonly gatewayDatabaseUrl: string | null
  readonly ownerDatabaseUrl: string | null
  /** Where the salts of sessions are kept, in a database that is not backed up. */
  readonly shredUrl: string | null
  readonly redisUrl: string | null
  readonly folder: string
  /** Processes that serve; `auto`: one for each core. */
  readonly workers: number | 'auto'
}

const workersMax = 256
const workers = `must be auto, or a whole number from 1 to ${workersMax}`
const postgres = 'must be a URL that starts with postgres:// or postgresql://'

/** Reads the variables; an empty one counts as not set. Faults carry the variable's name as path. */
export function readInstallation(env: Environment): {
  readonly installation: Installation
  readonly faults: readonly Fault[]
} {
  const faults: Fault[] = []
  const read = (name: string, says: string, good: (value: string) => boolean): string | null => {
    const value = env[name]
    if (value === undefined || value === '') return null
    if (good(value)) return value
    faults.push({ path: [name], message: says })
    return null
  }
  const database = (name: string) =>
    read(name, postgres, (value) => isUrl(value, /^postgres(?:ql)?:$/))
  const installation: Installation = {
    host: read('HOST', 'must be an address or a host name', isHost) ?? '127.0.0.1',
    port: Number(read('PORT', 'must be a whole number from 0 to 65535', isPort) ?? 8787),
    databaseUrl: database('DATABASE_URL'),
    tenantDatabaseUrl: database('POSTERN_TENANT_DATABASE_URL'),
    gatewayDatabaseUrl: database('POSTERN_GATEWAY_DATABASE_URL'),
    ownerDatabaseUrl: database('POSTERN_OWNER_DATABASE_URL'),
    shredUrl: database('POSTERN_SHRED_URL'),
    redisUrl: read('REDIS_URL', 'must be a URL that starts with redis', (value) =>
      /^redis[a-z+-]*:\/\//.test(value),
    ),
    folder: read('POSTERN_DIR', 'must be a path', (value) => !value.includes('\0')) ?? './.postern',
    workers: workersOf(read('POSTERN_WORKERS', workers, isWorkers) ?? '1'),
  }
  return {
    installation,
    faults: [
      ...[...faults, ...halfRoles(env), ...workersWithoutStores(env, installation)],
      ...sameShred(installation),
    ],
  }
}

const isHost = (value: string): boolean => /^[A-Za-z0-9._:%-]{1,253}$/.test(value)
const isPort = (value: string): boolean =>
  /^(?:0|[1-9][0-9]{0,4})$/.test(value) && Number(value) < 65_536
const isUrl = (value: string, protocol: RegExp): boolean =>
  protocol.test(URL.parse(value)?.protocol ?? '')

const isWorkers = (value: string): boolean =>
  value === 'auto' || (/^[1-9][0-9]{0,2}$/.test(value) && Number(value) <= workersMax)
const workersOf = (value: string): number | 'auto' => (value === 'auto' ? value : Number(value))

/**
 * Several processes hold the limits only where they count in one place, and a folder is one process's.
 * `auto` is held to the same on a machine of one core: what is refused must not depend on the machine.
 */
function workersWithoutStores(env: Environment, { workers }: Installation): Fault[] {
  if (workers === 1) return []
  const said = `POSTERN_WORKERS=${workers}`
  const path = ['POSTERN_WORKERS']
  if (!env.REDIS_URL) {
    return [{ path, message: `${said} needs REDIS_URL: all processes must count in one place` }]
  }
  if (env.DATABASE_URL || env.POSTERN_TENANT_DATABASE_URL) return []
  const why = "the embedded storage is one process's"
  return [{ path, message: `${said} needs a PostgreSQL, such as DATABASE_URL: ${why}` }]
}

/** Salts beside what they open would be in its backups. */
function sameShred({ shredUrl, databaseUrl, tenantDatabaseUrl }: Installation): Fault[] {
  const main = tenantDatabaseUrl ?? databaseUrl
  if (shredUrl === null || main === null || placeOf(shredUrl) !== placeOf(main)) return []
  const message =
    'must be another database than that of the tenants, whose backups it is to stay out of'
  return [{ path: ['POSTERN_SHRED_URL'], message }]
}

function placeOf(url: string): string {
  const { hostname, port, pathname } = new URL(url)
  return `${hostname}:${port || '5432'}${pathname}`
}

/** One role's URL without the other's would let that other role fall back to a stronger one. */
function halfRoles(env: Environment): Fault[] {
  const names = ['POSTERN_TENANT_DATABASE_URL', 'POSTERN_GATEWAY_DATABASE_URL']
  const [there, missing] = [names.filter((name) => env[name]), names.filter((name) => !env[name])]
  if (there.length !== 1) return []
  return missing.map((name) => ({ path: [name], message: `is required beside ${there.join()}` }))
}
