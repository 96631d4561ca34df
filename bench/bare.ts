/**
 * What the gate is measured against: Hono on its Node adapter with a handler that answers a small JSON,
 * in a process that loads nothing else.
 */
import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import { answer, answerAsServer } from './processes.ts'

const app = new Hono().get('/v1/hello', (c) => c.json(answer))
const port = await new Promise<number>((resolve) => {
  serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' }, (info) => resolve(info.port))
})
answerAsServer({ url: `http://127.0.0.1:${port}/v1/hello`, headers: {} })
