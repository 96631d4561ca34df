/**
 * One large body through a server, up or down, and the memory that the server held meanwhile.
 *
 *     node bench/transfer.ts up|down URL HEADERS BYTES
 */
import { once } from 'node:events'
import { type ClientRequest, type IncomingMessage, request } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { run } from '../test/process.ts'
import { onLoadCore } from './load.ts'
import type { BenchServer } from './processes.ts'

export type Direction = 'up' | 'down'

/**
 * Moves `bytes` through `server` and answers the most memory it held, in bytes. Throws when not every
 * byte arrived.
 */
export async function measurePeak(
  server: BenchServer,
  direction: Direction,
  bytes: number,
): Promise<number> {
  const moving = transfer(server, direction, bytes)
  let most = 0
  let moved = false
  const ended = moving.finally(() => {
    moved = true
  })
  while (!moved) {
    most = Math.max(most, (await server.usage()).rssBytes)
    await Promise.race([ended, delay(25)])
  }
  await moving
  return most
}

/** Moves a body in a process on the load's core. Throws when not every byte arrived. */
async function transfer(
  { url, headers }: BenchServer,
  direction: Direction,
  bytes: number,
): Promise<void> {
  const program = onLoadCore(process.execPath, fileURLToPath(import.meta.url), direction)
  const [command = '', ...args] = [...program, url, JSON.stringify(headers), String(bytes)]
  const { code, stdout, stderr } = await run(command, args, { timeoutMs: 300_000 })
  if (code !== 0) throw new Error(`${bytes} bytes ${direction} failed: ${stderr}`)
  if (Number(stdout) !== bytes) throw new Error(`of ${bytes} bytes ${stdout} went ${direction}`)
}

const piece = Buffer.alloc(65_536, 'postern ')

async function sendUp(sending: ClientRequest, bytes: number): Promise<number> {
  const answered = once(sending, 'response')
  const filled = (async () => {
    for (let left = bytes; left > 0; left -= piece.length) {
      const free = sending.write(piece.subarray(0, Math.min(left, piece.length)))
      if (!free) await once(sending, 'drain')
    }
    sending.end()
  })()
  // `once` of 'response' yields what node:http emits with it.
  const [answer] = (await answered) as [IncomingMessage]
  let text = ''
  for await (const part of answer.setEncoding('utf8')) text += part
  if (answer.statusCode !== 200) throw new Error(`answered ${answer.statusCode} ${text}`)
  await filled
  return JSON.parse(text).bytes
}

async function takeDown(sending: ClientRequest): Promise<number> {
  const answered = once(sending, 'response')
  sending.end()
  // As above.
  const [answer] = (await answered) as [IncomingMessage]
  let bytes = 0
  answer.on('data', (part: Buffer) => {
    bytes += part.length
  })
  await once(answer, 'end')
  if (answer.statusCode !== 200) throw new Error(`answered ${answer.statusCode}`)
  return bytes
}

if (import.meta.main) {
  const [direction, url = '', headers = '{}', size = '0'] = process.argv.slice(2)
  const bytes = Number(size)
  const up = direction === 'up'
  const sending = request(new URL(up ? '/v1/sink' : `/v1/large?${bytes}`, url), {
    method: up ? 'POST' : 'GET',
    headers: { ...JSON.parse(headers), ...(up ? { 'content-length': bytes } : {}) },
  })
  process.stdout.write(String(up ? await sendUp(sending, bytes) : await takeDown(sending)))
}
