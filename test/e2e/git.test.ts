/**
 * A service that runs already, a git server from npm, and plain git as its client: what goes through
 * the gate comes to the same as what goes past it, 200 MB in one file included.
 */
import { createHash, randomFillSync } from 'node:crypto'
import {
  closeSync,
  createReadStream,
  mkdirSync,
  mkdtempSync,
  openSync,
  rmSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { generateKey } from '../../src/keys/format.ts'
import { createDatabase, type TestDatabase, withClient } from '../database.ts'
import {
  exampleConfig,
  type GateProcess,
  makePlace,
  type Place,
  startGateProcess,
} from '../gate-process.ts'
import { watchMemory } from '../memory.ts'
import { type Running, run, start } from '../process.ts'
import { until } from '../redis.ts'
import { readText } from '../source.ts'

const blobBytes = 200 * 1024 * 1024
const commits = 300
/** One transfer of that size takes seconds; on a machine that does other things too, minutes. */
const patience = { timeout: 600_000 }
const script = fileURLToPath(new URL('../../examples/git-server.ts', import.meta.url))

let folder: string
let database: TestDatabase
let server: Running
let env: Record<string, string>
let place: Place
let gate: GateProcess
let serverUrl: string
/** The repository that everything starts from. */
let work: string

type Side = { readonly url: string; readonly headers: readonly string[] }
let direct: Side
let through: Side
const headersOf = (key: string, tenant: string) => [`x-api-key: ${key}`, `x-tn: ${tenant}`]

/** The settings of a person who has none, and headers where there are some. */
function environmentOf(headers: readonly string[]): Record<string, string> {
  const settings = [
    ['init.defaultBranch', 'main'],
    // What cannot be compressed is not compressed, which would take most of the time.
    ['core.compression', '0'],
    ['core.bigFileThreshold', '1m'],
    ['gc.auto', '0'],
    ...headers.map((header) => ['http.extraHeader', header]),
  ]
  const env: Record<string, string> = {
    PATH: process.env.PATH ?? '',
    HOME: folder,
    LC_ALL: 'C',
    GIT_CONFIG_GLOBAL: '/dev/null',
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_TERMINAL_PROMPT: '0',
    GIT_CONFIG_COUNT: String(settings.length),
  }
  for (const who of ['AUTHOR', 'COMMITTER']) {
    Object.assign(env, { [`GIT_${who}_NAME`]: 'Ada', [`GIT_${who}_EMAIL`]: 'ada@example.com' })
  }
  settings.forEach(([name = '', value = ''], at) => {
    env[`GIT_CONFIG_KEY_${at}`] = name
    env[`GIT_CONFIG_VALUE_${at}`] = value
  })
  return env
}

type Told = { readonly code: number | null; readonly said: string }

async function git(cwd: string, args: readonly string[], side: Side | null = null, input?: string) {
  const env = environmentOf(side?.headers ?? [])
  const ended = await run('git', args, { cwd, env, input, timeoutMs: patience.timeout })
  return { ...ended, said: ended.stdout + ended.stderr }
}

/** Runs git where it is expected to succeed, and answers what it printed. */
async function did(cwd: string, ...args: string[]): Promise<string> {
  const { code, said, stdout } = await git(cwd, args)
  expect(code, said).toBe(0)
  return stdout.trim()
}

/** Runs the same past the gate and through it; `@` stands for the repository. */
async function both(cwd: string, ...args: string[]): Promise<{ direct: Told; through: Told }> {
  const tell = async (side: Side): Promise<Told> => {
    const { code, said } = await git(
      cwd.replace('@', side === direct ? 'direct' : 'through'),
      args.map((arg) => (arg === '@' ? side.url : arg)),
      side,
    )
    return { code, said: said.replaceAll(side.url, '@') }
  }
  return { direct: await tell(direct), through: await tell(through) }
}

/** As `both`, where both succeed and say the same; answers what that is. */
async function alike(cwd: string, ...args: string[]): Promise<string> {
  const told = await both(cwd, ...args)
  expect(told.direct.code, told.direct.said).toBe(0)
  expect(told.through).toEqual(told.direct)
  return told.through.said
}

/** The refs that have come through, asked of the server itself. */
const refs = () => did(work, 'ls-remote', `${serverUrl}/through.git`)

/** A repository with a history, and one file of random bytes; answers the file's SHA-256. */
async function makeWork(): Promise<string> {
  await did(folder, 'init', '-q', work)
  const history = Array.from({ length: commits }, (_, n) => {
    const text = `line ${n}\n`.repeat(20)
    return `commit refs/heads/main\ncommitter Ada <ada@example.com> ${1_700_000_000 + n} +0000\ndata 4\n#${String(n).padStart(3, '0')}\nM 100644 inline file-${n % 40}.txt\ndata ${text.length}\n${text}\n`
  }).join('')
  const imported = await git(work, ['fast-import', '--quiet'], null, history)
  expect(imported.code, imported.said).toBe(0)
  await did(work, 'reset', '-q', '--hard', 'main')
  const hash = createHash('sha256')
  const piece = Buffer.alloc(4 * 1024 * 1024)
  const blob = openSync(join(work, 'blob.bin'), 'w')
  for (let at = 0; at < blobBytes; at += piece.length) {
    hash.update(randomFillSync(piece))
    writeSync(blob, piece)
  }
  closeSync(blob)
  await did(work, 'add', 'blob.bin')
  await did(work, 'commit', '-q', '-m', 'a large file')
  return hash.digest('hex')
}

async function digestOf(file: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const piece of createReadStream(file)) hash.update(piece)
  return hash.digest('hex')
}

