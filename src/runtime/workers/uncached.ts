/**
 * Does something between us and the database answer reads from a cache? Hyperdrive does by default,
 * for 60 seconds, and it tells statements apart by their text and parameters only. The tenant is in
 * neither: a cached answer could be another tenant's. So each isolate proves, through the bindings
 * that will serve, that what was just written is what is read, before it serves anybody.
 *
 * The statements have the shape of those that serve: one flight, scope ahead, no function in the
 * SELECT (one that is not immutable would keep it out of the cache, and prove nothing). The rows
 * belong to a platform that no config can have a key for.
 */
import type { Sql } from '../../context.ts'
import { newId } from '../../lib/id.ts'

const platform = 'plt_postern_probe'
const tenantScope = { platform, environment: 'test', tenant: 'probe' } as const

/** As the server wrote it: a Date would round away the microseconds that tell two writes apart. */
const verbatim = { getTypeParser: () => (value: unknown) => value }

/**
 * Reads, writes and reads again as the gateway role. True when the second read saw the write.
 * Isolates that do so at once do not disturb each other: the time only grows.
 */
export async function gatewayReadsItsWrites(sql: Sql): Promise<boolean> {
  const read = async () => {
    const text = 'select updated_at from postern.tenants where id = $1'
    const { rows } = await sql.query<{ updated_at: unknown }>(
      { platform },
      { text, values: ['probe'], types: verbatim },
    )
    return rows[0]?.updated_at
  }
  const write = () =>
    sql.query(
      { platform },
      {
        text: `insert into postern.tenants (id) values ($1)
          on conflict (platform, id) do update set updated_at = clock_timestamp()`,
        values: ['probe'],
      },
    )
  const before = await read()
  await write()
  const after = await read()
  return after !== undefined && after !== before
}

/** The same as the tenant role, in a table of tenants' rows; the row is deleted again. */
export async function tenantReadsItsWrites(sql: Sql): Promise<boolean> {
  const id = newId('sub_')
  const ask = async (text: string) =>
    (await sql.query(tenantScope, { text, values: [id] })).rowCount ?? 0
  const read = () => ask('select id from subscriptions where id = $1')
  const before = await read()
  await ask(`insert into subscriptions (id, plan) values ($1, 'probe')`)
  const during = await read()
  await ask('delete from subscriptions where id = $1')
  const after = await read()
  return before === 0 && during === 1 && after === 0
}
