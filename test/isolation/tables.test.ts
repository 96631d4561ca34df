import { randomUUID } from 'node:crypto'
import type pg from 'pg'
import { afterAll, describe, expect, test } from 'vitest'
import { scopeColumns } from '../../src/db/policies.ts'
import {
  openPglite,
  openPooled,
  openPostgres,
  type Pair,
  pairs,
  readTables,
  type Table,
  type Target,
} from './surface.ts'

type Row = Record<string, unknown>

/** Global on purpose: a secret is found before its platform is known (threats K15). */
const globallyUnique = new Set(['postern.api_key_secrets.digest'])

const samples: Readonly<Record<string, () => unknown>> = {
  text: () => `x${randomUUID()}`,
  'text[]': () => ['x'],
  integer: () => 1,
  jsonb: () => ({}),
  bytea: () => Buffer.alloc(32, randomUUID()),
  boolean: () => false,
  date: () => '2026-11-25',
  'timestamp with time zone': () => new Date(),
}
/** Where a check constraint wants certain words. */
const words: Readonly<Record<string, string>> = { environment: 'test', class: 'secret' }

/** A value for each column that a row needs; a column of a new type must be taught above. */
function sample(table: Table, parents: Row): Row {
  const row: Row = {}
  for (const { name, type, required } of table.columns) {
    if (name in parents) row[name] = parents[name]
    else if (name === 'id') row.id = `x${randomUUID()}`
    else if (required) row[name] = words[name] ?? samples[type]?.()
    if (required && row[name] === undefined) throw new Error(`no sample for ${table.name}.${name}`)
  }
  return row
}

function insertion(table: string, row: Row, more = ''): { text: string; values: unknown[] } {
  const places = Object.keys(row).map((_, i) => `$${i + 1}`)
  return {
    text: `insert into ${table} (${Object.keys(row).join(', ')}) values (${places.join(', ')}) ${more}`,
    values: Object.values(row),
  }
}

/** The SQLSTATE of a rejection; fails when there is none. */
async function refusal(work: Promise<unknown>): Promise<string> {
  const error: unknown = await work.then(
    () => 'it was not refused',
    (thrown: unknown) => thrown,
  )
  if (error instanceof Error && 'code' in error) return String(error.code)
  throw new Error(String(error))
}

const targets: readonly [string, Target][] = [
  ['PostgreSQL', await openPostgres()],
  ['PostgreSQL behind PgBouncer', await openPooled()],
  ['PGlite', await openPglite()],
]
const tables = new Map<Target, readonly Table[]>()
for (const [, target] of targets) tables.set(target, await readTables(target.owner))

afterAll(async () => {
  for (const [, target] of targets) await target.close()
})

/** A stored row of a scope, with the parents it needs. */
async function store(target: Target, table: Table, scope: string): Promise<Row> {
  const parents: Row = {}
  for (const { column, table: parent } of table.parents) {
    const found = tables.get(target)!.find(({ name }) => name.endsWith(parent))!
    parents[column] = (await store(target, found, scope)).id
  }
  const statement = insertion(table.name, sample(table, parents), 'returning *')
  const { rows } = await target.as(table.kind, scope, (c) => c.query<Row>(statement), 'keep')
  return rows[0]!
}

const scopeOf = (table: Table, row: Row) =>
  Object.fromEntries(scopeColumns(table.kind).map((column) => [column, row[column]]))

const without = (row: Row, columns: readonly string[]) =>
  Object.fromEntries(Object.entries(row).filter(([name]) => !columns.includes(name)))

