/**
 * The two root secrets, of 32 bytes each: from the environment, from a file, or, where storage is
 * embedded, generated once beside it. A wrong one is refused at start: a gateway that makes up a
 * pepper would answer 401 to every good key.
 */
import { randomBytes } from 'node:crypto'
import { existsSync, linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseVersions, type RootSecrets } from '../root-secrets.ts'

/** What a process on Node reads. */
export type NodeSecrets = RootSecrets & {
  /** The file of a pepper that was made by this call. Keys that are stored already need another. */
  readonly madePepper: string | null
}

type Environment = Readonly<Record<string, string | undefined>>

/**
 * Reads POSTERN_PEPPER[_FILE] and POSTERN_MASTER_KEY[_FILE]: 32 bytes as base64 or hex. Older ones
 * stand beside the current one, which is the highest: `2:BASE64,1:BASE64`. With `folder`, what is
 * missing is generated there (mode 0600) and read again next time, unless there is data in it
 * already. Throws a sentence that names what is missing or wrong, and shows no value.
 */
export function readRootSecrets(env: Environment, folder: string | null): NodeSecrets {
  const made = folder !== null && isMissing(env, 'POSTERN_PEPPER', folder)
  return {
    peppers: parseVersions('POSTERN_PEPPER', read(env, 'POSTERN_PEPPER', folder)),
    masters: parseVersions('POSTERN_MASTER_KEY', read(env, 'POSTERN_MASTER_KEY', folder)),
    madePepper: made ? fileOf('POSTERN_PEPPER', folder) : null,
  }
}

const fileOf = (name: string, folder: string): string =>
  join(folder, name.toLowerCase().replace('postern_', ''))

const isMissing = (env: Environment, name: string, folder: string): boolean =>
  !env[name] && !env[`${name}_FILE`] && !existsSync(fileOf(name, folder))

function read(env: Environment, name: string, folder: string | null): string {
  const inline = env[name]
  if (inline !== undefined && inline !== '') return inline.trim()
  const file = env[`${name}_FILE`]
  if (file !== undefined && file !== '') return contentOf(`${name}_FILE`, file)
  if (folder !== null) return generated(name, folder)
  throw new Error(
    `${name} is not set: give it 32 random bytes, e.g. from \`openssl rand -base64 32\`, or a file of them in ${name}_FILE`,
  )
}

function contentOf(name: string, file: string): string {
  try {
    return readFileSync(file, 'utf8').trim()
  } catch (error) {
    throw new Error(`${name}: ${error instanceof Error ? error.message : 'cannot be read'}`)
  }
}

function generated(name: string, folder: string): string {
  const file = fileOf(name, folder)
  if (!existsSync(file)) {
    // Rows that were written with another one would be lost to whoever starts with a new one.
    if (existsSync(join(folder, 'pgdata'))) {
      throw new Error(`${folder} holds data, but ${file} is gone: put it back, or set ${name}`)
    }
    generate(file, folder)
  }
  return contentOf(name, file)
}

/** A link appears whole or not at all: of two processes starting at once, both read the same one. */
function generate(file: string, folder: string): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const draft = `${file}.${process.pid}`
  writeFileSync(draft, `${randomBytes(32).toString('base64')}\n`, { mode: 0o600 })
  try {
    linkSync(draft, file)
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error
  } finally {
    rmSync(draft, { force: true })
  }
}
