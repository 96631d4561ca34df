import { existsSync } from 'node:fs'
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { Redis } from 'ioredis'
import pg from 'pg'
import { afterEach, describe, expect, test } from 'vitest'
import { clusterUrl } from './database.ts'
import {
  findServers,
  freePort,
  type Server,
  startPgBouncer,
  startPostgres,
  startRedis,
} from './servers.ts'

const cleanups: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup()
})

async function fakeRoot(...programs: string[]): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), 'postern-root-'))
  cleanups.push(() => rm(root, { recursive: true }))
  for (const program of programs) {
    await mkdir(dirname(join(root, program)), { recursive: true })
    await writeFile(join(root, program), '')
    await chmod(join(root, program), 0o755)
  }
  return root
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

async function isOpen(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1')
  const open = await new Promise<boolean>((resolve) => {
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
  })
  socket.destroy()
  return open
}

async function ask(server: Server): Promise<unknown> {
  if (server.url.startsWith('redis')) {
    const redis = new Redis(server.url, { lazyConnect: true, maxRetriesPerRequest: 0 })
    await redis.connect()
    const answer = await redis.ping()
    redis.disconnect()
    return answer
  }
  const client = new pg.Client(server.url)
  await client.connect()
  const { rows } = await client.query(`select usesuper from pg_user where usename = current_user`)
  await client.end()
  return rows[0]?.usesuper
}

describe('findServers', () => {
  test('finds nothing where nothing is, and half a PostgreSQL is none', async () => {
    expect(findServers('', await fakeRoot())).toEqual({
      postgresBin: null,
      redisServer: null,
      pgbouncer: null,
      python3: null,
      bwrap: null,
    })
    const root = await fakeRoot('usr/lib/postgresql/15/bin/postgres')
    expect(findServers('', root).postgresBin).toBeNull()
  })

  test('takes the newest of several versions, by number', async () => {
    const programs = ['9', '15', '17'].flatMap((version) =>
      ['initdb', 'postgres'].map((program) => `usr/lib/postgresql/${version}/bin/${program}`),
    )
    const root = await fakeRoot(...programs)
    expect(findServers('', root).postgresBin).toBe(join(root, 'usr/lib/postgresql/17/bin'))
  })

  test('Valkey serves where there is no Redis', async () => {
    const root = await fakeRoot('usr/bin/valkey-server')
    expect(findServers('', root).redisServer).toBe(join(root, 'usr/bin/valkey-server'))
  })
})

describe.each([
  ['PostgreSQL', () => startPostgres(), true],
  ['Redis', () => startRedis(), 'PONG'],
])('a throw-away %s', (_name, make, expected) => {
  test('answers, comes back on its port after a crash, and leaves nothing behind', async () => {
    const server = await make()
    cleanups.push(server.stop)
    expect(await ask(server)).toBe(expected)
    const first = server.pid()
    await server.kill()
    expect(isAlive(first)).toBe(false)
    expect(await isOpen(server.port)).toBe(false)
    await server.restart()
    expect(await ask(server)).toBe(expected)
    const second = server.pid()
    expect(second).not.toBe(first)
    await server.stop()
    await server.stop()
    expect(isAlive(second)).toBe(false)
    expect(existsSync(server.folder)).toBe(false)
    expect(await isOpen(server.port)).toBe(false)
  })
})

test('a throw-away PgBouncer lends one session to many clients, by transaction', async () => {
  const bouncer = await startPgBouncer(clusterUrl(), 1)
  cleanups.push(bouncer.stop)
  const clients = [1, 2, 3].map(() => new pg.Client(bouncer.url))
  const pids = new Set<unknown>()
  for (const client of clients) {
    await client.connect()
    pids.add((await client.query('select pg_backend_pid() as pid')).rows[0]?.pid)
  }
  await Promise.all(clients.map((client) => client.end()))
  expect(pids.size).toBe(1)
  const pid = bouncer.pid()
  await bouncer.stop()
  expect([isAlive(pid), existsSync(bouncer.folder)]).toEqual([false, false])
})

test('a PostgreSQL that cannot start says why, and removes its folder', async () => {
  await expect(startPostgres(['max_connections=none'])).rejects.toThrow(/max_connections/)
})

test('free ports are free', async () => {
  expect(await isOpen(await freePort())).toBe(false)
})
