/**
 * Load on several gates. Arrivals are due by the clock and not by answers (open loop): a gate that
 * stalls is charged for all who come meanwhile. Every request carries a nonce, and every answer is
 * looked through for what is another's.
 *
 * It reads its job (load.ts) from standard input, sends until SIGTERM, waits for what is under way,
 * and ends. What was answered goes to the job's file, a line each.
 */
import { appendFileSync, readFileSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { giveUpMs, type Job, type Stream } from './load.ts'
import { machineMs, quotaOf, type Seen } from './oracles.ts'

function main({ nodes, streams, recordsFile, pollMs }: Job): void {
  let records: Seen[] = []
  const flush = (): void => {
    appendFileSync(recordsFile, records.map((one) => `${JSON.stringify(one)}\n`).join(''))
    records = []
  }
  flush()
  const caller = new Caller(nodes, (one) => records.push(one))
  const flushing = setInterval(flush, 100)
  if (pollMs !== undefined) caller.poll(pollMs)
  const started = machineMs()
  const sent = streams.map(() => 0)
  const arriving = setInterval(() => {
    const now = machineMs() - started
    for (const [at, stream] of streams.entries()) {
      // Streams of one rate do not all beat at once.
      const due = Math.floor((now * stream.perSecond) / 1000 + at / streams.length)
      for (; sent[at]! < due; sent[at]! += 1) caller.send(stream)
    }
  }, 2)
  process.once('SIGTERM', () => {
    clearInterval(arriving)
    void caller.idle().then(() => {
      clearInterval(flushing)
      flush()
      process.exit(0)
    })
  })
  process.stdout.write('sending\n')
}

class Caller {
  readonly #agents: readonly Agent[]
  readonly #nodes: readonly string[]
  readonly #ownAgent = new Agent({ keepAlive: true })
  readonly #record: (one: Seen) => void
  readonly #ready: boolean[]
  #next = 0
  #nonces = 0
  #underWay = 0
  #wake = (): void => {}

  constructor(nodes: readonly string[], record: (one: Seen) => void) {
    this.#nodes = nodes
    this.#agents = nodes.map(() => new Agent({ keepAlive: true, maxFreeSockets: 10_000 }))
    this.#ready = nodes.map(() => true)
    this.#record = record
  }

  /** Resolves when nothing is under way. */
  idle(): Promise<void> {
    if (this.#underWay === 0) return Promise.resolve()
    return new Promise((resolve) => {
      this.#wake = resolve
    })
  }

  /** Asks every node now and then whether it wants traffic. */
  poll(everyMs: number): void {
    for (const [node, url] of this.#nodes.entries()) {
      const say = (isReady: boolean) => {
        this.#ready[node] = isReady
      }
      setInterval(() => {
        const asking = request(`${url}/readyz`, { timeout: everyMs * 2 }, (answer) => {
          answer.resume()
          say(answer.statusCode === 200)
        })
        // Who is slow to say is not who says no.
        asking.on('timeout', () => asking.destroy(new Error('slow')))
        asking.on('error', ({ message }) => message === 'slow' || say(false))
        asking.end()
      }, everyMs).unref()
    }
  }

  /** The next node that is ready; where none is, the next. */
  #choose(): number {
    for (let tried = 0; tried < this.#nodes.length; tried++) {
      const node = this.#next++ % this.#nodes.length
      if (this.#ready[node] === true) return node
    }
    return this.#next++ % this.#nodes.length
  }

  send(stream: Stream): void {
    const node = stream.url === undefined ? this.#choose() : -1
    const nonce = `n${process.pid}x${this.#nonces++}`
    const path = stream.path.replace(':nonce', nonce)
    const sentMs = machineMs()
    this.#underWay += 1
    let isOver = false
    let quota = 0
    const over = (status: number, code: string, foreign: boolean): void => {
      if (isOver) return
      isOver = true
      clearTimeout(timer)
      const endedMs = machineMs()
      this.#record({ stream: stream.name, node, sentMs, endedMs, status, code, quota, foreign })
      this.#underWay -= 1
      if (this.#underWay === 0) this.#wake()
    }
    const sending = request((stream.url ?? this.#nodes[node]) + path, {
      agent: this.#agents[node] ?? this.#ownAgent,
      method: stream.method ?? 'GET',
      headers: stream.headers,
    })
    const timer = setTimeout(() => {
      over(0, 'GIVEN_UP', false)
      sending.destroy()
    }, giveUpMs)
    sending.on('error', (error: NodeJS.ErrnoException) => over(0, error.code ?? 'ERROR', false))
    sending.on('response', (answer) => {
      quota = quotaOf(answer.headers['ratelimit-policy'])
      let text = ''
      answer.on('data', (data) => {
        text += data
      })
      answer.on('error', () => over(0, 'BROKEN_OFF', false))
      answer.on('end', () => {
        const status = answer.statusCode ?? 0
        const body = parse(text)
        over(status, status < 400 ? '' : String(body?.code), isForeign(stream, nonce, status, body))
      })
    })
    sending.end(stream.body)
  }
}

type Body = {
  readonly code?: string
  readonly data?: readonly { readonly id: string }[]
  readonly path?: string
  readonly headers?: Readonly<Record<string, string>>
} | null

function parse(text: string): Body {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

/** Whether an answer shows what this caller may not see, or answers somebody else. */
function isForeign(stream: Stream, nonce: string, status: number, body: Body): boolean {
  if (status !== 200) return false
  if (stream.name.startsWith('foreign')) return true
  const { rows, echoTo } = stream
  if (rows !== undefined && body?.data?.every(({ id }) => rows.includes(id)) !== true) return true
  if (echoTo === undefined) return false
  return body?.path?.includes(nonce) !== true || body.headers?.['postern-tenant'] !== echoTo
}

main(JSON.parse(readFileSync(0, 'utf8')))
