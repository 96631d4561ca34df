import { spawnSync } from 'node:child_process'
import { describe, expect, it } from 'vitest'
import { type ErrorPage, errorPages } from '../../src/docs/errors.ts'
import { type ProblemCode, problems } from '../../src/problem.ts'

// Object.entries forgets that the keys are codes.
const entries = Object.entries(errorPages) as [ProblemCode, ErrorPage][]
const runnable = entries.flatMap(([code, { curl }]) =>
  curl === null ? [] : [[code, curl] as const],
)

/** Nothing in a fresh clone can bring these about: what they are about is not built, or has broken. */
const situations =
  /^(mock|sandbox|upstream|idempotency|secret|quota|storage|limits|internal|gateway)\//

describe('the texts', () => {
  it('there is one entry per code of the error table, and none besides', () => {
    expect(Object.keys(errorPages).sort()).toEqual(Object.keys(problems).sort())
  })

  it.each(entries)('%s: cause, fix and reproduce are whole sentences', (_, page) => {
    for (const text of [page.cause, page.fix, page.reproduce]) {
      expect(text).toMatch(/^[A-Z`].*[.)]$/)
      expect(text.split('`').length % 2, 'backticks come in pairs').toBe(1)
      expect(text).not.toMatch(/[\n\r|]/)
    }
    expect(page.cause.match(/[.!?](\s|$)/g), 'the cause is one sentence').toHaveLength(1)
    expect(page.reproduce, 'commands stand in curl').not.toMatch(/^curl/)
  })

  it.each(entries)('%s: every code it mentions exists', (_, page) => {
    const text = `${page.cause} ${page.fix} ${page.reproduce}`
    const mentioned = text.match(/`(\w+\/\w+)`/g) ?? []
    for (const code of mentioned) expect(problems).toHaveProperty([code.slice(1, -1)])
  })
})

describe('the commands', () => {
  it('none is made up for what nothing in a fresh clone can bring about', () => {
    expect(runnable.filter(([code]) => situations.test(code))).toEqual([])
    expect(runnable.length).toBeGreaterThan(20)
  })

  it.each(runnable)('%s: is curl to the local gateway, and bash reads it', (_, curl) => {
    for (const command of curl.split('; \\\n')) {
      expect(command).toMatch(/^curl -s "\$POSTERN_URL\/v1[^"]*"/)
    }
    const { status, stderr } = spawnSync('bash', ['-n', '-c', curl], { encoding: 'utf8' })
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
  })

  it.each(runnable)('K16: %s: holds no key, only the names of variables', (_, curl) => {
    expect(curl).not.toMatch(/[sp]k_(dev|live)_[0-9A-Za-z]{9}_/)
    const names = curl.match(/\$[A-Z_]+/g) ?? []
    const known = ['$POSTERN_URL', '$POSTERN_SK_DEV', '$POSTERN_SK_LIVE', '$POSTERN_PK_DEV']
    for (const name of names) expect(known).toContain(name)
  })
})
