/**
 * What is left of a gate that gets ten times what it can serve: a route that costs 5 ms of processor
 * time, live and test keys, requests that come when they are due. Runs alone, with DATABASE_URL set:
 *
 *     node bench/overload.ts
 */
import { setTimeout as delay } from 'node:timers/promises'
import { busyConfig, busyEntry } from '../test/busy-gate.ts'
import { createDatabase } from '../test/database.ts'
import { makePlace, startGateProcess } from '../test/gate-process.ts'
import { type Surged, surge } from '../test/surge.ts'
import { moveTo, onLoadCore } from './load.ts'
import { type Spread, spread } from './rounds.ts'

export type OverloadBench = {
  /** Milliseconds of the quiet gate: a tenth of what it can serve. */
  readonly quietP99Ms: Spread
  readonly liveP99Ms: Spread
  /** The second over the first, each within its round. */
  readonly slowdown: Spread
  /** Of what one core could do at 5 ms each, how much was served meanwhile. */
  readonly goodput: Spread
  /** Beside test traffic that is nine tenths of ten times: the share of live requests served. */
  readonly liveShare: Spread
  readonly testShare: Spread
  /** Milliseconds from the end of the surge until the last refusal. */
  readonly recoveryMs: Spread
}

export type OverloadOptions = {
  /** Told what is running. */
  readonly say?: (line: string) => void
  readonly rounds?: number
  readonly seconds?: number
}

/** All that one core could serve. */
const capacity = 200

/** Runs the bench; a minute. Throws when a connection fails. */
export async function benchOverload(options: OverloadOptions = {}): Promise<OverloadBench> {
  const { say = () => undefined, rounds = 3, seconds = 4 } = options
  const database = await createDatabase({ migrate: false })
  const place = makePlace(
    busyConfig(undefined, 'log: { level: silent }\nserver: { overload: 100ms }'),
  )
  const gate = await startGateProcess(place, { DATABASE_URL: database.ownerUrl }, [], {
    program: busyEntry,
  })
  try {
    moveTo('server', gate.pid)
    const headersOf = (name: string) => ({
      ...{ 'x-api-key': gate.variable(name), 'x-tn': 'tenant_abc123' },
    })
    const [live, test] = [headersOf('POSTERN_SK_LIVE'), headersOf('POSTERN_SK_DEV')]
    const send = async (
      ofLive: number,
      ofTest: number,
      forSeconds = seconds,
      unseenSeconds = 1,
    ) => {
      const streams = [
        { headers: live, perSecond: capacity * ofLive },
        { headers: test, perSecond: capacity * ofTest },
      ].filter(({ perSecond }) => perSecond > 0)
      const url = `${gate.url}/v1/burn`
      const job = { url, streams, seconds: forSeconds, unseenSeconds, exact: true }
      return surge(job, onLoadCore)
    }
    const found: Round[] = []
    for (let round = 0; round <= rounds; round++) {
      say(round === 0 ? 'warming up' : `round ${round} of ${rounds}`)
      const [quiet] = await send(0.1, 0)
      const [flooded] = await send(10, 0)
      const [after] = await send(0.3, 0, 5, 0)
      await delay(1000)
      const [beside, turned] = await send(0.3, 9.7)
      await delay(1000)
      if (round > 0)
        found.push({
          quiet: quiet!,
          flooded: flooded!,
          after: after!,
          beside: beside!,
          turned: turned!,
        })
    }
    const over = (pick: (round: Round) => number) => spread(found.map(pick))
    return {
      quietP99Ms: over(({ quiet }) => quiet.p99Ms),
      liveP99Ms: over(({ flooded }) => flooded.p99Ms),
      slowdown: over(({ quiet, flooded }) => flooded.p99Ms / quiet.p99Ms),
      goodput: over(({ flooded }) => served(flooded) / seconds / capacity),
      liveShare: over(({ beside }) => served(beside) / beside.sent),
      testShare: over(({ turned }) => served(turned) / turned.sent),
      recoveryMs: over(({ after }) => after.lastOtherMs),
    }
  } finally {
    await gate.stop()
    await database.drop()
    place.remove()
  }
}

type Round = Readonly<Record<'quiet' | 'flooded' | 'after' | 'beside' | 'turned', Surged>>

function served({ byStatus }: Surged): number {
  if (byStatus.failed) throw new Error(`${byStatus.failed} connections failed`)
  return byStatus['200'] ?? 0
}

if (import.meta.main) {
  const say = (line: string) => void process.stderr.write(`${line}\n`)
  const [rounds = 3, seconds = 4] = process.argv.slice(2).map(Number)
  process.stdout.write(
    `${JSON.stringify(await benchOverload({ say, rounds, seconds }), null, 2)}\n`,
  )
}
