/**
 * What the gate costs as there is more of everything: keys that are all in use, routes, limits of each
 * key. Limits are leased from Redis. Gates that differ in one of these run at once and are loaded in
 * turn. Runs alone, with DATABASE_URL and REDIS_URL set:
 *
 *     node bench/growth.ts
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startGateServer } from './gate.ts'
import { sendMany } from './many.ts'
import { answerText, type BenchServer } from './processes.ts'
import { type Figures, figuresOf, inTurn } from './rounds.ts'

type Size = { readonly keys: number; readonly routes: number; readonly keyLimits: number }

const small: Size = { keys: 10, routes: 10, keyLimits: 1 }

/** In the order they are loaded and shown. The first is what the others are compared with. */
const sizes = {
  small,
  keys1000: { ...small, keys: 1000 },
  keys100000: { ...small, keys: 100_000 },
  routes1000: { ...small, routes: 1000 },
  limits4: { ...small, keyLimits: 4 },
  limits8: { ...small, keyLimits: 8 },
} as const satisfies Record<string, Size>

export type GrowthKind = keyof typeof sizes
// Object.keys forgets the names of what it is given.
export const growthKinds = Object.keys(sizes) as readonly GrowthKind[]

export type GrowthBench = {
  readonly figures: ReadonlyMap<GrowthKind, Figures>
  /** Those whose keys had not all been used when the rounds began. */
  readonly cold: readonly GrowthKind[]
}

export type GrowthOptions = {
  readonly redisUrl: string
  /** Told what is running. */
  readonly say?: (line: string) => void
  readonly rounds?: number
  readonly seconds?: number
  /** Those to run beside `small`. */
  readonly kinds?: readonly GrowthKind[]
}

/** Runs the bench; two minutes. Throws when a single request was not answered with a 200. */
export async function benchGrowth(options: GrowthOptions): Promise<GrowthBench> {
  const { redisUrl, say = () => undefined, rounds = 3, seconds = 3 } = options
  const { kinds = growthKinds } = options
  const folder = mkdtempSync(join(tmpdir(), 'postern-growth-'))
  const servers = new Map<GrowthKind, BenchServer>()
  const cold: GrowthKind[] = []
  const loads = new Map<string, { readonly keysFile: string; readonly routes: number }>()
  try {
    for (const kind of growthKinds) {
      if (kind !== 'small' && !kinds.includes(kind)) continue
      const { keys: count, routes, keyLimits } = sizes[kind]
      const keysFile = join(folder, kind)
      say(`starting ${kind}`)
      const server = await startGateServer({
        ...{ redisUrl, routes, keyLimits },
        keys: { count, file: keysFile },
      })
      servers.set(kind, server)
      loads.set(server.url, { keysFile, routes })
      say(`each key and route of ${kind}`)
      const all = { url: server.url, keysFile, routes, connections: 50, seconds: null }
      const { requests } = await sendMany(all)
      if (requests < count) cold.push(kind)
    }
    const found = await inTurn(servers, {
      ...{ answer: answerText, rounds, seconds, say },
      async send({ url, connections, seconds }) {
        const one = loads.get(url)
        if (one === undefined) throw new Error(`nothing is known of ${url}`)
        return sendMany({ url, ...one, connections, seconds })
      },
    })
    const of = (kind: GrowthKind) => [kind, figuresOf(found, kind, 'small')] as const
    return { figures: new Map([...servers.keys()].map(of)), cold }
  } finally {
    await Promise.all([...servers.values()].map((server) => server.stop()))
    rmSync(folder, { recursive: true, force: true })
  }
}

if (import.meta.main) {
  const redisUrl = process.env.REDIS_URL
  if (redisUrl === undefined) throw new Error('REDIS_URL is not set')
  const say = (line: string) => void process.stderr.write(`${line}\n`)
  const [seconds = '3', rounds = '3', ...names] = process.argv.slice(2)
  const kinds =
    names.length === 0 ? growthKinds : growthKinds.filter((kind) => names.includes(kind))
  const found = await benchGrowth({
    ...{ redisUrl, say, kinds },
    ...{ seconds: Number(seconds), rounds: Number(rounds) },
  })
  process.stdout.write(
    `${JSON.stringify({ ...found, figures: Object.fromEntries(found.figures) }, null, 2)}\n`,
  )
}
