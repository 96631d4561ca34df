/**
 * What is a worker to do? The other side of cluster.ts: a process that serves what its primary hands
 * it, swaps when it is told to, and ends on SIGTERM or with its primary.
 *
 * The danger is a signal that reaches all processes of a terminal at once: what is to be done about
 * it is the primary's to say, so a worker hears SIGTERM alone.
 */
import cluster from 'node:cluster'

/** What a worker is told to serve. */
export type Orders = {
  /** The name of the config file, for errors, and the text that all workers serve. */
  readonly file: string
  readonly text: string
  /** Which worker it is, from 1, and how many there are. */
  readonly at: number
  readonly of: number
}

/** What a worker says once it serves. */
export type Serving = {
  /** Where each platform is reached, by slug. */
  readonly urls: readonly (readonly [string, string])[]
  /** For people: where requests are counted. */
  readonly counting: string
}

/** What the primary says to a worker. */
export type ToWorker =
  | { readonly do: 'serve'; readonly orders: Orders }
  | { do: 'swap'; text: string }
/** What a worker says to its primary. */
export type ToPrimary =
  | { readonly said: 'here' }
  | { readonly said: 'serving'; readonly serving: Serving }
  | { readonly said: 'failed'; readonly reason: string }
  | { readonly said: 'swapped'; readonly waiting: readonly string[] }
  | { readonly said: 'kept'; readonly reason: string }

/** Whether this process is a worker, which is to call `joinPrimary` and nothing else. */
export const { isWorker } = cluster

/** What a worker does when it is told to. */
export type Duty = {
  /** Serves. Rejects with the reason why it cannot. */
  start(orders: Orders): Promise<Serving>
  /** Takes another text, after `start` has resolved. Throws the reason, and keeps the old one. */
  swap(text: string): readonly string[]
  /** Lets requests finish, and answers the exit code. */
  end(): Promise<number>
}

/** Tells the primary that it is here, and does its duty from then on.  */
export function joinPrimary(duty: Duty): void {
  let started: Promise<boolean> = Promise.resolve(false)
  let ending = false
  process.on('SIGTERM', () => {
    if (ending) return
    ending = true
    void duty.end().then((code) => process.exit(code))
  })
  for (const signal of ['SIGINT', 'SIGHUP'] as const) process.on(signal, () => undefined)

  async function start(orders: Orders): Promise<boolean> {
    try {
      say({ said: 'serving', serving: await duty.start(orders) })
      return true
    } catch (error) {
      if (!ending) process.send?.({ said: 'failed', reason: messageOf(error) }, leave)
      return false
    }
  }

  process.on('message', (message: ToWorker) => {
    if (message.do === 'serve') started = start(message.orders)
    else void started.then((serves) => serves && swap(message.text))
  })
  const leave = (): void => process.exit(1)

  function swap(text: string): void {
    try {
      say({ said: 'swapped', waiting: duty.swap(text) })
    } catch (error) {
      say({ said: 'kept', reason: messageOf(error) })
    }
  }
  say({ said: 'here' })
}

/** The primary may have gone, and with it this process in a moment. */
function say(message: ToPrimary): void {
  process.send?.(message, () => undefined)
}

const messageOf = (error: unknown): string =>
  error instanceof Error ? error.message : String(error)
