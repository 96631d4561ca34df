/**
 * The differences between Node and Workers, shown byte by byte on both, and that the docs tell them.
 * Verdicts that are the same are here too, where one might expect another.
 */
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createDatabase, type TestDatabase } from '../database.ts'
import { readText } from '../source.ts'
import { differences, forwardDifferences } from '../suites/differences.ts'
import { startWorkerGate, type WorkerGate } from '../worker.ts'

let database: TestDatabase
let gate: WorkerGate
beforeAll(async () => {
  database = await createDatabase({ migrate: false })
  gate = await startWorkerGate({ DATABASE_URL: database.ownerUrl }, (url) => url)
})
afterAll(async () => {
  await gate?.stop()
  await database?.drop()
})

/** Sends lines as they are and answers status and code; `Connection: close` ends the exchange. */
async function send(url: string, line: string, more: readonly string[] = []): Promise<string> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1')
  const head = [line, 'Host: localhost', `x-api-key: ${gate.seeded.sk_live_}`]
  const lines = [...head, 'x-tn: tenant_abc123', 'Connection: close', ...more]
  socket.write(`${lines.join('\r\n')}\r\n\r\n`)
  const answer = await text(socket)
  const status = /^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1] ?? 'nothing'
  return `${status} ${/"code":"([a-z_/]+)"/.exec(answer)?.[1] ?? ''}`.trim()
}

const get = 'GET /v1/subscriptions HTTP/1.1'
const joined = 'Header lines arrive joined'
const normalised = 'The URL arrives normalised'
const connection = 'The connection is not ours'

/** What is sent, what Node and Workers answer, and the difference that it shows; null for none. */
const sent: readonly [string, string, readonly string[], string, string, string | null][] = [
  ['T1: two x-tn', get, ['x-tn: tenant_xyz789'], dup(), dup(), null],
  ['T1: the same x-tn twice', get, ['x-tn: tenant_abc123'], dup(), dup(), null],
  ['K12: two x-api-key', get, ['X-Api-Key: sk_live_x'], dup(), dup(), null],
  [
    'H: two Origin',
    get,
    ['Origin: https://a.example', 'Origin: https://b.example'],
    dup(),
    dup(),
    null,
  ],
  [
    'T7: x_tn',
    get,
    ['x_tn: tenant_xyz789'],
    '400 request/malformed',
    '400 request/malformed',
    null,
  ],
  ['a comma in Origin', get, ['Origin: https://a.example, x'], '200', dup(), joined],
  ['P: an empty segment', 'GET //v1/subscriptions HTTP/1.1', [], path(), path(), null],
  ['P: an encoded slash', 'GET /v1%2Fsubscriptions HTTP/1.1', [], path(), path(), null],
  ['P: an encoded NUL', 'GET /v1/subscriptions%00 HTTP/1.1', [], path(), path(), null],
  ['P: a dot segment', 'GET /v1/x/../subscriptions HTTP/1.1', [], path(), '200', normalised],
  [
    'P: an encoded dot segment',
    'GET /v1/%2e%2E/v1/subscriptions HTTP/1.1',
    [],
    path(),
    '200',
    normalised,
  ],
  ['P: a backslash', 'GET /v1\\subscriptions HTTP/1.1', [], path(), '200', normalised],
  ['P: a fragment', 'GET /v1/subscriptions#x HTTP/1.1', [], path(), '200', normalised],
  [
    'R: TRACE',
    'TRACE /v1/subscriptions HTTP/1.1',
    [],
    '405 route/method_not_allowed',
    '405 route/method_not_allowed',
    null,
  ],
  [
    'R: Expect',
    get,
    ['Expect: 200-ok'],
    '417 request/expectation_failed',
    '417 request/expectation_failed',
    null,
  ],
  ['R: 120 header lines', get, lines(120), large(), large(), null],
  ['R: 20 kB of headers', get, [`a: ${'x'.repeat(20_000)}`], large(), large(), null],
  ['R: a second Host', get, ['Host: other'], dup(), '500', connection],
  [
    'R: an unknown method',
    'FOO /v1/subscriptions HTTP/1.1',
    [],
    '400 request/malformed',
    '501',
    connection,
  ],
]

function dup() {
  return '400 request/duplicate_header'
}
function path() {
  return '400 request/invalid_path'
}
function large() {
  return '431 request/headers_too_large'
}
function lines(count: number): string[] {
  return Array.from({ length: count }, (_, at) => `a${at}: b`)
}

describe('what is sent', () => {
  test.each(sent)('%s', async (_, line, more, onNode, onWorkers, difference) => {
    expect(await send(gate.nodeUrl, line, more)).toBe(onNode)
    expect(await send(gate.url, line, more)).toBe(onWorkers)
    const named = differences.some(({ name }) => name === difference)
    expect(named, 'a difference is in the table').toBe(onNode !== onWorkers)
  })

  test('P: whatever the URL was, the log and the routes see the one path that it became', async () => {
    await send(gate.url, 'GET /v1/x/..\\%2e/subscriptions/%61 HTTP/1.1')
    const last = (await gate.logged()).trim().split('\n').at(-1) ?? ''
    expect(JSON.parse(last)).toMatchObject({ path: '/v1/subscriptions/a', status: 404 })
  })
})

describe.each([
  ['of what is sent', differences],
  ['of what is forwarded', forwardDifferences],
])('the table %s', (_, table) => {
  test('has five entries at most', () => {
    expect(table.length).toBeLessThanOrEqual(5)
  })

  test('stands in docs/workers.md word for word', () => {
    const rows = table.map(
      ({ name, node, workers, instead }) => `| ${name} | ${node} | ${workers} | ${instead} |`,
    )
    const docs = readText('docs/workers.md')
      .split('\n')
      .filter((line) => line.startsWith('| ') && !line.startsWith('| |'))
    expect(docs.filter((line) => table.some(({ name }) => line.startsWith(`| ${name} |`)))).toEqual(
      rows,
    )
  })
})
