/**
 * What the management API costs where there are many keys: ten thousand imported over HTTP into a
 * fresh PostgreSQL, and the first page of a list where a platform has a million keys against one that
 * has a thousand, asked in turn. Runs alone, with DATABASE_URL set:
 *
 *     node bench/management.ts
 */
import { createDatabase, withClient } from '../test/database.ts'
import { startGate, type TestGate } from '../test/gate.ts'
import { type Spread, spread } from './rounds.ts'

export type ManagementBench = {
  readonly importSeconds: number
  readonly imported: number
  /** Milliseconds of a first page of 20, on the platform with so many keys. */
  readonly few: Spread
  readonly many: Spread
  /** Of neighbours in time. */
  readonly manyOfFew: Spread
}

const importedKeys = 10_000
const importedAtOnce = 1000
const fewKeys = 1000
const manyKeys = 1_000_000
const pages = 200

const config = `
version: 1
platforms:
${platform('few')}
${platform('many')}
${platform('imports')}
management: { hosts: [localhost] }
log: { level: silent }
`

function platform(slug: string): string {
  return `  - id: plt_${slug}
    slug: ${slug}
    hosts: [${slug}.localhost]
    permissions: { data: [read], admin: [keys] }
    environments: { live: { limits: { key: [], tenant: [] } } }
    adopted: [{ prefix: old_, class: secret, environment: live }]
    routes: [{ path: /v1/things/**, handler: subscriptions }]
    seed: [{ id: tenant_1 }]`
}

/** Runs the bench; about two minutes, most of it for the million. */
export async function benchManagement(
  say: (line: string) => void = () => undefined,
): Promise<ManagementBench> {
  const database = await createDatabase()
  try {
    const gate = await startGate({ DATABASE_URL: database.ownerUrl }, config)
    try {
      say(`importing ${importedKeys} keys`)
      const importSeconds = await timeImport(gate)
      for (const [slug, count] of [
        ['few', fewKeys],
        ['many', manyKeys],
      ] as const) {
        say(`storing ${count} keys`)
        await store(database.ownerUrl, `plt_${slug}`, count)
      }
      say('reading first pages')
      return { importSeconds, imported: importedKeys, ...(await timePages(gate)) }
    } finally {
      await gate.stop()
    }
  } finally {
    await database.drop()
  }
}

async function call(gate: TestGate, slug: string, path: string, body?: string): Promise<string> {
  const response = await fetch(
    `${gate.url.replace('127.0.0.1', 'localhost')}${path}${path.includes('?') ? '&' : '?'}platform=${slug}`,
    {
      method: body === undefined ? 'GET' : 'POST',
      headers: {
        authorization: `Bearer ${gate.seeded.operator}`,
        ...(body !== undefined && { 'content-type': 'application/x-ndjson' }),
      },
      ...(body !== undefined && { body }),
    },
  )
  const text = await response.text()
  if (!response.ok) throw new Error(`${path} answers ${response.status} ${text.slice(0, 300)}`)
  return text
}

async function timeImport(gate: TestGate): Promise<number> {
  const started = performance.now()
  for (let at = 0; at < importedKeys; at += importedAtOnce) {
    const lines = Array.from({ length: importedAtOnce }, (_, index) =>
      JSON.stringify({
        name: `key ${at + index}`,
        key: `old_${crypto.randomUUID()}`,
        permissions: ['data:read'],
      }),
    )
    await call(gate, 'imports', '/v1/api-keys/import', `${lines.join('\n')}\n`)
  }
  return (performance.now() - started) / 1000
}

/** Rows as the API makes them, by the owner and in one statement. */
async function store(url: string, platformId: string, count: number): Promise<void> {
  await withClient(url, async (client) => {
    await client.query(
      `insert into postern.api_keys
         (platform, id, environment, class, name, prefix, ref, permissions, created_at)
       select $1, 'key_' || $1 || '_' || i, 'live', 'secret', 'key ' || i, 'sk_live_', '', '{data:read}',
         now() - make_interval(secs => i)
       from generate_series(1, $2::int) i`,
      [platformId, count],
    )
    await client.query(
      `insert into postern.api_key_secrets (platform, key_id, digest, pepper_version, last4)
       select $1, 'key_' || $1 || '_' || i, sha256(($1 || i)::bytea), 1, 'abcd'
       from generate_series(1, $2::int) i`,
      [platformId, count],
    )
    await client.query('analyze postern.api_keys, postern.api_key_secrets')
  })
}

async function timePages(
  gate: TestGate,
): Promise<Pick<ManagementBench, 'few' | 'many' | 'manyOfFew'>> {
  const took = async (slug: string): Promise<number> => {
    const started = performance.now()
    await call(gate, slug, '/v1/api-keys?limit=20')
    return performance.now() - started
  }
  const few: number[] = []
  const many: number[] = []
  for (let round = -20; round < pages; round++) {
    const [a, b] = [await took('few'), await took('many')]
    if (round < 0) continue
    few.push(a)
    many.push(b)
  }
  return {
    few: spread(few),
    many: spread(many),
    manyOfFew: spread(many.map((ms, at) => ms / few[at]!)),
  }
}

if (import.meta.main) {
  const say = (line: string) => void process.stderr.write(`${line}\n`)
  process.stdout.write(`${JSON.stringify(await benchManagement(say), null, 2)}\n`)
}
