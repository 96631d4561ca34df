/** Reads the repository as text, for the tests that keep its rules. */
import { readdirSync, readFileSync } from 'node:fs'
import { join, relative, sep } from 'node:path'
import { fileURLToPath } from 'node:url'

export const repository = fileURLToPath(new URL('..', import.meta.url))

/** What nobody commits: dependencies, builds, local data and secrets, and the history itself. */
const unread = new Set(['node_modules', '.git', '.postern', '.wrangler', 'dist', 'coverage'])

/**
 * The files below a folder of the repository, as sorted paths with `/`. Read from disk and not from
 * git, which may be missing or distrust the folder's owner; so a file is judged before it is added.
 */
export function listFiles(folder = '.'): string[] {
  const entries = readdirSync(join(repository, folder), { withFileTypes: true })
  const files = entries.flatMap((entry) => {
    if (unread.has(entry.name) || entry.name === '.env.local') return []
    const path = join(folder, entry.name)
    if (entry.isDirectory()) return listFiles(path)
    return entry.isFile() ? [relative('.', path).replaceAll(sep, '/')] : []
  })
  return files.sort()
}

export function readText(file: string): string {
  return readFileSync(join(repository, file), 'utf8')
}

/** The source without its comments. A `//` in a string takes the rest of its line along. */
export function withoutComments(source: string): string {
  return source.replaceAll(/\/\*[\s\S]*?\*\/|\/\/.*/g, '')
}

/** The source without comments and without what stands in quotes. */
export function codeOnly(source: string): string {
  return withoutComments(source).replaceAll(/'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"/g, "''")
}
