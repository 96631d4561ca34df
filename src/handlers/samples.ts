/**
 * What the documents of the four sources call, as far as an example goes: users and vector databases
 * are rows that the first start made, and inference is no model. Each answers for one tenant,
 * like every handler; none is named below.
 */
import { and, desc, eq } from 'drizzle-orm'
import * as z from 'zod'
import { exampleResources } from '../db/schema.ts'
import { createHandler } from '../handler.ts'
import { one, parseBody } from './body.ts'

const { id, kind, data, createdAt } = exampleResources
const shown = { id, data, createdAt }
const newest = [desc(createdAt), desc(id)] as const

/** GET `/:id`: `{ success, data }`. */
export const usersHandler = createHandler().get('/:id', async (c) => {
  const named = and(eq(kind, 'users'), eq(id, c.req.param('id')))
  const found = one(await c.var.db.select(shown).from(exampleResources).where(named))
  return c.json({ success: true, data: snake(found) })
})

/** GET `/`: `{ data }`, at most 100, the newest first. */
export const databasesHandler = createHandler().get('/', async (c) => {
  const rows = await c.var.db
    .select(shown)
    .from(exampleResources)
    .where(eq(kind, 'databases'))
    .orderBy(...newest)
    .limit(100)
  return c.json({ data: rows.map(snake) })
})

const question = z.strictObject({
  model: z.string().min(1).max(100),
  messages: z
    .array(
      z.strictObject({
        role: z.enum(['system', 'user', 'assistant']),
        content: z.string().min(1).max(10_000),
      }),
    )
    .min(1)
    .max(100),
})

/** POST `/` {model, messages}: repeats the last message. The same question has the same answer. */
export const inferHandler = createHandler().post('/', (c) => {
  const { model, messages } = parseBody(question, c.var.body)
  const asked = messages.at(-1)?.content ?? ''
  const content = `An example, made without a model. You said: ${asked}`
  return c.json({ object: 'example', model, message: { role: 'assistant', content } })
})

const snake = (row: Pick<typeof exampleResources.$inferSelect, 'id' | 'data' | 'createdAt'>) => ({
  id: row.id,
  ...row.data,
  created_at: row.createdAt,
})
