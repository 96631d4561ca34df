/** `postern status`: is the gateway up, is it ready, and does it know this key? */
import { PosternError } from '../../sdk/typescript/src/postern.ts'
import { asking, type Common, type Order } from './command.ts'
import { accountOf, connect } from './connect.ts'
import { table } from './table.ts'
import { json, type Terminal } from './terminal.ts'

type Row = {
  readonly name: string
  readonly ok: boolean
  readonly says: string
  readonly ms: number
}

const timeoutMs = 5000

/** Adds `status`. */
export function statusOrder(program: Order, terminal: Terminal): void {
  asking(program.command('status'))
    .description('ask whether the gateway is up and ready, and whether it knows this key')
    .examples('postern status', 'postern status -o json')
    .action(async (options: Common) => {
      const { url } = accountOf(terminal, options.platform)
      const client = connect(terminal, options)
      let failure: unknown = null
      const api = async (): Promise<string> => {
        const platforms = await client.platforms.list({ timeoutMs, maxRetries: 0 })
        return platforms.map(({ slug, scheme }) => `${slug} (${scheme})`).join(', ')
      }
      const rows = await Promise.all([
        timed('alive', () => probe(url, '/livez')),
        timed('ready', () => probe(url, '/readyz')),
        timed('api', () =>
          api().catch((error: unknown) => {
            failure = error
            throw error
          }),
        ),
      ])
      if (options.output === 'json') terminal.out(`${json({ url, checks: rows })}\n`)
      else terminal.out(`${url}\n${table(columns, rows)}`)
      if (failure instanceof PosternError) throw failure
      if (rows.some(({ ok }) => !ok)) throw new Error(`${url} is not as it should be`)
    })
}

const columns = [
  ['CHECK', ({ name }: Row) => name],
  ['', ({ ok }: Row) => (ok ? 'ok' : 'BAD')],
  ['MS', ({ ms }: Row) => String(ms)],
  ['SAYS', ({ says }: Row) => says],
] as const

async function timed(name: string, ask: () => Promise<string>): Promise<Row> {
  const started = performance.now()
  const row = await ask().then(
    (says) => ({ ok: true, says }),
    (error: unknown) => ({
      ok: false,
      says: error instanceof PosternError ? error.code : 'no answer',
    }),
  )
  return { name, ...row, ms: Math.round(performance.now() - started) }
}

/** No key is sent: whoever is alive need not be trusted. */
async function probe(url: string, path: string): Promise<string> {
  const signal = AbortSignal.timeout(timeoutMs)
  const response = await fetch(new URL(path, url), { signal, redirect: 'manual' })
  await response.body?.cancel()
  if (!response.ok) throw new Error(String(response.status))
  return String(response.status)
}
