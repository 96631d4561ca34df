/**
 * The HTTP server on Node: bytes in, one `Request` and one `Exchange` out, and the answer back.
 *
 * It knows nothing of platforms or keys: what a request means is `fetch`'s business, what a refusal
 * looks like is `refuse`'s. Here are the listeners, their time limits, and the way to end them.
 */
import cluster from 'node:cluster'
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { ListenOptions } from 'node:net'
import { type BodyLimits, Incoming } from './incoming.ts'
import { Intake, type IntakeOptions } from './intake.ts'
import { probePort } from './listening.ts'
import { Outgoing } from './outgoing.ts'

/** Milliseconds and bytes. */
export type FrontLimits = BodyLimits & {
  readonly headersMs: number
  /** Longer than the 60 s of common load balancers, so that it is they who close. */
  readonly keepAliveMs: number
}

const defaults: FrontLimits = {
  headersMs: 10_000,
  requestMs: 300_000,
  keepAliveMs: 65_000,
  bodyBytesMax: 10_485_760,
  bodyIdleMs: 10_000,
  drainBytesMax: 65_536,
  drainMs: 500,
}

export type FrontOptions = IntakeOptions & {
  readonly limits?: Partial<FrontLimits>
  /** Told when a connection could not be taken, as where descriptors have run out. Must not throw. */
  onAcceptError?(error: Error): void
}

export type Front = {
  /** Listens, and answers the port (for port 0, the one it got). Rejects when it cannot. */
  listen(port: number, host: string): Promise<number>
  /**
   * Takes no more connections, lets what is in flight finish with `Connection: close`, ends open
   * WebSockets with 1001, and closes all. Cuts what is left after `graceMs`. Resolves when every connection is closed.
   */
  drain(graceMs: number): Promise<void>
}

/**
 * Connections that wait to be accepted; the system may hold it lower (Linux: `net.core.somaxconn`).
 * Whoever finds no room tries again after one, two, four seconds: far longer than a refusal takes.
 */
const backlog = 4096

/**
 * Sockets that listen on one port. libuv accepts one connection of each in a turn of the event loop, so
 * where turns are long, whoever comes new waits for seconds beside those who are served (threats Q18).
 */
const sockets = 16

type FrontServer = Server<typeof Incoming, typeof Outgoing>

/** Builds the front; nothing listens yet. Throws when a trusted proxy is not an address or a range. */
export function createFront(options: FrontOptions): Front {
  const limits = { ...defaults, ...options.limits }
  const intake = new Intake(options, limits, limits.keepAliveMs)
  const servers: FrontServer[] = []

  async function open(where: ListenOptions): Promise<number> {
    const server = createIntakeServer(intake, limits)
    server.listen({ ...where, backlog })
    await once(server, 'listening')
    // Without a listener it would end the process (threats Q20).
    server.on('error', (error) => options.onAcceptError?.(error))
    servers.push(server)
    const address = server.address()
    return typeof address === 'object' && address !== null ? address.port : 0
  }

  return {
    async listen(port, host) {
      // A worker is handed its connections by the primary process.
      if (process.platform !== 'linux' || cluster.isWorker) return open({ port, host })
      // Of those who share a port none is told that it is taken.
      if (port !== 0) await probePort(port, host)
      const got = await open({ port, host, reusePort: true })
      for (let more = 1; more < sockets; more++) await open({ port: got, host, reusePort: true })
      return got
    },
    async drain(graceMs) {
      intake.draining = true
      await Promise.all([intake.upgraded.end(), closeAll(servers, intake, graceMs)])
    },
  }
}

function createIntakeServer(intake: Intake, limits: FrontLimits): FrontServer {
  const server = createServer<typeof Incoming, typeof Outgoing>({
    IncomingMessage: Incoming,
    ServerResponse: Outgoing,
    maxHeaderSize: 16_384,
    // A missing Host is refused in frame.ts, with the body that every refusal has.
    requireHostHeader: false,
    headersTimeout: limits.headersMs,
    // Bodies are timed where they are read: one on its way to an upstream may take hours.
    requestTimeout: 0,
    keepAliveTimeout: limits.keepAliveMs,
    // Whatever else asks for an upgrade (`h2c`, a bad handshake) is an ordinary request.
    shouldUpgradeCallback: intake.takesUpgrade,
    connectionsCheckingInterval: Math.min(1000, limits.headersMs),
  })
  // One line more than is allowed, so that it is seen and refused, not dropped (threats F6).
  server.maxHeadersCount = 101
  const receive = (incoming: Incoming, outgoing: Outgoing): void => {
    intake.receive(incoming, outgoing)
  }
  server.on('request', receive)
  server.on('checkExpectation', receive)
  server.on('checkContinue', intake.receiveExpecting)
  server.on('upgrade', intake.receiveUpgrade)
  server.on('clientError', intake.clientError)
  return server
}

async function closeAll(
  servers: readonly FrontServer[],
  intake: Intake,
  graceMs: number,
): Promise<void> {
  const closed = servers.map((server) => once(server, 'close'))
  // A connection that was answered just before the drain began is idle a moment after it.
  const sweep = setInterval(() => {
    for (const server of servers) server.closeIdleConnections()
  }, 50)
  const cut = setTimeout(() => {
    for (const server of servers) server.closeAllConnections()
    intake.upgraded.cut()
  }, graceMs)
  for (const server of servers) server.close()
  await Promise.all(closed)
  clearInterval(sweep)
  clearTimeout(cut)
}
