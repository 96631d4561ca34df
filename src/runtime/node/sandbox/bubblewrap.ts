/**
 * The sandbox port on Linux: a process in namespaces of its own, made by bubblewrap. It sees the
 * system's programs, read only, an empty home and nothing else; it has no network unless it is
 * given one, no capability, and limits on time, memory, processes and files.
 *
 * The danger is a value that shows where anybody may look: arguments stand in the process list, and
 * variables of a helper are read by its dynamic loader. So neither the program nor its variables are
 * an argument or a variable of anything out here: both go through a pipe that only bubblewrap reads.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, existsSync, openSync } from 'node:fs'
import type { Readable, Writable } from 'node:stream'
import type { Compute, Sandbox, SandboxEnd, SandboxProcess, SandboxRun } from '../../../context.ts'
import { Output } from './output.ts'

/** For each process, but `processes`, which is for all of a sandbox together. */
export type SandboxLimits = {
  readonly memoryBytes: number
  readonly processes: number
  readonly openFiles: number
  /** Of a file that it writes, and of each of its two empty folders. */
  readonly fileBytes: number
  /** Of what it prints; what is more is dropped. */
  readonly outputBytes: number
}

const usual: SandboxLimits = {
  memoryBytes: 512 << 20,
  processes: 64,
  openFiles: 256,
  fileBytes: 64 << 20,
  outputBytes: 256 << 10,
}

/** A user and a group that nobody else is. */
const nobody = 60_578

const programs = ['/usr/bin/bwrap', '/bin/bwrap', '/usr/local/bin/bwrap']

/**
 * Looks for bubblewrap and tries it once: `unavailable` says what is missing. Resolves in any case.
 * Only a sandbox that has just held is used.
 */
export async function openSandbox(limits: Partial<SandboxLimits> = {}): Promise<Sandbox> {
  const sandbox = new Bubblewrap({ ...usual, ...limits })
  await sandbox.probe()
  return sandbox
}

class Bubblewrap implements Sandbox {
  unavailable: string | null = 'it was not tried'
  readonly #limits: SandboxLimits
  readonly #program = programs.find((path) => existsSync(path))
  readonly #running = new Set<Started>()

  constructor(limits: SandboxLimits) {
    this.#limits = limits
  }

  async start(run: SandboxRun): Promise<SandboxProcess> {
    if (this.unavailable !== null) throw new Error(this.unavailable)
    return this.#start(run)
  }

