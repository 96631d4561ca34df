/**
 * Q17: upstreams that refuse, hang, break off or are slow. The caller learns it in time and in words,
 * no other upstream is slower for it, and what is well again is used again.
 */
import { once } from 'node:events'
import { Agent, request as httpRequest, type IncomingMessage } from 'node:http'
import type { AddressInfo, Server } from 'node:net'
import { createServer } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type ProxyGate, startProxyGate } from '../proxy-gate.ts'
import { until } from '../redis.ts'
import { openLine } from '../runtime/raw.ts'
import {
  type HttpUpstream,
  type RawUpstream,
  startHttpUpstream,
  startRawUpstream,
} from '../upstream.ts'
import { startBlackHole } from '../black-hole.ts'

type Listener = Parameters<typeof startHttpUpstream>[0]

/** Two upstreams that answer as a test says, and one that takes connections and says nothing. */
let one: HttpUpstream
let two: HttpUpstream
let mute: RawUpstream
let hole: Awaited<ReturnType<typeof startBlackHole>>
let answerOne: Listener
let answerTwo: Listener
/** Whether the first of two others, which are asked whether they are well, is. */
let well = true
let asked: readonly HttpUpstream[]
let gate: ProxyGate

const say =
  (text: string, status = 200): Listener =>
  (_, response) =>
    void response.writeHead(status).end(text)

/** A port of loopback where nobody listens. */
async function freePort(): Promise<number> {
  const server: Server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo // a TCP server has one
  server.close()
  await once(server, 'close')
  return port
}

beforeAll(async () => {
  one = await startHttpUpstream((request, response) => answerOne(request, response))
  two = await startHttpUpstream((request, response) => answerTwo(request, response))
  asked = [
    await startHttpUpstream(({ url }, response) => {
      response.writeHead(url === '/health' && !well ? 500 : 200).end('one')
    }),
    await startHttpUpstream((_, response) => void response.end('two')),
  ]
  mute = await startRawUpstream(() => {})
  hole = await startBlackHole()
  const closed = `http://127.0.0.1:${await freePort()}`
  const quick = 'timeouts: { connect: 400ms, headers: 400ms, idle: 400ms }'
  const patient = 'timeouts: { connect: 1min, headers: 1min }'
  const calm = 'breaker: { failures: 10000 }'
  const targets = asked.map(({ url }) => `{ url: "${url}" }`).join()
  gate = await startProxyGate(one.url, {
    upstream: calm,
    others: {
      refused: `url: "${closed}", ${calm}`,
      hole: `url: "${hole.url}", ${quick}, ${calm}, retries: 0`,
      unknown: `url: "http://does-not-exist.invalid", timeouts: { connect: 5s }, ${calm}`,
      mute: `url: "${mute.url}", ${quick}, ${calm}, retries: 0`,
      bulk: `url: "${mute.url}", ${patient}, connections: 2, queue: 2`,
      narrow: `url: "${one.url}", ${patient}, connections: 1, queue: 1`,
      brief: `url: "${one.url}", timeouts: { connect: 400ms }, connections: 1, queue: 1, ${calm}`,
      slow: `url: "${one.url}", ${quick}, ${calm}`,
      fragile: `url: "${one.url}", retries: 0, breaker: { failures: 3, open: 300ms }`,
    },
  })
})
afterAll(async () => {
  await gate?.stop()
  await Promise.all([one, two, mute, hole, ...asked].map((upstream) => upstream?.stop()))
})

type Told = {
  readonly status: number
  readonly headers: IncomingMessage['headers']
  readonly body: string
  readonly ms: number
}

const agent = new Agent({ keepAlive: true })
afterAll(() => agent.destroy())

/** One request to `/<upstream>/x`, and its whole answer. */
async function ask(path: string, { signal }: { signal?: AbortSignal } = {}): Promise<Told> {
  const started = performance.now()
  const { headers } = gate
  const sent = httpRequest(`${gate.url}/${path}`, { agent, headers, signal })
  sent.end()
  const [response] = (await once(sent, 'response')) as [IncomingMessage]
  let text = ''
  for await (const piece of response) text += piece
  const ms = performance.now() - started
  return { status: response.statusCode ?? 0, headers: response.headers, body: text, ms }
}

/** How many requests for a path have ended. */
const linesOf = async (path: string): Promise<number> =>
  (await gate.logged()).split(`"path":"${path}"`).length - 1

const failureOf = ({ status, headers }: Told): string =>
  `${status} ${headers['proxy-status']?.toString().replace('postern; error=', '') ?? ''}`

