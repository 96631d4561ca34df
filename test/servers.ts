/**
 * Throw-away PostgreSQL, PgBouncer and Redis servers for tests, from whatever is installed.
 *
 * Each server gets a folder of its own, a free port on loopback and no durability, and is stopped
 * by the process id it was started with. PostgreSQL and PgBouncer refuse to run as root, so as root
 * they run as the user `postgres` (else `nobody`).
 */
import { execFileSync } from 'node:child_process'
import { accessSync, constants, existsSync, readdirSync } from 'node:fs'
import { chown, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { type Running, run, type StartOptions, start } from './process.ts'

/** Where the programs are; null for what is not installed. */
export type Installed = {
  /** The folder of `initdb` and `postgres`. */
  readonly postgresBin: string | null
  /** `redis-server`, or `valkey-server`, which speaks the same protocol. */
  readonly redisServer: string | null
  readonly pgbouncer: string | null
  /** The language of one of the clients that call the gate. */
  readonly python3: string | null
  /** Bubblewrap, which makes sandboxes. */
  readonly bwrap: string | null
}

export type Server = {
  readonly url: string
  readonly port: number
  /** Its folder for data and configuration; `stop` removes it. */
  readonly folder: string
  /** The id of the running process; another one after `restart`. */
  pid(): number
  /** Ends it at once, as a crash would. The data stays until `stop`. */
  kill(): Promise<void>
  /** Starts it again, after `kill`, on the same port and data. */
  restart(): Promise<void>
  /** Ends it and removes its folder. Harmless twice. */
  stop(): Promise<void>
}

/** Looks for the servers in PATH and where the common packages put them. */
export function findServers(path = process.env.PATH ?? '', root = '/'): Installed {
  const onPath = path.split(delimiter).filter((folder) => folder !== '')
  const usual = ['usr/bin', 'usr/local/bin', 'usr/sbin', 'opt/homebrew/bin'].map((folder) =>
    join(root, folder),
  )
  const folders = [...versionFolders(join(root, 'usr/lib/postgresql')), ...onPath, ...usual]
  const postgresBin = folders.find((folder) =>
    ['initdb', 'postgres'].every((program) => isProgram(join(folder, program))),
  )
  const redisServer = [...onPath, ...usual]
    .flatMap((folder) => [join(folder, 'redis-server'), join(folder, 'valkey-server')])
    .find(isProgram)
  const named = (program: string) =>
    [...onPath, ...usual].map((folder) => join(folder, program)).find(isProgram) ?? null
  return {
    postgresBin: postgresBin ?? null,
    redisServer: redisServer ?? null,
    pgbouncer: named('pgbouncer'),
    python3: named('python3'),
    bwrap: named('bwrap'),
  }
}

/** Debian keeps each major version apart, and none of them in PATH; the newest first. */
function versionFolders(folder: string): string[] {
  if (!existsSync(folder)) return []
  const versions = readdirSync(folder).sort((a, b) => Number(b) - Number(a))
  return versions.map((version) => join(folder, version, 'bin'))
}

function isProgram(file: string): boolean {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/**
 * Starts a PostgreSQL of its own. The URL is a superuser's; every connection from loopback is
 * trusted, so its password is only there for drivers that demand one. `settings` are added to the
 * command line, e.g. `['max_connections=20']`.
 */
export async function startPostgres(settings: readonly string[] = []): Promise<Server> {
  const { postgresBin } = findServers()
  if (postgresBin === null) throw new Error('PostgreSQL is not installed: no initdb was found')
  const { folder, owner } = await ownedFolder('postern-pg-')
  // PGHOST, PGPORT and their like would redirect the programs: they get an environment of their own.
  const options = { cwd: folder, env: { PATH: process.env.PATH, LC_ALL: 'C', TZ: 'UTC' }, ...owner }
  const data = join(folder, 'data')
  const made = await run(
    join(postgresBin, 'initdb'),
    ['-D', data, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--locale=C', '--no-sync'],
    options,
  )
  if (made.code !== 0) {
    await rm(folder, { recursive: true, force: true })
    throw new Error(`initdb failed: ${made.stderr.trim() || made.stdout.trim()}`)
  }
  const quick = [
    ...['fsync=off', 'synchronous_commit=off', 'full_page_writes=off', 'max_connections=200'],
    // No socket file: its folder may be missing, not ours, or too long a path.
    ...['listen_addresses=127.0.0.1', 'unix_socket_directories=', 'log_timezone=UTC'],
  ]
  const flags = [...quick, ...settings].flatMap((setting) => ['-c', setting])
  return serve(folder, /ready to accept connections/, 'SIGINT', {
    url: (port) => `postgres://postgres:postgres@127.0.0.1:${port}/postgres`,
    // The server's own arguments: its process is ours, so its pid is the one we stop.
    boot: (port) =>
      start(join(postgresBin, 'postgres'), ['-D', data, '-p', `${port}`, ...flags], options),
  })
}

/**
 * Starts a PgBouncer of its own in front of the cluster of `cluster` (a superuser's URL), pooling by
 * transaction with `poolSize` connections for each login and database, as Hyperdrive does. Its URL is
 * that of the cluster with another port; the logins and databases are the cluster's.
 */
export async function startPgBouncer(cluster: string, poolSize = 5): Promise<Server> {
  const { pgbouncer } = findServers()
  if (pgbouncer === null) throw new Error('PgBouncer is not installed: no pgbouncer was found')
  const upstream = new URL(cluster)
  const user = decodeURIComponent(upstream.username)
  const { folder, owner } = await ownedFolder('postern-bouncer-')
  const [file, users] = [join(folder, 'pgbouncer.ini'), join(folder, 'users.txt')]
  await writeFile(users, `"${user}" "${decodeURIComponent(upstream.password)}"\n`)
  const lines = (port: number) => [
    '[databases]',
    `* = host=${upstream.hostname} port=${upstream.port || 5432} auth_user=${user}`,
    '[pgbouncer]',
    ...['listen_addr = 127.0.0.1', `listen_port = ${port}`, 'unix_socket_dir ='],
    // Any login of the cluster; its own password is not asked for.
    ...['auth_type = trust', `auth_file = ${users}`, `auth_user = ${user}`],
    ...['pool_mode = transaction', `default_pool_size = ${poolSize}`, 'max_client_conn = 2000'],
  ]
  return serve(folder, /process up/, 'SIGINT', {
    url: (port) => Object.assign(new URL(cluster), { hostname: '127.0.0.1', port }).href,
    async boot(port) {
      await writeFile(file, `${lines(port).join('\n')}\n`)
      return start(pgbouncer, [file], { cwd: folder, ...owner })
    },
  })
}

/** Starts a Redis of its own that keeps nothing. `args` go to its command line. */
export async function startRedis(args: readonly string[] = []): Promise<Server> {
  const { redisServer } = findServers()
  if (redisServer === null) throw new Error('Redis is not installed: no redis-server was found')
  const folder = await mkdtemp(join(tmpdir(), 'postern-redis-'))
  const fixed = ['--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', folder]
  return serve(folder, /ready to accept connections|sentinel ID is/i, 'SIGTERM', {
    url: (port) => `redis://127.0.0.1:${port}`,
    boot: (port) => start(redisServer, ['--port', `${port}`, ...fixed, ...args]),
  })
}

/** A test process that exits early must not leave its servers behind. */
const abandonAtExit = new Set<() => void>()
process.once('exit', () => {
  for (const abandon of abandonAtExit) abandon()
})

type Recipe = {
  readonly url: (port: number) => string
  readonly boot: (port: number) => Promise<Running>
}

/** Boots on a free port. The port may be taken between asking and listening: then another one. */
async function serve(
  folder: string,
  ready: RegExp,
  stopSignal: NodeJS.Signals,
  { url, boot }: Recipe,
): Promise<Server> {
  let running: Running | null = null
  const attempt = async (port: number) => {
    const started = await boot(port)
    try {
      await started.line(ready)
      running = started
      return port
    } catch (error) {
      await started.stop('SIGKILL')
      throw error
    }
  }
  const remove = () => rm(folder, { recursive: true, force: true })
  const port = await freePort()
    .then(attempt)
    .catch(() => freePort().then(attempt))
    .catch(async (error) => {
      await remove()
      throw error
    })
  const abandon = () => running?.signal('SIGKILL')
  abandonAtExit.add(abandon)
  return {
    url: url(port),
    port,
    folder,
    pid: () => running?.pid ?? 0,
    async kill() {
      await running?.stop('SIGKILL')
      running = null
    },
    async restart() {
      await running?.stop('SIGKILL')
      await attempt(port)
    },
    async stop() {
      await running?.stop(stopSignal)
      running = null
      abandonAtExit.delete(abandon)
      await remove()
    },
  }
}

/** A port of loopback that nobody listens on at this moment. */
export async function freePort(): Promise<number> {
  const probe = createServer()
  await new Promise<void>((resolve, reject) => {
    probe.once('error', reject)
    probe.listen(0, '127.0.0.1', resolve)
  })
  const address = probe.address()
  await new Promise((resolve) => probe.close(resolve))
  if (address === null || typeof address === 'string') throw new Error('no port was given')
  return address.port
}

/** A temporary folder that belongs to whom its server runs as. */
async function ownedFolder(prefix: string) {
  const owner = process.getuid?.() === 0 ? unprivilegedUser() : {}
  const folder = await mkdtemp(join(owner.uid === undefined ? tmpdir() : '/tmp', prefix))
  if (owner.uid !== undefined) await chown(folder, owner.uid, owner.gid ?? owner.uid)
  return { folder, owner }
}

/** The user to run PostgreSQL as when we are root. */
function unprivilegedUser(): Pick<StartOptions, 'uid' | 'gid'> {
  for (const name of ['postgres', 'nobody']) {
    try {
      const ask = (flag: string) => Number(execFileSync('id', [flag, name], { stdio: 'pipe' }))
      return { uid: ask('-u'), gid: ask('-g') }
    } catch {
      // No such user here: the next one.
    }
  }
  throw new Error('PostgreSQL refuses to run as root, and there is neither `postgres` nor `nobody`')
}