function suite(target: Target, table: Table, pair: Pair): void {
  const stored = async () => ({
    ours: await store(target, table, pair.ours),
    theirs: await store(target, table, pair.theirs),
  })
  const we = <T>(work: (client: pg.ClientBase) => Promise<T>) =>
    target.as(table.kind, pair.ours, work)
  const run = (text: string, values: unknown[] = []) => we((c) => c.query<Row>(text, values))
  const key = [...scopeColumns(table.kind), ...table.key].join(', ')
  const keyOf = (row: Row) => table.key.map((column) => row[column])
  const where = table.key.map((column, i) => `${column} = $${i + 1}`).join(' and ')
  const first = table.key[0]!
  const may = (privilege: string) => table.grants.includes(privilege)
  const foreign = (row: Row) =>
    scopeColumns(table.kind).some((column, i) => row[column] !== pair.ours.split('/')[i])
  /** Another row of the same table: its id differs, where it has one. */
  const another = (row: Row, id: string) => ({ ...row, ...('id' in row ? { id } : {}) })
  const parentOf = (name: string) => tables.get(target)!.find((one) => one.name.endsWith(name))!
  /** Rows of ours with the ids that a row of theirs refers to. */
  const adopt = async (client: pg.ClientBase, row: Row, columns: readonly string[]) => {
    for (const { column, table: name } of table.parents) {
      if (!columns.includes(column)) continue
      const parent = { ...sample(parentOf(name), {}), id: row[column] }
      await client.query(insertion(name, parent))
    }
  }

  test('D27: select sees our rows and none of theirs', async () => {
    const { ours, theirs } = await stored()
    const { rows } = await run(`select * from ${table.name}`)
    expect(rows.map(keyOf)).toContainEqual(keyOf(ours))
    expect(rows.map(keyOf)).not.toContainEqual(keyOf(theirs))
    expect(rows.filter(foreign)).toEqual([])
    expect((await run(`select 1 from ${table.name} where ${where}`, keyOf(theirs))).rows).toEqual(
      [],
    )
  })

  test('D27: insert into their scope is refused, and returns nothing', async () => {
    const { ours, theirs } = await stored()
    const row = { ...another(ours, 'x-planted'), ...scopeOf(table, theirs) }
    const refused = insertion(table.name, row, 'returning *')
    expect(await refusal(we((c) => c.query(refused)))).toBe('42501')
    const silent = insertion(table.name, row, 'on conflict do nothing')
    expect(await refusal(we((c) => c.query(silent)))).toBe('42501')
  })

  test('D27: update, returning or not, touches none of theirs and moves nothing there', async () => {
    const { ours, theirs } = await stored()
    const byKey = `update ${table.name} set ${first} = ${first} where ${where}`
    if (!may('UPDATE')) {
      expect(await refusal(run(byKey, keyOf(ours)))).toBe('42501')
      return
    }
    expect((await run(byKey, keyOf(theirs))).rowCount).toBe(0)
    expect((await run(`${byKey} returning *`, keyOf(theirs))).rows).toEqual([])
    const { rows } = await run(`update ${table.name} set ${first} = ${first} returning *`)
    expect(rows.length).toBeGreaterThan(0)
    expect(rows.filter(foreign)).toEqual([])
    for (const column of scopeColumns(table.kind).filter((c) => ours[c] !== theirs[c])) {
      const last = `$${table.key.length + 1}`
      const move = `update ${table.name} set ${column} = ${last} where ${where}`
      expect(await refusal(run(move, [...keyOf(ours), theirs[column]]))).toBe('42501')
    }
  })

  test('D27: delete, returning or not, removes none of theirs', async () => {
    const { theirs } = await stored()
    const byKey = `delete from ${table.name} where ${where}`
    if (!may('DELETE')) {
      expect(await refusal(run(byKey, keyOf(theirs)))).toBe('42501')
      return
    }
    expect((await run(byKey, keyOf(theirs))).rowCount).toBe(0)
    expect((await run(`${byKey} returning *`, keyOf(theirs))).rows).toEqual([])
    const { rows } = await run(`delete from ${table.name} returning *`)
    expect(rows.length).toBeGreaterThan(0)
    expect(rows.filter(foreign)).toEqual([])
  })

  test('D27: an upsert on their key leaves their row as it was', async () => {
    const { ours, theirs } = await stored()
    const globals = [...globallyUnique].map((name) => name.split('.').at(-1)!)
    const row = { ...without(ours, [...scopeColumns(table.kind), ...globals]) }
    for (const column of table.key) row[column] = theirs[column]
    for (const name of globals) if (name in ours) Object.assign(row, { [name]: samples.bytea!() })
    // Texts that are unique beside the id (a ref, a slug) are taken by our own row already.
    for (const name of ['ref', 'slug']) if (name in ours) Object.assign(row, { [name]: 'x-upsert' })
    const action = may('UPDATE') ? `update set ${first} = excluded.${first}` : 'nothing'
    const upsert = insertion(table.name, row, `on conflict (${key}) do ${action} returning *`)
    const { rows } = await we(async (client) => {
      await adopt(client, theirs, table.key)
      return client.query<Row>(upsert)
    })
    expect(rows).toHaveLength(1)
    expect(rows.filter(foreign)).toEqual([])
    const seen = await target.as(table.kind, pair.theirs, (c) =>
      c.query<Row>(`select * from ${table.name} where ${where}`, keyOf(theirs)),
    )
    expect(seen.rows).toEqual([theirs])
  })

  test('D11: a value that is unique among their rows is free among ours', async () => {
    const { theirs } = await stored()
    const twin = without(theirs, scopeColumns(table.kind))
    for (const name of Object.keys(twin)) {
      if (globallyUnique.has(`${table.name}.${name}`)) twin[name] = samples.bytea!()
    }
    await we(async (client) => {
      await adopt(
        client,
        twin,
        table.parents.map(({ column }) => column),
      )
      const { rowCount } = await client.query(insertion(table.name, twin))
      expect(rowCount).toBe(1)
    })
  })

  for (const { column, table: parent } of table.parents) {
    test(`D10: ${column} of theirs and ${column} of nobody are refused alike`, async () => {
      const { ours, theirs } = await stored()
      const attempts = [theirs[column], 'x-nobody'].map((value) => {
        const globals = 'digest' in ours ? { digest: samples.bytea!() } : {}
        const fresh = { ...without(another(ours, 'x-child'), scopeColumns(table.kind)), ...globals }
        return refusal(we((c) => c.query(insertion(table.name, { ...fresh, [column]: value }))))
      })
      expect(parentOf(parent).kind).toBe(table.kind)
      expect(await Promise.all(attempts)).toEqual(['23503', '23503'])
    })
  }

  test('D14, D15: neither TRUNCATE nor row_security = off gets past the policy', async () => {
    await stored()
    expect(await refusal(run(`truncate ${table.name}`))).toBe('42501')
    const bare = we(async (client) => {
      await client.query('set local row_security = off')
      return client.query(`select * from ${table.name}`)
    })
    expect(await refusal(bare)).toBe('42501')
  })

  test('D3, D5: without a scope there are no rows, and no error', async () => {
    await stored()
    const { rows } = await target.as(table.kind, '', (c) => c.query(`select * from ${table.name}`))
    expect(rows).toEqual([])
    if (table.kind === 'tenant') {
      const platform = pair.ours.split('/')[0]!
      const read = await target.as('tenant', platform, (c) => c.query(`table ${table.name}`))
      expect(read.rows).toEqual([])
    }
  })
}

describe.each(targets)('%s', (_, target) => {
  for (const table of tables.get(target)!) {
    for (const pair of pairs.filter(({ kinds }) => kinds.includes(table.kind))) {
      describe(`${table.name}: ${pair.name}`, () => suite(target, table, pair))
    }
  }

  test('the catalog held tables of both kinds', () => {
    const names = tables.get(target)!.map(({ name }) => name)
    expect(names).toEqual(
      expect.arrayContaining(['public.subscriptions', 'public.children', 'postern.api_keys']),
    )
  })
})
