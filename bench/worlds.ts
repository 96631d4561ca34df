/**
 * What a mock costs beside a handler of the same process, and what looking for secrets in an answer costs
 * its way through. By the processor time of the gate: per request, and per megabyte. Runs alone, with
 * DATABASE_URL set:
 *
 *     node bench/worlds.ts
 */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { processorMicros } from '../test/busy-gate.ts'
import { createDatabase } from '../test/database.ts'
import { type GateProcess, makePlace, startGateProcess } from '../test/gate-process.ts'
import { load, moveTo } from './load.ts'
import { type Spread, spread } from './rounds.ts'

export type WorldsBench = {
  /** Microseconds of the gate's processor time. */
  readonly handlerMicros: Spread
  readonly mockMicros: Spread
  /** The second over the first, each within its round. */
  readonly mockOfHandler: Spread
  /** Milliseconds of the gate's processor time for a gigabyte that is forwarded. */
  readonly plainMs: Spread
  /** The same by a caller who names a session: the route places no secret, and nothing is looked for. */
  readonly besideMs: Spread
  readonly maskedMs: Spread
  readonly besideOfPlain: Spread
  readonly maskedOfPlain: Spread
}

export type WorldsOptions = {
  /** Told what is running. */
  readonly say?: (line: string) => void
  readonly rounds?: number
  readonly seconds?: number
}

const bodyBytes = 64 * 1024 * 1024
const piece = Buffer.from(
  `${JSON.stringify({ id: 'sub_1', plan: 'pro', seats: 3 })}\n`.repeat(1300),
)

const document = `
openapi: 3.1.0
info: { title: bench, version: '1' }
paths:
  /v1/plans/current:
    get:
      responses:
        '200':
          content:
            application/json:
              schema:
                type: object
                properties: { id: { type: string }, plan: { type: string }, seats: { type: integer } }
              example: { id: plan_1, plan: pro, seats: 3 }
`

const configOf = (upstream: string): string => `
version: 1
platforms:
  - id: plt_bench
    slug: bench
    scheme: azotte
    openapi: openapi.yaml
    permissions: { data: [read] }
    environments:
      test: { mode: mock, limits: { key: [100000000/min], tenant: [100000000/min] } }
      live: { limits: { key: [100000000/min], tenant: [100000000/min] } }
    upstreams: [{ name: bench, url: "${upstream}", allow: [127.0.0.0/8] }]
    routes:
      - { path: /v1/plans/current, methods: [GET], handler: current, permission: data:read }
      - { path: /v1/sessions/**, handler: sessions }
      - { path: "/v1/sessions/:sid/secrets/**", handler: secrets }
      - { path: /v1/plain, methods: [GET], upstream: bench }
      - { path: /v1/masked, methods: [GET], upstream: bench, secrets: { headers: { x-key: "{{secret.KEY}}" } } }
    seed: [{ id: tenant_abc123 }]
log: { level: silent }
server: { overload: off }
`

/** Runs the bench; a minute. Throws when an answer is not what it should be. */
export async function benchWorlds(options: WorldsOptions = {}): Promise<WorldsBench> {
  const { say = () => undefined, rounds = 5, seconds = 2 } = options
  const upstream = createServer((_, answer) => {
    answer.writeHead(200, { 'content-type': 'text/plain', 'content-length': bodyBytes })
    let left = bodyBytes
    const write = (): void => {
      while (left > 0) {
        const part = piece.subarray(0, Math.min(left, piece.length))
        left -= part.length
        if (!answer.write(part)) return void answer.once('drain', write)
      }
      answer.end()
    }
    write()
  })
  await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve))
  const { port } = upstream.address() as AddressInfo
  const database = await createDatabase({ migrate: false })
  const place = makePlace(configOf(`http://127.0.0.1:${port}`))
  place.write('openapi.yaml', document)
  const gate = await startGateProcess(place, { DATABASE_URL: database.ownerUrl }, [], {
    program: new URL('worlds-gate.ts', import.meta.url).pathname,
  })
  try {
    moveTo('server', gate.pid)
    return await measure(gate, { say, rounds, seconds })
  } finally {
    await gate.stop()
    place.remove()
    await database.drop()
    upstream.close()
  }
}

async function measure(
  gate: GateProcess,
  { say, rounds, seconds }: Required<WorldsOptions>,
): Promise<WorldsBench> {
  const headersOf = (name: string) => ({
    ...{ 'x-api-key': gate.variable(name), 'x-tn': 'tenant_abc123' },
  })
  const live = headersOf('POSTERN_SK_LIVE')
  const session = await makeSession(gate)
  const perRequest = async (headers: Readonly<Record<string, string>>): Promise<number> => {
    const before = processorMicros(gate.pid)
    const url = `${gate.url}/v1/plans/current`
    const { requests } = await load({ url, headers, connections: 50, seconds })
    return (processorMicros(gate.pid) - before) / requests
  }
  const perGigabyte = async (path: string, named = {}): Promise<number> => {
    const before = processorMicros(gate.pid)
    for (let times = 0; times < 4; times++) await takeDown(gate.url + path, { ...live, ...named })
    const micros = processorMicros(gate.pid) - before
    return (micros / 1000 / (4 * bodyBytes)) * 1e9
  }
  const found: Record<'handler' | 'mock' | 'plain' | 'beside' | 'masked', number>[] = []
  for (let round = 0; round <= rounds; round++) {
    say(round === 0 ? 'warming up' : `round ${round} of ${rounds}`)
    const one = {
      handler: await perRequest(live),
      mock: await perRequest(headersOf('POSTERN_SK_DEV')),
      plain: await perGigabyte('/v1/plain'),
      beside: await perGigabyte('/v1/plain', { 'postern-session': session }),
      masked: await perGigabyte('/v1/masked', { 'postern-session': session }),
    }
    if (round > 0) found.push(one)
  }
  const over = (pick: (one: (typeof found)[number]) => number) => spread(found.map(pick))
  return {
    handlerMicros: over(({ handler }) => handler),
    mockMicros: over(({ mock }) => mock),
    mockOfHandler: over(({ handler, mock }) => mock / handler),
    plainMs: over(({ plain }) => plain),
    besideMs: over(({ beside }) => beside),
    maskedMs: over(({ masked }) => masked),
    besideOfPlain: over(({ plain, beside }) => beside / plain),
    maskedOfPlain: over(({ plain, masked }) => masked / plain),
  }
}

async function makeSession(gate: GateProcess): Promise<string> {
  const sent = { key: gate.variable('POSTERN_SK_LIVE'), tenant: 'tenant_abc123', method: 'POST' }
  const { json } = await gate.call('/v1/sessions', { ...sent, body: { userId: 'bench' } })
  const body = { KEY: 'sk-bench-0123456789abcdef' }
  const set = await gate.call(`/v1/sessions/${json.id}/secrets`, { ...sent, body })
  if (set.status !== 204) throw new Error(`no secret was set: ${set.text}`)
  return json.id
}

async function takeDown(url: string, headers: Readonly<Record<string, string>>): Promise<void> {
  const answer = await fetch(url, { headers })
  let bytes = 0
  for await (const part of answer.body ?? []) bytes += part.length
  if (answer.status !== 200 || bytes !== bodyBytes) {
    throw new Error(`${url} answered ${answer.status} and ${bytes} bytes`)
  }
}

if (import.meta.main) {
  const say = (line: string) => void process.stderr.write(`${line}\n`)
  const [rounds = 5, seconds = 2] = process.argv.slice(2).map(Number)
  process.stdout.write(`${JSON.stringify(await benchWorlds({ say, rounds, seconds }), null, 2)}\n`)
}
