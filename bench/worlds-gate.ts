/** The gate of bench/worlds.ts: that of `npm start`, with a handler that answers what the mock answers. */
import { fileURLToPath } from 'node:url'
import { createHandler } from '../src/handler.ts'
import { handlers } from '../src/handlers/named.ts'
import { serve } from '../src/node.ts'

const current = createHandler().get('/', (c) => c.json({ id: 'plan_1', plan: 'pro', seats: 3 }))

serve(process.argv.slice(2), {
  handlers: { ...handlers, current },
  entry: fileURLToPath(import.meta.url),
}).catch((error: unknown) => {
  process.stderr.write(`postern: ${error instanceof Error ? error.message : String(error)}\n`)
  process.exit(1)
})
