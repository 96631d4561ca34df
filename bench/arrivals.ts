/**
 * Requests that arrive at a constant rate whatever becomes of those before them (open loop): each is
 * timed from when it was due, not from when it could be sent, so that a server that stalls is charged
 * for everyone who would have come meanwhile. Connections are kept, and never waited for.
 *
 *     node bench/arrivals.ts '{"url": …, "headers": …, "perSecond": …, "seconds": …}'
 */
import { Agent, request } from 'node:http'
import { fileURLToPath } from 'node:url'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { run } from '../test/process.ts'
import { onLoadCore } from './load.ts'
import type { Listening } from './processes.ts'

export type ArrivalsOptions = Listening & { readonly perSecond: number; readonly seconds: number }

/** Milliseconds from when a request was due until the last byte of its answer. */
export type Arrivals = { readonly p50Ms: number; readonly p99Ms: number; readonly maxMs: number }

/** Runs them in a process on the load's core. Throws when one was not answered with a 200. */
export async function measureArrivals(options: ArrivalsOptions): Promise<Arrivals> {
  const [command = '', ...args] = onLoadCore(process.execPath, fileURLToPath(import.meta.url))
  const { url, headers, perSecond, seconds } = options
  const job = JSON.stringify({ url, headers, perSecond, seconds })
  const { code, stdout, stderr } = await run(command, [...args, job])
  if (code !== 0) throw new Error(`the arrivals at ${url} failed: ${stderr}`)
  return JSON.parse(stdout)
}

/** The first second is not counted: connections are opened, and code is compiled. */
async function sendAll(options: ArrivalsOptions): Promise<Arrivals> {
  const { perSecond, seconds } = options
  const agent = new Agent({ keepAlive: true })
  const metronome = new Worker(fileURLToPath(import.meta.url), { workerData: options })
  const answered: Promise<number>[] = []
  await new Promise<void>((resolve, reject) => {
    metronome.on('message', (dueMs: number) => {
      const answer = send(options, agent, dueMs)
      answered.push(answer)
      answer.catch(reject)
    })
    metronome.once('error', reject).once('exit', () => resolve())
  })
  const times = (await Promise.all(answered)).slice(perSecond).toSorted((a, b) => a - b)
  agent.destroy()
  if (times.length !== perSecond * seconds) throw new Error(`${times.length} were sent`)
  const at = (share: number) => times[Math.min(times.length - 1, Math.floor(times.length * share))]!
  return { p50Ms: at(0.5), p99Ms: at(0.99), maxMs: at(1) }
}

function send({ url, headers }: Listening, agent: Agent, dueMs: number): Promise<number> {
  return new Promise((resolve, reject) => {
    const sending = request(url, { agent, headers }, (answer) => {
      if (answer.statusCode !== 200) reject(new Error(`answered with ${answer.statusCode}`))
      answer.resume().once('end', () => resolve(nowMs() - dueMs))
    })
    sending.once('error', reject).end()
  })
}

/** One clock for all threads; performance.now() has another zero in each. */
const nowMs = (): number => Number(process.hrtime.bigint()) / 1e6

/**
 * Says when each request is due, at that moment. A timer of the event loop has whole milliseconds and
 * waits its turn; this thread does nothing but sleep.
 */
function beat({ perSecond, seconds }: ArrivalsOptions): void {
  const never = new Int32Array(new SharedArrayBuffer(4))
  const start = nowMs() + 50
  for (let sent = 0; sent < perSecond * (seconds + 1); sent++) {
    const dueMs = start + (sent * 1000) / perSecond
    const leftMs = dueMs - nowMs()
    if (leftMs > 0) Atomics.wait(never, 0, 0, leftMs)
    parentPort?.postMessage(dueMs)
  }
}

if (!isMainThread) beat(workerData)
else if (import.meta.main) {
  process.stdout.write(JSON.stringify(await sendAll(JSON.parse(process.argv[2] ?? '{}'))))
}
