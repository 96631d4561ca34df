import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Runs } from '../../src/agents/runs.ts'
import type { Sandbox } from '../../src/context.ts'
import { createAgentStore } from '../../src/db/agents.ts'
import { openSandbox } from '../../src/runtime/node/sandbox/bubblewrap.ts'
import { createDatabase, type TestDatabase } from '../database.ts'
import { type Relay, startRelay } from '../relay.ts'
import { scopeOf, tenantSql } from '../sql.ts'

let database: TestDatabase
let sandbox: Sandbox
let relay: Relay
beforeAll(async () => {
  database = await createDatabase()
  sandbox = await openSandbox()
  relay = await startRelay(Number(new URL(database.tenantUrl).port))
})
afterAll(async () => {
  await sandbox?.close()
  await relay?.stop()
  await database?.drop()
})

const scope = scopeOf('a', 'live')

/** The store as it is, behind a line that can be cut, with a silence that a test can wait for. */
function openRuns(placesMax: number, lostAfterMs = 30_000) {
  const connection = Object.assign(new URL(database.tenantUrl), { port: relay.port }).href
  const sql = tenantSql(database, { connection, connectTimeoutMs: 300, answerTimeoutMs: 300 })
  const warned: string[] = []
  const store = { ...createAgentStore(sql), lostAfterMs }
  const runs = new Runs({ store, placesMax, warn: (message) => warned.push(message) })
  return { sql, store, runs, warned }
}

const sleeping = () =>
  sandbox.start({
    ...{ compute: 'shell', code: 'sleep 60', variables: {}, timeoutMs: 60_000, network: false },
  })

/** The row of one that runs, in a session of its own. */
async function agentIn({ sql, store }: ReturnType<typeof openRuns>, id: string): Promise<string> {
  const session = `ses_${id}`
  const text = 'insert into sessions (id, user_id) values ($1, $2)'
  await sql.query(scope, { text, values: [session, 'u'] })
  const agent = { id, sessionId: session, compute: 'shell', secrets: [], end: null } as const
  expect(await store.insert(scope, agent, 4)).toBe('stored')
  return session
}

test('half of the places are for one tenant, and all of them for all: 429, 503', async () => {
  const { runs, sql } = openRuns(4)
  expect([runs.hold(scope), runs.hold(scope)]).toEqual([null, null])
  expect(runs.hold(scope)).toMatchObject({ code: 'quota/exceeded' })
  expect([runs.hold(scopeOf('b')), runs.hold(scopeOf('c'))]).toEqual([null, null])
  expect(runs.hold(scopeOf('d'))).toMatchObject({ code: 'gateway/overloaded' })
  runs.release(scope)
  expect(runs.hold(scopeOf('d'))).toBeNull()
  await runs.close()
  runs.release(scope)
  expect(runs.hold(scopeOf('e'))).toMatchObject({ code: 'gateway/overloaded' })
  await sql.close()
})

describe('whose row cannot be reached', () => {
  test('is ended before anybody takes it for lost, and its end is written when it can be', async () => {
    const opened = openRuns(4, 12_000)
    const { runs, store, sql, warned } = opened
    const session = await agentIn(opened, 'agt_cut')
    expect(runs.hold(scope)).toBeNull()
    const program = await sleeping()
    runs.watch(scope, session, 'agt_cut', program)
    relay.cut()
    relay.reset()
    expect(await program.ended).toMatchObject({ reason: 'stopped' })
    expect(warned.join()).toContain('agt_cut is ended')
    relay.mend()
    await expect
      .poll(
        async () =>
          (await store.find(scope, session, 'agt_cut').catch(() => null))?.status ?? 'unknown',
        { timeout: 20_000 },
      )
      .toBe('stopped')
    await runs.close()
    await sql.close()
  }, 60_000)

  test('a row that is gone ends its program', async () => {
    const opened = openRuns(4)
    const { runs, sql } = opened
    const session = await agentIn(opened, 'agt_gone')
    expect(runs.hold(scope)).toBeNull()
    const program = await sleeping()
    runs.watch(scope, session, 'agt_gone', program)
    await sql.query(scope, { text: 'delete from sessions where id = $1', values: [session] })
    expect(await program.ended).toMatchObject({ reason: 'stopped' })
    await runs.close()
    await sql.close()
  })
})
