/** A gate as a user starts it: a process of its own, in a folder of its own, stopped by its id. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { readEnvFile } from '../src/runtime/node/env-file.ts'
import { type Exit, type Running, run, start } from './process.ts'

export const entry = fileURLToPath(new URL('../src/node.ts', import.meta.url))
export const exampleConfig = readFileSync(new URL('../postern.yaml', import.meta.url), 'utf8')

type Environment = Readonly<Record<string, string>>

/** A folder to start in, with a config. The test removes it, after its processes have ended. */
export type Place = {
  readonly folder: string
  path(name: string): string
  write(name: string, text: string): void
  remove(): void
}

/**
 * Without turning away under load, where the config says nothing of its server: what is started side
 * by side on a busy machine would be turned away, and it is test/e2e/overload.test.ts that asks for it.
 */
const unhurried = (config: string): string =>
  /^server:/m.test(config) || !/^platforms:/m.test(config)
    ? config
    : `${config}\nserver: { overload: off }\n`

export function makePlace(config: string | null = exampleConfig): Place {
  const folder = mkdtempSync(join(tmpdir(), 'postern-place-'))
  const path = (name: string) => join(folder, name)
  const write = (name: string, text: string) => {
    writeFileSync(path(name), name === 'postern.yaml' ? unhurried(text) : text)
  }
  if (config !== null) write('postern.yaml', config)
  return { folder, path, write, remove: () => rmSync(folder, { recursive: true, force: true }) }
}

/** Nothing of this process's own environment but what a program needs to run. */
const environmentOf = (env: Environment): Environment => ({
  PATH: process.env.PATH ?? '',
  HOME: tmpdir(),
  // A hundred gates are started in a run, each of the same files.
  NODE_COMPILE_CACHE: join(tmpdir(), 'postern-compiled'),
  PORT: '0',
  ...env,
})

/** Starts a gate that is expected to refuse, and answers how it ended and what it said. */
export function runGate(
  place: Place,
  env: Environment = {},
  args: readonly string[] = [],
  program = entry,
) {
  return run(process.execPath, [program, ...args], {
    cwd: place.folder,
    env: environmentOf(env),
    timeoutMs: 60_000,
  })
}

export type GateProcess = Running & {
  readonly url: string
  readonly port: number
  /** Of `.env.local`, as it stands on disk. */
  variable(name: string): string
  call(path: string, sent?: Sent): Promise<Answer>
}

export type Sent = {
  readonly key?: string
  readonly tenant?: string
  readonly method?: string
  readonly body?: unknown
  readonly headers?: Readonly<Record<string, string>>
  /** Of another platform of the same process. */
  readonly url?: string
}
export type Answer = {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  // What a test expects of it is what it checks.
  readonly json: ReturnType<typeof JSON.parse>
}

export type GateOptions = {
  /** Another file that serves a gate. */
  readonly program?: string
  /** Stands before its command line, as `nice` would. */
  readonly launch?: readonly string[]
  /** How long it may take until it serves. */
  readonly readyMs?: number
}

/** Starts a gate and waits until it serves. */
export async function startGateProcess(
  place: Place,
  env: Environment = {},
  args: readonly string[] = [],
  { program = entry, launch = [], readyMs = 60_000 }: GateOptions = {},
): Promise<GateProcess> {
  const [command = '', ...line] = [...launch, process.execPath, program, ...args]
  const running = await start(command, line, {
    cwd: place.folder,
    env: environmentOf(env),
  })
  const [, url = '', port = ''] = await running
    .line(/(http:\/\/\S+?:(\d+))$/, readyMs)
    .catch(async (error) => {
      await running.stop('SIGKILL')
      throw error
    })
  await running.line(/^ {2}limits /, readyMs)
  const gate = { ...running, url, port: Number(port) }
  return {
    ...gate,
    variable: (name) => readEnvFile(place.path('.env.local')).get(name) ?? '',
    call: (path, sent = {}) => call((sent.url ?? url) + path, sent),
  }
}

/** One request, given up after ten seconds: nothing here may hang. */
export async function call(url: string, sent: Sent = {}): Promise<Answer> {
  const headers: Record<string, string> = { ...sent.headers }
  if (sent.key !== undefined) headers['x-api-key'] = sent.key
  if (sent.tenant !== undefined) headers['x-tn'] = sent.tenant
  if (sent.body !== undefined) headers['content-type'] = 'application/json'
  const response = await fetch(url, {
    method: sent.method ?? 'GET',
    headers,
    body: sent.body === undefined ? undefined : JSON.stringify(sent.body),
    signal: AbortSignal.timeout(10_000),
  })
  const text = await response.text()
  const isJson = /json/.test(response.headers.get('content-type') ?? '') && text !== ''
  return {
    status: response.status,
    headers: response.headers,
    text,
    json: isJson ? JSON.parse(text) : null,
  }
}

/** Whether somebody takes connections there. */
export function isListening(port: number, host = '127.0.0.1'): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host, timeout: 2000 })
    const answer = (is: boolean) => () => {
      socket.destroy()
      resolve(is)
    }
    socket.once('connect', answer(true))
    socket.once('error', answer(false))
    socket.once('timeout', answer(false))
  })
}

/** The lines of a log that are objects; throws on a line that is none. */
export function logLines(text: string): Record<string, unknown>[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line))
}

export const succeeded: Exit = { code: 0, signal: null }
