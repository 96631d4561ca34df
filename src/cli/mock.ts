/**
 * `postern mock`: does the service still answer as its OpenAPI document says? The service is asked as any
 * caller would, with GET alone. The key comes from the environment, never from the command line, where
 * others can read it; and it goes only to the address that the person named, not to one of the document.
 */
import { type Common, Misuse, type Order, repeated, writing } from './command.ts'
import { table } from './table.ts'
import { done, json, type Terminal } from './terminal.ts'

/** What came of one operation: see src/mock/drift.ts. */
type Drift = {
  readonly operation: string
  readonly status: number | null
  readonly result: 'fits' | 'drifts' | 'skipped' | 'failed'
  readonly says: readonly { location: string; message: string; fix?: string }[]
}

type Asked = Pick<Common, 'output'> & {
  readonly url?: string
  readonly tenant?: string
  readonly param?: readonly string[]
}

/** Adds the commands. */
export function mockOrder(program: Order, terminal: Terminal): void {
  const mock = program.command('mock').description('look after the mocks of OpenAPI documents')
  mock.examples('postern mock drift openapi.json --url https://api.example.com')
  writing(mock.command('drift <document>'))
    .description('call every GET of a document, and say where the answers no longer fit it')
    .option('--url <address>', 'where the service is; without it POSTERN_URL')
    .option('--tenant <id>', 'sent as x-tn')
    .option('--param <name=value>', 'the value of a parameter; may be given again', repeated)
    .examples(
      'postern mock drift openapi.json --url https://api.example.com   with POSTERN_API_KEY as a Bearer token',
      'postern mock drift openapi.json --param sid=ses_8f2 -o json',
    )
    .action(async (file: string, asked: Asked) => {
      const { mockDrift } = await import('../admin.ts')
      const found: Drift[] = []
      for await (const one of mockDrift(file, liveOf(terminal, asked))) {
        found.push(one)
        if (terminal.isInteractive) terminal.err(`\r${found.length} called`)
      }
      if (terminal.isInteractive) terminal.err('\r')
      if (asked.output === 'json') terminal.out(`${json(found)}\n`)
      else terminal.out(table(columns, found))
      judge(terminal, found)
    })
}

function liveOf(terminal: Terminal, { url, tenant, param = [] }: Asked) {
  const address = url ?? terminal.env.POSTERN_URL
  if (address === undefined || !URL.canParse(address)) {
    throw new Misuse('say where the service is, e.g. --url https://api.example.com')
  }
  const given = new Map<string, string>()
  for (const one of param) {
    const at = one.indexOf('=')
    if (at < 1) throw new Misuse(`--param ${JSON.stringify(one)} must be like sid=ses_8f2`)
    given.set(one.slice(0, at), one.slice(at + 1))
  }
  return { url: address, apiKey: terminal.env.POSTERN_API_KEY ?? null, tenant, given }
}

const columns = [
  ['OPERATION', ({ operation }: Drift) => operation],
  ['STATUS', ({ status }: Drift) => String(status ?? '-')],
  ['', ({ result }: Drift) => result],
  ['WHAT', ({ says }: Drift) => says.slice(0, 3).map(sentence).join('; ')],
] as const

const sentence = ({ location, message, fix }: Drift['says'][number]): string =>
  `${location} ${message}${fix === undefined ? '' : `; ${fix}`}`

function judge(terminal: Terminal, found: readonly Drift[]): void {
  const count = (result: Drift['result']) => found.filter((one) => one.result === result).length
  const [drifts, failed, skipped] = [count('drifts'), count('failed'), count('skipped')]
  const left = skipped === 0 ? '' : `, ${skipped} not asked`
  if (drifts + failed > 0) {
    throw new Error(`${drifts} of ${found.length} drift, ${failed} failed${left}`)
  }
  done(terminal, `${count('fits')} of ${found.length} fit the document${left}`)
}
