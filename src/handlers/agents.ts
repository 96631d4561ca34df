/**
 * Programs that run in a session's sandbox. They are started with the secrets that they declare, and
 * no answer here has a value of one in it: what a program prints is covered before it gets here.
 */
import * as z from 'zod'
import { createHandler } from '../handler.ts'
import { Problem } from '../problem.ts'
import { parseBody } from './body.ts'
import { limitOf, must, refuse, sessionOf } from './session-calls.ts'

const codeCharactersMax = 131_072
const text = z.string().max(codeCharactersMax)

const fields = z.strictObject({
  compute: z.enum(['python', 'node', 'shell']),
  code: text.optional(),
  /** For `shell`: the same as `code`. */
  command: text.optional(),
  secrets: z
    .array(
      z
        .string()
        // What is no name may be a value, and is not repeated.
        .regex(/^[A-Za-z_][A-Za-z0-9_]{0,127}$/, 'must be the name of a secret, not its value'),
    )
    .max(100)
    .default([]),
  /** Seconds. */
  timeout: z.int().min(1).max(600).default(60),
})

/**
 * For routes whose path names `:sid`. POST `/` {compute, code?, command?, secrets?, timeout?}: 201
 * with an agent that runs, or with a test key one that has exited. GET `/?limit=20`: `{ agents, total
 * }`, newest first, without output. GET `/:aid`: with it. POST `/:aid/stop`: 200, the agent. DELETE
 * `/:aid`: 204, the record of one that has ended is removed.
 */
export const agentsHandler = createHandler()
  .get('/', async (c) => {
    const limit = limitOf(c.req.query('limit'))
    return c.json(must(await c.var.agents.list(sessionOf(c.req.param()), limit)))
  })
  .post('/', async (c) => {
    const { compute, code, command, secrets, timeout } = parseBody(fields, c.var.body)
    if (command !== undefined && (compute !== 'shell' || code !== undefined)) throw misplaced()
    const wish = {
      compute,
      code: code ?? command ?? '',
      secrets: [...new Set(secrets)],
      timeoutMs: timeout * 1000,
    }
    return c.json(must(await c.var.agents.start(sessionOf(c.req.param()), wish)), 201)
  })
  .get('/:aid', async (c) =>
    c.json(must(await c.var.agents.get(sessionOf(c.req.param()), c.req.param('aid')))),
  )
  .post('/:aid/stop', async (c) =>
    c.json(must(await c.var.agents.stop(sessionOf(c.req.param()), c.req.param('aid')))),
  )
  .delete('/:aid', async (c) => {
    refuse(await c.var.agents.remove(sessionOf(c.req.param()), c.req.param('aid')))
    return c.body(null, 204)
  })

function misplaced(): Problem {
  const message = 'is for compute "shell", in place of code'
  return new Problem('request/invalid', {
    errors: [{ location: 'body.command', code: 'invalid', message }],
  })
}
