import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { type PipeEnd, pipeUpgrade } from '../../../src/runtime/node/pipe.ts'

const opened: Socket[] = []
afterEach(() => {
  for (const socket of opened.splice(0)) socket.destroy()
})

/** Two ends of one connection; what the gateway accepts may be half open, as in an HTTP server. */
async function pair(): Promise<[ours: Socket, theirs: Socket]> {
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo // it listens on a port, not on a path
  const theirs = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  const [ours] = (await once(server, 'connection')) as [Socket] // what this event gives
  server.close()
  theirs.on('error', () => {})
  opened.push(ours, theirs)
  return [ours, theirs]
}

async function piped() {
  const [[client, clientFar], [upstream, upstreamFar]] = await Promise.all([pair(), pair()])
  const none = new Uint8Array()
  const sides = { client, clientHead: none, upstream, upstreamHead: none }
  const ends: PipeEnd[] = []
  const over = Promise.withResolvers<PipeEnd>()
  const open = pipeUpgrade(sides, (end) => {
    ends.push(end)
    over.resolve(end)
  })
  return { client, clientFar, upstream, upstreamFar, open, ends, over: over.promise }
}

/** Waits for what the sockets of this process do by themselves. */
async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve))
}

const piece = Buffer.alloc(1_048_576, 1)

test.each(['client', 'upstream'] as const)(
  'a %s is held back by a slow other side',
  async (who) => {
    const { client, clientFar, upstream, upstreamFar, over } = await piped()
    const [fast, sender, receiver] =
      who === 'client' ? [client, clientFar, upstreamFar] : [upstream, upstreamFar, clientFar]
    for (let n = 0; n < 32; n += 1) sender.write(piece)
    sender.end()
    receiver.pause()
    await until(() => fast.isPaused())
    const slow = who === 'client' ? upstream : client
    expect(slow.writableLength).toBeLessThan(1_048_576)
    let bytes = 0
    receiver.on('data', (chunk: Buffer) => {
      bytes += chunk.length
    })
    receiver.resume()
    await once(receiver, 'end')
    expect(bytes).toBe(32 * piece.length)
    receiver.end()
    sender.resume()
    expect((await over).cause).toBeNull()
  },
)

test('what a client that has gone in order has sent still reaches the upstream', async () => {
  const { clientFar, upstreamFar, over } = await piped()
  upstreamFar.pause()
  upstreamFar.end()
  for (let n = 0; n < 16; n += 1) clientFar.write(piece)
  clientFar.end()
  clientFar.resume()
  // Everything is on its way before anybody reads it.
  let bytes = 0
  upstreamFar.on('data', (chunk: Buffer) => {
    bytes += chunk.length
  })
  upstreamFar.resume()
  await once(upstreamFar, 'end')
  expect(bytes).toBe(16 * piece.length)
  expect(await over).toEqual({ toClientBytes: 0, toUpstreamBytes: bytes, cause: null })
})

test('a side that stays behind when the other has ended is cut, and it is over once', async () => {
  const { clientFar, upstreamFar, over, open, ends } = await piped()
  clientFar.resume()
  upstreamFar.resume()
  clientFar.end()
  await once(upstreamFar, 'end')
  expect(await over).toMatchObject({ cause: 'one side ended, and the other did not' })
  open.close(4401, 'too late to matter')
  expect(ends).toHaveLength(1)
})

test('R23: a goodbye to a client that does not read is cut short', async () => {
  const { client, clientFar, upstreamFar, over, open } = await piped()
  clientFar.pause()
  const frame = Buffer.alloc(10 + 16 * piece.length)
  frame.set([0x82, 127, 0, 0, 0, 0, 1, 0, 0, 0])
  upstreamFar.write(frame)
  await until(() => client.writableNeedDrain)
  open.close(4401, 'auth/key_revoked')
  const { cause } = await over
  expect(cause).toBe('closed with 4401: auth/key_revoked')
  expect(client.destroyed).toBe(true)
})
