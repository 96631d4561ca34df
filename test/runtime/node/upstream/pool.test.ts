/** Which connection carries which request: never another's, and never one that may be out of step. */
import type { Socket } from 'node:net'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { HopFault, type Upstream } from '../../../../src/context.ts'
import { createConnect } from '../../../../src/runtime/node/upstream/connect.ts'
import { type Guest, TargetPool } from '../../../../src/runtime/node/upstream/pool.ts'
import type { Rider, Wire } from '../../../../src/runtime/node/upstream/wire.ts'
import { type RawUpstream, startRawUpstream } from '../../../upstream.ts'

const head = 'GET / HTTP/1.1\r\nhost: a\r\n\r\n'
const answer = (body: string, fields = '') =>
  `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n${fields}\r\n${body}`

let raw: RawUpstream
let pool: TargetPool
/** What the upstream says to the requests it gets, one after the other; the last stays. */
let answers: string[]

beforeEach(async () => {
  answers = [answer('hello')]
  raw = await startRawUpstream(async (connection) => {
    for (;;) {
      await connection.until('\r\n\r\n')
      if (connection.take() === '') return
      connection.socket.write((answers.length > 1 ? answers.shift() : answers[0]) ?? '', 'latin1')
    }
  })
  pool = open()
})
afterEach(async () => {
  pool.destroy()
  await raw.stop()
})

function open(more: Partial<Upstream> = {}): TargetPool {
  const target = { origin: raw.url, weight: 1 }
  const upstream: Upstream = {
    name: 'up',
    audience: 'up',
    builtin: null,
    targets: [target],
    allow: ['127.0.0.0/8'],
    host: null,
    keepAuthorization: false,
    connectMs: 1000,
    headersMs: 1000,
    idleMs: 1000,
    connectionsMax: 10,
    queueMax: 10,
    retries: 0,
    breaker: { failures: 5, openMs: 1000 },
    health: null,
    tls: { ca: null, cert: null, key: null, serverName: null },
    ...more,
  }
  return new TargetPool(upstream, createConnect(upstream, target))
}

class Asker implements Rider {
  wire: Wire | null = null
  body = ''
  /** Stops the reading with the first piece. */
  readonly #halts: boolean
  readonly done: Promise<string>
  #settle: (text: string) => void = () => {}

  constructor(halts = false) {
    this.#halts = halts
    this.done = new Promise((resolve) => {
      this.#settle = resolve
    })
  }

  board(wire: Wire): boolean {
    this.wire = wire
    wire.send(this, head, null, false, false, false)
    return true
  }

  onBody(bytes: Buffer, from: number, to: number): void {
    this.body += bytes.toString('latin1', from, to)
    if (this.#halts) this.wire?.pause()
  }

  onEnd(): void {
    this.#settle(this.body)
  }

  onFault(fault: Error): void {
    this.#settle(fault instanceof HopFault ? fault.failure : fault.name)
  }

  onSwitch(_: string[], socket: Socket): void {
    socket.destroy()
  }

  onHead(): void {}
  onInformation(): void {}
  onPause(): void {}
  onSent(): void {}
}

async function ask(owner = 'a', halts = false): Promise<string> {
  const asker = new Asker(halts)
  pool.carry(owner, asker, false)
  return asker.done
}

describe('R24: a connection is used again', () => {
  test('for the same owner, and for no other', async () => {
    await ask('a')
    await ask('a')
    expect(raw.connections).toHaveLength(1)
    await ask('b')
    expect(raw.connections).toHaveLength(2)
    await ask('a')
    expect(raw.connections).toHaveLength(2)
  })

  test('also when the last piece was too much for its reader', async () => {
    expect(await ask('a', true)).toBe('hello')
    expect(await ask('a')).toBe('hello')
    expect(raw.connections).toHaveLength(1)
  })

  test('when it is empty: a second request at once has its own', async () => {
    await Promise.all([ask('a'), ask('a')])
    expect(raw.connections).toHaveLength(2)
  })

  test.each([
    ['that says close', answer('hello', 'Connection: close\r\n')],
    [
      'that will keep it for less than it takes to ask',
      answer('hello', 'Keep-Alive: timeout=2\r\n'),
    ],
    ['of HTTP/1.0', answer('hello').replace('HTTP/1.1', 'HTTP/1.0')],
    ['with more behind it', `${answer('hello')}${answer('evil!')}`],
    ['to a 204 with a body', `HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nevil!`],
  ])('never after an answer %s', async (_, said) => {
    answers = [said, answer('hello')]
    await ask()
    await raw.connections[0]?.closed
    expect(await ask()).toBe('hello')
    expect(raw.connections).toHaveLength(2)
  })

  test('never when something has come on it that nobody asked for, and then none is for a while', async () => {
    await ask()
    expect(pool.isOnce).toBe(false)
    const [first] = raw.connections
    first?.socket.write(answer('evil!'))
    await first?.closed
    expect(pool.isOnce).toBe(true)
    expect(await ask()).toBe('hello')
    await raw.connections[1]?.closed
    expect(await ask()).toBe('hello')
    expect(raw.connections).toHaveLength(3)
  })

  test('never when the upstream has closed it', async () => {
    await ask()
    raw.connections[0]?.socket.end()
    await raw.connections[0]?.closed
    expect(await ask()).toBe('hello')
    expect(raw.connections).toHaveLength(2)
  })

  test('not for longer than the upstream says', async () => {
    answers = [answer('hello', 'Keep-Alive: timeout=3\r\n')]
    await ask()
    // A second is left of three, and then it is closed from here.
    await raw.connections[0]?.closed
    expect(pool.isIdle).toBe(true)
  })
})

test('what is no answer is a fault, and its connection is cut', async () => {
  answers = ['HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab']
  expect(await ask()).toBe('http_protocol_error')
  await raw.connections[0]?.closed
  expect(pool.isOnce).toBe(true)
})

test('a pool that is destroyed cuts what is open, and what is being opened', async () => {
  answers = ['']
  pool.carry('a', new Asker(), false)
  await expect.poll(() => raw.connections.length).toBe(1)
  pool.carry('b', new Asker(), false)
  pool.destroy()
  expect(pool.isIdle).toBe(true)
  await raw.connections[0]?.closed
  await Promise.all(raw.connections.map(({ closed }) => closed))
})

test('a guest is told that its time is over, and not before', async () => {
  pool = open({ headersMs: 100 })
  const started = performance.now()
  const late = await new Promise<number>((resolve) => {
    const guest: Guest = {
      deadlineMs: started + 100,
      place: -1,
      start: () => {},
      timedOut() {
        pool.leave(guest)
        resolve(performance.now() - started)
      },
    }
    pool.enter(guest)
  })
  expect(late).toBeGreaterThanOrEqual(100)
})

test('S2: an address that may not be connected to is a fault, and nothing was sent', async () => {
  pool = open({ allow: [] })
  expect(await ask()).toBe('destination_ip_prohibited')
  expect(pool.isIdle).toBe(true)
  expect(raw.connections).toHaveLength(0)
})
