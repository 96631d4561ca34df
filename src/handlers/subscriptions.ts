/**
 * Subscriptions of one tenant: the example to copy. No tenant is named anywhere below; the handle
 * sees one tenant's rows, so a foreign id is simply not there.
 */
import { asc, eq } from 'drizzle-orm'
import * as z from 'zod'
import { subscriptions } from '../db/schema.ts'
import { createHandler } from '../handler.ts'
import { newId } from '../lib/id.ts'
import { one, parseBody } from './body.ts'

const fields = z.strictObject({
  plan: z.string().min(1).max(64),
  status: z.enum(['active', 'paused', 'cancelled']).default('active'),
  seats: z.int().min(1).max(100_000).default(1),
})
const changes = z.strictObject({
  plan: fields.shape.plan.optional(),
  status: fields.shape.status.unwrap().optional(),
  seats: fields.shape.seats.unwrap().optional(),
})
const { id, plan, status, seats, createdAt } = subscriptions
const shown = { id, plan, status, seats, created_at: createdAt }

/** GET and POST `/`; GET, PUT or PATCH, and DELETE `/:id`. Lists at most 100, by id. */
export const subscriptionsHandler = createHandler()
  .get('/', async (c) => {
    const data = await c.var.db.select(shown).from(subscriptions).orderBy(asc(id)).limit(100)
    return c.json({ data })
  })
  .get('/:id', async (c) => {
    return c.json(
      one(
        await c.var.db
          .select(shown)
          .from(subscriptions)
          .where(eq(id, c.req.param('id'))),
      ),
    )
  })
  .post('/', async (c) => {
    const values = { id: newId('sub_'), ...parseBody(fields, c.var.body) }
    return c.json(one(await c.var.db.insert(subscriptions).values(values).returning(shown)), 201)
  })
  .on(['PUT', 'PATCH'], '/:id', async (c) => {
    const values = { ...parseBody(changes, c.var.body), updatedAt: new Date() }
    const where = eq(id, c.req.param('id'))
    return c.json(
      one(await c.var.db.update(subscriptions).set(values).where(where).returning(shown)),
    )
  })
  .delete('/:id', async (c) => {
    one(
      await c.var.db
        .delete(subscriptions)
        .where(eq(id, c.req.param('id')))
        .returning({ id }),
    )
    return c.body(null, 204)
  })
