import { type ChildProcess, spawn } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { afterAll, afterEach, describe, expect, test } from 'vitest'
import { type Embedded, FolderInUse, openEmbedded } from '../../src/runtime/node/embedded.ts'
import { lockFolder } from '../../src/runtime/node/embedded-lock.ts'
import { withClient } from '../database.ts'

const root = mkdtempSync(join(tmpdir(), 'postern-test-'))
const children = new Set<ChildProcess>()
const opened = new Set<Embedded>()
let folders = 0

// Making a database takes seconds: it is made once, and every test gets a copy.
const template = join(root, 'template')
await (await openEmbedded(template)).close()

const newFolder = () => join(root, `data${++folders}`)
/** A folder that holds an empty database. */
const madeFolder = () => {
  const folder = newFolder()
  cpSync(template, folder, { recursive: true })
  return folder
}
const open = async (folder: string) => {
  const embedded = await openEmbedded(folder)
  opened.add(embedded)
  return embedded
}

afterEach(async () => {
  for (const child of children) await kill(child)
  for (const embedded of opened) await embedded.close()
  opened.clear()
})
afterAll(() => rmSync(root, { recursive: true, force: true }))

/** Starts embedded-child.ts on a folder; `line` answers with what it says next. */
function start(folder: string) {
  const child = spawn(
    process.execPath,
    [fileURLToPath(new URL('./embedded-child.ts', import.meta.url)), folder],
    { stdio: ['pipe', 'pipe', 'inherit'] },
  )
  children.add(child)
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]()
  return { child, line: async () => String((await lines.next()).value) }
}

async function kill(child: ChildProcess): Promise<void> {
  children.delete(child)
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGKILL')
  await gone
}

const rowsOf = (embedded: Embedded) =>
  withClient(embedded.connection, async (client) => {
    const { rows } = await client.query<{ n: number }>('select n from public.kept order by n')
    return rows.map(({ n }) => n)
  })

describe('the folder', () => {
  test('rows are there after a close, and nothing else is left behind', async () => {
    const folder = newFolder()
    const first = await open(folder)
    await withClient(first.connection, (client) =>
      client.query('create table public.kept (n int); insert into public.kept values (7)'),
    )
    expect(statSync(folder).mode & 0o777).toBe(0o700)
    expect(statSync(first.connection.host).mode & 0o777).toBe(0o700)
    await first.close()
    await first.close()
    expect(existsSync(first.connection.host)).toBe(false)
    expect(existsSync(join(folder, 'postern.lock'))).toBe(false)
    expect(await rowsOf(await open(folder))).toEqual([7])
  })

  test('every acknowledged row is there after kill -9, and the next process takes over', async () => {
    const folder = madeFolder()
    const { child, line } = start(folder)
    expect(await line()).toBe('open')
    const sockets = lockedSockets(folder)
    let kept = 0
    for (let n = 1; n <= 200; n++) child.stdin!.write(`${n}\n`)
    while (kept < 60) kept = Number((await line()).split(' ')[1])
    await kill(child)
    expect(existsSync(sockets)).toBe(true)
    const rows = await rowsOf(await open(folder))
    expect(rows.slice(0, kept)).toEqual(Array.from({ length: kept }, (_, i) => i + 1))
    expect(existsSync(sockets)).toBe(false)
  })

  test('a second process is refused with the pid of the first, and so is the first itself', async () => {
    const folder = madeFolder()
    const { child, line } = start(folder)
    expect(await line()).toBe('open')
    await expect(openEmbedded(folder)).rejects.toThrow(FolderInUse)
    await expect(openEmbedded(folder)).rejects.toThrow(`in use by process ${child.pid}:`)
    child.stdin!.write('1\n')
    expect(await line()).toBe('kept 1')
    await kill(child)
    const mine = await open(folder)
    await expect(openEmbedded(folder)).rejects.toThrow(`in use by process ${process.pid}:`)
    expect(await rowsOf(mine)).toEqual([1])
  })

  test('a folder that holds something else is refused in words, and is not left locked', async () => {
    const folder = newFolder()
    mkdirSync(folder)
    writeFileSync(join(folder, 'pgdata'), 'not a database')
    await expect(openEmbedded(folder)).rejects.toThrow(`${folder} could not be opened: `)
    expect(existsSync(join(folder, 'postern.lock'))).toBe(false)
  })

  test('a temporary folder with a long name does not make the socket path too long', async () => {
    const long = join(root, 'x'.repeat(90))
    mkdirSync(long)
    const before = process.env.TMPDIR
    process.env.TMPDIR = long
    try {
      const embedded = await open(madeFolder())
      expect(dirname(embedded.connection.host)).toBe('/tmp')
    } finally {
      if (before === undefined) delete process.env.TMPDIR
      else process.env.TMPDIR = before
    }
  })
})

const lockedSockets = (folder: string): string => {
  try {
    lockFolder(folder, join(root, 'postern-none')).release()
  } catch (error) {
    if (!(error instanceof FolderInUse)) throw error
    return error.sockets
  }
  throw new Error(`${folder} was not locked`)
}

