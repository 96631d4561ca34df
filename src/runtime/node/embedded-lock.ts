/**
 * May this process use the folder? A file that names its holder, because PGlite takes no lock and
 * two processes in one folder lose acknowledged rows.
 *
 * A process id alone is not a name: after a crash the number is given away again (in a container,
 * to the same program), so where the kernel tells when a process started, that is part of it. Two
 * containers that share a volume do not see each other's processes: the lock cannot help there.
 */
import { linkSync, readFileSync, renameSync, rmSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** The folder is in use; the message names the process, `sockets` is where that one listens. */
export class FolderInUse extends Error {
  override readonly name = 'FolderInUse'
  readonly sockets: string

  constructor(message: string, sockets: string) {
    super(message)
    this.sockets = sockets
  }
}

type Holder = { readonly pid: number; readonly started: string; readonly sockets: string }
export type FolderLock = {
  /** The socket folder of a holder that died without removing it, or null. */
  readonly leftover: string | null
  release(): void
}

const name = 'postern.lock'

/**
 * Takes the lock of a folder; `sockets` is where this process will listen. A lock whose process is
 * gone is taken over. Throws `FolderInUse` otherwise, also when the holder is this process itself.
 */
export function lockFolder(folder: string, sockets: string): FolderLock {
  const path = join(folder, name)
  const mine: Holder = { pid: process.pid, started: startOf(process.pid), sockets }
  const draft = `${path}.${process.pid}.${sockets.split('-').at(-1)}`
  writeFileSync(draft, JSON.stringify(mine), { mode: 0o600 })
  try {
    const leftover = place(draft, path, folder)
    return {
      leftover,
      release: () => {
        if (read(path)?.sockets === sockets) unlinkSync(path)
      },
    }
  } finally {
    rmSync(draft, { force: true })
  }
}

function place(draft: string, path: string, folder: string): string | null {
  if (tryLink(draft, path)) return null
  refuseIfAlive(folder, path)
  // Of several processes that find the same dead holder, one may replace it: the one with the turn.
  const turn = `${path}.turn`
  while (!tryLink(draft, turn)) {
    // It has gone again, or its holder died within these few lines.
    if (refuseIfAlive(folder, turn) !== null) rmSync(turn, { force: true })
  }
  try {
    const dead = refuseIfAlive(folder, path)
    renameSync(draft, path)
    return dead?.sockets ?? null
  } finally {
    rmSync(turn, { force: true })
  }
}

function refuseIfAlive(folder: string, path: string): Holder | null {
  const holder = read(path)
  if (holder === null || !isAlive(holder)) return holder
  throw new FolderInUse(
    `${folder} is in use by process ${holder.pid}: stop that one, or use another folder`,
    holder.sockets,
  )
}

/** A hard link appears whole or not at all, so no reader sees a half-written lock. */
function tryLink(from: string, to: string): boolean {
  try {
    linkSync(from, to)
    return true
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false
    throw error
  }
}

/** null: there is none, or it is not one of ours. */
function read(path: string): Holder | null {
  try {
    const { pid, started, sockets } = JSON.parse(readFileSync(path, 'utf8'))
    return typeof pid === 'number' && pid > 0
      ? { pid, started: String(started), sockets: String(sockets) }
      : null
  } catch {
    return null
  }
}

function isAlive(holder: Holder): boolean {
  try {
    process.kill(holder.pid, 0)
  } catch (error) {
    // Somebody else's process may not be signalled, and is alive all the same.
    if (codeOf(error) !== 'EPERM') return false
  }
  return holder.started === startOf(holder.pid)
}

/** When a process started, in the kernel's words (field 22 of /proc/pid/stat); '' where unknown. */
function startOf(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // The second field is the program's name in brackets and may hold anything.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? ''
  } catch {
    return ''
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : ''
}
