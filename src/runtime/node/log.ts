/**
 * Where outcomes and the process's own words go: one JSON line per event, on standard error, never
 * with a secret in it. A reader that stops reading must not stop the gateway: lines are then dropped
 * and counted, and the count is the next line (threats Q22).
 */
import { pino } from 'pino'
import type { Outcome } from '../../context.ts'
import { outcomeLine } from '../outcome-line.ts'

export type Log = {
  outcome(outcome: Outcome): void
  info(message: string, fields?: Readonly<Record<string, unknown>>): void
  warn(message: string, fields?: Readonly<Record<string, unknown>>): void
  error(message: string, fields?: Readonly<Record<string, unknown>>): void
  setLevel(level: LogLevel): void
  /** Waits until what was written has left the process, for a second at most. */
  flush(): Promise<void>
  /** Flushes, and drops what comes later. The process can then end, whether anybody reads or not. */
  close(): Promise<void>
}

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent'

const flushMs = 1000

/**
 * Opens the log on a file descriptor (2: standard error). Past `waitingBytesMax`, lines are dropped.
 * `shared`: other processes write to the same one.
 */
export function createLog(
  level: LogLevel,
  fd = 2,
  waitingBytesMax = 4_194_304,
  shared = false,
): Log {
  // Makes a pipe non-blocking. A write into a full one would otherwise hold a thread, and a process
  // waits for its threads when it ends: SIGTERM would hang for as long as nobody reads.
  if (fd === 2) process.stderr.on('error', () => undefined)
  // With 0 for the shortest piece, `flush` would not wait for what is being written.
  // Into a pipe, 4096 bytes go whole or not at all: what is longer may be cut by others' lines.
  const size = {
    minLength: 1,
    maxLength: waitingBytesMax,
    ...(shared ? { maxWrite: 4096 } : {}),
  }
  const destination = pino.destination({ fd, sync: false, ...size })
  const timestamp = () => `,"time":"${new Date().toISOString()}"`
  const logger = pino({ level, base: null, timestamp, formatters: { level: named } }, destination)
  let dropped = 0
  destination.on('drop', () => {
    dropped++
  })
  destination.on('drain', () => {
    if (dropped === 0) return
    logger.warn({ event: 'log', dropped }, 'log lines were dropped: nobody read them')
    dropped = 0
  })
  // A pipe whose reader has gone is not a reason to stop serving.
  destination.on('error', () => undefined)
  const flush = () =>
    new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, flushMs)
      destination.flush(() => {
        clearTimeout(timer)
        resolve()
      })
    })
  return {
    outcome(outcome) {
      // What is turned away under load comes by the thousand; that it is, is said once (pressure.ts).
      const isFault = outcome.status >= 500 && outcome.code !== 'gateway/overloaded'
      const level = isFault ? 'error' : 'info'
      if (logger.isLevelEnabled(level)) logger[level](outcomeLine(outcome))
    },
    info: (message, fields) => logger.info({ event: 'gateway', ...fields }, message),
    warn: (message, fields) => logger.warn({ event: 'gateway', ...fields }, message),
    error: (message, fields) => logger.error({ event: 'gateway', ...fields }, message),
    setLevel(next) {
      logger.level = next
    },
    flush,
    async close() {
      await flush()
      logger.level = 'silent'
      // Else pino would go on writing at exit, for as long as it takes.
      destination.destroy()
    },
  }
}

const named = (label: string) => ({ level: label })
