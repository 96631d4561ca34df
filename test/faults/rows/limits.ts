/** Is a limit what it says, over four gates, when nothing is broken but the callers? */
import { Agent, request } from 'node:http'
import { limitedStream, type RigKey, tenants } from '../callers.ts'
import { mostInWindow, of, quotaOf, type Seen } from '../oracles.ts'
import { type Rig, startRig, windowMs } from '../rig.ts'
import { alwaysChecks, busyOf, tryFault } from '../trial.ts'
import {
  atLeast,
  atMost,
  type Check,
  exactly,
  type Group,
  inTime,
  lasting,
  none,
} from '../verdicts.ts'

type Burst = {
  /** How often each status came. */
  readonly statuses: Record<string, number>
  /** Let through on a node's share, because the store was too slow to say. */
  shared: number
}

/** Calls all at once, spread over all nodes. */
async function burst(rig: Rig, key: RigKey, count: number, quota = 0): Promise<Burst> {
  const agent = new Agent({ keepAlive: true, maxSockets: 64 })
  const headers = { 'x-api-key': key.key, 'x-tn': tenants[0] }
  const all: Burst = { statuses: {}, shared: 0 }
  const one = (at: number) =>
    new Promise<void>((resolve, reject) => {
      const url = `${rig.urls[at % rig.urls.length]}/echo/burst`
      const sending = request(url, { agent, headers }, (answer) => {
        const { statusCode = 0 } = answer
        all.statuses[statusCode] = (all.statuses[statusCode] ?? 0) + 1
        const shown = quotaOf(answer.headers['ratelimit-policy'])
        if (statusCode === 200 && shown !== quota) all.shared += 1
        answer.resume().once('end', resolve)
      })
      sending.once('error', reject).end()
    })
  await Promise.all(Array.from({ length: count }, (_, at) => one(at)))
  agent.destroy()
  return all
}

/** What streams ask for, in parts of the quota. */
const shares = [0.9, 1, 1.5, 10]
const quota = 20
const isCounted = (one: Seen): boolean => one.quota === quota
const admitted = (seen: readonly Seen[]) => seen.filter(({ status }) => status === 200).length

export const limitsGroup: Group = {
  name: 'limits',
  start: () => startRig(),
  rows: [
    {
      id: 'Q14 L1',
      did: '5 000 requests at once over four gates, on a limit of 100',
      async run(rig, { scale }) {
        const limit = { name: 'burst', quota: 100, window_seconds: 600 }
        const key = await rig.makeKey(undefined, { rate_limit: limit })
        const count = Math.max(500, Math.round(5000 * scale))
        const { statuses, shared } = await burst(rig, key, count, limit.quota)
        const slow = shared === 0 ? null : `Redis was too slow to say for ${shared} of them`
        return [
          inTime(slow, exactly('answers', statuses, { 200: 100, 429: count - 100 })),
          // Whatever the store is too slow for, it lets no more than that through.
          atMost('let through by the store', (statuses[200] ?? 0) - shared, 100),
          atMost('in all', statuses[200] ?? 0, 200),
        ]
      },
    },
    {
      id: 'Q14b L2 L4',
      did: '0.9, 1, 1.5 and 10 times the limit for 10 min, evenly spaced',
      async run(rig, lengths) {
        const keys = await Promise.all(shares.map(() => rig.makeKey(quota)))
        const streams = keys.map((key, at) => {
          const share = shares[at] ?? 0
          return limitedStream(`limited ${share}`, key, (share * quota * 1000) / windowMs)
        })
        const ms = lengths.of(600, 6000)
        const trial = await tryFault(rig, lengths, () => lasting(ms), {
          streams: [...streams, rig.control],
          quietMs: 0,
          afterMs: 0,
        })
        const busy = busyOf(trial.seen)
        const whole = quota * (ms / windowMs)
        const each = shares.flatMap((share): Check[] => {
          const own = of(trial.seen, `limited ${share}`)
          return [
            inTime(busy, atMost(`${share} ×, in any window`, mostInWindow(own, windowMs), quota)),
            atMost(`${share} ×, counted`, mostInWindow(own.filter(isCounted), windowMs), quota),
            ...(share === 0.9
              ? [inTime(busy, atLeast('0.9 ×, let through', admitted(own) / own.length, 0.99))]
              : []),
            // A unit is held for 65/64 of a window: so much less at most, and nobody is starved.
            ...(share > 1
              ? [inTime(busy, atLeast(`${share} ×, of the limit`, admitted(own) / whole, 0.85))]
              : []),
          ]
        })
        return [...alwaysChecks(trial), ...each]
      },
    },
    {
      id: 'L13',
      did: '1 000 wrong keys while Redis is down',
      async run(rig, { scale }) {
        await rig.redis().kill()
        const good = rig.variable('POSTERN_SK_LIVE')
        const statuses: Record<string, number> = {}
        const count = Math.max(200, Math.round(1000 * scale))
        for (let at = 0; at < count; at++) {
          const key = good.slice(0, -6) + String(at).padStart(6, '0')
          const answered = await burst(rig, { id: '', key }, 1)
          for (const [status, times] of Object.entries(answered.statuses)) {
            statuses[status] = (statuses[status] ?? 0) + times
          }
        }
        const passed = await burst(rig, { id: '', key: good }, 4)
        await rig.redis().restart()
        const { 401: failures = 0, 429: cut = 0, ...others } = statuses
        return [
          // 20 on each node before it stops listening.
          atMost('told that it is wrong', failures, 20 * rig.nodes.length),
          atLeast('cut short', cut, count - 20 * rig.nodes.length),
          none('other answers', others),
          exactly('a good key, from there', passed.statuses, { 200: 4 }),
        ]
      },
    },
  ],
}
