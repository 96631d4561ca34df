/**
 * Child processes for tests: start one, wait for a line it prints, stop it by its own id.
 *
 * A process that ends early, or stays silent, fails the wait with everything it printed, so that
 * nobody has to run it again to learn why.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { setTimeout as delay } from 'node:timers/promises'

/** How a process ended: its exit code, or the signal that ended it. */
export type Exit = { readonly code: number | null; readonly signal: NodeJS.Signals | null }

export type StartOptions = {
  readonly cwd?: string
  /** The whole environment of the child; without it, this process's own. */
  readonly env?: Readonly<Record<string, string | undefined>>
  readonly uid?: number
  readonly gid?: number
  /** Written to its standard input, which is then closed. Without it, standard input is empty. */
  readonly input?: string
}

export type Running = {
  readonly pid: number
  /** Everything printed so far, by stream and in order of arrival. */
  stdout(): string
  stderr(): string
  output(): string
  /** The first line, already printed or still to come, that matches. Fails after `timeoutMs`. */
  line(pattern: RegExp, timeoutMs?: number): Promise<RegExpMatchArray>
  /** Resolves when the process has ended and its output has been read to the end. */
  readonly exited: Promise<Exit>
  signal(signal: NodeJS.Signals): void
  /** Asks it to end, and kills it when it has not after `graceMs`. Harmless when it has ended. */
  stop(signal?: NodeJS.Signals, graceMs?: number): Promise<Exit>
}

/** Starts a process. Throws when the command cannot be started at all. */
export async function start(
  command: string,
  args: readonly string[],
  options: StartOptions = {},
): Promise<Running> {
  const { input, ...spawnOptions } = options
  const child = spawn(command, args, {
    ...spawnOptions,
    // NodeJS.ProcessEnv wants NODE_ENV in some type sets; a plain record is what spawn reads.
    env: { ...(options.env ?? process.env) },
    stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
  })
  // A child that does not read its input (EPIPE) is judged by its exit, not here.
  child.stdin?.on('error', () => {}).end(input)
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve)
    child.once('error', (error) => reject(new Error(`cannot start ${command}: ${error.message}`)))
  })
  return watch(child, [command, ...args].join(' '))
}

/** Runs a process to its end and answers how it ended and what it printed. */
export async function run(
  command: string,
  args: readonly string[],
  options: StartOptions & { readonly timeoutMs?: number } = {},
): Promise<Exit & { readonly stdout: string; readonly stderr: string }> {
  const { timeoutMs = 60_000, ...startOptions } = options
  const running = await start(command, args, startOptions)
  const exit = await within(running.exited, timeoutMs)
  if (exit === null) {
    await running.stop('SIGKILL')
    throw new Error(`${command} still ran after ${timeoutMs} ms. It printed:\n${running.output()}`)
  }
  return { ...exit, stdout: running.stdout(), stderr: running.stderr() }
}

function watch(child: ChildProcess, name: string): Running {
  let stdout = ''
  let stderr = ''
  let output = ''
  const waiting = new Set<() => void>()
  const arrived = (text: string) => {
    output += text
    for (const look of waiting) look()
  }
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
    arrived(text)
  })
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
    arrived(text)
  })
  const exited = new Promise<Exit>((resolve) => {
    child.once('close', (code, signal) => resolve({ code, signal }))
  })

  async function line(pattern: RegExp, timeoutMs = 30_000): Promise<RegExpMatchArray> {
    let look = () => {}
    const found = new Promise<RegExpMatchArray>((resolve) => {
      look = () => {
        // The last piece may be half a line: only what a newline has ended is looked at.
        for (const one of output.split('\n').slice(0, -1)) {
          const match = one.match(pattern)
          if (match) return resolve(match)
        }
      }
    })
    waiting.add(look)
    look()
    const first = await within(Promise.race([found, exited]), timeoutMs)
    waiting.delete(look)
    if (first !== null && !('code' in first)) return first
    const why = first === null ? `within ${timeoutMs} ms` : `before it ended (${describe(first)})`
    throw new Error(`${name} printed no line like ${pattern} ${why}. It printed:\n${output}`)
  }

  async function stop(signal: NodeJS.Signals = 'SIGTERM', graceMs = 10_000): Promise<Exit> {
    child.kill(signal)
    const exit = await within(exited, graceMs)
    if (exit !== null) return exit
    child.kill('SIGKILL')
    return exited
  }

  return {
    // start() has seen 'spawn', after which the pid is always there.
    pid: child.pid ?? 0,
    stdout: () => stdout,
    stderr: () => stderr,
    output: () => output,
    line,
    exited,
    signal: (signal) => void child.kill(signal),
    stop,
  }
}

function describe(exit: Exit): string {
  return exit.signal === null ? `code ${exit.code}` : `signal ${exit.signal}`
}

/** The promise's value, or null when it took longer. The timer never keeps the process alive. */
async function within<T>(promise: Promise<T>, timeoutMs: number): Promise<T | null> {
  const done = new AbortController()
  const late = delay(timeoutMs, null, { signal: done.signal, ref: true }).catch(() => null)
  try {
    return await Promise.race([promise, late])
  } finally {
    done.abort()
  }
}
