/**
 * The load of the gate bench: `wrk` where it is installed, else `autocannon`, on keep-alive
 * connections, held to another core than the server where the machine has two and `taskset`.
 */
import { execFileSync } from 'node:child_process'
import { createRequire } from 'node:module'
import { availableParallelism } from 'node:os'
import { run } from '../test/process.ts'

export type Load = {
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly connections: number
  readonly seconds: number
}

const serverCore = 0
const loadCore = 1

/** Whether a program is there; `flag` makes it end at once. */
export const isInstalled = (program: string, flag: string): boolean => {
  try {
    execFileSync(program, [flag], { stdio: 'ignore' })
    return true
  } catch (error) {
    // wrk answers its own usage with a code of 1; what is missing has no code at all.
    return error instanceof Error && 'status' in error && error.status !== null
  }
}

const pins =
  process.platform === 'linux' && availableParallelism() > 1 && isInstalled('taskset', '-V')
const wrk = isInstalled('wrk', '-v')

/** The program that makes the load, for the report. */
export const loadName = wrk ? 'wrk' : 'autocannon'
/** How cores are shared, for the report. */
export const coresName = pins
  ? `the server on core ${serverCore}, the load on core ${loadCore} (taskset)`
  : 'server and load wherever the system puts them (no taskset, or one core)'

/** The command, held to the server's core. */
export const onServerCore = (...command: string[]): string[] => pinned(serverCore, command)
/** The command, held to the core of the load. */
export const onLoadCore = (...command: string[]): string[] => pinned(loadCore, command)

const pinned = (core: number, command: string[]): string[] =>
  pins ? ['taskset', '-c', String(core), ...command] : command

/** Moves a process that runs already to the core of the load. */
export const moveToLoadCore = (pid: number): void => moveTo('load', pid)

/** Moves a process that runs already. */
export function moveTo(core: 'server' | 'load', pid: number): void {
  const number = core === 'server' ? serverCore : loadCore
  if (pins) execFileSync('taskset', ['-a', '-c', '-p', String(number), String(pid)])
}

/** What came of a load. Times are of a closed loop: with the server busy, they are its queue. */
export type Loaded = {
  readonly requests: number
  readonly perSecond: number
  readonly p50Ms: number
  readonly p99Ms: number
}

/** Runs one load to its end. Throws when a single request was not answered with a 2xx. */
export async function load(options: Load): Promise<Loaded> {
  const { failed, ...loaded } = await (wrk ? loadWithWrk : loadWithAutocannon)(options)
  if (failed !== null || loaded.requests === 0) {
    throw new Error(
      `not every request to ${options.url} was answered: ${failed ?? 'none was sent'}`,
    )
  }
  return loaded
}

type Counted = Loaded & { readonly failed: string | null }

async function loadWithWrk({ url, headers, connections, seconds }: Load): Promise<Counted> {
  const lines = Object.entries(headers).flatMap(([name, value]) => ['-H', `${name}: ${value}`])
  const flags = ['-t1', '--latency', `-c${connections}`, `-d${seconds}s`, ...lines, url]
  const text = await output(onLoadCore('wrk', ...flags))
  return {
    requests: Number(/(\d+) requests in/.exec(text)?.[1] ?? 0),
    perSecond: Number(/Requests\/sec:\s*([\d.]+)/.exec(text)?.[1] ?? 0),
    p50Ms: wrkMs(text, '50'),
    p99Ms: wrkMs(text, '99'),
    failed: /(?:Non-2xx|Socket errors).*/.exec(text)?.[0] ?? null,
  }
}

const msOfUnit: Readonly<Record<string, number>> = { us: 0.001, ms: 1, s: 1000 }

/** A percentile of wrk's own table, such as `     99%    1.21ms`. */
function wrkMs(text: string, percentile: string): number {
  const [, value = 'NaN', unit = ''] =
    new RegExp(`^\\s+${percentile}%\\s+([\\d.]+)(us|ms|s)$`, 'm').exec(text) ?? []
  return Number(value) * (msOfUnit[unit] ?? 1)
}

async function loadWithAutocannon({ url, headers, connections, seconds }: Load): Promise<Counted> {
  const program = createRequire(import.meta.url).resolve('autocannon')
  const lines = Object.entries(headers).flatMap(([name, value]) => ['-H', `${name}=${value}`])
  const flags = ['-c', `${connections}`, '-d', `${seconds}`, '-j', ...lines, url]
  const text = await output(onLoadCore(process.execPath, program, ...flags))
  // autocannon's own JSON; its shape is documented in its README.
  const result = JSON.parse(text) as {
    readonly requests: { readonly total: number; readonly average: number }
    readonly latency: { readonly p50: number; readonly p99: number }
    readonly non2xx: number
    readonly errors: number
  }
  const { requests, latency, non2xx, errors } = result
  const failed = non2xx + errors === 0 ? null : `${non2xx} not 2xx, ${errors} errors`
  return {
    requests: requests.total,
    perSecond: requests.average,
    p50Ms: latency.p50,
    p99Ms: latency.p99,
    failed,
  }
}

async function output([command = '', ...args]: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await run(command, args)
  if (code !== 0) throw new Error(`${command} failed: ${stderr || stdout}`)
  return stdout
}
