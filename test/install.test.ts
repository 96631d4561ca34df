import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { ensureInstalled, type Host } from './install.ts'
import type { Installed } from './servers.ts'

const roots: string[] = []
afterAll(async () => {
  for (const root of roots) await rm(root, { recursive: true })
})

const nothing: Installed = {
  postgresBin: null,
  redisServer: null,
  pgbouncer: null,
  python3: null,
  bwrap: null,
}
const all: Installed = {
  postgresBin: '/pg/bin',
  redisServer: '/bin/redis-server',
  pgbouncer: '/b',
  python3: '/p',
  bwrap: '/w',
}

/** A made-up machine: what is found before and after, and what installing answers. */
async function machine(given: {
  manager?: string
  found?: Installed[]
  isRoot?: boolean
  isCi?: boolean
  code?: number
}) {
  const root = await mkdtemp(join(tmpdir(), 'postern-host-'))
  roots.push(root)
  if (given.manager !== undefined) {
    await mkdir(dirname(join(root, given.manager)), { recursive: true })
    await writeFile(join(root, given.manager), '')
  }
  const said: string[] = []
  const ran: { script: string; sudo: boolean }[] = []
  const found = [...(given.found ?? [nothing, all])]
  const host: Host = {
    root,
    isRoot: given.isRoot ?? false,
    isCi: given.isCi ?? false,
    find: () => (found.length > 1 ? found.shift() : found[0]) ?? nothing,
    say: (line) => void said.push(line),
    sh(script, sudo) {
      ran.push({ script, sudo })
      return { code: given.code ?? 0, output: 'E: no route to mirror' }
    },
  }
  return { answer: ensureInstalled(host), said, ran }
}

const apt = 'usr/bin/apt-get'

test('a person without servers is given the one command, and nothing is run', async () => {
  const { answer, said, ran } = await machine({ manager: apt })
  expect(answer).toBe(
    "PostgreSQL, Redis, PgBouncer, Python 3 and bubblewrap are not installed.\nRun: sudo sh -c 'apt-get update && apt-get install -y postgresql redis-server pgbouncer curl python3 bubblewrap'",
  )
  expect([said, ran]).toEqual([[], []])
})

test('a machine without a known package manager is told what is missing', async () => {
  const { answer, ran } = await machine({ isRoot: true, found: [{ ...all, redisServer: null }] })
  expect(answer).toMatch(/^Redis is not installed, and no package manager/)
  expect(ran).toEqual([])
})

test('an installation that fails says what the package manager said', async () => {
  const { answer } = await machine({ manager: apt, isRoot: true, code: 100 })
  expect(answer).toMatch(
    /no route to mirror\nPostgreSQL, Redis, PgBouncer, Python 3 and bubblewrap are not installed, and that failed/,
  )
})

test('an installation that brings nothing is not taken for success', async () => {
  const { answer } = await machine({ manager: apt, isRoot: true, found: [nothing] })
  expect(answer).toMatch(/still not found/)
})

test.each([
  ['as root, itself', { isRoot: true }, false],
  ['under CI, through sudo', { isCi: true }, true],
])('installs %s, and says so in one line', async (_name, given, sudo) => {
  const { answer, said, ran } = await machine({ manager: apt, ...given })
  expect(answer).toBeNull()
  expect(said).toEqual([
    expect.stringMatching(/installing with `apt-get update && apt-get install/),
  ])
  expect(ran).toEqual([
    {
      sudo,
      script: expect.stringContaining('postgresql redis-server pgbouncer curl python3 bubblewrap'),
    },
  ])
})

test('nothing is run where all are there', async () => {
  const { answer, said, ran } = await machine({ manager: apt, isRoot: true, found: [all] })
  expect([answer, said, ran]).toEqual([null, [], []])
})
