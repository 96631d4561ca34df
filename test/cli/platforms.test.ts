/** One process with a platform of each preset: a key's life on each of them, by the command. */
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createDatabase, type TestDatabase } from '../database.ts'
import { call, type GateProcess, makePlace, type Place, startGateProcess } from '../gate-process.ts'
import { freePort } from '../servers.ts'
import { readText } from '../source.ts'
import { postern as command } from './terminal.ts'

const source = readFileSync(new URL('../../examples/sources.yaml', import.meta.url), 'utf8')

/** Beside a database, because the embedded one takes its time to start on a busy machine. */
function environment(): Record<string, string> {
  const secret = Buffer.alloc(32, 5).toString('base64')
  const secrets = { POSTERN_PEPPER: secret, POSTERN_MASTER_KEY: secret }
  return { ...secrets, DATABASE_URL: database.ownerUrl }
}

let database: TestDatabase
let place: Place
let gate: GateProcess
beforeAll(async () => {
  database = await createDatabase({ migrate: false })
  place = makePlace(null)
  let text = source
  for (const port of ['8801', '8802', '8803', '8804']) {
    text = text.replace(`port: ${port}`, `port: ${await freePort()}`)
  }
  place.write('theazo-openapi.yaml', readText('examples/theazo-openapi.yaml'))
  place.write('sources.yaml', text)
  gate = await startGateProcess(place, environment(), ['sources.yaml'])
})
afterAll(async () => {
  await gate?.stop()
  place?.remove()
  await database?.drop()
})

const postern = (...args: string[]) => command(args, { cwd: place.folder })

test.each([
  ['azotte', 'sk_live', 'data:read', 'tenant_abc123'],
  ['theazo', 'live', 'sessions:read', undefined],
  ['tenzro', 'production', 'data:read', undefined],
  ['generic', 'live', 'data:read', undefined],
])(
  '%s: made as %s, called with, rotated, revoked',
  async (slug, type, permission, tenant) => {
    const on = ['--platform', slug]
    const make = ['keys', 'create', 'made', '--type', type, '--perm', permission, ...on]
    const made = await postern(...make)
    expect(made.code, made.err).toBe(0)
    const url = `${gate.variable(`POSTERN_${slug.toUpperCase()}_URL`)}/v1/subscriptions`
    const sent = tenant === undefined ? {} : { tenant }
    const read = async (key: string) => (await call(url, { key: key.trim(), ...sent })).status
    expect(await read(made.out)).toBe(200)
    const rotated = await postern('keys', 'rotate', 'made', '--overlap', '1h', ...on)
    expect([await read(made.out), await read(rotated.out)]).toEqual([200, 200])
    expect((await postern('keys', 'revoke', 'made', '--yes', ...on)).code).toBe(0)
    expect([await read(made.out), await read(rotated.out)]).toEqual([401, 401])
  },
  120_000,
)

test('without --platform it says which there are, and asks none', async () => {
  const { code, out, err } = await postern('keys', 'list')
  expect([code, out]).toEqual([2, ''])
  expect(err).toContain('say --platform azotte | generic | tenzro | theazo')
})
