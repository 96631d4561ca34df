/** A way to a server on loopback that can be cut, or lose what the server answers after it was done. */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

export type Relay = {
  readonly port: number
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
  let word: string | null = null
  let lost = 0
  let isCut = false
  const sockets = new Set<Socket>()
  const server = createServer((client) => {
    if (isCut) return void client.destroy()
    const target = connect(to, '127.0.0.1')
    let awaited = false
    const end = () => {
      client.destroy()
      target.destroy()
    }
    for (const socket of [client, target]) {
      sockets.add(socket)
      socket.setNoDelay()
      socket.on('error', end).on('close', () => {
        sockets.delete(socket)
        end()
      })
    }
    client.on('data', (sent) => {
      if (word !== null && sent.includes(word)) awaited = true
      target.write(sent)
    })
    target.on('data', (answer) => {
      if (!awaited) return void client.write(answer)
      lost += 1
      end()
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  // A server that listens on a port has one.
  const { port } = server.address() as AddressInfo
  return {
    port,
    loseAnswersTo(next) {
      word = next
    },
    cut() {
      isCut = true
      for (const socket of sockets) socket.destroy()
    },
    mend() {
      isCut = false
    },
    lost: () => lost,
    async stop() {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}
