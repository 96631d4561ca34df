/**
 * How long a revoked key lives: four gates that all use it, one of them told to revoke it. Measured
 * from that call until the answer of the last gate's first refusal, and whether any of them let in a
 * request that began after the receipt said that all know. Runs alone, with DATABASE_URL and
 * REDIS_URL set:
 *
 *     node bench/revocation.ts
 */
import { fileURLToPath } from 'node:url'
import { busyConfig } from '../test/busy-gate.ts'
import { run } from '../test/process.ts'
import { onLoadCore } from './load.ts'
import { quietly, startNodes } from './nodes.ts'
import type { Trial, TrialsOptions } from './revoker.ts'

/** Milliseconds from the call. */
export type Percentiles = { readonly p50: number; readonly p99: number; readonly max: number }

export type RevocationBench = {
  readonly trials: number
  /** Until the last gate refuses, and until the receipt is here. */
  readonly refusedMs: Percentiles
  readonly receiptMs: Percentiles
  /** Receipts that did not say that every gate goes by it. */
  readonly incomplete: number
  /** Requests that began after a complete receipt: how many, and how many of them were let in. */
  readonly sentAfter: number
  readonly admittedAfter: number
  /** The slowest use of each key before it was revoked. */
  readonly useMs: Percentiles
}

export type RevocationOptions = {
  readonly redisUrl: string
  /** Told what is running. */
  readonly say?: (line: string) => void
  readonly trials?: number
}

/** Runs the bench; half a minute. Throws when a gate answers with neither 200 nor 401. */
export async function benchRevocation(options: RevocationOptions): Promise<RevocationBench> {
  const { redisUrl, say = () => undefined, trials = 200 } = options
  const config = busyConfig(undefined, quietly)
    .replace('data: [read]', 'data: [read], admin: [keys]')
    // Who shows a dead key so often is held back, and could not be told from one that is let in.
    .replace('keys: { ', 'keys: { failures: { count: 1000000, window: 1min }, ')
  say('starting four gates')
  const nodes = await startNodes(redisUrl, config)
  try {
    say(`${trials} keys made, used and revoked`)
    const job: TrialsOptions = {
      ...{ urls: nodes.urls, admin: nodes.variable('POSTERN_ADMIN_KEY'), trials },
    }
    const program = fileURLToPath(new URL('revoker.ts', import.meta.url))
    const [command = '', ...args] = onLoadCore(process.execPath, program, JSON.stringify(job))
    const { code, stdout, stderr } = await run(command, args, { timeoutMs: 300_000 })
    if (code !== 0) throw new Error(`the revocations failed: ${stderr}`)
    return sumUp(JSON.parse(stdout))
  } finally {
    await nodes.stop()
  }
}

function sumUp(found: readonly Trial[]): RevocationBench {
  const complete = found.filter(({ isComplete }) => isComplete)
  const total = (pick: (trial: Trial) => number) =>
    complete.reduce((sum, trial) => sum + pick(trial), 0)
  return {
    trials: found.length,
    refusedMs: percentiles(found.map(({ refusedMs }) => refusedMs)),
    receiptMs: percentiles(found.map(({ receiptMs }) => receiptMs)),
    useMs: percentiles(found.map(({ slowestUseMs }) => slowestUseMs)),
    incomplete: found.length - complete.length,
    sentAfter: total(({ sentAfter }) => sentAfter),
    admittedAfter: total(({ admittedAfter }) => admittedAfter),
  }
}

function percentiles(values: readonly number[]): Percentiles {
  const sorted = values.toSorted((a, b) => a - b)
  const at = (share: number) =>
    sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!
  return { p50: at(0.5), p99: at(0.99), max: at(1) }
}

if (import.meta.main) {
  const redisUrl = process.env.REDIS_URL
  if (redisUrl === undefined) throw new Error('REDIS_URL is not set')
  const say = (line: string) => void process.stderr.write(`${line}\n`)
  const trials = Number(process.argv[2] ?? 200)
  const found = await benchRevocation({ redisUrl, say, trials })
  process.stdout.write(`${JSON.stringify(found, null, 2)}\n`)
}
