/**
 * How much was each API key used? Sums per key and day, and when and from where each of its secrets
 * was last used. The first use of a new secret starts the time of the old one (rotation).
 *
 * It refuses to take anything back: rows only grow, and only those of keys that exist on the
 * platform and are not revoked, so that a late flush changes nothing of a dead key (threats V2); the
 * database sees to both. The danger is a batch whose answer was lost: sent again under the same id,
 * it counts once (threats Q10).
 */
import type { EnvironmentName, Sql, UsageBatch } from '../context.ts'

/** A day of a key. Only live traffic is billable. */
export type UsageDay = {
  readonly day: string
  readonly environment: EnvironmentName
  readonly billable: boolean
  readonly requests: number
  readonly errors: number
  readonly bytesIn: number
  readonly bytesOut: number
  /** Milliseconds since 1970. */
  readonly lastUsedAt: number
  readonly lastAddress: string | null
  readonly lastOrigin: string | null
}

/** The usage of platforms. Everything rejects when the database does not answer. */
export type UsageStore = {
  /**
   * Adds a batch. Resolves to how many entries counted: those of unknown and of revoked keys do not,
   * and none does when the batch was added before.
   */
  addUsage(platform: string, batch: UsageBatch): Promise<number>
  /** The days of a key from `from` to `to`, both included, oldest first. Days without use are left out. */
  usageOf(platform: string, keyId: string, from: string, to: string): Promise<readonly UsageDay[]>
}

/** Builds the store on the gateway role's connections. */
export function createUsageStore(sql: Sql): UsageStore {
  return {
    async addUsage(platform, { id, entries }) {
      if (entries.length === 0) return 0
      const { rows } = await sql.query<{ counted: number }>(
        { platform },
        {
          text: 'select postern.add_usage($1, $2) as counted',
          values: [id, JSON.stringify(entries)],
        },
      )
      return rows[0]?.counted ?? 0
    },
    async usageOf(platform, keyId, from, to) {
      const { rows } = await sql.query<{ day: UsageDay }>(
        { platform },
        { text: days, values: [keyId, from, to] },
      )
      return rows.map(({ day }) => day)
    },
  }
}

const days = `
  select jsonb_build_object('day', day, 'environment', environment, 'billable', billable,
    'requests', requests, 'errors', errors, 'bytesIn', bytes_in, 'bytesOut', bytes_out,
    'lastUsedAt', floor(extract(epoch from last_used_at) * 1000), 'lastAddress', last_address,
    'lastOrigin', last_origin) as day
  from postern.usage_days u where key_id = $1 and u.day between $2::date and $3::date
  order by u.day`
