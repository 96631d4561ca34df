/**
 * Clients that make a body while they send it, as git does while it compresses: their pauses are
 * neither a stalled body nor an upstream that takes too long.
 */
import { once } from 'node:events'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type ProxyGate, startProxyGate } from '../proxy-gate.ts'
import { openLine } from '../runtime/raw.ts'
import { type HttpUpstream, startHttpUpstream } from '../upstream.ts'

let upstream: HttpUpstream
let gate: ProxyGate

beforeAll(async () => {
  upstream = await startHttpUpstream((request, response) => {
    if (request.url === '/never') return
    let text = ''
    request.on('data', (piece) => {
      text += piece
    })
    request.on('end', () => response.end(text))
  })
  gate = await startProxyGate(upstream.url, {
    upstream: 'timeouts: { headers: 200ms, idle: 3s }, breaker: { failures: 2 }, retries: 0',
  })
})
afterAll(async () => {
  await gate?.stop()
  await upstream?.stop()
})

const call = (path: string, rest: string): string =>
  `POST /up/${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n${gate.credentials}${rest}`

async function toTheEnd(text: string): Promise<string> {
  const line = await openLine(gate.port)
  line.send(text)
  return line.closed()
}

test('the time of timeouts.headers begins when the body has ended', async () => {
  const line = await openLine(gate.port)
  const reached = once(upstream.server, 'request')
  line.send(call('slowly', 'Content-Length: 6\r\n\r\nabc'))
  await reached
  // Each takes that time to become a 504: so it has passed twice. An answer in between closes the breaker.
  for (const _ of [1, 2]) {
    expect(await toTheEnd(call('never', 'Content-Length: 0\r\n\r\n'))).toMatch(/^HTTP\/1\.1 504 /)
    expect(await toTheEnd(call('x', 'Content-Length: 0\r\n\r\n'))).toMatch(/^HTTP\/1\.1 200 /)
  }
  line.send('def')
  expect(await line.closed()).toMatch(/^HTTP\/1\.1 200 [\s\S]*\r\n\r\nabcdef$/)
})

test('R17: a body that stalls for longer than timeouts.idle is a 408, which no target is blamed for', async () => {
  const stalled = call('stalled', 'Content-Length: 6\r\n\r\nabc')
  const answers = await Promise.all([stalled, stalled, stalled].map(toTheEnd))
  for (const answer of answers) {
    expect(answer).toMatch(/^HTTP\/1\.1 408 /)
    expect(answer).toContain('"code":"request/timeout"')
  }
  expect(await toTheEnd(call('x', 'Content-Length: 0\r\n\r\n'))).toMatch(/^HTTP\/1\.1 200 /)
})
