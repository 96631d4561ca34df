import { expect, test } from 'vitest'
import { main } from '../../src/cli/main.ts'

async function type(...args: string[]) {
  let out = ''
  let err = ''
  const code = await main(args, {
    version: '1.2.3',
    out: (text) => {
      out += text
    },
    err: (text) => {
      err += text
    },
  })
  return { code, out, err }
}

test.each<[string[], string]>([
  [['strat'], 'unknown command "strat"; did you mean "start"?'],
  [['migrat'], 'did you mean "migrate"?'],
  [['frobnicate'], 'known here: start, migrate, doctor, --help, --version'],
  [['--hlep'], 'unknown option "--hlep"; did you mean "--help"?'],
  [['start', '--port', '80'], '`start` has no option "--port"'],
  [['start', 'a.yaml', 'b.yaml'], 'one argument too many, "b.yaml"'],
  [['migrate', 'now'], 'one argument too many, "now"'],
])('%j is refused in words, with exit code 2', async (args, message) => {
  const { code, out, err } = await type(...args)
  expect([code, out]).toEqual([2, ''])
  expect(err).toContain(message)
  expect(err).toContain('postern --help')
})

test('no command at all shows the help as an error', async () => {
  const { code, out, err } = await type()
  expect([code, out]).toEqual([2, ''])
  expect(err).toMatch(/^Examples\n/)
})

test.each([[['--help']], [['-h']], [['help']], [['start', '--help']]])(
  '%j shows the help, which leads with examples',
  async (args) => {
    const { code, out, err } = await type(...args)
    expect([code, err]).toEqual([0, ''])
    expect(out).toMatch(/^Examples\n {2}postern start /)
    expect(out).toMatch(/start \[config\][\s\S]*migrate/)
  },
)

test.each([['--version'], ['-v'], ['version']])('%s shows the version', async (arg) => {
  expect(await type(arg)).toEqual({ code: 0, out: 'postern 1.2.3\n', err: '' })
})
