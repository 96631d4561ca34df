/** Secrets in calls to an upstream on both runtimes, and what only Node passes on. */
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createDatabase, type TestDatabase } from '../database.ts'
import { startGate, type TestGate } from '../gate.ts'
import { secretsSuite } from '../suites/secrets.suite.ts'
import { type RawUpstream, startRawUpstream } from '../upstream.ts'
import { startForwardingGate } from '../worker.ts'

secretsSuite('Node', (config) => startGate({}, config))
secretsSuite('Workers', startForwardingGate)

const value = 'sk-canary-9f8e7d6q'

const config = (url: string) => `
version: 1
platforms:
  - id: plt_raw
    slug: raw
    upstreams: [{ name: raw, url: ${JSON.stringify(url)}, allow: [127.0.0.0/8], retries: 0 }]
    routes:
      - { path: /sessions/**, handler: sessions }
      - { path: "/sessions/:sid/secrets/**", handler: secrets }
      - { path: /raw/**, upstream: raw, secrets: { headers: { x-key: "{{secret.KEY}}" } } }
    seed: [{ id: tenant_abc123 }]
`

let database: TestDatabase
let upstream: RawUpstream
let gate: TestGate
let session = ''
let answer: readonly string[] = []
const keys = () => ({ 'x-api-key': gate.seeded.sk_live_, 'x-tn': 'tenant_abc123' })
beforeAll(async () => {
  upstream = await startRawUpstream(async (connection) => {
    await connection.until('\r\n\r\n')
    for (const piece of answer) connection.socket.write(piece, 'latin1')
    connection.socket.end()
  })
  database = await createDatabase({ migrate: false })
  gate = await startGate({ DATABASE_URL: database.ownerUrl }, config(upstream.url))
  const post = (path: string, body: unknown) =>
    fetch(gate.url + path, {
      method: 'POST',
      headers: { ...keys(), 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
  const made = (await (await post('/sessions', { userId: 'u' })).json()) as { id: string }
  session = made.id
  await post(`/sessions/${session}/secrets`, { KEY: value })
})
afterAll(async () => {
  await gate?.stop()
  await database?.drop()
  await upstream?.stop()
})

/** What a client reads when the upstream sends these bytes. */
async function passed(pieces: readonly string[]): Promise<string> {
  answer = pieces
  const { port, host } = new URL(gate.url)
  const socket = connect(Number(port), '127.0.0.1')
  const lines = ['GET /raw/x HTTP/1.1', `Host: ${host}`, 'TE: trailers', 'Connection: close']
  const named = Object.entries({ ...keys(), 'postern-session': session })
  const head = [...lines, ...named.map(([name, field]) => `${name}: ${field}`)]
  socket.write(`${head.join('\r\n')}\r\n\r\n`)
  return text(socket)
}

const stars = '*'.repeat(value.length)

test('X11: a 103 and trailers are covered, and a value over two chunks', async () => {
  const seen = await passed([
    `HTTP/1.1 103 Early Hints\r\nLink: </${value}>; rel=preload\r\n\r\n`,
    'HTTP/1.1 200 OK\r\nTrailer: x-sum\r\nTransfer-Encoding: chunked\r\n\r\n',
    `9\r\n${value.slice(0, 9)}\r\n9\r\n${value.slice(9)}\r\n0\r\nx-sum: ${value}\r\n\r\n`,
  ])
  expect(seen).toContain(`Link: </${stars}>; rel=preload`)
  expect(seen).toContain(`\r\n\r\n12\r\n${stars}\r\n0\r\nx-sum: ${stars}\r\n\r\n`)
  expect(seen).not.toContain(value)
})

test('X11: a body that ends with its connection keeps its last piece', async () => {
  const seen = await passed([`HTTP/1.0 200 OK\r\n\r\n${value} and `, value.slice(0, 6)])
  expect(seen).toContain(`${stars} and `)
  expect(seen).toContain(value.slice(0, 6))
})

test('X11: an answer that breaks off is cut, and shows nothing of what was waited with', async () => {
  const seen = await passed(['HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nok ', value.slice(0, 6)])
  expect(seen).not.toContain(value.slice(0, 6))
})
