/**
 * A way to a server on loopback on which the network is at fault, as and when a test says: slow,
 * narrow, black, cut, half open, or losing answers to what was done.
 *
 * What is held back is delayed and never dropped, as TCP has it: bytes that come after a loss come
 * late, or the connection ends. So a connection that is held and let go is whole again.
 */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

/** Up: from the client to the server. Down: what the server answers. */
type Way = 'up' | 'down'

/** What is wrong with the way, until something else is said. Nothing given: nothing is wrong. */
export type Weather = {
  /** How much later everything arrives, each way. */
  readonly latencyMs?: number
  /** How much passes at most, on each connection and each way. */
  readonly bytesPerSecond?: number
  /** Connections are taken, and nothing passes: on either way, or on both (a black hole). */
  readonly hold?: Way | 'both'
  /** Of what arrives, each way, this share (0 to 1) ends its connection with a reset instead. */
  readonly resetShare?: number
  /** Of the answers, this share is lost, after the work was done, and its connection with it. */
  readonly loseShare?: number
  /** New connections are reset as soon as they are made. */
  readonly refuse?: boolean
}

export type Relay = {
  readonly port: number
  /** Changes the weather, for open connections too. Without any: the sun shines. */
  set(weather?: Weather): void
  /** Ends every connection with a reset. New ones can be made. */
  reset(): void
  /** Leaves every client half open: its server has gone and nobody has told it. */
  strand(): void
  /**
   * From now on, a connection on which `word` was sent is cut when the server answers it, and before
   * a byte of that answer is passed on. null: no more.
   */
  loseAnswersTo(word: string | null): void
  /** Cuts every connection, and each that is made from now on, until `mend`. */
  cut(): void
  mend(): void
  /** How many answers were lost. */
  lost(): number
  stop(): Promise<void>
}

/** Starts a relay to a port of loopback. */
export async function startRelay(to: number): Promise<Relay> {
  const sky = new Sky()
  const links = new Set<Link>()
  const server = createServer((client) => {
    if (sky.weather.refuse === true) return void client.on('error', ignore).resetAndDestroy()
    const link = new Link(client, connect(to, '127.0.0.1'), sky)
    links.add(link)
    client.once('close', () => links.delete(link))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  // A server that listens on a port has one.
  const { port } = server.address() as AddressInfo
  return {
    port,
    set(weather = {}) {
      sky.weather = weather
      for (const link of links) link.turn()
    },
    reset() {
      for (const link of links) link.reset()
    },
    cut() {
      sky.weather = { refuse: true }
      for (const link of links) link.reset()
    },
    mend() {
      sky.weather = {}
    },
    strand() {
      for (const link of links) link.strand()
    },
    loseAnswersTo(word) {
      sky.word = word
    },
    lost: () => sky.lost,
    async stop() {
      for (const link of links) link.reset()
      server.close()
      await once(server, 'close')
    },
  }
}

const ignore = (): void => {}

/** What all connections of a relay share. */
class Sky {
  weather: Weather = {}
  word: string | null = null
  lost = 0
  readonly #due = { reset: 0, lose: 0 }

  /** Whether it strikes this time: evenly, so that a run can be repeated. */
  strikes(how: 'reset' | 'lose', share = 0): boolean {
    this.#due[how] += share
    if (this.#due[how] < 1) return false
    this.#due[how] -= 1
    return true
  }
}

/** A client, its connection to the server, and what is under way between the two. */
class Link {
  readonly #client: Socket
  readonly #target: Socket
  readonly #sky: Sky
  readonly #late = new Set<NodeJS.Timeout>()
  /** Until when each way is busy with what came before. */
  readonly #busyUntil = { up: 0, down: 0 }
  #awaited = false
  #stranded = false

  constructor(client: Socket, target: Socket, sky: Sky) {
    this.#client = client
    this.#target = target
    this.#sky = sky
    for (const socket of [client, target]) {
      socket.setNoDelay()
      socket.on('error', ignore).on('close', () => this.#closed())
    }
    client.on('data', (sent) => this.#arrive('up', sent))
    target.on('data', (answer) => this.#arrive('down', answer))
    this.turn()
  }

  /** Lets pass what may, and stops what may not. */
  turn(): void {
    const { hold } = this.#sky.weather
    for (const way of ['up', 'down'] as const) {
      const from = this.#from(way)
      if (hold === way || hold === 'both') from.pause()
      else from.resume()
    }
  }

  reset(): void {
    this.#client.resetAndDestroy()
    this.#target.destroy()
    for (const timer of this.#late) clearTimeout(timer)
  }

  strand(): void {
    this.#stranded = true
    this.#target.destroy()
  }

  #from = (way: Way): Socket => (way === 'up' ? this.#client : this.#target)

  #arrive(way: Way, bytes: Buffer): void {
    const sky = this.#sky
    const { latencyMs = 0, bytesPerSecond, resetShare, loseShare } = sky.weather
    if (this.#stranded) return
    if (sky.strikes('reset', resetShare)) {
      this.reset()
      return
    }
    if (way === 'up' && sky.word !== null && bytes.includes(sky.word)) this.#awaited = true
    if (way === 'down' && (this.#awaited || sky.strikes('lose', loseShare))) {
      sky.lost += 1
      this.#client.destroy()
      return
    }
    const now = performance.now()
    const takes = bytesPerSecond === undefined ? 0 : (bytes.length * 1000) / bytesPerSecond
    const at = Math.max(this.#busyUntil[way], now + latencyMs) + takes
    if (at <= now) {
      this.#pass(way, bytes)
      return
    }
    this.#busyUntil[way] = at
    const timer = setTimeout(() => {
      this.#late.delete(timer)
      this.#pass(way, bytes)
    }, at - now)
    this.#late.add(timer)
  }

  #pass(way: Way, bytes: Buffer): void {
    const to = way === 'up' ? this.#target : this.#client
    if (!to.destroyed) to.write(bytes)
  }

  /** One side has gone: the other is told, unless nobody is to know. */
  #closed(): void {
    for (const timer of this.#late) clearTimeout(timer)
    this.#target.destroy()
    if (!this.#stranded) this.#client.destroy()
  }
}
