/**
 * Sessions of one tenant's users, and what they hold in secret. Sessions are rows like any other;
 * secrets go through the vault, and no answer here has a value in it, because nothing that is
 * reached from here can give one.
 */
import { and, desc, eq, type SQL, sql } from 'drizzle-orm'
import * as z from 'zod'
import { sessions } from '../db/schema.ts'
import { createHandler } from '../handler.ts'
import { newId } from '../lib/id.ts'
import { one, parseBody } from './body.ts'
import { limitOf, must, refuse, sessionOf } from './session-calls.ts'

const { id, userId, environment, createdAt, endedAt, expiresAt } = sessions
/** One that is past its time has ended then, whether or not what it held is gone yet. */
const end = sql<Date | null>`coalesce(${endedAt}, case when ${expiresAt} <= now() then ${expiresAt} end)`
const shown = {
  id,
  userId,
  status: sql<'active' | 'ended'>`case when ${end} is null then 'active' else 'ended' end`,
  environment,
  createdAt,
  expiresAt,
  endedAt: end.mapWith(endedAt),
}
const newest = [desc(createdAt), desc(id)] as const

const fields = z.strictObject({
  userId: z
    .string()
    .min(1)
    .max(128)
    .regex(/^[\x21-\x7e]+$/, 'must be visible ASCII characters, without spaces'),
  /** The user's newest active session, where there is one. */
  reuse: z.boolean().default(false),
  /** Seconds after which it ends by itself, and what it holds is destroyed: a minute to a year. */
  ttl: z.int().min(60).max(31_536_000).optional(),
})

/**
 * POST `/` {userId, reuse?, ttl?}: 201 with a new session, or 200 with the user's newest active one, as
 * it is, where `reuse` asks for it. One with a `ttl`, in seconds, ends by itself. GET
 * `/?limit=20&userId=`: `{ sessions, total }`, newest first; `total` counts those not shown too. GET and
 * DELETE `/:sid`: the second ends it, and destroys its secrets (204, also for one that has ended).
 */
export const sessionsHandler = createHandler()
  .get('/', async (c) => {
    const user = c.req.query('userId')
    const rows = await c.var.db
      .select({ ...shown, total: sql<number>`(count(*) over ())::int` })
      .from(sessions)
      .where(user === undefined ? undefined : eq(userId, user))
      .orderBy(...newest)
      .limit(limitOf(c.req.query('limit')))
    const found = rows.map(({ total: _, ...session }) => session)
    return c.json({ sessions: found, total: rows[0]?.total ?? 0 })
  })
  .get('/:sid', async (c) => {
    const named = eq(id, c.req.param('sid'))
    return c.json(one(await c.var.db.select(shown).from(sessions).where(named)))
  })
  .post('/', async (c) => {
    const { userId: user, reuse, ttl } = parseBody(fields, c.var.body)
    const expires = ttl === undefined ? null : sql`now() + make_interval(secs => ${ttl})`
    const values = { id: newId('ses_'), userId: user, expiresAt: expires }
    if (!reuse)
      return c.json(one(await c.var.db.insert(sessions).values(values).returning(shown)), 201)
    const { session, status } = await c.var.db.transaction(async (tx) => {
      // Of two calls that both find none, one waits here and then finds the other's.
      await tx.select({ held: holdUser(user) }).from(sql`(values (1)) as once`)
      const active = and(eq(userId, user), sql`${end} is null`)
      const found = await tx
        .select(shown)
        .from(sessions)
        .where(active)
        .orderBy(...newest)
        .limit(1)
      if (found[0] !== undefined) return { session: found[0], status: 200 as const }
      const made = one(await tx.insert(sessions).values(values).returning(shown))
      return { session: made, status: 201 as const }
    })
    return c.json(session, status)
  })
  .delete('/:sid', async (c) => {
    const sid = c.req.param('sid')
    refuse(await c.var.vault.end(sid))
    c.var.agents.endSession(sid)
    return c.body(null, 204)
  })

/**
 * For routes whose path names `:sid`. POST `/` {NAME: value, …}: sets or overwrites all of them or
 * none (204). GET `/`: `{ secrets: [{ name, createdAt }], total }`. DELETE `/:name` (204).
 */
export const secretsHandler = createHandler()
  .get('/', async (c) => {
    const found = must(await c.var.vault.list(sessionOf(c.req.param())))
    return c.json({ secrets: found, total: found.length })
  })
  .post('/', async (c) => {
    refuse(await c.var.vault.set(sessionOf(c.req.param()), c.var.body))
    return c.body(null, 204)
  })
  .delete('/:name', async (c) => {
    refuse(await c.var.vault.remove(sessionOf(c.req.param()), c.req.param('name')))
    return c.body(null, 204)
  })

/** A lock of this tenant's user until the transaction ends. Two users that share one wait, and no more. */
const holdUser = (user: string): SQL => sql`pg_advisory_xact_lock(hashtextextended(
  'postern session ' || current_setting('app.scope', true) || ' ' || ${user}::text, 0))`
