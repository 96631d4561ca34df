import { chmodSync, existsSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs'

const assignment = /^\s*(?:export\s+)?([A-Z][A-Z0-9_]*)=(.*?)\r?$/

/** The `NAME=value` lines of a file, quotes removed; empty when there is no such file. */
export function readEnvFile(file: string): ReadonlyMap<string, string> {
  const found = new Map<string, string>()
  if (!existsSync(file)) return found
  for (const line of readFileSync(file, 'utf8').split('\n')) {
    const [, name, value] = assignment.exec(line) ?? []
    if (name !== undefined && value !== undefined)
      found.set(name, value.trim().replace(/^(["'])(.*)\1$/, '$2'))
  }
  return found
}

/**
 * Sets `entries` in an env file and leaves its other lines alone. The file is replaced whole and is
 * readable by its owner only (0600): it holds keys. Where nothing would change, nothing is written.
 */
export function writeEnvFile(file: string, entries: ReadonlyMap<string, string>): void {
  const there = existsSync(file)
  const old = there ? readFileSync(file, 'utf8') : '# Written by Postern. Not for git.'
  const missing = new Map(entries)
  const lines = old.split('\n').map((line) => {
    const name = assignment.exec(line)?.[1] ?? ''
    const value = entries.get(name)
    missing.delete(name)
    return value === undefined ? line : `${name}=${value}`
  })
  while (lines.at(-1) === '') lines.pop()
  lines.push(...[...missing].map(([name, value]) => `${name}=${value}`), '')
  const text = lines.join('\n')
  if (there && text === old && (statSync(file).mode & 0o777) === 0o600) return
  const next = `${file}.${process.pid}`
  writeFileSync(next, text, { mode: 0o600 })
  chmodSync(next, 0o600)
  renameSync(next, file)
}
