import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { until } from './redis.ts'
import { type Relay, startRelay } from './relay.ts'

let server: Server
let relay: Relay
/** Everything that the server got. */
let got = ''
const open = new Set<Socket>()
beforeEach(async () => {
  got = ''
  server = createServer((socket) => {
    open.add(socket)
    socket.on('error', () => {})
    socket.on('data', (data) => {
      got += data
      socket.write(`<${data}>`)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  relay = await startRelay((server.address() as AddressInfo).port)
})
afterEach(async () => {
  for (const socket of open) socket.destroy()
  open.clear()
  await relay.stop()
  server.close()
})

/** A client, and what has come of it. */
function join() {
  const socket = connect(relay.port, '127.0.0.1')
  open.add(socket)
  const client = { socket, heard: '', fault: '', closed: false }
  socket.on('data', (data) => {
    client.heard += data
  })
  socket.on('error', (error: NodeJS.ErrnoException) => {
    client.fault = error.code ?? ''
  })
  socket.on('close', () => {
    client.closed = true
  })
  return client
}

test('a reset is one, and the next connection is whole', async () => {
  const client = join()
  client.socket.write('a')
  await until(() => client.heard === '<a>')
  relay.reset()
  await until(() => client.closed)
  expect(client.fault).toBe('ECONNRESET')
  const next = join()
  next.socket.write('b')
  await until(() => next.heard === '<b>')
})

test('refused: a connection does not live', async () => {
  relay.set({ refuse: true })
  const client = join()
  await until(() => client.closed)
  expect(client.heard).toBe('')
})

test('a share of resets ends that share of the connections', async () => {
  relay.set({ resetShare: 0.25 })
  const clients = Array.from({ length: 8 }, join)
  for (const { socket } of clients) socket.write('a')
  // Eight went up and some of them came back: at least two were struck.
  await until(() => clients.every(({ heard, closed }) => heard === '<a>' || closed))
  expect(clients.filter(({ closed }) => closed).length).toBeGreaterThanOrEqual(2)
  expect(clients.filter(({ closed }) => !closed).length).toBeGreaterThanOrEqual(4)
})

test('a lost answer: the work is done, and its connection is cut', async () => {
  relay.set({ loseShare: 1 })
  const client = join()
  client.socket.write('done')
  await until(() => client.closed)
  expect([got, client.heard, relay.lost()]).toEqual(['done', '', 1])
})

test('a black hole takes connections and passes nothing; opened, it passes all', async () => {
  relay.set({ hold: 'both' })
  const client = join()
  client.socket.write('a')
  await once(client.socket, 'connect')
  relay.set({ hold: 'down' })
  await until(() => got === 'a')
  expect(client.heard).toBe('')
  relay.set()
  await until(() => client.heard === '<a>')
})

test('half open: the server has gone, and the client is not told', async () => {
  const client = join()
  client.socket.write('a')
  await until(() => client.heard === '<a>')
  const [held] = [...open].filter((socket) => socket !== client.socket)
  relay.strand()
  await until(() => held?.destroyed === true || held?.readableEnded === true)
  client.socket.write('b')
  const next = join()
  next.socket.write('c')
  await until(() => next.heard === '<c>')
  expect([client.closed, client.heard, got]).toEqual([false, '<a>', 'ac'])
})

test('late and narrow: in order, and not before it is due', async () => {
  relay.set({ latencyMs: 60, bytesPerSecond: 100 })
  const client = join()
  const before = performance.now()
  client.socket.write('0123456789')
  await until(() => client.heard === '<0123456789>')
  // 60 each way, 100 for ten bytes up, 120 for twelve down; timers round to a millisecond.
  expect(performance.now() - before).toBeGreaterThanOrEqual(338)
})
