/**
 * Load on several gates, from a process of its own (load-process.ts), so that neither the test nor
 * its relays hold it up: what it sends, and what has come of it.
 */
import { readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Running, start } from '../process.ts'
import type { Seen } from './oracles.ts'

/** Callers of one kind: the same key and tenant, one request after the other at a steady rate. */
export type Stream = {
  /** Names that begin with `limited` expect 429s, with `foreign` 404s. */
  readonly name: string
  readonly perSecond: number
  readonly headers: Readonly<Record<string, string>>
  readonly method?: string
  /** `:nonce` in it becomes one. */
  readonly path: string
  readonly body?: string
  /** These ids and no others may be in the `data` of an answer. */
  readonly rows?: readonly string[]
  /** The answer must be the echo of this very request, for this tenant. */
  readonly echoTo?: string
  /** Where it is sent to, in place of the nodes. */
  readonly url?: string
}

export type Job = {
  readonly nodes: readonly string[]
  readonly streams: readonly Stream[]
  readonly recordsFile: string
  /** As a load balancer: nodes are asked so often whether they are ready, and else left out. */
  readonly pollMs?: number
}

export type Load = {
  /** Everything that has been answered so far, or was given up. */
  seen(): Seen[]
  /** Ends the arrivals, waits for what is under way, and answers all there was. Once. */
  stop(): Promise<Seen[]>
}

let loads = 0

/** Starts one and resolves when the first requests are on their way. Fails when it cannot be started. */
export async function startLoad(job: Omit<Job, 'recordsFile'>): Promise<Load> {
  const recordsFile = join(tmpdir(), `postern-load-${process.pid}-${loads++}`)
  const program = fileURLToPath(new URL('load-process.ts', import.meta.url))
  const whole: Job = { ...job, recordsFile }
  const running: Running = await start(process.execPath, [program], {
    input: JSON.stringify(whole),
  })
  await running.line(/^sending$/)
  const seen = () => readRecords(recordsFile)
  return {
    seen,
    async stop() {
      const { code } = await running.stop('SIGTERM', giveUpMs + 10_000)
      if (code !== 0) throw new Error(`the load failed: ${running.output()}`)
      const all = seen()
      rmSync(recordsFile)
      return all
    },
  }
}

/** A line that is still being written is not read. */
function readRecords(file: string): Seen[] {
  const text = readFileSync(file, 'utf8')
  const lines = text.slice(0, text.lastIndexOf('\n') + 1).split('\n')
  return lines.filter((line) => line !== '').map((line) => JSON.parse(line))
}

/** Longer than anything here may wait: whoever is not answered by then never is. */
export const giveUpMs = 20_000
