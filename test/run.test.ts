/**
 * The runner runs itself on made-up suites: what it counts as failed, how it exits, what it leaves.
 */
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { run, start } from './process.ts'

const repository = fileURLToPath(new URL('..', import.meta.url))
const vitest = JSON.stringify(fileURLToPath(import.meta.resolve('vitest')))
let folder = ''

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'postern-run-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

/** The environment of a shell: without what the outer vitest tells its own workers. */
function shell(more: Record<string, string> = {}): Record<string, string | undefined> {
  const mine = Object.entries(process.env).filter(
    ([name]) => !/^(VITEST|TEST|DEV|PROD|SSR|MODE|BASE_URL|NODE_ENV|NODE_OPTIONS)/.test(name),
  )
  return { ...Object.fromEntries(mine), NO_COLOR: '1', ...more }
}

const head = `import { beforeAll, describe, expect, test } from ${vitest}\n`

/** Writes made-up suites, one file per entry, and answers the arguments that run them. */
async function suites(name: string, files: Record<string, string>): Promise<string[]> {
  const root = join(folder, name)
  await mkdir(root)
  for (const [file, code] of Object.entries(files)) {
    await writeFile(join(root, `${file}.test.mjs`), head + code)
  }
  return ['test/run.ts', '--root', root]
}

const passing = `test('one', () => expect(1).toBe(1))\n`

test('whatever did not pass is counted as failed, and the exit code says so', async () => {
  const args = await suites('bad', {
    failing: `${passing} test('two', () => expect(1).toBe(2))`,
    // Spelt in pieces: the house rules read this file too.
    skipped: `${passing} test.${'skip'}('two', () => {}); test.${'todo'}('three')`,
    unloadable: `throw new Error('no server')`,
    unprepared: `describe('x', () => { beforeAll(() => { throw new Error('no') }); ${passing} })`,
    stray: `${passing} test('two', () => void Promise.reject(new Error('stray')))`,
    empty: `describe('x', () => {})`,
  })
  const done = await run(process.execPath, args, { cwd: repository, env: shell() })
  // One failing, two left out, one unloadable, one unprepared and its test, one stray, and the
  // empty file with its empty group.
  expect(done.stdout).toMatch(/\n4 passed, 9 failed\n$/)
  expect(done.code).toBe(1)
})

test('a run without a test has failed', async () => {
  const args = await suites('none', {})
  const done = await run(process.execPath, args, { cwd: repository, env: shell() })
  expect(done.stdout).toMatch(/\n0 passed, 0 failed\n$/)
  expect(done.stderr).toMatch(/no test ran/)
  expect(done.code).toBe(1)
})

test('a good run ends with the closing line; tests left out by name are no failures', async () => {
  const args = await suites('good', { good: `${passing} test('two', () => expect(1).toBe(2))` })
  const options = { cwd: repository, env: shell() }
  const done = await run(process.execPath, [...args, '-t', 'one'], options)
  expect(done.stdout).toMatch(/\n1 passed, 0 failed\n$/)
  expect(done.code).toBe(0)
})

test('starts servers where none are named, and stops them when it is interrupted', async () => {
  const report = `import { writeSync } from 'node:fs'
    test('urls', () => {
      writeSync(2, 'urls ' + process.env.DATABASE_URL + ' ' + process.env.REDIS_URL + '\\n')
      return new Promise(() => {})
    }, 60_000)`
  const args = await suites('interrupted', { report })
  // A folder of its own for temporary files shows what is left in it.
  const temporary = join(folder, 'temporary')
  await mkdir(temporary)
  const env = shell({ DATABASE_URL: '', REDIS_URL: '', TMPDIR: temporary })
  const running = await start(process.execPath, args, { cwd: repository, env })
  const [, database = '', redis = ''] = await running.line(/urls (\S+) (\S+)/)
  expect(database).toMatch(/^postgres:\/\/postgres:postgres@127\.0\.0\.1:\d+\/postgres$/)
  expect(await running.stop('SIGINT')).toEqual({ code: 130, signal: null })
  for (const url of [database, redis]) {
    const { port } = new URL(url)
    await expect(fetch(`http://127.0.0.1:${port}`)).rejects.toThrow(/fetch failed/)
  }
  const left = await readdir(temporary)
  expect(left.filter((name) => name.startsWith('postern-'))).toEqual([])
})
