/** Every line of docs/cli.md is pasted, in its order, beside a fresh gate. */
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { bin } from '../cli/terminal.ts'
import { createDatabase, type TestDatabase } from '../database.ts'
import { type GateProcess, makePlace, type Place, startGateProcess } from '../gate-process.ts'
import { run } from '../process.ts'

const guide = readFileSync(new URL('../../docs/cli.md', import.meta.url), 'utf8')
const script = [...guide.matchAll(/```sh\n([\s\S]*?)```/g)].map(([, text = '']) => text).join('\n')

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
  place = makePlace()
  gate = await startGateProcess(place, environment())
})
afterAll(async () => {
  await gate?.stop()
  place?.remove()
  await database?.drop()
})

test('the guide runs from its first line to its last', async () => {
  const command = `postern() { "${process.execPath}" "${bin}" "$@"; }`
  const pasted = await run('bash', ['-e', '-c', `${command}\n${script}`], {
    cwd: place.folder,
    env: { PATH: process.env.PATH, POSTERN_URL: gate.url },
    timeoutMs: 120_000,
  })
  expect(pasted.code, pasted.stdout + pasted.stderr).toBe(0)
  expect(pasted.stdout).toMatch(/^valid$/m)
  expect(pasted.stdout).toContain('"data":[')
  expect(pasted.stderr).toContain('✔ Rotated')
  expect(pasted.stderr).toContain('✔ Revoked')
  expect(pasted.stderr).toMatch(/POST \/v1\/api-keys\/import with \d+ keys/)
}, 150_000)
