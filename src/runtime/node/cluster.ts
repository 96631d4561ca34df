/**
 * One port served by several processes: the primary, which serves nothing itself, and its workers.
 *
 * It knows neither configs nor gateways: the primary hands each worker the text that all serve, and is
 * told where it listens, or why it does not. Connections are taken by the primary and dealt out in
 * turn, because they live long: where the kernel wakes whoever is nearest, one worker may get most of
 * them, and per request neither way was measured to be cheaper (bench/cores.ts). The danger is half a deployment. A worker that dies is started again, with what was last taken
 * by all and not with what the file says by then; when the primary dies, its workers end at once.
 */
import cluster, { type Worker } from 'node:cluster'
import { once } from 'node:events'
import type { Log } from './log.ts'
import type { Serving, ToPrimary, ToWorker } from './worker-duty.ts'

export type WorkersOptions = {
  /** The program of a worker: it calls `joinPrimary` of worker-duty.ts. */
  readonly entry: string
  readonly count: number
  readonly file: string
  readonly text: string
  /** Where they listen. Not 0: a worker that is started again must find the port of the others. */
  readonly port: number
  /** How long a worker may take to end; then it is killed. */
  readonly endMs: number
  readonly log: Pick<Log, 'info' | 'warn' | 'error'>
}

export type Workers = {
  readonly serving: Serving
  /**
   * Has every worker serve another text. Rejects with the reason, and all keep what they have, when it
   * cannot be served. Answers the fields whose new values wait for a restart.
   */
  swap(text: string): Promise<readonly string[]>
  /** Ends all, each after its requests. Answers whether every one of them ended well. Once. */
  close(): Promise<boolean>
}

const restartMs = { least: 100, most: 10_000 }
/** A worker that has served for so long did not die of being started. */
const settledMs = 10_000

/** Starts all and resolves when each serves. Rejects with the reason of one that cannot, and ends all. */
export async function startWorkers(options: WorkersOptions): Promise<Workers> {
  cluster.schedulingPolicy = cluster.SCHED_RR
  cluster.setupPrimary({ exec: options.entry, args: [] })
  const crew = new Crew(options)
  try {
    const [first] = await Promise.all(crew.posts.map((post) => crew.start(post)))
    if (first === undefined) throw new Error('there are no workers')
    return { serving: first, swap: (text) => crew.swap(text), close: () => crew.close() }
  } catch (error) {
    await crew.close()
    throw error
  }
}

/** One worker's place, which the processes that fill it come and go from. */
type Post = {
  readonly at: number
  worker: Worker | null
  /** It has been told what to serve. */
  told: boolean
  /** How often in a row it ended soon after it was started. */
  failures: number
  timer: ReturnType<typeof setTimeout> | null
}

class Crew {
  readonly posts: readonly Post[]
  readonly #options: WorkersOptions
  #text: string
  #ending: Promise<boolean> | null = null
  #well = true

  constructor(options: WorkersOptions) {
    this.#options = options
    this.#text = options.text
    this.posts = Array.from({ length: options.count }, (_, index) => ({
      ...{ at: index + 1, worker: null, told: false, failures: 0, timer: null },
    }))
  }

  /** Fills a post. Rejects with the reason when the process ends, or says that it cannot serve. */
  async start(post: Post): Promise<Serving> {
    const { count, file, port } = this.#options
    // Which of them it is, and of how many, it is told: it must not become a primary.
    const worker = cluster.fork({ PORT: String(port), POSTERN_WORKERS: '' })
    post.worker = worker
    post.told = false
    const startedMs = performance.now()
    const serving = new Promise<Serving>((resolve, reject) => {
      worker.on('message', (message: ToPrimary) => {
        if (message.said === 'here') {
          const orders = { file, text: this.#text, at: post.at, of: count }
          post.told = true
          tell(worker, { do: 'serve', orders })
        }
        if (message.said === 'serving') resolve(message.serving)
        if (message.said === 'failed') reject(new Error(message.reason))
      })
      worker.once('exit', (code, signal) => {
        reject(new Error(`worker ${post.at} ended before it served (${signal ?? code})`))
      })
    })
    let served = false
    worker.once('exit', (code, signal) => {
      post.worker = null
      if (served) this.#ended(post, worker, signal ?? code, performance.now() - startedMs)
    })
    const answer = await serving
    served = true
    return answer
  }

  #ended(post: Post, { process: { pid } }: Worker, how: number | string, livedMs: number): void {
    if (this.#ending !== null) {
      if (how !== 0) this.#well = false
      return
    }
    if (livedMs > settledMs) post.failures = 0
    this.#options.log.error('a worker ended, and is started again', { worker: post.at, pid, how })
    this.#again(post)
  }

  /** Starts a post anew, later each time that it ends at once. */
  #again(post: Post): void {
    const { log } = this.#options
    const ms = Math.min(restartMs.most, restartMs.least * 2 ** post.failures)
    post.failures += 1
    post.timer = setTimeout(() => {
      post.timer = null
      this.start(post).then(
        () => log.info('a worker serves again', { worker: post.at, pid: post.worker?.process.pid }),
        (error: Error) => {
          if (this.#ending !== null) return
          log.error('a worker cannot start, and is tried again', {
            ...{ worker: post.at, cause: error.message },
          })
          this.#again(post)
        },
      )
    }, ms)
  }

  async swap(text: string): Promise<readonly string[]> {
    const before = this.#text
    // From now on, whoever is started serves it.
    this.#text = text
    const present = this.posts.flatMap(({ worker, told }) => (worker && told ? [worker] : []))
    const answers = await Promise.all(present.map((worker) => swapOne(worker, text)))
    const kept = answers.find((answer) => answer !== null && answer.said === 'kept')
    if (kept?.said === 'kept') {
      this.#text = before
      throw new Error(kept.reason)
    }
    return (
      answers.flatMap((answer) => (answer?.said === 'swapped' ? [answer.waiting] : []))[0] ?? []
    )
  }

  close(): Promise<boolean> {
    this.#ending ??= this.#end()
    return this.#ending
  }

  async #end(): Promise<boolean> {
    const { endMs, log } = this.#options
    await Promise.all(
      this.posts.map(async ({ at, worker, timer }) => {
        if (timer !== null) clearTimeout(timer)
        if (worker === null || worker.isDead()) return
        const gone = once(worker, 'exit')
        // A signal and no message: it also ends one that is only being started.
        worker.process.kill('SIGTERM')
        const late = setTimeout(() => {
          log.error('a worker does not end, and is killed', { worker: at })
          worker.process.kill('SIGKILL')
        }, endMs)
        await gone
        clearTimeout(late)
      }),
    )
    return this.#well
  }
}

/** null: it ended instead. */
function swapOne(worker: Worker, text: string): Promise<ToPrimary | null> {
  return new Promise((resolve) => {
    const settle = (answer: ToPrimary | null) => {
      worker.off('message', hear)
      worker.off('exit', gone)
      resolve(answer)
    }
    const hear = (message: ToPrimary): void => {
      if (message.said === 'swapped' || message.said === 'kept') settle(message)
    }
    const gone = (): void => settle(null)
    worker.on('message', hear)
    worker.on('exit', gone)
    tell(worker, { do: 'swap', text })
  })
}

/** A worker that dies meanwhile is seen by its end. */
function tell(worker: Worker, message: ToWorker): void {
  worker.send(message, () => undefined)
}
