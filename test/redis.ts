/**
 * Several real Redis servers together, for tests: a cluster of three, and a primary with a replica
 * behind a Sentinel. Single servers are servers.ts's `startRedis`.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { run, start } from './process.ts'
import { freePort, type Server, startRedis } from './servers.ts'

export type RedisSet = {
  /** As REDIS_URL names it. */
  readonly url: string
  /** A cluster: its three primaries. Sentinel: the primary, then the replica. */
  readonly servers: readonly Server[]
  stop(): Promise<void>
}

/** Sends one inline command on a connection of its own and resolves with the start of the reply. */
export function ask(server: { readonly port: number }, command: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(server.port, '127.0.0.1', () => socket.write(`${command}\r\n`))
    socket.once('data', (data) => {
      socket.destroy()
      resolve(data.toString())
    })
    socket.once('error', reject)
    socket.once('close', () => reject(new Error(`closed without a reply to ${command}`)))
  })
}

/** Waits for something outside this process: asks again every 20 ms, for 20 s at most. */
export async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  const end = performance.now() + 20_000
  while (performance.now() < end) {
    if (await Promise.resolve(holds()).catch(() => false)) return
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  throw new Error(`waited 20 s in vain for ${holds}`)
}

/** A cluster of three primaries that holds all slots. */
export async function startCluster(): Promise<RedisSet> {
  const servers = await Promise.all([startNode(), startNode(), startNode()])
  const hosts = servers.map(({ port }) => `127.0.0.1:${port}`)
  const stop = async (): Promise<void> => {
    await Promise.all(servers.map((server) => server.stop()))
  }
  try {
    const made = await run('redis-cli', ['--cluster', 'create', ...hosts, '--cluster-yes'])
    if (made.code !== 0) throw new Error(`no cluster: ${made.stdout}${made.stderr}`)
    for (const server of servers) {
      await until(async () => (await ask(server, 'CLUSTER INFO')).includes('cluster_state:ok'))
    }
  } catch (error) {
    await stop()
    throw error
  }
  return { url: `redis+cluster://${hosts.join(',')}`, servers, stop }
}

async function startNode(): Promise<Server> {
  // Its own bus port: the usual one, 10 000 above, may be taken or above 65 535.
  const bus = await freePort()
  return startRedis([
    ...['--cluster-enabled', 'yes', '--cluster-port', `${bus}`],
    ...['--cluster-config-file', 'nodes.conf', '--cluster-node-timeout', '2000'],
    ...['--cluster-require-full-coverage', 'no'],
  ])
}

/** A primary and its replica, and a Sentinel that fails over after 1.5 s of silence. */
export async function startSentinel(): Promise<RedisSet> {
  // Otherwise a primary waits 5 s before it syncs, and 10 s for its replica when told to end.
  const quick = ['--shutdown-timeout', '0', '--repl-diskless-sync-delay', '0']
  const primary = await startRedis(quick)
  const replica = await startRedis([...quick, '--replicaof', '127.0.0.1', `${primary.port}`])
  const port = await freePort()
  const folder = await mkdtemp(join(tmpdir(), 'postern-sentinel-'))
  const file = join(folder, 'sentinel.conf')
  const lines = [
    ...[`port ${port}`, 'bind 127.0.0.1', `dir ${folder}`],
    `sentinel monitor primary 127.0.0.1 ${primary.port} 1`,
    'sentinel down-after-milliseconds primary 1500',
    'sentinel failover-timeout primary 3000',
  ]
  await writeFile(file, `${lines.join('\n')}\n`)
  const sentinel = await start('redis-server', [file, '--sentinel'])
  const stop = async (): Promise<void> => {
    await sentinel.stop('SIGKILL')
    await Promise.all([primary.stop(), replica.stop(), rm(folder, { recursive: true })])
  }
  try {
    await until(async () => (await ask(replica, 'INFO replication')).includes('link_status:up'))
    // Sentinel promotes only a replica whose state it knows to be good.
    const known = /master-link-status\r\n\$2\r\nok/
    await until(async () => known.test(await ask({ port }, 'SENTINEL REPLICAS primary')))
  } catch (error) {
    await stop()
    throw error
  }
  return { url: `redis+sentinel://127.0.0.1:${port}/primary`, servers: [primary, replica], stop }
}
