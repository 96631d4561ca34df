/**
 * Where is it written which agents run, and how they ended? Rows of one tenant. What the gateway that
 * runs an agent has to say of it, and what others want of it, meet in its row.
 *
 * The danger is a row that says `running` of what nobody runs any more. So a row that has not been
 * told of its agent for some time reads as `lost`, on the database's clock, and nothing that is
 * written later makes it anything else.
 */
import type { Compute, Scope, Sql } from '../context.ts'
import { stands } from './secrets.ts'
import { transact } from './transact.ts'

type Status = 'running' | 'exited' | 'failed' | 'stopped' | 'timeout' | 'lost'
type End = {
  readonly status: Status
  readonly exitCode: number | null
  readonly output: string
  readonly truncated: boolean
}
type New = {
  readonly id: string
  readonly sessionId: string
  readonly compute: Compute
  readonly secrets: readonly string[]
  readonly end: End | null
}
type Inserted = 'stored' | 'no_session' | 'too_many'
type Beat = { readonly id: string; readonly output: string | null; readonly truncated: boolean }
type Info = {
  readonly id: string
  readonly sessionId: string
  readonly compute: Compute
  readonly status: Status
  readonly exitCode: number | null
  readonly secrets: readonly string[]
  readonly createdAt: Date
  readonly endedAt: Date | null
}
type Row = Info & { readonly output: string; readonly truncated: boolean }

const lostAfterSeconds = 30
/** Of one session, those that do not run. */
const keptMax = 100

/** Builds the store on the tenant role's connections: `AgentStore` of src/agents/agents.ts. */
export function createAgentStore(sql: Sql) {
  return {
    lostAfterMs: lostAfterSeconds * 1000,

    insert(scope: Scope, agent: New, runningMax: number): Promise<Inserted> {
      const { id, sessionId, compute, secrets, end } = agent
      return transact<Inserted>(sql, scope, 'stored', async (open) => {
        const held = await open.query({ text: holding, values: [sessionId] })
        if (held.rows.length === 0) return 'no_session'
        if (end === null) {
          const counted = await open.query<{ total: number }>({
            ...{ text: counting, values: [sessionId] },
          })
          if ((counted.rows[0]?.total ?? 0) >= runningMax) return 'too_many'
        }
        const { status, exitCode, output, truncated } = end ?? begun
        const values = [id, sessionId, compute, secrets, status, exitCode, output, truncated]
        await open.query({ text: inserting, values })
        await open.query({ text: pruning, values: [sessionId, keptMax] })
        return 'stored'
      })
    },

    async find(scope: Scope, session: string, id: string): Promise<Row | null> {
      const { rows } = await sql.query<Row>(scope, { text: finding, values: [session, id] })
      return rows[0] ?? null
    },

    async list(scope: Scope, session: string, limit: number) {
      type Listed = { readonly total: number; readonly agents: readonly Stored[] }
      type Stored = Omit<Info, 'createdAt' | 'endedAt'> & {
        readonly createdAt: string
        readonly endedAt: string | null
      }
      const { rows } = await sql.query<Listed>(scope, { text: listing, values: [session, limit] })
      const found = rows[0]
      if (found === undefined) return null
      const agents = found.agents.map(({ createdAt, endedAt, ...agent }): Info => {
        // In JSON, times are texts.
        const ended = endedAt === null ? null : new Date(endedAt)
        return { ...agent, createdAt: new Date(createdAt), endedAt: ended }
      })
      return { agents, total: found.total }
    },

    async askStop(scope: Scope, session: string, id: string): Promise<void> {
      await sql.query(scope, { text: asking, values: [session, id] })
    },

    async remove(scope: Scope, session: string, id: string): Promise<void> {
      await sql.query(scope, { text: removing, values: [session, id] })
    },

    async beat(scope: Scope, beats: readonly Beat[]): Promise<readonly string[]> {
      const { rows } = await sql.query<{ id: string; stops: boolean }>(scope, {
        text: beating,
        values: [
          beats.map(({ id }) => id),
          beats.map(({ output }) => output),
          beats.map(({ truncated }) => truncated),
        ],
      })
      return rows.flatMap(({ id, stops }) => (stops ? [] : [id]))
    },

    async end(scope: Scope, id: string, end: End): Promise<void> {
      const { status, exitCode, output, truncated } = end
      const values = [id, status, exitCode, output, truncated]
      await sql.query(scope, { text: ending, values })
    },
  }
}

const begun: End = { status: 'running', exitCode: null, output: '', truncated: false }

const lostBefore = `now() - interval '${lostAfterSeconds} seconds'`
const runs = `a.status = 'running' and a.heartbeat_at > ${lostBefore}`
const isLost = `a.status = 'running' and a.heartbeat_at <= ${lostBefore}`

const info = `a.id, a.session_id as "sessionId", a.compute,
  case when ${isLost} then 'lost' else a.status end as status, a.exit_code as "exitCode",
  a.secrets, a.created_at as "createdAt",
  case when ${isLost} then a.heartbeat_at else a.ended_at end as "endedAt"`

// Those who insert into one session wait here for each other, and for whoever ends it.
const holding = `select s.id from sessions s where s.id = $1 and ${stands('s')} for no key update`

const counting = `select count(*)::int as total from agents a where a.session_id = $1 and ${runs}`

const inserting = `
  insert into agents (id, session_id, compute, secrets, status, exit_code, output, truncated, ended_at)
  values ($1, $2, $3, $4, $5, $6, $7, $8, case when $5 <> 'running' then now() end)`

const pruning = `
  delete from agents where session_id = $1 and id in (
    select a.id from agents a where a.session_id = $1 and not (${runs})
    order by a.created_at desc, a.id desc offset $2)`

const finding = `
  select ${info}, a.output, a.truncated from agents a where a.session_id = $1 and a.id = $2`

const listing = `
  select (select count(*)::int from agents where session_id = s.id) as total,
    coalesce((select jsonb_agg(to_jsonb(n)) from (
      select ${info} from agents a where a.session_id = s.id
      order by a.created_at desc, a.id desc limit $2) n), '[]') as agents
  from sessions s where s.id = $1`

const asking = `
  update agents set stop_asked = true where session_id = $1 and id = $2 and status = 'running'`

const removing = `
  delete from agents a where a.session_id = $1 and a.id = $2 and not (${runs})`

const beating = `
  update agents a set heartbeat_at = now(), output = coalesce(n.output, a.output),
    truncated = n.truncated
  from unnest($1::text[], $2::text[], $3::boolean[]) n (id, output, truncated)
  where a.id = n.id and ${runs}
  returning a.id, a.stop_asked or exists (
    select from sessions s where s.id = a.session_id and not (${stands('s')})) as stops`

const ending = `
  update agents a set output = $4, truncated = $5,
    status = case when ${isLost} then 'lost' else $2 end,
    exit_code = case when ${isLost} then null else $3::integer end,
    ended_at = case when ${isLost} then a.heartbeat_at else now() end
  where a.id = $1 and a.status = 'running'`