describe('what cannot be reached', () => {
  test('refuses: 502', async () => {
    const told = await ask('refused/x')
    expect(failureOf(told)).toBe('502 connection_refused')
    expect(JSON.parse(told.body)).toMatchObject({ code: 'upstream/unreachable', success: false })
    expect(await gate.logged()).toMatch(/upstream refused.*ECONNREFUSED/)
  })

  test('takes no connection: 504, and not before the time is up', async () => {
    const told = await ask('hole/x')
    expect(failureOf(told)).toBe('504 connection_timeout')
    expect(told.ms).toBeGreaterThanOrEqual(395)
  })

  test('has no address: 502, or 504 where no resolver answers', async () => {
    const told = await ask('unknown/x')
    expect(failureOf(told)).toMatch(/^(?:502 dns_error|504 dns_timeout)$/)
  })

  test('does not answer: 504, and not before the time is up', async () => {
    const told = await ask('mute/x')
    expect(failureOf(told)).toBe('504 http_response_timeout')
    expect(told.ms).toBeGreaterThanOrEqual(395)
  })

  test('sends half: the client is cut off, and not before the time is up', async () => {
    answerOne = (_, response) => {
      response.writeHead(200, { 'content-length': 10 })
      response.write('half')
    }
    const line = await openLine(gate.port)
    const started = performance.now()
    line.send(`GET /slow/x HTTP/1.1\r\nHost: a\r\n${gate.credentials}\r\n`)
    expect(await line.closed()).toMatch(/\r\n\r\nhalf$/)
    expect(performance.now() - started).toBeGreaterThanOrEqual(395)
  })

  test('resets in the middle: the client is cut off', async () => {
    answerOne = (request, response) =>
      void response.write('half', () => request.socket.resetAndDestroy())
    const line = await openLine(gate.port)
    line.send(`GET /up/x HTTP/1.1\r\nHost: a\r\n${gate.credentials}\r\n`)
    const text = await line.closed()
    expect(text).toMatch(/^HTTP\/1\.1 200 /)
    expect(text).not.toMatch(/\r\n0\r\n\r\n$/)
  })

  test('answers steadily for longer than any of the times: all of it passes', async () => {
    answerOne = (_, response) => {
      let pieces = 0
      const timer = setInterval(() => {
        pieces += 1
        if (pieces < 10) response.write('.')
        else {
          clearInterval(timer)
          response.end('!')
        }
      }, 60)
    }
    expect((await ask('slow/x')).body).toBe('.........!')
  })
})

test('an upstream’s own 5xx passes as it is, and none of it counts against its target', async () => {
  let turn = 0
  answerOne = (_, response) => {
    turn += 1
    const bad = turn % 2 === 0
    response.writeHead(bad ? 500 + (turn % 10) : 200, bad ? { 'x-own': '1' } : {}).end('theirs')
  }
  const statuses: number[] = []
  for (let at = 0; at < 20; at++) {
    const { status, headers, body } = await ask('fragile/x')
    statuses.push(status)
    expect([body, headers['proxy-status']]).toEqual(['theirs', undefined])
    expect(headers['x-own']).toBe(status === 200 ? undefined : '1')
  }
  expect(statuses.filter((status) => status === 200)).toHaveLength(10)
})

describe('bulkhead', () => {
  test('an upstream that hangs has its own share, and no other upstream waits for it', async () => {
    const before = mute.connections.length
    const leave = new AbortController()
    // Two are with it, two wait, and so it is the fifth, whichever that is, who is told.
    const five = Array.from({ length: 5 }, () => ask('bulk/x', { signal: leave.signal }))
    const told = await Promise.race(five)
    expect(failureOf(told)).toBe('503 connection_limit_reached')
    expect(told.headers['retry-after']).toBe('1')
    expect(JSON.parse(told.body).code).toBe('gateway/overloaded')
    answerOne = say('well')
    for (let turn = 0; turn < 20; turn++) expect((await ask('up/x')).body).toBe('well')
    await until(() => mute.connections.length === before + 2)
    leave.abort()
    const ends = await Promise.allSettled(five)
    expect(ends.filter(({ status }) => status === 'rejected')).toHaveLength(4)
    // With those gone there is room again.
    await until(async () => (await linesOf('/bulk/x')) === 5)
    const again = new AbortController()
    const next = ask('bulk/x', { signal: again.signal })
    await until(() => mute.connections.length === before + 3)
    again.abort()
    await expect(next).rejects.toThrow()
  })

  test('who waits too long for a turn gets a 504, and not before the time is up', async () => {
    let free = (): void => {}
    answerOne = (_, response) => {
      free = () => void response.end('at last')
    }
    const first = ask('brief/1')
    await until(() => one.seen.at(-1)?.url === '/1')
    const told = await ask('brief/2')
    expect(failureOf(told)).toBe('504 connection_timeout')
    expect(told.ms).toBeGreaterThanOrEqual(395)
    free()
    expect((await first).body).toBe('at last')
  })

  test('who leaves while it waits leaves the queue, and never reaches the upstream', async () => {
    const open: (() => void)[] = []
    answerOne = (_, response) => void open.push(() => response.end('done'))
    one.seen.length = 0
    const first = ask('narrow/first')
    await until(() => open.length === 1)
    const leave = new AbortController()
    const pair = ['gone', 'gone'].map((name) => ask(`narrow/${name}`, { signal: leave.signal }))
    expect((await Promise.race(pair)).status).toBe(503)
    leave.abort()
    await Promise.allSettled(pair)
    await until(async () => (await linesOf('/narrow/gone')) === 2)
    const next = ['next', 'next'].map((name) => ask(`narrow/${name}`))
    expect((await Promise.race(next)).status, 'one is refused, so the other waits').toBe(503)
    open.shift()?.()
    expect((await first).body).toBe('done')
    await until(() => open.length === 1)
    open.shift()?.()
    expect((await Promise.all(next)).map(({ status }) => status).sort()).toEqual([200, 503])
    expect(one.seen.map(({ url }) => url)).toEqual(['/first', '/next'])
  })
})
