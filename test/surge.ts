/**
 * More requests than a gate can serve, from a process of its own: each is sent when it is due (open
 * loop), as a Poisson stream, and timed from then. Prints what became of them as JSON.
 *
 *     node test/surge.ts '{"url": …, "streams": [{"headers": …, "perSecond": …}], "seconds": …}'
 */
import { Agent, type IncomingMessage, request } from 'node:http'
import { fileURLToPath } from 'node:url'
import { run } from './process.ts'

export type SurgeOptions = {
  readonly url: string
  readonly streams: readonly {
    readonly headers: Readonly<Record<string, string>>
    readonly perSecond: number
  }[]
  readonly seconds: number
  /** Seconds at the start whose requests are sent and not counted. */
  readonly unseenSeconds?: number
  /** Watches the clock without pause, which takes a whole core; else to the millisecond. */
  readonly exact?: boolean
}

/** What became of one stream. */
export type Surged = {
  readonly sent: number
  /** How many were answered with each status; `failed`: their connection broke. */
  readonly byStatus: Readonly<Record<string, number>>
  /** Milliseconds from when a request was due until its answer was whole, of the 200s. */
  readonly p50Ms: number
  readonly p99Ms: number
  /** Of the answers that were no 200. */
  readonly otherP99Ms: number
  /** The last that was no 200: how long after the first request it was due. */
  readonly lastOtherMs: number
  /** One body that was no 200, and its Retry-After. */
  readonly sample: { readonly body: string; readonly retryAfter: string } | null
}

/** Runs one; `command` goes before it, as `taskset` does. */
export async function surge(
  options: SurgeOptions,
  pin: (...command: string[]) => string[] = (...command) => command,
): Promise<Surged[]> {
  const [command = '', ...args] = pin(process.execPath, fileURLToPath(import.meta.url))
  const { code, stdout, stderr } = await run(command, [...args, JSON.stringify(options)])
  if (code !== 0) throw new Error(`the surge on ${options.url} failed: ${stderr}`)
  return JSON.parse(stdout)
}

type Answer = {
  readonly status: string
  readonly ms: number
  readonly dueMs: number
  readonly sample: Surged['sample']
}

async function sendAll(options: SurgeOptions): Promise<Surged[]> {
  const { url, streams, seconds, unseenSeconds = 0, exact = false } = options
  const agent = new Agent({ keepAlive: true, maxFreeSockets: 10_000 })
  const start = performance.now() + 50
  const end = start + (unseenSeconds + seconds) * 1000
  const seen = start + unseenSeconds * 1000
  const answers = await Promise.all(
    streams.map(async ({ headers, perSecond }) => {
      const open: Promise<Answer>[] = []
      let due = start + gap(perSecond)
      await new Promise<void>((resolve) => {
        const later = exact ? setImmediate : (work: () => void) => setTimeout(work, 1)
        const tick = (): void => {
          const now = performance.now()
          for (; due <= now && due < end; due += gap(perSecond)) {
            const answer = send(url, headers, agent, due, start)
            if (due >= seen) open.push(answer)
          }
          if (due < end) later(tick)
          else resolve()
        }
        tick()
      })
      return Promise.all(open)
    }),
  )
  agent.destroy()
  return answers.map(sumUp)
}

const gap = (perSecond: number): number => (-Math.log(1 - Math.random()) * 1000) / perSecond

function send(
  url: string,
  headers: Readonly<Record<string, string>>,
  agent: Agent,
  dueMs: number,
  startMs: number,
): Promise<Answer> {
  return new Promise((resolve) => {
    const settle = (status: string, sample: Surged['sample']): void =>
      resolve({ status, sample, ms: performance.now() - dueMs, dueMs: dueMs - startMs })
    const hear = (answer: IncomingMessage): void => {
      let body = ''
      answer.setEncoding('latin1').on('data', (text: string) => {
        body += text
      })
      answer.once('end', () => {
        const retryAfter = String(answer.headers['retry-after'] ?? '')
        settle(String(answer.statusCode), { body, retryAfter })
      })
    }
    const sending = request(url, { agent, headers }, hear)
    sending.once('error', () => settle('failed', null)).end()
  })
}

function sumUp(answers: readonly Answer[]): Surged {
  const byStatus: Record<string, number> = {}
  for (const { status } of answers) byStatus[status] = (byStatus[status] ?? 0) + 1
  const good = answers.filter(({ status }) => status === '200')
  const others = answers.filter(({ status }) => status !== '200')
  return {
    sent: answers.length,
    byStatus,
    p50Ms: quantile(good, 0.5),
    p99Ms: quantile(good, 0.99),
    otherP99Ms: quantile(others, 0.99),
    lastOtherMs: others.reduce((last, { dueMs }) => Math.max(last, dueMs), 0),
    sample: others[0]?.sample ?? null,
  }
}

function quantile(answers: readonly Answer[], share: number): number {
  const sorted = answers.map(({ ms }) => ms).toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0
}

if (import.meta.main) {
  process.stdout.write(JSON.stringify(await sendAll(JSON.parse(process.argv[2] ?? '{}'))))
}
