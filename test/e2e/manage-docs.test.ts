/** Every line of docs/manage.md is pasted, in its order, beside a fresh gate. */
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createDatabase, type TestDatabase } from '../database.ts'
import { type GateProcess, makePlace, type Place, startGateProcess } from '../gate-process.ts'
import { run } from '../process.ts'

const guide = readFileSync(new URL('../../docs/manage.md', import.meta.url), 'utf8')
const blocks = [...guide.matchAll(/```sh\n([\s\S]*?)```/g)].map(([, text = '']) => text)

let database: TestDatabase
let place: Place
let gate: GateProcess
beforeAll(async () => {
  database = await createDatabase({ migrate: false })
  place = makePlace()
  const secret = Buffer.alloc(32, 5).toString('base64')
  const env = { POSTERN_PEPPER: secret, POSTERN_MASTER_KEY: secret }
  gate = await startGateProcess(place, { ...env, DATABASE_URL: database.ownerUrl })
})
afterAll(async () => {
  await gate?.stop()
  place?.remove()
  await database?.drop()
})

test('the guide runs from its first line to its last, and every answer is a good one', async () => {
  expect(blocks.length).toBeGreaterThan(5)
  const script = blocks.join('\n').replaceAll(/^curl /gm, 'echo; curl -sS -w "\\n%{http_code}" ')
  const pasted = await run('bash', ['-e', '-c', script], {
    cwd: place.folder,
    env: { PATH: process.env.PATH },
  })
  expect(pasted.stderr).toBe('')
  const statuses = [...pasted.stdout.matchAll(/^(\d{3})$/gm)].map(([, status]) => Number(status))
  expect(statuses).toHaveLength(blocks.join('\n').match(/^curl /gm)?.length ?? 0)
  expect(statuses.filter((status) => status !== 200 && status !== 201)).toEqual([])
  expect(pasted.stdout).toContain('"message":"API key revoked successfully"')
  expect(pasted.stdout).toContain('"api_key.rotated"')
  expect(pasted.stdout).toContain('"valid":true')
})
