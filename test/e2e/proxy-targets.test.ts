/**
 * Several targets, and targets that come and go: who gets the next request when one fails, is unwell
 * or leaves the config.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { configOf } from '../gate.ts'
import { ask, type ProxyGate, proxyConfig, startProxyGate } from '../proxy-gate.ts'
import { until } from '../redis.ts'
import { freePort } from '../servers.ts'
import {
  type HttpUpstream,
  type RawUpstream,
  startHttpUpstream,
  startRawUpstream,
} from '../upstream.ts'

type Listener = Parameters<typeof startHttpUpstream>[0]

/** Two that answer as a test says. */
let one: HttpUpstream
let two: HttpUpstream
let answerOne: Listener
let answerTwo: Listener
/** Two others, which are asked whether they are well; whether the first is. */
let asked: readonly HttpUpstream[]
let well = true
/** Answers a path once it is told to. */
let held: RawUpstream
let gate: ProxyGate

const say =
  (text: string): Listener =>
  (_, response) =>
    void response.end(text)

/** Upstreams of the gate by their names. */
let others: Record<string, string>

beforeAll(async () => {
  one = await startHttpUpstream((request, response) => answerOne(request, response))
  two = await startHttpUpstream((request, response) => answerTwo(request, response))
  asked = [
    await startHttpUpstream(({ url }, response) => {
      response.writeHead(url === '/health' && !well ? 500 : 200).end('one')
    }),
    await startHttpUpstream(say('two')),
  ]
  held = await startRawUpstream(() => {})
  const calm = 'breaker: { failures: 10000 }'
  const health =
    'health: { path: /health, interval: 100ms, timeout: 5s, healthyAfter: 1, unhealthyAfter: 1 }'
  const targets = asked.map(({ url }) => `{ url: "${url}" }`).join()
  others = {
    fragile: `url: "${one.url}", retries: 0, breaker: { failures: 3, open: 300ms }`,
    weighted: `targets: [{ url: "${one.url}", weight: 3 }, { url: "${two.url}" }]`,
    checked: `targets: [${targets}], ${health}`,
    half: `targets: [{ url: "http://127.0.0.1:${await freePort()}" }, { url: "${one.url}" }], ${calm}`,
    pair: `targets: [{ url: "${one.url}" }, { url: "${two.url}" }], ${calm}`,
    held: `url: "${held.url}", connections: 1, queue: 1, timeouts: { connect: 1min }`,
  }
  gate = await startProxyGate(one.url, { others })
})
afterAll(async () => {
  await gate?.stop()
  await Promise.all([one, two, held, ...(asked ?? [])].map((upstream) => upstream?.stop()))
})

test('the breaker opens after failures in a row, leaves the target alone, and closes again', async () => {
  answerOne = (request) => void request.socket.destroy()
  const failures: string[] = []
  for (let turn = 0; turn < 3; turn++) failures.push((await ask(gate, 'fragile/x')).failure)
  expect(failures).toEqual(Array(3).fill('502 connection_terminated'))
  one.seen.length = 0
  expect((await ask(gate, 'fragile/x')).failure).toBe('502 destination_unavailable')
  expect(one.seen).toEqual([])
  answerOne = say('well')
  await until(async () => (await ask(gate, 'fragile/x')).status === 200)
  expect((await ask(gate, 'fragile/x')).body).toBe('well')
})

test('active health takes a target out, and back', async () => {
  const seen = async () => {
    const bodies = new Set<string>()
    for (let turn = 0; turn < 8; turn++) bodies.add((await ask(gate, 'checked/x')).body)
    return [...bodies].sort().join()
  }
  await until(async () => (await seen()) === 'one,two')
  well = false
  await until(async () => (await seen()) === 'two')
  well = true
  await until(async () => (await seen()) === 'one,two')
  expect(await gate.logged()).toMatch(/is not well[\s\S]*is well again/)
})