let blobDigest: string
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'postern-git-'))
  work = join(folder, 'work')
  mkdirSync(join(folder, 'elsewhere'))
  blobDigest = await makeWork()
  server = await start(process.execPath, [script, join(folder, 'repositories')], {
    cwd: join(folder, 'elsewhere'),
    env: { ...environmentOf([]), PORT: '0' },
  })
  const [, port = ''] = await server.line(/port: (\d+)/)
  serverUrl = `http://127.0.0.1:${port}`
  database = await createDatabase({ migrate: false })
  place = makePlace(readText('examples/git.yaml').replace('127.0.0.1:7005', `127.0.0.1:${port}`))
  const secret = Buffer.alloc(32, 9).toString('base64')
  env = { DATABASE_URL: database.ownerUrl, POSTERN_PEPPER: secret, POSTERN_MASTER_KEY: secret }
  gate = await startGateProcess(place, env)
  direct = { url: `${serverUrl}/direct.git`, headers: [] }
  through = {
    url: `${gate.url}/git/through.git`,
    headers: headersOf(gate.variable('POSTERN_SK_LIVE'), 'tenant_abc123'),
  }
}, patience.timeout)
afterAll(async () => {
  await gate?.stop()
  await server?.stop()
  place?.remove()
  await database?.drop()
  if (folder) rmSync(folder, { recursive: true, force: true })
})

describe('plain git, through the gate and past it', () => {
  test(
    'pushes hundreds of commits and 200 MB, which the gate does not keep',
    patience,
    async () => {
      await gate.call('/git/warm.git/HEAD', { key: gate.variable('POSTERN_SK_LIVE') })
      const grown = watchMemory(gate.pid)
      expect(await alike(work, 'push', '--porcelain', '@', 'main')).toContain('[new branch]')
      expect(grown()).toBeLessThan(100e6)
      const head = await did(work, 'rev-parse', 'HEAD')
      expect(await alike(work, 'ls-remote', '@')).toContain(`${head}\trefs/heads/main`)
    },
  )

  test('clones it: the same commits, a sound store, the same bytes', patience, async () => {
    const grown = watchMemory(gate.pid)
    for (const [name, side] of [
      ['direct', direct],
      ['through', through],
    ] as const) {
      const cloned = await git(folder, ['clone', '-q', side.url, name], side)
      expect(cloned.code, cloned.said).toBe(0)
      const copy = join(folder, name)
      expect(await did(copy, 'rev-parse', 'HEAD')).toBe(await did(work, 'rev-parse', 'HEAD'))
      expect(await did(copy, 'rev-list', '--count', 'HEAD')).toBe(String(commits + 1))
      expect(await did(copy, 'fsck', '--full', '--strict', '--no-progress')).toBe('')
      expect(await digestOf(join(copy, 'blob.bin'))).toBe(blobDigest)
    }
    expect(grown()).toBeLessThan(100e6)
  })

  test('clones a part of the history, and deepens it', patience, async () => {
    const shallow = join(folder, 'shallow-@')
    for (const side of [direct, through]) {
      const name = side === direct ? 'shallow-direct' : 'shallow-through'
      // The tip without the large file, so that this takes no time.
      const args = ['clone', '-q', '--depth', '3', '--branch', 'small', side.url, name]
      await git(work, ['push', '-q', side.url, 'main~1:refs/heads/small'], side)
      const cloned = await git(folder, args, side)
      expect(cloned.code, cloned.said).toBe(0)
    }
    expect(await alike(shallow, 'rev-list', '--count', 'HEAD')).toBe('3\n')
    await alike(shallow, 'fetch', '-q', '--deepen', '100')
    expect(await alike(shallow, 'rev-list', '--count', 'HEAD')).toBe('103\n')
    await alike(shallow, 'fetch', '-q', '--unshallow')
    expect(await alike(shallow, 'rev-list', '--count', 'HEAD')).toBe(`${commits}\n`)
  })

  test('fetches what was pushed meanwhile, and a tag', patience, async () => {
    const clone = join(folder, '@')
    await did(work, 'commit', '-q', '--allow-empty', '-m', 'one more')
    await did(work, 'tag', '-a', 'v1', '-m', 'one')
    await alike(work, 'push', '--porcelain', '--follow-tags', '@', 'main')
    await alike(clone, 'fetch', '-q', '--tags')
    const head = await did(work, 'rev-parse', 'HEAD')
    expect(await alike(clone, 'rev-parse', 'origin/main', 'v1^{commit}')).toBe(`${head}\n${head}\n`)
    expect(await alike(clone, 'merge', '-q', '--ff-only', 'origin/main')).toBe('')
  })

  test('makes a branch, is told when it is behind, and deletes the branch', patience, async () => {
    await alike(work, 'push', '--porcelain', '@', 'main:refs/heads/topic')
    const behind = await both(work, 'push', '--porcelain', '@', 'main~2:refs/heads/topic')
    expect(behind.direct.code).not.toBe(0)
    expect(behind.through).toEqual(behind.direct)
    await alike(work, 'push', '--porcelain', '--force', '@', 'main~2:refs/heads/topic')
    expect(await alike(work, 'ls-remote', '@')).toContain('refs/heads/topic')
    await alike(work, 'push', '--porcelain', '--delete', '@', 'topic')
    expect(await alike(work, 'ls-remote', '@')).not.toContain('refs/heads/topic')
  })
})

