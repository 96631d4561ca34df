/** Ten times what the gates can do. */

import { tenants } from '../callers.ts'
import { type Stream, startLoad } from '../load.ts'
import { isGood, longestMs, of, quantileMs, type Seen } from '../oracles.ts'
import { startRig } from '../rig.ts'
import { alwaysChecks } from '../trial.ts'
import { atLeast, atMost, type Group, lasting } from '../verdicts.ts'

const told = ['503 gateway/overloaded']

/** What one core can do of a route that costs 5 ms. */
const perSecond = 200

export const overloadGroup: Group = {
  name: 'overload',
  // One node: the load must be able to be ten times what it can do.
  start: () => startRig({ nodes: 1, busy: true }),
  rows: [
    {
      id: 'Q18',
      did: 'ten times the load that one gate can bear for 30 s, half of it test, on a route of 5 ms',
      async run(rig, lengths) {
        const [tenant] = tenants
        const stream = (name: string, key: string, perSecond: number): Stream => ({
          ...{ name, perSecond, path: '/v1/burn?nonce=:nonce' },
          headers: { 'x-api-key': rig.variable(key), 'x-tn': tenant },
        })
        const run = async (factor: number, ms: number): Promise<Seen[]> => {
          const streams = [
            stream('live', 'POSTERN_SK_LIVE', (perSecond / 2) * factor),
            stream('test', 'POSTERN_SK_DEV', (perSecond / 2) * factor),
          ]
          const load = await startLoad({ nodes: rig.urls, streams })
          await lasting(ms)
          return load.stop()
        }
        const quiet = await run(0.1, 5000)
        const loud = await run(10, lengths.of(30, 5000))
        const after = await run(0.1, 5000)
        const share = (name: string) => of(loud, name).filter(isGood).length / of(loud, name).length
        const trial = { seen: loud, quiet, during: loud, after, fromMs: 0, untilMs: 0 }
        const p99 = quantileMs(quiet.filter(isGood), 0.99)
        // Most of the callers of the first second have to connect first, all of them at once.
        const secondMs = Math.min(...loud.map(({ sentMs }) => sentMs)) + 1000
        const letIn = loud.filter(isGood)
        const p99Of = (seen: readonly Seen[]) => quantileMs(seen, 0.99)
        return [
          ...alwaysChecks(trial, told),
          atMost(
            'p99 of those let in after the first second',
            p99Of(letIn.filter(({ sentMs }) => sentMs >= secondMs)),
            3 * p99 + lengths.slack(20),
            ' ms',
          ),
          atMost('of all of them', p99Of(letIn), lengths.slack(5000), ' ms'),
          atLeast('live before test', share('live') - share('test'), 0),
          atMost('longest wait after', longestMs(after), lengths.slack(5000), ' ms'),
        ]
      },
    },
  ],
}
