/**
 * The floors of the house: who may import whom. A place is a folder or a file of src/; it sees its
 * own files, the places named here, and the packages named here. The entries and `runtime` alone
 * see the machine: Node's modules, drivers, `process`. That is what lets the rest run in workerd.
 */
import { posix } from 'node:path'
import { describe, expect, test } from 'vitest'
import { codeOnly, listFiles, readText, withoutComments } from './source.ts'

type Floor = { readonly sees: readonly string[]; readonly packages: readonly string[] }

const ground = ['context', 'problem', 'lib']
const rooms = [
  ...['keys', 'limits', 'mock', 'proxy', 'vault', 'usage', 'agents'],
  ...['routing', 'frame', 'body'],
]
const neutral = ['hono', 'zod', 'ipaddr.js', 'structured-headers', 'jose', 'openapi-sampler']
const entries = ['node', 'worker', 'admin']
const below = [
  ...[...ground, ...rooms, 'db', 'docs', 'own-paths', 'cors', 'visit', 'mocking'],
  ...['seed', 'handler', 'config'],
]

const floors: Readonly<Record<string, Floor>> = {
  context: { sees: [], packages: [] },
  problem: { sees: ['context', 'lib'], packages: [] },
  lib: { sees: [], packages: ['ipaddr.js'] },
  ...Object.fromEntries(rooms.map((room) => [room, { sees: ground, packages: neutral }])),
  db: { sees: ground, packages: ['drizzle-orm', 'zod'] },
  docs: { sees: ground, packages: [] },
  'own-paths': { sees: [...ground, 'docs'], packages: [] },
  cors: { sees: ground, packages: [] },
  visit: { sees: [...ground, 'db', 'cors'], packages: [] },
  mocking: { sees: [...ground, 'mock'], packages: [] },
  seed: { sees: [...ground, ...rooms, 'db'], packages: [] },
  handler: { sees: [...ground, 'db', 'body', 'vault', 'agents'], packages: ['hono'] },
  handlers: { sees: [...ground, 'db', 'handler'], packages: ['hono', 'zod', 'drizzle-orm'] },
  config: { sees: [...ground, ...rooms, 'own-paths'], packages: ['yaml', 'zod', 'ipaddr.js'] },
  manage: {
    sees: [...ground, ...rooms, 'db', 'docs', 'own-paths'],
    packages: ['hono', 'zod', '@hono/zod-openapi', 'drizzle-orm'],
  },
  answering: { sees: below, packages: [] },
  gateway: { sees: [...below, 'answering', 'manage'], packages: [] },
  runtime: { sees: [...below, 'gateway'], packages: ['*'] },
  ...Object.fromEntries(
    entries.map((entry) => [
      entry,
      { sees: [...below, 'manage', 'handlers', 'gateway', 'runtime'], packages: ['*'] },
    ]),
  ),
  // Installed by others: nothing of the house, and no package.
  sdk: { sees: [], packages: [] },
  // Talks HTTP through the sdk; `start` and `migrate` are doors to the entries, loaded on demand.
  cli: { sees: ['lib', 'sdk'], packages: ['commander', '@clack/prompts'] },
}

/** What WebCrypto has as promises only: digests of each request, and up to a hundred secrets of a call. */
const synchronous = ['src/lib/digest.ts', 'src/lib/aead.ts']

/** `src/keys/format.ts` and `src/keys/deep/er.ts` stand in `keys`, `src/routing.ts` in `routing`. */
function placeOf(file: string): string {
  const [top = '', place = ''] = file.split('/')
  return top === 'src' ? place.replace(/\.ts$/, '') : top
}

const imported =
  /(?:^|[\n;])\s*(?:import|export)\b[^'"]*?\bfrom\s*['"]([^'"]+)|(?<![/\w'])import\s*(\()?\s*['"]([^'"]+)/g

