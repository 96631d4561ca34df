/**
 * One connection to a gate, byte by byte: what is sent is what is given, and every answer is read to
 * its end, so that the next request can follow on the same connection.
 */
import { once } from 'node:events'
import { connect } from 'node:net'

export type WireAnswer = {
  readonly status: number
  /** By lower-case name; of several the last. */
  readonly headers: ReadonlyMap<string, string>
  readonly body: string
}

export type Wire = {
  /** A string is sent as latin-1. */
  send(bytes: string | Uint8Array): void
  /** The next answer. Rejects when the connection ends before it, or after `answerMs`. */
  answer(): Promise<WireAnswer>
  /** Resolves when the other side has closed. */
  readonly closed: Promise<void>
  isClosed(): boolean
  close(): void
}

const answerMs = 10_000

export async function openWire(port: number): Promise<Wire> {
  const socket = connect(port, '127.0.0.1')
  socket.setNoDelay(true)
  let received = Buffer.alloc(0)
  let over = false
  let look = () => {}
  socket.on('data', (chunk) => {
    received = received.length === 0 ? chunk : Buffer.concat([received, chunk])
    look()
  })
  const closed = new Promise<void>((resolve) => {
    socket.on('error', () => undefined)
    socket.once('close', () => {
      over = true
      resolve()
      look()
    })
  })
  await Promise.race([once(socket, 'connect'), closed])
  if (over) throw new Error(`nobody listens on port ${port}`)
  return {
    send: (bytes) =>
      void socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes),
    answer: () =>
      new Promise((resolve, reject) => {
        const done = (finish: () => void) => {
          look = () => {}
          clearTimeout(timer)
          finish()
        }
        const fail = (why: string) =>
          done(() => reject(new Error(`${why}; received ${JSON.stringify(String(received))}`)))
        const timer = setTimeout(() => fail(`no answer within ${answerMs} ms`), answerMs)
        look = () => {
          const parsed = readAnswer(received, over)
          if (parsed !== null) {
            received = received.subarray(parsed.length)
            done(() => resolve(parsed.answer))
          } else if (over) fail('the connection ended before an answer')
        }
        look()
      }),
    closed,
    isClosed: () => over,
    close: () => void socket.destroy(),
  }
}

/** The first answer in what was received, with its length; null when it is not whole yet. */
function readAnswer(received: Buffer, over: boolean) {
  const end = received.indexOf('\r\n\r\n')
  if (end < 0) return null
  const [first = '', ...lines] = received.toString('latin1', 0, end).split('\r\n')
  const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(first)?.[1])
  const headers = new Map(
    lines.map((line) => [
      line.slice(0, line.indexOf(':')).toLowerCase(),
      line.slice(line.indexOf(':') + 1).trim(),
    ]),
  )
  const body = readBody(received.subarray(end + 4), status, headers, over)
  if (body === null) return null
  return { answer: { status, headers, body: body.text }, length: end + 4 + body.length }
}

function readBody(
  rest: Buffer,
  status: number,
  headers: ReadonlyMap<string, string>,
  over: boolean,
): { readonly text: string; readonly length: number } | null {
  if (status < 200 || status === 204 || status === 304) return { text: '', length: 0 }
  const announced = headers.get('content-length')
  if (announced !== undefined) {
    const length = Number(announced)
    return rest.length < length ? null : { text: rest.toString('utf8', 0, length), length }
  }
  if (headers.get('transfer-encoding') === 'chunked') return readChunks(rest)
  return over ? { text: rest.toString(), length: rest.length } : null
}

function readChunks(rest: Buffer): { readonly text: string; readonly length: number } | null {
  let text = ''
  for (let at = 0; ; ) {
    const line = rest.indexOf('\r\n', at)
    if (line < 0) return null
    const size = Number.parseInt(rest.toString('latin1', at, line), 16)
    const next = line + 2 + size + 2
    if (rest.length < next) return null
    if (size === 0) return { text, length: next }
    text += rest.toString('utf8', line + 2, line + 2 + size)
    at = next
  }
}
