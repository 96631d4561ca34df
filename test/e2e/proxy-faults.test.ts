/**
 * Q17: upstreams that refuse, hang, break off or are slow. The caller learns it in time and in words,
 * and no other upstream is slower for it.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type BlackHole, startBlackHole } from '../black-hole.ts'
import { ask, type ProxyGate, startProxyGate } from '../proxy-gate.ts'
import { until } from '../redis.ts'
import { openLine } from '../runtime/raw.ts'
import { freePort } from '../servers.ts'
import {
  type HttpUpstream,
  type RawUpstream,
  startHttpUpstream,
  startRawUpstream,
} from '../upstream.ts'

/** One that answers as a test says, one that takes connections and says nothing, and one that takes none. */
let one: HttpUpstream
let mute: RawUpstream
let hole: BlackHole
let answerOne: Parameters<typeof startHttpUpstream>[0]
let gate: ProxyGate

beforeAll(async () => {
  one = await startHttpUpstream((request, response) => answerOne(request, response))
  mute = await startRawUpstream(() => {})
  hole = await startBlackHole()
  const quick = 'timeouts: { connect: 400ms, headers: 400ms, idle: 400ms }'
  const patient = 'timeouts: { connect: 1min, headers: 1min }'
  const calm = 'breaker: { failures: 10000 }'
  gate = await startProxyGate(one.url, {
    upstream: calm,
    others: {
      refused: `url: "http://127.0.0.1:${await freePort()}", ${calm}`,
      hole: `url: "${hole.url}", ${quick}, ${calm}, retries: 0`,
      unknown: `url: "http://does-not-exist.invalid", timeouts: { connect: 5s }, ${calm}`,
      mute: `url: "${mute.url}", ${quick}, ${calm}, retries: 0`,
      bulk: `url: "${mute.url}", ${patient}, connections: 2, queue: 2`,
      narrow: `url: "${one.url}", ${patient}, connections: 1, queue: 1`,
      brief: `url: "${one.url}", timeouts: { connect: 400ms }, connections: 1, queue: 1, ${calm}`,
      slow: `url: "${one.url}", ${quick}, ${calm}`,
      strict: `url: "${one.url}", breaker: { failures: 1, open: 1min }`,
    },
  })
})
afterAll(async () => {
  await gate?.stop()
  await Promise.all([one, mute, hole].map((upstream) => upstream?.stop()))
})

/** How many requests for a path have ended. */
const linesOf = async (path: string): Promise<number> =>
  (await gate.logged()).split(`"path":"${path}"`).length - 1

describe('what cannot be reached', () => {
  test('refuses: 502', async () => {
    const told = await ask(gate, 'refused/x')
    expect(told.failure).toBe('502 connection_refused')
    expect(JSON.parse(told.body)).toMatchObject({ code: 'upstream/unreachable', success: false })
    expect(await gate.logged()).toMatch(/upstream refused.*ECONNREFUSED/)
  })

  test('takes no connection: 504, and not before the time is up', async () => {
    const told = await ask(gate, 'hole/x')
    expect(told.failure).toBe('504 connection_timeout')
    expect(told.ms).toBeGreaterThanOrEqual(395)
  })

  test('has no address: 502, or 504 where no resolver answers', async () => {
    const told = await ask(gate, 'unknown/x')
    expect(told.failure).toMatch(/^(?:502 dns_error|504 dns_timeout)$/)
  })

  test('does not answer: 504, and not before the time is up', async () => {
    const told = await ask(gate, 'mute/x')
    expect(told.failure).toBe('504 http_response_timeout')
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
    expect((await ask(gate, 'slow/x')).body).toBe('.........!')
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
    const { status, headers, body } = await ask(gate, 'strict/x')
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
    const five = Array.from({ length: 5 }, () => ask(gate, 'bulk/x', { signal: leave.signal }))
    const told = await Promise.race(five)
    expect(told.failure).toBe('503 connection_limit_reached')
    expect(told.headers['retry-after']).toBe('1')
    expect(JSON.parse(told.body).code).toBe('gateway/overloaded')
    answerOne = (_, response) => void response.end('well')
    for (let turn = 0; turn < 20; turn++) expect((await ask(gate, 'up/x')).body).toBe('well')
    await until(() => mute.connections.length === before + 2)
    leave.abort()
    const ends = await Promise.allSettled(five)
    expect(ends.filter(({ status }) => status === 'rejected')).toHaveLength(4)
    // With those gone there is room again.
    await until(async () => (await linesOf('/bulk/x')) === 5)
    const again = new AbortController()
    const next = ask(gate, 'bulk/x', { signal: again.signal })
    await until(() => mute.connections.length === before + 3)
    again.abort()
    await expect(next).rejects.toThrow()
  })

  test('who waits too long for a turn gets a 504, and not before the time is up', async () => {
    let free = (): void => {}
    answerOne = (_, response) => {
      free = () => void response.end('at last')
    }
    const first = ask(gate, 'brief/1')
    await until(() => one.seen.at(-1)?.url === '/1')
    const told = await ask(gate, 'brief/2')
    expect(told.failure).toBe('504 connection_timeout')
    expect(told.ms).toBeGreaterThanOrEqual(395)
    free()
    expect((await first).body).toBe('at last')
  })

  test('who leaves while it waits leaves the queue, and never reaches the upstream', async () => {
    const open: (() => void)[] = []
    answerOne = (_, response) => void open.push(() => response.end('done'))
    one.seen.length = 0
    const first = ask(gate, 'narrow/first')
    await until(() => open.length === 1)
    const leave = new AbortController()
    const pair = ['gone', 'gone'].map((name) =>
      ask(gate, `narrow/${name}`, { signal: leave.signal }),
    )
    expect((await Promise.race(pair)).status).toBe(503)
    leave.abort()
    await Promise.allSettled(pair)
    await until(async () => (await linesOf('/narrow/gone')) === 2)
    const next = ['next', 'next'].map((name) => ask(gate, `narrow/${name}`))
    expect((await Promise.race(next)).status, 'one is refused, so the other waits').toBe(503)
    open.shift()?.()
    expect((await first).body).toBe('done')
    await until(() => open.length === 1)
    open.shift()?.()
    expect((await Promise.all(next)).map(({ status }) => status).sort()).toEqual([200, 503])
    expect(one.seen.map(({ url }) => url)).toEqual(['/first', '/next'])
  })
})
