/**
 * Clients that hold what they get: a third of them sends its headers a byte a second, a third its
 * body, and a third reads nothing of a large answer. One that the server cuts off comes back.
 *
 *     node bench/slow-clients.ts URL HEADERS COUNT
 */
import { connect, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { answerParent, type Child, type Listening, startChild } from './processes.ts'

/** How many are connected at this moment, and how many connections the server has ended so far. */
export type SlowState = { readonly connected: number; readonly cut: number }

export type SlowClients = { state(): Promise<SlowState>; stop(): Promise<void> }

/** Starts them in a process on the load's core; they are all there when this resolves. */
export async function startSlowClients(
  { url, headers }: Listening,
  count: number,
): Promise<SlowClients> {
  const args = [url, JSON.stringify(headers), String(count)]
  const child: Child = await startChild({ file: 'slow-clients.ts', args, core: 'load' })
  return {
    // What it answers is what holdAll says it answers.
    state: async () => (await child.ask()) as SlowState,
    stop: () => child.stop(),
  }
}

/** More than the buffers of both connections hold. */
const largeBytes = 50_000_000

type Kind = {
  /** What is sent at once; the rest a byte a second. */
  readonly first: string
  readonly slowly: string
  readonly reads: boolean
}

function kindsOf({ url, headers }: Listening): readonly [Kind, Kind, Kind] {
  const { host } = new URL(url)
  const fields = Object.entries({ host, ...headers })
  const lines = fields.map(([name, value]) => `${name}: ${value}\r\n`).join('')
  const head = `GET /v1/hello HTTP/1.1\r\n${lines}`
  const upload = `POST /v1/sink HTTP/1.1\r\n${lines}content-length: 1000000\r\n\r\n`
  const large = `GET /v1/large?${largeBytes} HTTP/1.1\r\n${lines}\r\n`
  return [
    { first: head.slice(0, 1), slowly: head.slice(1), reads: true },
    { first: upload, slowly: 'x'.repeat(1000), reads: true },
    { first: large, slowly: '', reads: false },
  ]
}

class Clients {
  readonly #port: number
  connected = 0
  cut = 0

  constructor(port: number) {
    this.#port = port
  }

  /** Connects one, now and whenever it was cut off. */
  add(kind: Kind): void {
    const socket = connect({ port: this.#port, host: '127.0.0.1', noDelay: true })
    let stood = false
    socket.once('connect', () => {
      stood = true
      this.connected++
      socket.write(kind.first)
      if (kind.reads) socket.resume()
      else socket.pause()
      drip(socket, kind.slowly)
    })
    socket.on('error', () => socket.destroy())
    socket.once('close', () => {
      if (stood) {
        this.connected--
        this.cut++
      }
      setTimeout(() => this.add(kind), 100)
    })
  }
}

/** A byte a second; the first after a part of one, so that not all of them send at the same moment. */
function drip(socket: Socket, text: string): void {
  let sent = 0
  const next = (): void => {
    const byte = text[sent++]
    if (byte === undefined || socket.destroyed) return
    socket.write(byte)
    setTimeout(next, 1000)
  }
  setTimeout(next, Math.random() * 1000)
}

async function holdAll(listening: Listening, count: number): Promise<void> {
  const kinds = kindsOf(listening)
  const clients = new Clients(Number(new URL(listening.url).port))
  for (let added = 0; added < count; added++) {
    clients.add(kinds[added % kinds.length]!)
    // Not faster than any listener's queue is emptied.
    if (added % 100 === 99) await delay(20)
  }
  while (clients.connected < count * 0.99) await delay(20)
  const state = (): SlowState => ({ connected: clients.connected, cut: clients.cut })
  answerParent(null, state)
}

if (import.meta.main) {
  const [url = '', headers = '{}', count = '0'] = process.argv.slice(2)
  await holdAll({ url, headers: JSON.parse(headers) }, Number(count))
}
