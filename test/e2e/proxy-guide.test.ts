/** What docs/proxy.md promises about a forwarded request, asked of a gate and of the code. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { HopFault } from '../../src/context.ts'
import { problems } from '../../src/problem.ts'
import { refusalOfFault, unreachable } from '../../src/proxy/fault.ts'
import { accepted } from '../config/parse.ts'
import { snippetsOf } from '../config/snippets.ts'
import { createDatabase, type TestDatabase } from '../database.ts'
import { type GateProcess, makePlace, type Place, startGateProcess } from '../gate-process.ts'
import { run } from '../process.ts'
import { upstreamOf } from '../proxy/callers.ts'
import { listFiles, readText } from '../source.ts'
import { openWire } from '../wire.ts'

const guide = readText('docs/proxy.md')
const section = (title: string): string => {
  const [, text = ''] = guide.split(`\n## ${title}\n`)
  const [own = ''] = text.split('\n## ')
  return own
}
/** The cells of the rows of a section's table that begin with code. */
const rowsOf = (title: string): string[][] =>
  [...section(title).matchAll(/^\| (`.*) \|$/gm)].map(([, row = '']) => row.split(' | '))
/** Header names in the first cells, in lower case. */
const namesOf = (title: string): string[] =>
  rowsOf(title)
    .flatMap(([cell = '']) => [...cell.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name))
    .map((name) => name.toLowerCase())

let database: TestDatabase
let place: Place
let gate: GateProcess
beforeAll(async () => {
  database = await createDatabase({ migrate: false })
  place = makePlace()
  const secret = Buffer.alloc(32, 5).toString('base64')
  gate = await startGateProcess(place, {
    DATABASE_URL: database.ownerUrl,
    POSTERN_PEPPER: secret,
    POSTERN_MASTER_KEY: secret,
  })
})
afterAll(async () => {
  await gate?.stop()
  place?.remove()
  await database?.drop()
})

/** What the echo got of a request with these header lines besides the credentials. */
async function echoed(lines: readonly string[]): Promise<Record<string, unknown>> {
  const wire = await openWire(gate.port)
  const credentials = [`x-api-key: ${gate.variable('POSTERN_SK_DEV')}`, 'x-tn: tenant_abc123']
  wire.send(`GET /echo HTTP/1.1\r\n${['Host: a', ...credentials, ...lines].join('\r\n')}\r\n\r\n`)
  const { status, body } = await wire.answer()
  wire.close()
  expect(status, body).toBe(200)
  return JSON.parse(body).headers
}

describe('docs/proxy.md', () => {
  test('its commands work as they stand, beside a gate with postern.yaml', async () => {
    const blocks = [...guide.matchAll(/^```sh\n([\s\S]*?)^```/gm)].map(([, text = '']) => text)
    expect(blocks.length).toBeGreaterThan(0)
    const done = await run('bash', ['-euc', blocks.join('')], {
      cwd: place.folder,
      env: { PATH: process.env.PATH },
    })
    expect(done.code, done.stderr).toBe(0)
    expect(JSON.parse(done.stdout)).toMatchObject({ path: '/echo/any/path?a=1', bodyBytes: 5 })
  })

  const snippets = snippetsOf(guide)
  test.each(snippets)('an example in its $place is read: $text', ({ file }) => {
    expect(accepted(file).platforms[0]?.upstreams.length).toBe(1)
  })

  test('leads to files and headings that are there', () => {
    const links = [...guide.matchAll(/\]\(([^)#]+)(?:#([^)]*))?\)/g)]
    expect(links.length).toBeGreaterThan(3)
    for (const [, file = '', anchor] of links) {
      expect(listFiles('docs')).toContain(`docs/${file}`)
      const headings = [...readText(`docs/${file}`).matchAll(/^#+ (.*)$/gm)].map(([, text = '']) =>
        text.toLowerCase().replaceAll(' ', '-'),
      )
      if (anchor !== undefined) expect(headings).toContain(anchor)
    }
  })
})

describe('headers', () => {
  test('what is added is all that is added', async () => {
    const got = Object.keys(await echoed([]))
    const known = [...namesOf('What is added'), 'host', 'connection'].sort()
    expect(got.sort()).toEqual(known)
  })

  test('what is dropped does not arrive, in other spellings neither', async () => {
    const names = namesOf('What is dropped')
      .filter((name) => !['x-api-key', 'x-tn', 'authorization'].includes(name))
      .map((name) => name.replace('*', 'test'))
    expect(names.length).toBeGreaterThan(15)
    const lines = [...names, 'x_forwarded_for', 'x.real.ip', 'connection'].map((name) =>
      name === 'connection' ? 'connection: x-named' : `${name}: marked`,
    )
    const got = await echoed([...lines, 'x-named: marked', 'x-mine: marked'])
    const marked = Object.entries(got).filter(([, value]) => value === 'marked')
    expect(marked).toEqual([['x-mine', 'marked']])
    expect(got).not.toHaveProperty('x-api-key')
    expect(got).not.toHaveProperty('x-tn')
  })
})

describe('Proxy-Status', () => {
  const rows = rowsOf('Who failed')
    .slice(1)
    .map((cells) => cells.map((cell) => cell.replaceAll('`', '')))
  const [, union = ''] =
    /export type HopFailure =\n([\s\S]*?)\n\n/.exec(readText('src/context.ts')) ?? []
  const failures = [...union.matchAll(/'(\w+)'/g)].map(([, name = '']) => name)

  test('every failure has its row', () => {
    const named = rows.map(([error]) => error)
    const more = ['destination_unavailable', 'proxy_loop_detected']
    expect(failures.length).toBeGreaterThan(10)
    expect(named.sort()).toEqual(
      [...failures.filter((one) => one !== 'client_gone'), ...more].sort(),
    )
  })

  test.each(rows)('%s is a %s %s', (error, status, code) => {
    const fault = failures.find((one) => one === error)
    // Read from the type itself.
    const refusal =
      fault === undefined
        ? unreachable(upstreamOf('shop'))
        : refusalOfFault(new HopFault(fault as HopFault['failure'], true, ''), '')
    expect({ code: refusal.code, status: problems[refusal.code].status }).toEqual({
      code,
      status: Number(status),
    })
  })
})
