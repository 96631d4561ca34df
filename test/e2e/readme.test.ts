/**
 * What the README tells a newcomer to type, typed: in a copy of the repository without installed
 * packages, with an empty home and without this process's environment.
 */
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Running, run, start } from '../process.ts'
import { freePort } from '../servers.ts'
import { listFiles, readText, repository } from '../source.ts'

const blocks = [...readText('README.md').matchAll(/^```sh\n([\s\S]*?)^```/gm)].map(
  ([, text = '']) => text,
)
const [install = '', ...later] = blocks
let folder: string
let gateway: Running
let env: Record<string, string>

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'postern-readme-'))
  for (const file of listFiles()) cpSync(join(repository, file), join(folder, 'clone', file))
  // The Node of npm scripts must come from the clone, as it does for somebody who has only an old one.
  const path = (process.env.PATH ?? '')
    .split(delimiter)
    .filter((part) => !part.includes('node_modules'))
  env = { PATH: path.join(delimiter), HOME: join(folder, 'home'), PORT: String(await freePort()) }
})
afterAll(async () => {
  await gateway?.stop()
  rmSync(folder, { recursive: true, force: true })
})

const shell = (script: string) => ['-euc', script]
const at = () => ({ cwd: join(folder, 'clone'), env })

test('the two commands install and start, without a warning', async () => {
  const commands = install.trim().split('\n')
  expect(commands).toEqual(['npm ci', 'npm start'])
  const installed = await run('bash', shell(commands[0] ?? ''), { ...at(), timeoutMs: 300_000 })
  expect(installed.code, installed.stderr).toBe(0)
  expect(installed.stderr).toBe('')
  gateway = await start('bash', shell(`exec ${commands[1]}`), at())
  await gateway.line(/^ +curl http/, 30_000)
  expect(gateway.stderr()).toBe('')
}, 330_000)

test('their output is what the README shows', () => {
  const [, shown = ''] = /^```text\n([\s\S]*?)^```/m.exec(readText('README.md')) ?? []
  expect(plain(gateway.stdout())).toEqual(plain(shown))
})

test('the commands that follow work as they stand, in order', async () => {
  expect(later.length).toBeGreaterThan(1)
  const { code, stdout, stderr } = await run('bash', shell(later.join('\n')), at())
  expect(code, stderr).toBe(0)
  expect(stdout).toMatch(/\{"data":\[\{"id":"sub_/)
  expect(stdout).toContain('"code":"tenant/missing"')
  expect(stdout).toContain('# Tenant missing')
})

test('the line that was printed works as pasted, from anywhere', async () => {
  const [line] = await gateway.line(/^ +curl http.*/)
  const { stdout } = await run('bash', shell(line), { env, cwd: dirname(folder) })
  expect(JSON.parse(stdout).data.length).toBeGreaterThan(0)
})

test('SIGTERM to npm ends the gateway, which says where the data is', async () => {
  await gateway.stop('SIGTERM', 20_000)
  expect(gateway.stdout()).toContain('The data is in ./.postern')
})

/** The lines of an output without what differs from one machine to the next. */
function plain(text: string): string[] {
  return text
    .replaceAll(/127\.0\.0\.1:\d+/g, '127.0.0.1:PORT')
    .replaceAll(/sk_dev_[\w…]+/g, 'KEY')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
}
