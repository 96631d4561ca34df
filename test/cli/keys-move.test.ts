/** Keys in and out, by the command, over a gate that adopts a foreign prefix. */
import { createHash } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createDatabase, type TestDatabase } from '../database.ts'
import {
  exampleConfig,
  type GateProcess,
  makePlace,
  type Place,
  startGateProcess,
} from '../gate-process.ts'
import { postern as command } from './terminal.ts'

const config = exampleConfig
  .replaceAll(/\[\d+\/min\]/g, '[100000/min]')
  .replace(
    /^ {4}vocabulary: azotte$/m,
    '    vocabulary: azotte\n    adopted: [{ prefix: old_, class: secret, environment: live }]',
  )

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
  place = makePlace(config)
  gate = await startGateProcess(place, environment())
})
afterAll(async () => {
  await gate?.stop()
  place?.remove()
  await database?.drop()
})

const postern = (args: readonly string[], input?: string) =>
  command(args, { cwd: place.folder, input })
const read = (key: string) => gate.call('/v1/subscriptions', { key, tenant: 'tenant_abc123' })
const old = (name: string) => `old_${name}0123456789abcdefghij`
const sha256 = (text: string) => createHash('sha256').update(text).digest('base64url')

test('after a first start it works without a setting', async () => {
  const { code, out, err } = await postern(['keys', 'list'])
  expect([code, err]).toEqual([0, ''])
  expect(out).toMatch(/^ID +NAME +TYPE +KEY +STATUS +LAST USED +EXPIRES\n/)
  expect(out).toMatch(/^key_\w{32} +local ADMIN +sk_live +sk_live_\w{9}_…\w{4} /m)
  expect(out).not.toContain(gate.variable('POSTERN_SK_LIVE').slice(-32))
})

test('keys come in as they are, as lines of keys and of JSON, and work as before', async () => {
  const byDigest = JSON.stringify({
    ...{ name: 'by digest', prefix: 'old_', sha256: sha256(old('two')), last4: 'ghij' },
    permissions: ['data:read'],
  })
  const input = `${old('one')}\n\n${byDigest}\n`
  const done = await postern(['keys', 'import', '--name', 'moved', '--perm', 'data:read'], input)
  expect(done).toMatchObject({ code: 0, out: '' })
  expect(done.err).toContain('✔ Imported 2 keys; 0 were there already')
  expect([(await read(old('one'))).status, (await read(old('two'))).status]).toEqual([200, 200])
  expect((await postern(['keys', 'list', '--name', 'moved 1'])).out).toContain('old_…ghij')

  const again = await postern(['keys', 'import', '--perm', 'data:read', '-o', 'json'], input)
  expect(JSON.parse(again.out)).toEqual({ imported: 0, conflicts: 2 })
})

test('a fault is said with its line, and what was stored before it stays', async () => {
  const lines = Array.from({ length: 1002 }, (_, n) => (n === 1001 ? 'new_key' : old(`many${n}`)))
  const { code, out, err } = await postern(['keys', 'import'], lines.join('\n'))
  expect([code, out]).toEqual([1, ''])
  expect(err).toContain('1000 imported')
  expect(err).toContain('line 1002 key has no prefix that this platform adopts')
  expect(err).toContain('1000 keys were imported before that')
  expect(err).not.toContain('new_key')
})

test.each([
  ['', 'standard input is empty'],
  ['{"name": "half\n', 'line 1 is not JSON'],
  ['old_fine\n{oops old_secret\n', 'line 2 is not JSON'],
])('%j is refused before anything is sent', async (input, message) => {
  const { code, err } = await postern(['keys', 'import'], input)
  expect(code).toBe(2)
  expect(err).toContain(message)
  expect(err).not.toContain('secret')
})

test('what goes out comes in again, without any key in it', async () => {
  const exported = await postern(['keys', 'export'])
  expect([exported.code, exported.err]).toEqual([0, ''])
  // A first start makes publishable keys without an origin, which nobody else may.
  const lines = exported.out.split('\n').filter((line) => line !== '' && !line.includes('"pk_'))
  expect(lines.length).toBeGreaterThan(1000)
  for (const line of lines.slice(0, 20)) {
    expect(JSON.parse(line)).toMatchObject({ hmac_sha256: expect.stringMatching(/^[0-9a-f]{64}$/) })
  }
  expect(exported.out).not.toContain(old('many0'))
  const back = await postern(['keys', 'import', '-o', 'json'], lines.join('\n'))
  expect(JSON.parse(back.out)).toEqual({ imported: 0, conflicts: lines.length })
})
