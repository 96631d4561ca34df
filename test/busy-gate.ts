/**
 * The gate of `npm start` with more handlers, that tests need: one that costs processor time, one that takes
 * its time, one that says which process it is in. A program of its own: `node test/busy-gate.ts [postern.yaml]`.
 */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { createHandler } from '../src/handler.ts'
import { handlers as named } from '../src/handlers/named.ts'
import { serve } from '../src/node.ts'

export const busyEntry = fileURLToPath(import.meta.url)

/** Processor time of this thread in milliseconds. */
const spentMs = (): number => {
  const { user, system } = process.threadCpuUsage()
  return (user + system) / 1000
}

/** Uses up processor time, whatever else the machine does meanwhile. */
function burn(ms: number): number {
  const end = spentMs() + ms
  let x = 1
  while (spentMs() < end) for (let i = 0; i < 20_000; i++) x = (x * 16_807) % 2_147_483_647
  return x
}

/** Begins at once, and ends a while after. */
function slowly(): ReadableStream {
  const encoder = new TextEncoder()
  return new ReadableStream({
    start(controller) {
      controller.enqueue(encoder.encode('begun '))
      setTimeout(() => {
        controller.enqueue(encoder.encode('done'))
        controller.close()
      }, 500)
    },
  })
}

const handlers = {
  burn: createHandler().get('/', (c) => c.json({ burnt: burn(5) > 0 })),
  slow: createHandler().get('/', () => new Response(slowly())),
  hello: createHandler().get('/', (c) => c.json({ pid: process.pid })),
}

/** A platform with these handlers, at `/v1/burn` and so on. */
export function busyConfig(keyLimit = '100000000/min', more = ''): string {
  const routes = Object.keys(handlers).map(
    (name) =>
      `      - { path: /v1/${name}, methods: [GET], handler: ${name}, permission: data:read }`,
  )
  const limits = `{ limits: { key: [${keyLimit}], tenant: [100000000/min] } }`
  return `
version: 1
platforms:
  - id: plt_busy
    slug: busy
    scheme: azotte
    permissions: { data: [read] }
    environments: { test: ${limits}, live: ${limits} }
    routes:
${routes.join('\n')}
    seed: [{ id: tenant_abc123 }]
keys: { positiveTtl: 1h }
${more}`
}

/** Microseconds of processor time that a process has used, in its own code and in the kernel. */
export function processorMicros(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  // The second field is the program's name in brackets and may hold anything.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  // In ticks of a hundredth of a second (proc(5): utime and stime).
  return (Number(fields[11]) + Number(fields[12])) * 10_000
}

if (import.meta.main) {
  serve(process.argv.slice(2), { handlers: { ...named, ...handlers }, entry: busyEntry }).catch(
    (error: unknown) => {
      process.stderr.write(`postern: ${error instanceof Error ? error.message : String(error)}\n`)
      process.exit(1)
    },
  )
}
