/**
 * The `postern` command as a process, under this Node and under old ones. Where the machine has no
 * old Node, this one says that it is old: the code that judges it is the same.
 */
import { execFileSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { run, start } from './process.ts'

const repository = fileURLToPath(new URL('..', import.meta.url))
const bin = join(repository, 'bin/postern.cjs')

/** The package without its node_modules, and the same with a Node of its own. */
let bare = ''
let brought = ''

beforeAll(() => {
  const folder = mkdtempSync(join(tmpdir(), 'postern-bin-'))
  bare = join(folder, 'bare')
  brought = join(folder, 'brought')
  for (const place of [bare, brought]) {
    mkdirSync(join(place, 'src/cli'), { recursive: true })
    cpSync(dirname(bin), join(place, 'bin'), { recursive: true })
    cpSync(join(repository, 'package.json'), join(place, 'package.json'))
    writeFileSync(join(place, 'src/cli/main.ts'), standIn)
  }
  const own = join(brought, 'node_modules', `node-${process.platform}-${process.arch}`)
  mkdirSync(join(own, 'bin'), { recursive: true })
  const { version } = process
  writeFileSync(join(own, 'package.json'), JSON.stringify({ version: version.slice(1) }))
  symlinkSync(process.execPath, join(own, 'bin/node'))
})
afterAll(() => rmSync(dirname(bare), { recursive: true, force: true }))

/** Stands in for the real command: says who runs it, waits if told to, ends with the given code. */
const standIn = `
export async function main(args: readonly string[], io: { out(text: string): void }): Promise<number> {
  io.out('node ' + process.version + ' args ' + JSON.stringify(args) + '\\n')
  if (args[0] !== 'wait') return Number(args[0] ?? 0)
  const { promise, resolve } = Promise.withResolvers<number>()
  const idle = setInterval(() => {}, 1000)
  for (const signal of ['SIGTERM', 'SIGHUP', 'SIGINT']) {
    process.once(signal, () => {
      clearInterval(idle)
      io.out('got ' + signal + '\\n')
      resolve(7)
    })
  }
  io.out('waiting\\n')
  return promise
}
`

type OldNode = { readonly name: string; readonly command: string; readonly args: string[] }

/** Says that it is another version, then runs the file as if it had been named. */
function pretend(version: string): OldNode {
  const code = `
    const file = process.argv[1]
    Object.defineProperty(process, 'version', { value: '${version}' })
    require(file)`
  return { name: `${version} (pretended)`, command: process.execPath, args: ['-e', code, '--'] }
}

/** Every Node in PATH that is older than 22. */
function installedOldNodes(): OldNode[] {
  const files = (process.env.PATH ?? '').split(delimiter).map((folder) => join(folder, 'node'))
  // /bin is often another name of /usr/bin: one Node is tried once.
  return [...new Set(files.filter((file) => existsSync(file)).map((file) => realpathSync(file)))]
    .map((command) => ({ command, version: execFileSync(command, ['-v'], { encoding: 'utf8' }) }))
    .filter(({ version }) => Number(/^v(\d+)/.exec(version)?.[1]) < 22)
    .map(({ command, version }) => ({ name: version.trim(), command, args: [] }))
}

const oldNodes = [pretend('v8.17.0'), pretend('v20.20.2'), ...installedOldNodes()]

describe.each(oldNodes)('an old Node, $name,', ({ name, command, args }) => {
  test('says in two lines what it lacks and what to do', async () => {
    const done = await run(command, [...args, join(bare, 'bin/postern.cjs'), 'start'])
    expect(done).toMatchObject({ code: 1, signal: null, stdout: '' })
    expect(done.stderr.trimEnd().split('\n')).toHaveLength(2)
    expect(done.stderr).toContain(`needs Node 24`)
    expect(done.stderr).toContain(`this is ${name.split(' ')[0]}.`)
    expect(done.stderr).toMatch(/Install Node 24 .*npm ci/)
  })

  test('hands over to the Node that came with the package: arguments and exit code', async () => {
    const file = join(brought, 'bin/postern.cjs')
    const done = await run(command, [...args, file, '3', 'a b'])
    expect(done).toEqual({
      code: 3,
      signal: null,
      stdout: `node ${process.version} args ["3","a b"]\n`,
      stderr: '',
    })
  })

  test.each(['SIGTERM', 'SIGHUP', 'SIGINT'] as const)('passes %s on', async (signal) => {
    const running = await start(command, [...args, join(brought, 'bin/postern.cjs'), 'wait'])
    await running.line(/waiting/)
    running.signal(signal)
    expect(await running.exited).toEqual({ code: 7, signal: null })
    expect(running.stdout()).toContain(`got ${signal}`)
  })
})

describe('the versions between', () => {
  test.each(['v22.22.9', 'v23.11.1', 'v24.0.0', 'v24.16.9'])('%s is too old', async (version) => {
    const { command, args } = pretend(version)
    const done = await run(command, [...args, join(bare, 'bin/postern.cjs')])
    expect(done.stderr).toContain(`this is ${version}`)
    expect(done.code).toBe(1)
  })

  test.each(['v22.23.0', 'v24.17.0', 'v25.0.0', 'v100.1.0'])('%s is not', async (version) => {
    const { command, args } = pretend(version)
    const done = await run(command, [...args, join(bare, 'bin/postern.cjs'), '5'])
    expect(done).toMatchObject({ code: 5, stderr: '' })
  })
})

describe('the real command under this Node', () => {
  test.each([
    [
      ['--version'],
      0,
      `postern ${JSON.parse(readFileSync(join(repository, 'package.json'), 'utf8')).version}\n`,
    ],
    [['--help'], 0, 'Examples\n'],
  ])('%j prints to stdout, with no warning', async (args, code, stdout) => {
    const done = await run(process.execPath, [bin, ...args])
    expect(done).toMatchObject({ code, stderr: '', stdout: expect.stringContaining(stdout) })
  })

  test('an unknown command exits with 2, and says so on stderr only', async () => {
    const done = await run(process.execPath, [bin, 'strat'])
    expect(done).toMatchObject({ code: 2, stdout: '' })
    expect(done.stderr).toContain('did you mean "start"?')
  })

  test('a command that fails exits with 1 and a sentence, not a stack', async () => {
    const done = await run(process.execPath, [bin, 'start', 'no-such-file.yaml'])
    expect(done.code).toBe(1)
    expect(done.stderr).toContain('no-such-file.yaml')
    expect(done.stderr).not.toMatch(/^ {4}at /m)
  })
})
