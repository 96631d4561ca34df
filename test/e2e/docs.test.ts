/**
 * Every line that a page of `/docs/errors` tells its reader to paste is pasted, in the order of the
 * pages, into bash beside a fresh gate, with nothing but the variables of its `.env.local`.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { errorPages } from '../../src/docs/errors.ts'
import { type ProblemCode, problems } from '../../src/problem.ts'
import { createDatabase, type TestDatabase } from '../database.ts'
import { type GateProcess, makePlace, type Place, startGateProcess } from '../gate-process.ts'
import { run } from '../process.ts'

const lines = Object.entries(errorPages).flatMap(([code, { curl }]) =>
  curl === null ? [] : [[code, curl] as const],
)

let database: TestDatabase
let place: Place
let gate: GateProcess
beforeAll(async () => {
  database = await createDatabase({ migrate: false })
  place = makePlace()
  const secret = Buffer.alloc(32, 5).toString('base64')
  gate = await startGateProcess(place, {
    DATABASE_URL: database.ownerUrl,
    POSTERN_PEPPER: secret,
    POSTERN_MASTER_KEY: secret,
  })
})
afterAll(async () => {
  await gate?.stop()
  place?.remove()
  await database?.drop()
})

test('most pages have a line to paste', () => {
  expect(lines.length).toBeGreaterThan(20)
})

test.each(lines)('%s is what its page brings about', async (code, curl) => {
  const pasted = await run('bash', ['-c', `set -a; . ./.env.local; set +a; ${curl}`], {
    cwd: place.folder,
    env: { PATH: process.env.PATH },
  })
  const problem = JSON.parse(pasted.stdout)
  // Pages are kept by code.
  const { status } = problems[code as ProblemCode]
  expect(problem).toMatchObject({ code, status })
  expect(pasted.stderr).toBe('')
})
