/** `npm start -- examples/sources.yaml` for tests: four platforms in one process, on free ports. */
import { parse } from 'yaml'
import { createDatabase, withClient } from './database.ts'
import { type GateProcess, makePlace, type Place, startGateProcess } from './gate-process.ts'
import { freePort } from './servers.ts'
import { readText } from './source.ts'

/** In the order of the file. */
export const slugs = ['azotte', 'theazo', 'tenzro', 'generic'] as const
export type Slug = (typeof slugs)[number]

/** A secret key of the live environment, as variables name it. */
export const liveKeys = {
  azotte: 'SK_LIVE',
  theazo: 'TH_LIVE',
  tenzro: 'PROD',
  generic: 'SK_LIVE',
} as const satisfies Record<Slug, string>

export type Sources = {
  readonly gate: GateProcess
  /** Where it was started, and wrote its `.env.local`. */
  readonly place: Place
  /** Of the owner of its database. */
  readonly ownerUrl: string
  urlOf(slug: Slug): string
  /** A key of the first start, by the name that the file has for it: `SK_LIVE`, `ADMIN`. */
  keyOf(slug: Slug, name: string): string
  tenantsOf(slug: Slug): readonly string[]
  /** Asks its database, as the owner. */
  query(text: string): Promise<{ readonly rows: readonly Record<string, unknown>[] }>
  stop(): Promise<void>
}

/**
 * Starts it as a user does, over PostgreSQL. Failed proofs are not counted against the tests' address.
 * `edit` changes the file before.
 */
export async function startSources(
  edit: (source: string) => string = (source) => source,
): Promise<Sources> {
  const source = edit(readText('examples/sources.yaml'))
  const { platforms }: { platforms: { slug: string; seed: { id: string }[] }[] } = parse(source)
  const database = await createDatabase({ migrate: false })
  const place = makePlace(null)
  let text = source
  for (const port of ['8801', '8802', '8803', '8804']) {
    text = text.replace(`port: ${port}`, `port: ${await freePort()}`)
  }
  place.write('theazo-openapi.yaml', readText('examples/theazo-openapi.yaml'))
  place.write(
    'sources.yaml',
    `${text}\nkeys: { failures: { count: 1000, window: 1s } }\nserver: { overload: off }\n`,
  )
  const secret = Buffer.alloc(32, 3).toString('base64')
  const env = { POSTERN_PEPPER: secret, POSTERN_MASTER_KEY: secret }
  const gate = await startGateProcess(place, { ...env, DATABASE_URL: database.ownerUrl }, [
    'sources.yaml',
  ])
  return {
    gate,
    place,
    ownerUrl: database.ownerUrl,
    urlOf: (slug) => gate.variable(`POSTERN_${slug.toUpperCase()}_URL`),
    keyOf: (slug, name) => gate.variable(`POSTERN_${slug.toUpperCase()}_${name}_KEY`),
    tenantsOf: (slug) => platforms.find((one) => one.slug === slug)?.seed.map(({ id }) => id) ?? [],
    query: (text) => withClient(database.ownerUrl, (client) => client.query(text)),
    async stop() {
      await gate.stop()
      place.remove()
      await database.drop()
    },
  }
}
