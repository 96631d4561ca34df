/**
 * The thread that PGlite lives in: a PostgreSQL compiled to WebAssembly that answers on a unix
 * socket. A statement blocks its thread, so in the main one it would starve every timer and socket.
 *
 * The danger is that all connections share one session. pglite-socket runs one protocol message at
 * a time and keeps a connection's turn only inside a transaction; between two messages of an
 * extended query another connection could overwrite the unnamed statement, and the first would
 * then run the second's query. `keepTurns` closes that.
 */
import { parentPort, workerData } from 'node:worker_threads'
import { PGlite } from '@electric-sql/pglite'
import { PGLiteSocketServer } from '@electric-sql/pglite-socket'

/** What the thread is started with, and what it reports: `ready` once, and nothing after. */
export type EmbeddedStart = { readonly folder: string; readonly socket: string }

const connectionsMax = 200
const frontendMessagesThatEndATurn = new Set(['Q', 'S', 'X'].map((type) => type.charCodeAt(0)))

/** Makes a connection's turn last from its first extended message to its Sync. */
function keepTurns(database: PGlite): void {
  let open = false
  const inTransaction = database.isInTransaction.bind(database)
  const stream = database.execProtocolRawStream.bind(database)
  const exec = database.exec.bind(database)
  // What the queue asks before it lets another connection in.
  database.isInTransaction = () => open || inTransaction()
  database.execProtocolRawStream = (message, options) => {
    // A start-up packet has no type; it begins with its length and is answered at once.
    const type = message[0] ?? 0
    open = type !== 0 && !frontendMessagesThatEndATurn.has(type)
    return stream(message, options)
  }
  // Called when a connection leaves before it ended its turn: its transaction is rolled back.
  database.exec = async (query, options) => {
    if (open) {
      open = false
      await stream(sync, { onRawData: () => undefined })
    }
    return exec(query, options)
  }
}

// The Sync message: after an error the server ignores everything up to it.
const sync = Uint8Array.of('S'.charCodeAt(0), 0, 0, 0, 4)

async function run(start: EmbeddedStart): Promise<void> {
  const database = await PGlite.create(start.folder)
  keepTurns(database)
  const server = new PGLiteSocketServer({
    db: database,
    path: start.socket,
    maxConnections: connectionsMax,
  })
  await server.start()
  parentPort?.once('message', async () => {
    await server.stop()
    await database.close()
    parentPort?.close()
  })
  parentPort?.postMessage('ready')
}

// The main thread wrote it, in embedded.ts: its shape is known.
await run(workerData as EmbeddedStart)