describe('the lock', () => {
  const dead = { pid: 2 ** 22 + 1, started: '1', sockets: '/tmp/postern-gone00' }
  const stale: readonly [string, string][] = [
    ['of a process that is gone', JSON.stringify(dead)],
    ['of a number that another process has now', JSON.stringify({ ...dead, pid: 1 })],
    ['of our own number, from before a restart', JSON.stringify({ ...dead, pid: process.pid })],
    ['that is empty', ''],
    ['that is not ours', '{"pid":"x"}'],
  ]
  test.each(stale)('a lock %s is taken over', (_, content) => {
    const folder = newFolder()
    mkdirSync(folder)
    writeFileSync(join(folder, 'postern.lock'), content)
    const lock = lockFolder(folder, '/tmp/postern-mine00')
    expect(() => lockFolder(folder, '/tmp/postern-other0')).toThrow(FolderInUse)
    lock.release()
    expect(existsSync(join(folder, 'postern.lock'))).toBe(false)
  })

  test('of several processes that find a dead one, one takes over', async () => {
    const folder = madeFolder()
    writeFileSync(join(folder, 'postern.lock'), JSON.stringify(dead))
    const said = await Promise.all(Array.from({ length: 4 }, () => start(folder).line()))
    expect(said.filter((line) => line === 'open')).toHaveLength(1)
    expect(said.filter((line) => line.startsWith('FolderInUse: '))).toHaveLength(3)
  })
})

/** A frontend message of the PostgreSQL protocol. */
function message(type: string, body: string): Buffer {
  const text = Buffer.from(body, 'latin1')
  const head = Buffer.alloc(type.length + 4)
  head.write(type, 'latin1')
  head.writeInt32BE(text.length + 4, type.length)
  return Buffer.concat([head, text])
}
const parse = (sql: string) => message('P', `\0${sql}\0\0\0`)
const bindExecuteSync = Buffer.concat([
  message('B', '\0\0\0\0\0\0\0\0'),
  message('E', '\0\0\0\0\0'),
  message('S', ''),
])

/** A bare connection, past its start-up. `receive` waits until what came in contains the text. */
async function raw(embedded: Embedded) {
  const socket: Socket = connect(join(embedded.connection.host, '.s.PGSQL.5432'))
  let seen = ''
  const waiting = new Set<() => void>()
  socket.on('data', (data) => {
    seen += data.toString('latin1')
    for (const wake of waiting) wake()
  })
  const receive = (text: string) =>
    new Promise<string>((resolve) => {
      const wake = () => {
        if (!seen.includes(text)) return
        waiting.delete(wake)
        resolve(seen)
        seen = ''
      }
      waiting.add(wake)
      wake()
    })
  await new Promise((resolve) => socket.once('connect', resolve))
  socket.write(message('', '\0\x03\0\0user\0postgres\0database\0postgres\0\0'))
  await receive('Z\0\0\0\x05I')
  return {
    socket,
    receive,
    send: (data: Buffer) => new Promise((sent) => socket.write(data, sent)),
  }
}

describe('connections that share the session', () => {
  test("a statement that comes in pieces is not answered with another connection's", async () => {
    const embedded = await open(madeFolder())
    const [slow, quick] = [await raw(embedded), await raw(embedded)]
    await slow.send(parse("select 'slow' as word"))
    await slow.receive('1\0\0\0\x04')
    await quick.send(Buffer.concat([parse("select 'quick' as word"), bindExecuteSync]))
    // Nothing to wait for: while the slow one has the turn, the quick one is not answered.
    for (let i = 0; i < 50; i++) await new Promise((resolve) => setImmediate(resolve))
    await slow.send(bindExecuteSync)
    expect(await slow.receive('Z\0\0\0\x05I')).toContain('slow')
    expect(await quick.receive('Z\0\0\0\x05I')).toContain('quick')
    slow.socket.destroy()
    quick.socket.destroy()
  })

  const leavers: readonly [string, (c: Awaited<ReturnType<typeof raw>>) => Promise<unknown>][] = [
    ['in the middle of a statement', (c) => c.send(parse('select 1')).then(() => c.receive('1\0'))],
    ['after an error', (c) => c.send(parse('selekt 1')).then(() => c.receive('42601'))],
    [
      'in a transaction',
      async (c) => {
        await c.send(message('Q', 'begin; create table public.left_over (n int)\0'))
        await c.receive('Z\0\0\0\x05T')
      },
    ],
    [
      'in a failed transaction',
      async (c) => {
        await c.send(message('Q', 'begin; create table public.left_over (n int); selekt\0'))
        await c.send(message('Q', 'begin\0'))
        await c.send(message('Q', 'create table public.left_over (n int)\0'))
        await c.send(message('Q', 'selekt\0'))
        await c.receive('Z\0\0\0\x05E')
      },
    ],
  ]
  test('a client that leaves at any point holds nobody up and leaves nothing behind', async () => {
    const embedded = await open(madeFolder())
    for (const [where, leave] of leavers) {
      const leaver = await raw(embedded)
      await leave(leaver)
      leaver.socket.destroy()
      const { rows } = await withClient(embedded.connection, (client) =>
        client.query(`select to_regclass('public.left_over') as left, $1::text as next`, [where]),
      )
      expect(rows).toEqual([{ left: null, next: where }])
    }
  })

  test('the main thread goes on while a statement runs', async () => {
    const embedded = await open(madeFolder())
    let ticks = 0
    const ticking = setInterval(() => ticks++, 1)
    await withClient(embedded.connection, (client) =>
      client.query('select count(*) from generate_series(1, 2000000)'),
    )
    clearInterval(ticking)
    expect(ticks).toBeGreaterThan(5)
  })

  test('many connections are served, and are ended by a close', async () => {
    const embedded = await open(madeFolder())
    const pool = new pg.Pool({ ...embedded.connection, max: 50 })
    pool.on('error', () => undefined)
    const numbers = Array.from({ length: 500 }, (_, i) => i)
    const answers = await Promise.all(
      numbers.map(async (n) => (await pool.query('select $1::int as n', [n])).rows[0]?.n),
    )
    expect(answers).toEqual(numbers)
    await embedded.close()
    await expect(pool.query('select 1')).rejects.toThrow()
    await pool.end()
  })
})
