import { expect, test } from 'vitest'
import { makePlace } from '../gate-process.ts'
import { postern, typed } from './terminal.ts'

test.each<[string[], string]>([
  [['strat'], 'postern: unknown command "strat"; did you mean "start"?'],
  [['migrat'], 'did you mean "migrate"?'],
  [
    ['frobnicate'],
    'known here: start, migrate, doctor, vault, config, keys, tenants, openapi, mock, status, help',
  ],
  [['--hlep'], 'postern: unknown option "--hlep"; did you mean "--help"?'],
  [['start', '--port', '80'], 'postern start: unknown option "--port"'],
  [['start', 'a.yaml', 'b.yaml'], '`start [config]` was given one argument too many, "b.yaml"'],
  [['migrate', 'now'], '`migrate` was given one argument too many, "now"'],
  [['keys', 'crate'], 'postern keys: unknown command "crate"; did you mean "create"?'],
  [['keys', 'create'], "missing required argument 'name'"],
  [['keys', 'create', 'a', '--prem', 'x:y'], 'unknown option "--prem"; did you mean "--perm"?'],
  [['keys', 'create', 'a', 'b'], '`keys create <name>` was given one argument too many, "b"'],
  [['keys', 'create', 'a', '--limit', '5'], 'It must be like 100/min or 5/10s.'],
  [['keys', 'create', 'a', '--expires', 'soon'], 'It must be like 90d, 12h or 15min.'],
  [['keys', 'create', 'a', '--expires', '2027-13-01'], 'There is no such date.'],
  [['keys', 'create', 'a', '--metadata', 'team'], 'It must be like team=checkout.'],
  [['keys', 'list', '--limit', '0'], 'It must be a whole number from 1.'],
  [['keys', 'list', '-o', 'yaml'], 'Allowed choices are table, json.'],
  [['keys', 'update', 'a'], 'nothing is named that is to change'],
  [['keys', 'update', 'a', '--lift', 'ip'], '--lift takes tenants, ips, origins,'],
])('%j is refused in words, with exit code 2', async (args, message) => {
  const { code, out, err } = await typed(args)
  expect([code, out]).toEqual([2, ''])
  expect(err).toContain(message)
  expect(err).toMatch(/See `postern .*--help`\.\n$/)
})

test('no command at all shows the help as an error', async () => {
  const { code, out, err } = await typed([])
  expect([code, out]).toEqual([2, ''])
  expect(err).toMatch(/^Examples\n/)
})

test.each([
  [['--help'], /start \[config\][\s\S]*migrate/],
  [['-h'], /start \[config\][\s\S]*migrate/],
  [['help'], /start \[config\][\s\S]*migrate/],
  [['start', '--help'], /Usage: postern start/],
  [['keys', '--help'], /create \[options\] <name>/],
  [['keys', 'rotate', '--help'], /--overlap <time>/],
  [['help', 'tenants'], /suspend/],
])('%j shows the help, which leads with examples', async (args, shown) => {
  const { code, out, err } = await typed(args)
  expect([code, err]).toEqual([0, ''])
  expect(out).toMatch(/^Examples\n {2}\S*.*postern /)
  expect(out).toMatch(shown)
})

test('every command has help, which leads with examples', async () => {
  const commandsOf = (help: string) =>
    [.../^ {2}([a-z]+)(?: .*)?$/gm[Symbol.matchAll](help.split('Commands:')[1] ?? '')].flatMap(
      ([, name]) => (name === undefined || name === 'help' ? [] : [name]),
    )
  const look = async (path: readonly string[]): Promise<number> => {
    const { out } = await typed([...path, '--help'])
    expect(out, path.join(' ')).toMatch(/^Examples\n/)
    let seen = 1
    for (const name of commandsOf(out)) seen += await look([...path, name])
    return seen
  }
  expect(await look([])).toBeGreaterThan(20)
})

test.each([['--version'], ['-v'], ['version']])('%s shows the version', async (arg) => {
  expect(await typed([arg])).toMatchObject({ code: 0, out: 'postern 1.2.3\n', err: '' })
})

test('config validate says that a file is good, or everything that is wrong with it', async () => {
  const place = makePlace()
  place.write('bad.yaml', 'version: 1\nplatfroms: []\n')
  const cwd = place.folder
  expect(await postern(['config', 'validate'], { cwd })).toMatchObject({
    ...{ code: 0, out: '' },
    err: expect.stringMatching(/postern\.yaml is valid: \d+ routes on acme/),
  })
  const bad = await postern(['config', 'validate', 'bad.yaml'], { cwd })
  expect(bad).toMatchObject({ code: 1, out: '' })
  expect(bad.err).toMatch(/bad\.yaml:2/)
  expect((await postern(['config', 'validate', 'none.yaml'], { cwd })).code).toBe(1)
  place.remove()
})
