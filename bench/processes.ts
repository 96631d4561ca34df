/**
 * The processes of the bench, each alone on its core: how a parent starts one, asks it and ends it,
 * and how the child answers. A child that hears nothing more from its parent ends itself.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { onLoadCore, onServerCore } from './load.ts'

/** What every server of the bench answers `/v1/hello` with, and its text. */
export const answer = { hello: 'world' }
export const answerText = JSON.stringify(answer)

/** What a server tells its parent once it listens. */
export type Listening = {
  readonly url: string
  /** The headers of a request that is let in. */
  readonly headers: Readonly<Record<string, string>>
}

/**
 * Microseconds of processor time since the process began, in its own code and in the kernel, and the
 * bytes of memory that it holds. 0 where the system does not tell.
 */
export type Usage = {
  readonly userMicros: number
  readonly systemMicros: number
  readonly rssBytes: number
}

export type BenchServer = Listening & {
  /** What the server has used since it began, and what it holds. */
  usage(): Promise<Usage>
  stop(): Promise<void>
}

export type Program = {
  /** A file of this folder. */
  readonly file: string
  readonly args?: readonly string[]
  readonly env?: Readonly<Record<string, string | undefined>>
  /** Flags for node, such as `--cpu-prof`. */
  readonly nodeFlags?: readonly string[]
  readonly core: 'server' | 'load'
}

export type Child = {
  /** What it said first. */
  readonly first: unknown
  /** Asks it; one question at a time. Rejects when it ends instead. */
  ask(): Promise<unknown>
  /** Hangs up and waits for its end. Harmless twice. */
  stop(): Promise<void>
}

/** Starts a program that calls `answerParent`, and waits for its first word. */
export async function startChild(program: Program): Promise<Child> {
  const { file, args = [], env = {}, nodeFlags = [], core } = program
  const path = fileURLToPath(new URL(file, import.meta.url))
  const pin = core === 'server' ? onServerCore : onLoadCore
  const [command = '', ...rest] = pin(process.execPath, ...nodeFlags, path, ...args)
  const child = spawn(command, rest, {
    env: { ...process.env, NODE_ENV: 'production', REDIS_URL: undefined, ...env },
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
  return {
    first: await told(child, file),
    async ask() {
      const answer = told(child, file)
      child.send('ask')
      return answer
    },
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return
      const gone = once(child, 'exit')
      child.disconnect()
      await gone
    },
  }
}

/** Starts a server of this folder: one that answers its parent with its `Usage`. */
export async function startServer(program: Program): Promise<BenchServer> {
  const { first, ask, stop } = await startChild(program)
  // What it sends is what answerAsServer says it sends.
  const usage = async () => (await ask()) as Usage
  return { ...(first as Listening), usage, stop }
}

/** The next message; rejects when the child ends instead. */
function told(child: ChildProcess, name: string): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const ended = (code: number | null) => reject(new Error(`${name} ended with ${code}`))
    child.once('exit', ended)
    child.once('message', (message) => {
      child.off('exit', ended)
      resolve(message)
    })
  })
}

/** The child's side: says `first`, answers each question, ends when the parent hangs up. */
export function answerParent(first: unknown, answer: () => unknown): void {
  process.on('disconnect', () => process.exit(0))
  process.on('message', () => void process.send?.(answer()))
  process.send?.(first)
}

/** The child's side of `startServer`. */
export function answerAsServer(listening: Listening): void {
  answerParent(listening, (): Usage => {
    const { user, system } = process.cpuUsage()
    return { userMicros: user, systemMicros: system, rssBytes: process.memoryUsage.rss() }
  })
}
