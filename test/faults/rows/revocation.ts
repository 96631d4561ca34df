/** How long a key that was revoked on one node passes on the others. */

import { tenants } from '../callers.ts'
import { machineMs } from '../oracles.ts'
import { ask, type Rig, type RigNode, startRig } from '../rig.ts'
import { atMost, type Check, exactly, type Group, type Lengths } from '../verdicts.ts'

/** Revokes a key by way of a node; answers what it was told. */
export async function revoke(rig: Rig, node: RigNode, id: string) {
  const key = rig.variable('POSTERN_ADMIN_KEY')
  const answer = await ask(node, `/v1/api-keys/${id}`, { key, method: 'DELETE' })
  if (answer.status !== 200) throw new Error(`not revoked: ${answer.text}`)
  return answer.json
}

/** Asks with a key every 10 ms until each node refuses it; how long that took, of the slowest. */
export async function endsWithin(
  nodes: readonly RigNode[],
  key: string,
  givenUpMs: number,
): Promise<number> {
  const from = machineMs()
  const times = await Promise.all(
    nodes.map(async (node) => {
      for (;;) {
        const sentMs = machineMs()
        const { status } = await ask(node, '/echo/revoked', { key, tenant: tenants[0] })
        if (status === 401) return sentMs - from
        if (sentMs - from > givenUpMs) return Number.POSITIVE_INFINITY
        await new Promise((resolve) => setTimeout(resolve, 10))
      }
    }),
  )
  return Math.max(...times)
}

/** A key that every node has just verified. */
async function knownKey(rig: Rig) {
  const made = await rig.makeKey()
  const statuses = await Promise.all(
    rig.nodes.map(
      async (node) =>
        (await ask(node, '/echo/known', { key: made.key, tenant: tenants[0] })).status,
    ),
  )
  return { ...made, statuses }
}

const known = (statuses: readonly number[]): Check =>
  exactly('before', [...new Set(statuses)], [200])

/** What the receipt says of the nodes, when all of them were there to hear it. */
const receipt = (rig: Rig, told: { nodes?: number; acknowledged?: number }): Check =>
  exactly(
    'receipt',
    { nodes: told.nodes, acknowledged: told.acknowledged },
    { nodes: rig.nodes.length, acknowledged: rig.nodes.length },
  )

/** How long a node that is cut off goes by what it knows. */
const staleSeconds = (lengths: Lengths): number => Math.round(lengths.of(60, 6000) / 1000)

export const revocationGroup: Group = {
  name: 'revocation',
  start: (lengths) => startRig({ config: { more: `keys: { stale: ${staleSeconds(lengths)}s }` } }),
  rows: [
    {
      id: 'Q12 V1',
      did: 'keys are revoked on one node, with all in reach, 20 times',
      async run(rig, lengths) {
        const times: number[] = []
        const times20 = Math.max(3, Math.round(20 * lengths.scale))
        let last: { nodes?: number; acknowledged?: number } = {}
        const before: number[] = []
        for (let round = 0; round < times20; round++) {
          const { id, key, statuses } = await knownKey(rig)
          before.push(...statuses)
          last = await revoke(rig, rig.nodes[round % rig.nodes.length]!, id)
          times.push(await endsWithin(rig.nodes, key, 20_000))
        }
        const sorted = times.toSorted((a, b) => a - b)
        const middle = sorted[Math.floor(sorted.length / 2)] ?? 0
        const longest = sorted.at(-1) ?? 0
        return [
          known(before),
          atMost('longest', longest, lengths.slack(2500), ' ms'),
          atMost('median', middle, lengths.slack(50), ' ms'),
          atMost('p99', longest, lengths.slack(500), ' ms'),
          receipt(rig, last),
        ]
      },
    },
    {
      id: 'V1 Q12 bus',
      did: 'Redis is killed at the moment of a revocation',
      async run(rig, lengths) {
        const { id, key, statuses } = await knownKey(rig)
        const [node] = rig.nodes
        const [told] = await Promise.all([revoke(rig, node!, id), rig.redis().kill()])
        const ms = await endsWithin(rig.nodes, key, 20_000)
        await rig.redis().restart()
        return [
          known(statuses),
          atMost('until all refuse it', ms, lengths.slack(5000), ' ms'),
          exactly('says how stale it may be', told.max_staleness_ms > 0, true),
        ]
      },
    },
    {
      id: 'V3',
      did: 'one node hears nothing from Redis for 3 s while a key is revoked',
      async run(rig, lengths) {
        const { id, key, statuses } = await knownKey(rig)
        const [node, deaf] = rig.nodes
        deaf!.toRedis?.set({ hold: 'down' })
        await revoke(rig, node!, id)
        const ms = await endsWithin(rig.nodes, key, 20_000)
        deaf!.toRedis?.set()
        return [known(statuses), atMost('until all refuse it', ms, lengths.slack(5000), ' ms')]
      },
    },
    {
      id: 'V4',
      did: 'one node is cut off from Redis and PostgreSQL while a key is revoked',
      async run(rig, lengths) {
        const { id, key, statuses } = await knownKey(rig)
        const good = rig.variable('POSTERN_SK_LIVE')
        const [node, cut] = rig.nodes
        const others = rig.nodes.filter((one) => one !== cut)
        await ask(cut!, '/echo/cut', { key: good, tenant: tenants[0] })
        for (const relay of [cut!.toRedis, cut!.toPostgres]) relay?.set({ hold: 'both' })
        const told = await revoke(rig, node!, id)
        const ms = await endsWithin(others, key, 20_000)
        const meanwhile = await ask(cut!, '/echo/cut', { key: good, tenant: tenants[0] })
        for (const relay of [cut!.toRedis, cut!.toPostgres]) relay?.set()
        await rig.allReady()
        const after = await endsWithin(rig.nodes, key, 20_000)
        return [
          known(statuses),
          atMost('until the others refuse it', ms, lengths.slack(5000), ' ms'),
          exactly('known keys work there', meanwhile.status, 200),
          atMost('once it is back', after, lengths.slack(5000), ' ms'),
          exactly('says how stale it may be', told.max_staleness_ms > 0, true),
        ]
      },
    },
    {
      id: 'V4 Q12 long',
      did: 'one node is cut off for longer than it may go by what it knows (60 s)',
      async run(rig, lengths) {
        const { key, statuses } = await knownKey(rig)
        const [, cut] = rig.nodes
        for (const relay of [cut!.toRedis, cut!.toPostgres]) relay?.set({ hold: 'both' })
        const from = machineMs()
        let status = 200
        let code = ''
        while (status === 200 && machineMs() - from < 120_000) {
          const answer = await ask(cut!, '/echo/cut', { key, tenant: tenants[0] })
          status = answer.status
          code = answer.json?.code ?? ''
          await new Promise((resolve) => setTimeout(resolve, 500))
        }
        const ms = machineMs() - from
        for (const relay of [cut!.toRedis, cut!.toPostgres]) relay?.set()
        await rig.allReady()
        return [
          known(statuses),
          exactly('then it says', `${status} ${code}`, '503 auth/unavailable'),
          // And what one question to a black hole takes.
          atMost('after', ms, staleSeconds(lengths) * 1000 + lengths.slack(10_000), ' ms'),
        ]
      },
    },
  ],
}
