/**
 * Where do rows live when nobody gave a DATABASE_URL? In a folder, in PGlite, which runs in a
 * thread of this process and is spoken to through a unix socket by the driver of every other
 * database. For development: one session, one writer, no fsync.
 *
 * Its user is a superuser, so every flight must set its role (design.md section 5).
 */
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { type FolderLock, lockFolder } from './embedded-lock.ts'
import type { EmbeddedStart } from './embedded-worker.ts'

export { FolderInUse } from './embedded-lock.ts'

/** An open folder. */
export type Embedded = {
  /** What `pg` connects with. All connections share one session: see the traps in design.md. */
  readonly connection: {
    readonly host: string
    readonly port: number
    readonly user: string
    readonly database: string
  }
  /** Settles with the reason if the thread ends unasked; connections are refused from then on. */
  readonly lost: Promise<Error>
  /** Ends the connections, closes the data and gives the folder back. May be called twice. */
  close(): Promise<void>
}

const port = 5432
// Linux takes 107 bytes, macOS 103; the rest of the path is what mkdtemp and PostgreSQL add.
const socketPathBytesMax = 103
const addedBytes = '/postern-XXXXXX/.s.PGSQL.5432'.length

/**
 * Opens the PGlite of a folder (made if missing, mode 0700). The first
 * time takes a few seconds. Throws `FolderInUse` when a process, this one included, has it open,
 * and what PGlite said when the data cannot be opened.
 */
export async function openEmbedded(folder: string): Promise<Embedded> {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  chmodSync(folder, 0o700)
  const sockets = mkdtempSync(join(socketRoot(), 'postern-'))
  let lock: FolderLock
  try {
    lock = lockFolder(folder, sockets)
  } catch (error) {
    rmSync(sockets, { recursive: true, force: true })
    throw error
  }
  removeLeftover(lock.leftover)
  const release = () => {
    rmSync(sockets, { recursive: true, force: true })
    lock.release()
  }
  const start: EmbeddedStart = {
    folder: join(folder, 'pgdata'),
    socket: join(sockets, `.s.PGSQL.${port}`),
  }
  const worker = new Worker(new URL('./embedded-worker.ts', import.meta.url), { workerData: start })
  const ended = endOf(worker)
  const first = await Promise.race([
    new Promise<'ready'>((ready) => worker.once('message', ready)),
    ended,
  ])
  if (first !== 'ready') {
    release()
    throw new Error(`${folder} could not be opened: ${first.message}`, { cause: first })
  }
  // An idle database keeps no process alive: that is for whoever listens.
  worker.unref()
  let closing: Promise<void> | undefined
  const close = async () => {
    worker.ref()
    worker.postMessage('close')
    await ended
    release()
  }
  return {
    connection: { host: sockets, port, user: 'postgres', database: 'postgres' },
    lost: ended.then((error) => (closing === undefined ? error : new Promise(() => undefined))),
    close: () => {
      closing ??= close()
      return closing
    },
  }
}

/** Why the thread ended: what it threw, or that it exited. */
function endOf(worker: Worker): Promise<Error> {
  return new Promise((resolve) => {
    worker.once('error', (error) =>
      resolve(error instanceof Error ? error : new Error(String(error))),
    )
    worker.once('exit', (code) => resolve(new Error(`the database thread ended with code ${code}`)))
  })
}

function socketRoot(): string {
  const root = tmpdir()
  return Buffer.byteLength(root) + addedBytes <= socketPathBytesMax ? root : '/tmp'
}

/** The lock file is only as trustworthy as the folder: remove nothing but a socket folder of ours. */
function removeLeftover(sockets: string | null): void {
  if (
    sockets === null ||
    !/^postern-[A-Za-z0-9]{6}$/.test(sockets.slice(dirname(sockets).length + 1))
  )
    return
  if (dirname(sockets) !== socketRoot()) return
  rmSync(join(sockets, `.s.PGSQL.${port}`), { force: true })
  rmSync(sockets, { recursive: true, force: true })
}
