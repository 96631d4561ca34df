/**
 * The wall clock of one gate of four steps: an hour ahead, an hour behind, back. Done by preload.ts in
 * the process itself (libfaketime is not among what the tests install): `Date` steps, timers and the
 * monotonic clock do not.
 */

import { limitedStream, tenants } from '../callers.ts'
import { isGood, mostInWindow, of } from '../oracles.ts'
import { ask, startRig, windowMs } from '../rig.ts'
import { alwaysChecks, busyOf, limitedOf, quota, sharesOf, tryFault } from '../trial.ts'
import { atLeast, atMost, exactly, type Group, inTime, lasting } from '../verdicts.ts'
import { preloaded } from './restart.ts'
import { endsWithin, revoke } from './revocation.ts'

export const clockGroup: Group = {
  name: 'clocks',
  start: () => startRig({ envOf: (node) => (node === 0 ? preloaded('clock') : {}) }),
  rows: [
    {
      id: 'Q16 L3',
      did: 'the clock of one gate steps an hour ahead, then behind, then back',
      async run(rig, lengths) {
        const [node] = rig.nodes
        if (node === undefined) throw new Error('there is no node')
        const limited = await limitedOf(rig)
        const streams = [...rig.mix(), limitedStream('limited', limited.key, limited.perSecond)]
        const trial = await tryFault(
          rig,
          lengths,
          async () => {
            for (const offset of [3_600_000, -3_600_000, 0]) {
              node.gate.signal('SIGUSR2')
              await node.gate.line(new RegExp(`^the clock is ${offset} ms off$`))
              await lasting(lengths.of(60, 3000))
            }
          },
          { streams },
        )
        const own = of(trial.seen, 'limited')
        const most = mostInWindow(own, windowMs)
        return [
          ...alwaysChecks(trial),
          atMost('in any window', most, quota + sharesOf(trial.seen)),
          inTime(busyOf(trial.seen), atMost('on shares', sharesOf(trial.seen), own.length * 0.05)),
          inTime(busyOf(trial.seen), atLeast('let through', most, quota * 0.8)),
          atLeast(
            'served by that node',
            trial.during.filter((one) => one.node === 0 && isGood(one)).length,
            20,
          ),
        ]
      },
    },
    {
      id: 'Q16b',
      did: 'a key is revoked while the clock of one gate stands an hour behind',
      async run(rig, lengths) {
        const [node, other] = rig.nodes
        if (node === undefined || other === undefined) throw new Error('there are not two nodes')
        const { id, key } = await rig.makeKey()
        node.gate.signal('SIGUSR2')
        node.gate.signal('SIGUSR2')
        const good = await ask(node, '/echo/clock', { key, tenant: tenants[0] })
        node.gate.signal('SIGUSR2')
        await revoke(rig, other, id)
        const ms = await endsWithin([node], key, 20_000)
        return [
          exactly('before', good.status, 200),
          atMost('until it is refused there', ms, lengths.slack(2000), ' ms'),
        ]
      },
    },
  ],
}
