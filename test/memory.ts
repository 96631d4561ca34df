/** What a process of a test needs of memory, as Linux counts it (proc(5)). In bytes. */
import { readFileSync, writeFileSync } from 'node:fs'

function read(pid: number, field: 'VmRSS' | 'VmHWM'): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  const [, kilobytes] = new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(status) ?? []
  if (kilobytes === undefined) throw new Error(`/proc/${pid}/status has no ${field}`)
  return Number(kilobytes) * 1024
}

/** Starts to watch a process. What it answers says by how much its memory has grown at the most. */
export function watchMemory(pid: number): () => number {
  // 5 sets the peak back to what is in use now: what a start needed is no part of it.
  writeFileSync(`/proc/${pid}/clear_refs`, '5')
  const before = read(pid, 'VmRSS')
  return () => read(pid, 'VmHWM') - before
}
