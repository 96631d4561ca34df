import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Sql, SqlResult } from '../../../src/context.ts'
import { createSql } from '../../../src/runtime/sql.ts'
import {
  gatewayReadsItsWrites,
  tenantReadsItsWrites,
} from '../../../src/runtime/workers/uncached.ts'
import { createDatabase, type TestDatabase, withClient } from '../../database.ts'
import { limits } from '../../sql.ts'

let database: TestDatabase
let tenantSql: Sql
let gatewaySql: Sql
beforeAll(async () => {
  database = await createDatabase()
  const open = (connection: string) =>
    createSql({
      ...limits,
      connection,
      role: null,
      scope: 'hardened',
      embedded: false,
      pooler: true,
    })
  tenantSql = open(database.tenantUrl)
  gatewaySql = open(database.gatewayUrl)
})
afterAll(async () => {
  await tenantSql?.close()
  await gatewaySql?.close()
  await database?.drop()
})

/** What Hyperdrive does unless told not to: it knows a SELECT by its text and values, and no scope. */
function cached(sql: Sql): Sql {
  const answers = new Map<string, SqlResult<unknown>>()
  return {
    ...sql,
    async query<Row>(...[scope, statement]: Parameters<Sql['query']>) {
      const name = JSON.stringify([statement.text, statement.values])
      const known = answers.get(name)
      // The same statement, so the same rows.
      if (known !== undefined) return known as SqlResult<Row>
      const answer = await sql.query<Row>(scope, statement)
      if (statement.text.startsWith('select')) answers.set(name, answer)
      return answer
    },
  }
}

describe.each([
  ['the gateway role', gatewayReadsItsWrites, () => gatewaySql],
  ['the tenant role', tenantReadsItsWrites, () => tenantSql],
])('%s', (_, proof, sql) => {
  test('reads what it has just written, again and again', async () => {
    expect([await proof(sql()), await proof(sql())]).toEqual([true, true])
  })

  test('reads what it has just written while others do the same', async () => {
    const all = await Promise.all(Array.from({ length: 20 }, () => proof(sql())))
    expect(all.every(Boolean)).toBe(true)
  })

  test('T15: a cache in between is found out', async () => {
    const behind = cached(sql())
    expect([await proof(behind), await proof(behind)]).toEqual([false, false])
  })
})

test('the proof leaves one row at most, on a platform that nobody has', async () => {
  const { rows } = await withClient(database.ownerUrl, (client) =>
    client.query(`select platform, id from postern.tenants
      union all select platform, tenant from subscriptions`),
  )
  expect(rows).toEqual([{ platform: 'plt_postern_probe', id: 'probe' }])
})
