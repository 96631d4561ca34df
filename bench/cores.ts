/**
 * What a second process costs: requests for each second of processor time that a gate and its workers
 * use, with one and with two. Runs alone, with DATABASE_URL and REDIS_URL set:
 *
 *     node bench/cores.ts
 */
import { readFileSync } from 'node:fs'
import { busyConfig, busyEntry, processorMicros } from '../test/busy-gate.ts'
import { createDatabase } from '../test/database.ts'
import { type GateProcess, makePlace, startGateProcess } from '../test/gate-process.ts'
import { load, moveTo } from './load.ts'
import { type Spread, spread } from './rounds.ts'

export type CoresBench = {
  /** Requests for each second of processor time, of the gate with all its processes. */
  readonly one: Spread
  readonly two: Spread
  /** The second over the first, each within its round. */
  readonly twoOfOne: Spread
  /** The busier of the two workers' part of their processor time; 0.5 is even. */
  readonly busier: Spread
}

export type CoresOptions = {
  readonly redisUrl: string
  /** Told what is running. */
  readonly say?: (line: string) => void
  readonly rounds?: number
  readonly seconds?: number
}

type Sample = { readonly perCpuSecond: number; readonly busier: number }

/** Runs the bench; a minute. Throws when a request is not answered with a 2xx. */
export async function benchCores(options: CoresOptions): Promise<CoresBench> {
  const { redisUrl, say = () => undefined, rounds = 5, seconds = 3 } = options
  const database = await createDatabase({ migrate: false })
  const place = makePlace(
    busyConfig(undefined, 'log: { level: silent }\nserver: { overload: off }'),
  )
  const env = { DATABASE_URL: database.ownerUrl, REDIS_URL: redisUrl }
  const gates: GateProcess[] = []
  const startWith = async (workers: string) => {
    const gate = await startGateProcess(place, { ...env, POSTERN_WORKERS: workers }, [], {
      program: busyEntry,
    })
    gates.push(gate)
    return gate
  }
  try {
    const [alone, both] = [await startWith('1'), await startWith('2')]
    const key = both.variable('POSTERN_SK_LIVE')
    const ones: Sample[] = []
    const twos: Sample[] = []
    for (let round = 0; round <= rounds; round++) {
      say(round === 0 ? 'warming up' : `round ${round} of ${rounds}`)
      const one = await measure(alone, key, seconds)
      const two = await measure(both, key, seconds)
      if (round === 0) continue
      ones.push(one)
      twos.push(two)
    }
    return {
      one: spread(ones.map(({ perCpuSecond }) => perCpuSecond)),
      two: spread(twos.map(({ perCpuSecond }) => perCpuSecond)),
      twoOfOne: spread(twos.map((two, at) => two.perCpuSecond / ones[at]!.perCpuSecond)),
      busier: spread(twos.map(({ busier }) => busier)),
    }
  } finally {
    await Promise.all(gates.map((gate) => gate.stop()))
    await database.drop()
    place.remove()
  }
}

async function measure(gate: GateProcess, key: string, seconds: number): Promise<Sample> {
  const headers = { 'x-api-key': key, 'x-tn': 'tenant_abc123' }
  const pids = [gate.pid, ...childrenOf(gate.pid)]
  // All on one core, the load on the other: what they use is then used on requests, not on waiting.
  for (const pid of pids) moveTo('server', pid)
  const connections = 50 * Math.max(1, pids.length - 1)
  const before = pids.map(processorMicros)
  const { requests } = await load({
    url: `${gate.url}/v1/hello`,
    headers,
    connections,
    seconds,
  })
  const used = pids.map((pid, at) => processorMicros(pid) - before[at]!)
  const all = used.reduce((sum, micros) => sum + micros, 0)
  const workers = used.slice(1)
  const ofWorkers = workers.reduce((sum, micros) => sum + micros, 0)
  return { perCpuSecond: requests / (all / 1e6), busier: Math.max(0, ...workers) / ofWorkers }
}

const childrenOf = (pid: number): number[] =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8')
    .trim()
    .split(' ')
    .filter(Boolean)
    .map(Number)

if (import.meta.main) {
  const redisUrl = process.env.REDIS_URL
  if (redisUrl === undefined) throw new Error('REDIS_URL is not set')
  const say = (line: string) => void process.stderr.write(`${line}\n`)
  const [rounds = 5, seconds = 3] = process.argv.slice(2).map(Number)
  const found = await benchCores({ redisUrl, say, rounds, seconds })
  process.stdout.write(`${JSON.stringify(found, null, 2)}\n`)
}