describe('a key that may not', () => {
  const tenant = 'tenant_abc123'
  const keyOf = (name: string) => gate.variable(`POSTERN_${name}`)

  beforeAll(async () => {
    await withClient(database.ownerUrl, async (owner) => {
      const set = async (name: string, column: string, value: string) => {
        const text = `update postern.api_keys set ${column} = $1 where name = $2 returning id`
        expect((await owner.query(text, [[value], `local ${name}`])).rowCount).toBe(1)
      }
      await set('SK_DEV', 'permissions', 'git:read')
      await set('ADMIN', 'tenants', 'tenant_xyz789')
    })
  })

  test.each([
    ['no key', () => ['x-tn: tenant_abc123'], 401, 'auth/missing_key'],
    ['a wrong key', () => headersOf(generateKey('sk_live_').key, tenant), 401, 'auth/invalid_key'],
    [
      'a key to read with',
      () => headersOf(keyOf('SK_DEV'), tenant),
      403,
      'auth/insufficient_permission',
    ],
    ['a publishable key', () => headersOf(keyOf('PK_LIVE'), tenant), 403, 'auth/class_not_allowed'],
    [
      'a key of another tenant',
      () => headersOf(keyOf('ADMIN_KEY'), tenant),
      403,
      'tenant/mismatch',
    ],
    ['no such tenant', () => headersOf(keyOf('SK_LIVE'), 'nobody'), 403, 'tenant/mismatch'],
  ] as const)('%s: git says so, and nothing has changed', async (_, headers, status, code) => {
    const before = await refs()
    expect(before).toContain('refs/heads/main')
    const side = { url: through.url, headers: headers() }
    const seen = gate.stderr().length
    const pushed = await git(work, ['push', side.url, 'main:refs/heads/refused'], side)
    expect(pushed.code).not.toBe(0)
    // Without a terminal, 401 is what git wants to ask a person for a password about.
    expect(pushed.stderr).toContain(
      status === 401 ? 'could not read Username' : 'The requested URL returned error: 403',
    )
    const logged = `"status":${status},"code":"${code}"`
    await until(() => gate.stderr().slice(seen).includes(logged))
    expect(await refs()).toBe(before)
  })

  test('the key to read with does clone', patience, async () => {
    const side = { url: through.url, headers: headersOf(keyOf('SK_DEV'), tenant) }
    const cloned = await git(
      folder,
      ['clone', '-q', '--branch', 'small', '--single-branch', side.url, 'read'],
      side,
    )
    expect(cloned.code, cloned.said).toBe(0)
    const head = await did(join(folder, 'read'), 'rev-parse', 'HEAD')
    expect(head).toBe(await did(work, 'rev-parse', 'refs/heads/main~2'))
  })
})

describe('README.md', () => {
  const readme = readText('README.md')
  const blockOf = (language: string): string =>
    new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\``, 'm').exec(readme)?.[1] ?? ''
  let own: Place
  let started: GateProcess

  test('its lines stand in front of a git server when they are put into postern.yaml', async () => {
    const lines = blockOf('yaml').trimEnd().split('\n')
    expect(lines.length).toBeLessThanOrEqual(5)
    let config = exampleConfig
    for (const [at, line] of lines.entries()) {
      if (line.endsWith(':'))
        config = config.replace(`\n${line}\n`, `\n${line}\n${lines[at + 1]}\n`)
    }
    own = makePlace(config.replace('127.0.0.1:7005', new URL(serverUrl).host))
    started = await startGateProcess(own, env)
    expect(started.variable('POSTERN_SK_LIVE')).toMatch(/^sk_live_/)
  })

  test('its git commands work beside it, as they stand', patience, async () => {
    // The folder that npm start was run in is a clone of something.
    await did(own.folder, 'init', '-q')
    await did(own.folder, 'commit', '-q', '--allow-empty', '-m', 'a commit')
    const done = await run('bash', ['-euc', blockOf('bash')], {
      cwd: own.folder,
      env: environmentOf([]),
    })
    expect(done.code, done.stderr).toBe(0)
    const head = await did(own.folder, 'rev-parse', 'HEAD')
    expect(done.stdout).toContain(`${head}\trefs/heads/main`)
  })

  afterAll(async () => {
    await started?.stop()
    own?.remove()
  })
})
