/**
 * The package as others get it: built, packed, installed without a network into an empty folder, and
 * used from there. It is what proves that nothing of the repository is missing in it.
 */
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { run } from '../process.ts'
import { repository } from '../source.ts'
import { openScene, type Scene, secretKey } from './server.ts'

let scene: Scene
let folder = ''
let packed: string[] = []
beforeAll(async () => {
  scene = await openScene()
  folder = mkdtempSync(join(tmpdir(), 'postern-sdk-'))
  // Built aside, so that two runs of the tests do not write one `dist`. What it stands on is linked.
  const copy = join(folder, 'sdk/typescript')
  cpSync(join(repository, 'sdk/typescript'), copy, {
    recursive: true,
    filter: (file) => !/\/(?:dist|node_modules)$/.test(file),
  })
  cpSync(join(repository, 'tsconfig.json'), join(folder, 'tsconfig.json'))
  symlinkSync(join(repository, 'node_modules'), join(folder, 'node_modules'))
  await must('npm', ['run', 'build'], copy)
  const out = await must('npm', ['pack', '--json'], copy)
  const [{ filename, files }] = JSON.parse(out)
  packed = files.map(({ path }: { path: string }) => path)

  const app = join(folder, 'app')
  cpSync(join(repository, 'LICENSE'), join(app, 'LICENSE'))
  writeFileSync(join(app, 'package.json'), '{ "type": "module", "private": true }')
  await must('npm', ['install', '--offline', join(copy, filename)], app)
}, 120_000)
afterAll(async () => {
  await scene?.stop()
  rmSync(folder, { recursive: true, force: true })
})

async function must(command: string, args: readonly string[], cwd: string): Promise<string> {
  const done = await run(command, args, { cwd, timeoutMs: 100_000 })
  expect(done, `${command} ${args.join(' ')}`).toMatchObject({ code: 0 })
  return done.stdout
}

test('it holds what is needed and no more, and needs nothing', () => {
  const wanted = ['LICENSE', 'README.md', 'dist/postern.d.ts', 'dist/postern.js', 'package.json']
  expect([...packed].sort()).toEqual(wanted)
  const manifest = JSON.parse(readFileSync(join(repository, 'sdk/typescript/package.json'), 'utf8'))
  expect(manifest.dependencies).toBeUndefined()
  const built = readFileSync(join(folder, 'sdk/typescript/dist/postern.js'), 'utf8')
  // A method is called `import`, too.
  expect(built).not.toMatch(/\bfrom\s*['"]|\bawait import\(|\brequire\(|console\./)
})

test('it is imported by its name, and calls', async () => {
  const program = `
    import { NotFoundError, Postern, PosternError } from '@postern/sdk'
    const client = new Postern()
    try {
      await client.apiKeys.get('key_1')
    } catch (error) {
      const { name, code } = error
      console.log(error instanceof NotFoundError, error instanceof PosternError, name, code)
    }
    console.log(client)`
  writeFileSync(join(folder, 'app/main.js'), program)
  scene.play({ status: 404, body: { code: 'resource/not_found' } })
  const env = { ...process.env, POSTERN_URL: scene.url, POSTERN_API_KEY: secretKey }
  const done = await run(process.execPath, ['main.js'], { cwd: join(folder, 'app'), env })
  expect(done).toMatchObject({ code: 0, stderr: '' })
  expect(done.stdout).toContain('true true NotFoundError resource/not_found\n')
  expect(done.stdout).toContain('sk_live_k7Gh2Qm9x_…')
  expect(done.stdout).not.toContain(secretKey)
})

test('its types hold what they say, without the types of Node', async () => {
  const program = `
    import { Postern, type ApiKey, RateLimitError } from '@postern/sdk'
    const client = new Postern({ apiKey: 'k', baseUrl: 'https://x' })
    export async function main(): Promise<number> {
      const made = await client.apiKeys.create({
        name: 'a', environment: 'live', expiresAt: new Date(), rateLimit: { quota: 1, windowSeconds: 60 },
      })
      const whole: string = made.key
      for await (const key of client.apiKeys.list({ status: 'active' })) {
        const one: ApiKey = key
        const until: string | null = one.expiresAt
        // @ts-expect-error: only create and rotate show it
        one.key
        void until
      }
      // @ts-expect-error: there is no such environment
      await client.apiKeys.create({ name: 'a', environment: 'prod' })
      const error: unknown = whole
      return error instanceof RateLimitError ? (error.retryAfterMs ?? 0) : 0
    }`
  writeFileSync(join(folder, 'app/main.ts'), program)
  const options = { strict: true, noEmit: true, module: 'nodenext', target: 'es2022', types: [] }
  const tsconfig = { compilerOptions: { ...options, lib: ['es2023', 'dom'] }, files: ['main.ts'] }
  writeFileSync(join(folder, 'app/tsconfig.json'), JSON.stringify(tsconfig))
  await must(join(repository, 'node_modules/.bin/tsc'), ['-p', '.'], join(folder, 'app'))
})
