/**
 * Where outcomes and the gateway's own words go on Workers: one JSON line per event on the console,
 * which is what `wrangler tail` and Workers Logs show. The same fields as on Node.
 */
import type { Config } from '../../config.ts'
import type { Outcome } from '../../context.ts'
import { outcomeLine } from '../outcome-line.ts'

type Fields = Readonly<Record<string, unknown>>

export type WorkerLog = {
  outcome(outcome: Outcome): void
  warn(message: string, fields?: Fields): void
  error(message: string, fields?: Fields): void
}

const ranks = { debug: 0, info: 1, warn: 2, error: 3, silent: 4 }

/** Writes what is at least as grave as `level`. */
export function createWorkerLog(level: Config['log']['level']): WorkerLog {
  const write = (as: keyof typeof ranks, fields: Fields): void => {
    if (ranks[as] < ranks[level]) return
    console.log(JSON.stringify({ level: as, time: new Date().toISOString(), ...fields }))
  }
  return {
    outcome: (outcome) => write(outcome.status < 500 ? 'info' : 'error', outcomeLine(outcome)),
    warn: (msg, fields) => write('warn', { event: 'gateway', ...fields, msg }),
    error: (msg, fields) => write('error', { event: 'gateway', ...fields, msg }),
  }
}