  async close(): Promise<void> {
    const running = [...this.#running]
    for (const one of running) one.stop()
    await Promise.all(running.map(({ ended }) => ended))
  }

  async probe(): Promise<void> {
    if (this.#program === undefined) {
      this.unavailable = 'bubblewrap (bwrap) is not installed'
      return
    }
    const code = 'test ! -e /etc/passwd && test "$(id -u)" != 0 && test "$CANARY" = in && echo held'
    const variables = { CANARY: 'in' }
    const run: SandboxRun = {
      ...{ compute: 'shell', code, variables, timeoutMs: 5000, network: false },
    }
    try {
      const started = await this.#start(run)
      const { reason, exitCode } = await started.ended
      const { text } = started.output()
      this.unavailable = text === 'held\n' ? null : `it ${reason} with ${exitCode}: ${text.trim()}`
    } catch (error) {
      this.unavailable = error instanceof Error ? error.message : String(error)
    }
  }

  async #start(run: SandboxRun): Promise<SandboxProcess> {
    // Opened by us: where it lies may be closed to the user that runs it.
    const node = openSync(process.execPath, 'r')
    const child = spawn(
      this.#program ?? '',
      ['--args', '3', '--', ...commandOf(run, this.#limits)],
      {
        env: {},
        cwd: '/',
        stdio: ['ignore', 'pipe', 'pipe', 'pipe', 'pipe', node],
        // For root the kernel counts no processes, whatever their limit.
        ...(process.getuid?.() === 0 ? { uid: nobody, gid: nobody } : {}),
      },
    )
    closeSync(node)
    await new Promise((resolve, reject) => {
      child.once('spawn', resolve)
      child.once('error', reject)
    })
    send(child.stdio[3], argumentsOf(run, this.#limits).join('\0'))
    send(child.stdio[4], run.code)
    const started = new Started(child, run, this.#limits.outputBytes)
    this.#running.add(started)
    void started.ended.then(() => this.#running.delete(started))
    return started
  }
}

/** Writes all to a pipe whose reader may be gone by then, which is seen at its end. */
function send(pipe: Readable | Writable | null | undefined, text: string): void {
  if (!(pipe instanceof Object) || !('write' in pipe)) return
  pipe.on('error', () => undefined)
  pipe.end(text)
}

const main: Readonly<Record<Compute, string>> = {
  python: '/run/main.py',
  node: '/run/main.mjs',
  shell: '/run/main.sh',
}

/** What runs inside; the limits are set there, where they count no process of this machine. */
function commandOf({ compute, timeoutMs }: SandboxRun, limits: SandboxLimits): string[] {
  const { memoryBytes, processes, openFiles, fileBytes } = limits
  const seconds = Math.ceil(timeoutMs / 1000)
  // V8 sets aside more than it uses, and is held to half of the memory by its own limit.
  const data = compute === 'node' ? memoryBytes + (1 << 30) : memoryBytes
  const prlimit = [
    ...['/usr/bin/prlimit', `--data=${data}`, `--nproc=${processes}`, `--cpu=${seconds}`],
    ...[`--nofile=${openFiles}`, `--fsize=${fileBytes}`, '--core=0', '--'],
  ]
  const heap = `--max-old-space-size=${Math.floor(memoryBytes / (2 << 20))}`
  const commands: Readonly<Record<Compute, readonly string[]>> = {
    python: ['/usr/bin/python3', '-I', main.python],
    node: ['/proc/self/fd/5', heap, main.node],
    shell: ['/bin/sh', main.shell],
  }
  return [...prlimit, ...commands[compute]]
}

/** What bubblewrap is told, through its pipe. */
function argumentsOf(run: SandboxRun, { fileBytes }: SandboxLimits): string[] {
  const { compute, variables, network } = run
  const readOnly = ['/lib', '/lib64', '/bin', '/sbin', '/etc/alternatives', '/etc/ld.so.cache']
  const certificates = ['/etc/ssl', '/etc/pki', '/etc/ca-certificates']
  const names = network ? ['/etc/resolv.conf', '/etc/hosts', '/etc/nsswitch.conf'] : []
  const own = {
    PATH: '/usr/bin:/bin',
    HOME: '/home/agent',
    LANG: 'C.UTF-8',
  }
  return [
    ...['--unshare-user', '--unshare-all', ...(network ? ['--share-net'] : [])],
    ...['--die-with-parent', '--new-session', '--disable-userns', '--cap-drop', 'ALL'],
    ...['--uid', '65534', '--gid', '65534', '--hostname', 'sandbox'],
    ...['--proc', '/proc', '--dev', '/dev', '--ro-bind', '/usr', '/usr'],
    ...[...readOnly, ...certificates, ...names].flatMap((path) => ['--ro-bind-try', path, path]),
    ...['--size', String(fileBytes), '--tmpfs', '/tmp', '--size', String(fileBytes)],
    ...['--tmpfs', '/home/agent', '--ro-bind-data', '4', main[compute], '--chdir', '/home/agent'],
    '--clearenv',
    ...Object.entries({ ...variables, ...own }).flatMap(([name, value]) => [
      ...['--setenv', name, value],
    ]),
  ]
}

/** One sandbox, from its start to its end. */
class Started implements SandboxProcess {
  readonly ended: Promise<SandboxEnd>
  readonly #child: ChildProcess
  readonly #output: Output
  #reason: 'timeout' | 'stopped' | null = null

  constructor(child: ChildProcess, { timeoutMs, variables }: SandboxRun, outputBytes: number) {
    this.#child = child
    this.#output = new Output(outputBytes, Object.values(variables))
    this.#output.read(child.stdout)
    this.#output.read(child.stderr)
    const late = setTimeout(() => this.#kill('timeout'), timeoutMs)
    this.ended = new Promise((resolve) => {
      child.once('close', (code) => {
        clearTimeout(late)
        this.#output.end()
        const reason = this.#reason ?? (code === null ? 'failed' : 'exited')
        resolve({ reason, exitCode: reason === 'exited' ? code : null })
      })
    })
  }

  output(): { text: string; truncated: boolean } {
    return this.#output.text()
  }

  stop(): void {
    this.#kill('stopped')
  }

  /** With bubblewrap goes the first process of the namespace, and with that all others in it. */
  #kill(reason: 'timeout' | 'stopped'): void {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    this.#reason ??= reason
    this.#child.kill('SIGKILL')
  }
}