test('weights: 30 of 40 go to the target of weight 3', async () => {
  const counts = { one: 0, two: 0 }
  answerOne = (_, response) => {
    counts.one += 1
    response.end()
  }
  answerTwo = (_, response) => {
    counts.two += 1
    response.end()
  }
  for (let turn = 0; turn < 40; turn++) await ask(gate, 'weighted/x')
  expect(counts).toEqual({ one: 30, two: 10 })
})

describe('another try', () => {
  test('a target that refuses connections costs nobody an answer, whatever the method', async () => {
    answerOne = async (request, response) => {
      let text = ''
      for await (const piece of request) text += piece
      response.end(text)
    }
    for (const method of ['GET', 'PUT', 'POST', 'GET', 'PUT', 'POST']) {
      const body = method === 'GET' ? '' : 'body'
      const told = await ask(gate, 'half/x', { method, body })
      expect([told.status, told.body]).toEqual([200, body])
    }
  })

  test('R26: a GET that was not answered goes to the other target, a POST to none', async () => {
    const seen: string[] = []
    const die: Listener = (request) => {
      seen.push(request.method ?? '')
      request.once('data', () => {})
      request.socket.destroy()
    }
    answerOne = die
    answerTwo = say('two')
    for (let turn = 0; turn < 4; turn++) expect((await ask(gate, 'pair/x')).body).toBe('two')
    expect(seen).toContain('GET')
    answerTwo = die
    seen.length = 0
    for (let turn = 0; turn < 4; turn++) {
      expect((await ask(gate, 'pair/x', { method: 'POST', body: 'body' })).failure).toBe(
        '502 connection_terminated',
      )
    }
    expect(seen).toEqual(Array(4).fill('POST'))
    expect((await ask(gate, 'pair/x', { method: 'POST' })).failure).toBe(
      '502 connection_terminated',
    )
    expect(seen).toHaveLength(5)
  })
})

describe('a config that is read again', () => {
  const swapTo = (next: Record<string, string>) =>
    gate.deployment.swap(configOf(proxyConfig(one.url, { others: next }), gate.folder))
  const answer = (index: number, text: string) =>
    held.connections[index]?.socket.write(
      `HTTP/1.1 200 OK\r\nContent-Length: ${text.length}\r\n\r\n${text}`,
    )
  const arrived = (index: number, path: string) =>
    until(() => held.connections.length > index).then(() =>
      held.connections[index]?.until(`GET ${path} `),
    )

  test('keeps the connections of an upstream that is the same, and its breaker', async () => {
    const first = ask(gate, 'held/a')
    await arrived(0, '/a')
    swapTo({ ...others, more: `url: "${two.url}"` })
    answer(0, 'a')
    expect((await first).body).toBe('a')
    const second = ask(gate, 'held/b')
    await arrived(0, '/b')
    answer(0, 'b')
    expect((await second).body).toBe('b')
    expect(held.connections).toHaveLength(1)
    answerTwo = say('two')
    expect((await ask(gate, 'more/x')).body).toBe('two')
    swapTo(others)
    expect((await ask(gate, 'more/x')).status).toBe(404)
  })

  test('lets go of one that changed or left, after those who use or wait for it', async () => {
    const [old] = held.connections
    const first = ask(gate, 'held/first')
    await arrived(0, '/first')
    // There is room for one: that the other is refused shows that it waits.
    const pair = [ask(gate, 'held/waiting'), ask(gate, 'held/waiting')]
    expect((await Promise.race(pair)).status).toBe(503)
    const { held: was, ...rest } = others
    swapTo({ ...rest, held: `${was}, retries: 0` })
    const anew = ask(gate, 'held/anew')
    await arrived(1, '/anew')
    swapTo(rest)
    expect((await ask(gate, 'held/x')).status).toBe(404)
    answer(1, 'anew')
    expect((await anew).body).toBe('anew')
    await held.connections[1]?.closed
    answer(0, 'first')
    expect((await first).body).toBe('first')
    await old?.closed
    await arrived(2, '/waiting')
    answer(2, 'waiting')
    expect((await Promise.all(pair)).map(({ body }) => body)).toContain('waiting')
    await held.connections[2]?.closed
    swapTo(others)
  })
})