/** Every rule that a file breaks, in words. */
function breaches(file: string, source: string): string[] {
  const place = placeOf(file)
  const floor = floors[place]
  if (floor === undefined) return [`${file}: say in the table on which floor ${place} stands`]
  const found: string[] = []
  for (const [, named, called, bare] of withoutComments(source).matchAll(imported)) {
    const specifier = named ?? bare ?? ''
    const why = specifier.startsWith('.')
      ? forbiddenPlace(file, floor, specifier, called !== undefined)
      : forbiddenPackage(file, floor, specifier)
    if (why !== null) found.push(`${file}: ${why}`)
  }
  const mayLook = floor.packages.includes('*') || file === 'sdk/typescript/src/environment.ts'
  if (!mayLook && /\bprocess\s*[.?[]/.test(codeOnly(source))) {
    found.push(`${file}: touches process, which only the entries and runtime may`)
  }
  return found
}

function forbiddenPlace(file: string, floor: Floor, specifier: string, onDemand: boolean) {
  const target = posix.join(posix.dirname(file), specifier)
  const place = placeOf(target)
  // The Worker has no files to read: its config is bundled into it.
  if (file === 'src/worker.ts' && target === 'postern.yaml') return null
  if (!/\.(?:ts|json)$/.test(target)) return `imports ${specifier} without its extension`
  if (place === placeOf(file) || floor.sees.includes(place)) return null
  if (placeOf(file) === 'cli' && entries.includes(place) && onDemand) return null
  return `imports ${target}, which is not below it`
}

function forbiddenPackage(file: string, floor: Floor, specifier: string) {
  if (floor.packages.includes('*')) return null
  if (specifier === 'node:crypto' && synchronous.includes(file)) return null
  const known = floor.packages.some(
    (name) => specifier === name || specifier.startsWith(`${name}/`),
  )
  return known ? null : `imports ${specifier}, which this floor does not use`
}

describe('the rules see', () => {
  test.each([
    ['src/keys/a.ts', `import { b } from '../limits/b.ts'`, 'src/limits/b.ts, which is not below'],
    [
      'src/keys/a.ts',
      `import type { B } from '../gateway.ts'`,
      'src/gateway.ts, which is not below',
    ],
    ['src/keys/deep/a.ts', `export { b } from '../../db/b.ts'`, 'src/db/b.ts, which is not below'],
    ['src/routing.ts', `const a = await import('./frame.ts')`, 'src/frame.ts, which is not below'],
    [
      'src/lib/a.ts',
      `import {\n  b,\n} from '../context.ts'`,
      'src/context.ts, which is not below',
    ],
    [
      'src/context.ts',
      `import type { B } from './problem.ts'`,
      'src/problem.ts, which is not below',
    ],
    ['src/db/a.ts', `import { b } from '../keys/b.ts'`, 'src/keys/b.ts, which is not below'],
    ['src/db/a.ts', `import pg from 'pg'`, 'pg, which this floor does not use'],
    ['src/handlers/a.ts', `import { b } from '../keys/b.ts'`, 'src/keys/b.ts, which is not below'],
    [
      'src/gateway.ts',
      `import { b } from './runtime/b.ts'`,
      'src/runtime/b.ts, which is not below',
    ],
    ['src/gateway.ts', `import 'node:fs'`, 'node:fs, which this floor does not use'],
    ['src/lib/other.ts', `import { hash } from 'node:crypto'`, 'node:crypto, which this floor'],
    [
      'src/limits/a.ts',
      `import { Redis } from 'ioredis'`,
      'ioredis, which this floor does not use',
    ],
    ['src/limits/a.ts', `import { env } from 'cloudflare:workers'`, 'cloudflare:workers, which'],
    ['src/limits/a.ts', `const port = process.env.PORT`, 'touches process'],
    ['src/limits/a.ts', `const env = globalThis.process?.env`, 'touches process'],
    ['src/cli/main.ts', `import { main } from '../node.ts'`, 'src/node.ts, which is not below it'],
    ['src/runtime/a.ts', `import { main } from '../node.ts'`, 'src/node.ts, which is not below it'],
    [
      'sdk/typescript/src/a.ts',
      `import type { B } from '../../../src/lib/b.ts'`,
      'src/lib/b.ts, w',
    ],
    ['sdk/typescript/src/a.ts', `const key = process.env.KEY`, 'touches process'],
    ['src/keys/a.ts', `import { b } from './b'`, 'without its extension'],
    ['src/billing/a.ts', ``, 'on which floor billing stands'],
  ])('%s with %j', (file, source, why) => {
    expect(breaches(file, source)).toEqual([expect.stringContaining(why)])
  })

  test.each([
    ['src/keys/a.ts', `import { b } from './b.ts'\nimport { Problem } from '../problem.ts'`],
    ['src/lib/digest.ts', `import { hash } from 'node:crypto'`],
    ['src/db/a.ts', `import { sql } from 'drizzle-orm'\nimport { b } from 'drizzle-orm/pg-core'`],
    ['src/runtime/node/a.ts', `import fs from 'node:fs'\nconst a = process.env.A`],
    ['src/node.ts', `import { a } from './runtime/node/a.ts'\nimport pg from 'pg'`],
    ['src/cli/main.ts', `const { main } = await import('../node.ts')`],
    [
      'src/limits/a.ts',
      `// import 'node:fs', process.env\n/* import pg from 'pg' */\nconst a = 'of each process.'`,
    ],
  ])('nothing wrong in %s with %j', (file, source) => {
    expect(breaches(file, source)).toEqual([])
  })
})

test('every file of src/ and of the sdk stands on its floor', () => {
  const sources = [...listFiles('src'), ...listFiles('sdk/typescript/src')]
  const files = sources.filter((file) => file.endsWith('.ts'))
  expect(files.length).toBeGreaterThan(20)
  expect(files.flatMap((file) => breaches(file, readText(file)))).toEqual([])
})
