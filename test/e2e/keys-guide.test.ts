/**
 * docs/keys.md, pasted in its order on each of the four platforms of examples/sources.yaml: what is for
 * all, what is for that one, and the program.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { bin } from '../cli/terminal.ts'
import { run } from '../process.ts'
import { readText, repository } from '../source.ts'
import { type Slug, type Sources, slugs, startSources } from '../sources-gate.ts'

const guide = readText('docs/keys.md')
const program = /^```ts\n([\s\S]*?)^```/m.exec(guide)?.[1] ?? ''

const linesFor = (slug: Slug): string =>
  [...guide.matchAll(/^```sh(?: (\w+))?\n([\s\S]*?)^```/gm)]
    .filter(([, only = slug]) => only === slug)
    .map(([, , text = '']) => text)
    .join('\n')

let sources: Sources
beforeAll(async () => {
  sources = await startSources()
  sources.place.write('life.ts', program.replace('./sdk/', `${repository}sdk/`))
})
afterAll(() => sources?.stop())

test('the four platforms are all there is a choice of', () => {
  const named = [...guide.matchAll(/^```sh (\w+)$/gm)].map(([, name]) => name)
  expect(named).toEqual([...slugs])
})

test.each(slugs)(
  '%s: a key is made, used, restricted, rotated until it falls silent, revoked',
  async (slug) => {
    const command = `postern() { "${process.execPath}" "${bin}" "$@"; }
      node() { "${process.execPath}" "$@"; }`
    const { code, stdout, stderr } = await run(
      'bash',
      ['-euo', 'pipefail', '-c', `${command}\n${linesFor(slug)}\nnode life.ts`],
      {
        cwd: sources.place.folder,
        env: { PATH: process.env.PATH, HOME: sources.place.folder },
        timeoutMs: 120_000,
      },
    )
    expect(code, stdout + stderr).toBe(0)
    const count = (text: string) => stdout.split(text).length - 1
    // By curl and by the command; the program prints its own words.
    expect(count('"title":"Endpoint not allowed"')).toBe(2)
    expect(count('"title":"API key revoked"')).toBe(2)
    expect(stdout).toContain('"message":"API key revoked successfully"')
    expect(stdout).toMatch(/"state":"current".*"last_used_from":"127\.0\.0\.1".*"state":"ended"/)
    expect(stdout).toContain('"valid":true')
    expect(stdout).toContain('"action":"api_key.rotated"')
    expect(stdout).toMatch(/^SECRET +STATE[\s\S]*current[\s\S]*ended/m)
    expect(stdout).toMatch(/^valid$/m)
    expect(stderr).toContain('✔ Revoked')
    expect(stdout).toContain('"hmac_sha256":')
    expect(stdout.trim().split('\n').slice(-6)).toEqual([
      'made 200',
      'restricted 403',
      'rotated 200 200',
      'silent current ended',
      'verified true',
      'revoked 401',
    ])
  },
  150_000,
)
