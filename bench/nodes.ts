/** Four gates that are one deployment: one PostgreSQL, one Redis, the same root secrets. */
import { randomBytes } from 'node:crypto'
import { busyEntry } from '../test/busy-gate.ts'
import { createDatabase } from '../test/database.ts'
import { type GateProcess, makePlace, type Place, startGateProcess } from '../test/gate-process.ts'
import { moveTo } from './load.ts'

export const nodeCount = 4

/** For the config of each: no log, and nobody is turned away where the machine does something else. */
export const quietly = 'log: { level: silent }\nserver: { overload: 10s }'

export type Nodes = {
  /** Where each listens. */
  readonly urls: readonly string[]
  /** Of the first one's `.env.local`. */
  variable(name: string): string
  stop(): Promise<void>
}

/** Starts them, all on the server's core, with what test/busy-gate.ts serves. */
export async function startNodes(redisUrl: string, config: string): Promise<Nodes> {
  const database = await createDatabase()
  const places: Place[] = []
  const gates: GateProcess[] = []
  const stop = async () => {
    await Promise.all(gates.map((gate) => gate.stop()))
    await database.drop()
    for (const place of places) place.remove()
  }
  const env = {
    ...{ DATABASE_URL: database.ownerUrl, REDIS_URL: redisUrl, POSTERN_WORKERS: '1' },
    POSTERN_PEPPER: randomBytes(32).toString('base64'),
    POSTERN_MASTER_KEY: randomBytes(32).toString('base64'),
  }
  try {
    // One after the other: the first makes the keys.
    for (let node = 0; node < nodeCount; node++) {
      const place = makePlace(config)
      places.push(place)
      const gate = await startGateProcess(place, env, [], { program: busyEntry })
      gates.push(gate)
      moveTo('server', gate.pid)
    }
  } catch (error) {
    await stop()
    throw error
  }
  return {
    urls: gates.map(({ url }) => url),
    variable: (name) => gates[0]?.variable(name) ?? '',
    stop,
  }
}
