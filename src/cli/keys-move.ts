/**
 * `postern keys import | export`. Keys come in on standard input, as lines of JSON or as plain keys,
 * and go in batches, each of which is stored whole or not at all. One that was stored already is
 * counted and left as it is, so an import that broke off can be run again.
 */

import { fromWire } from '../../sdk/typescript/src/case.ts'
import type { ImportedApiKey, InvalidRequestError } from '../../sdk/typescript/src/postern.ts'
import { PosternError } from '../../sdk/typescript/src/postern.ts'
import {
  asking,
  type Changing,
  type Common,
  changing,
  commaList,
  Misuse,
  moment,
  type Order,
} from './command.ts'
import { connect } from './connect.ts'
import { done, json, jsonLine, linesFrom, rehearse, say, type Terminal } from './terminal.ts'

const batchSize = 1000

type ImportOptions = Changing & {
  readonly name: string
  readonly perm?: string[]
  readonly tenant?: string[]
  readonly expires?: Date | null
}

/** A key, and the line of standard input that it stands on. */
type Numbered = { readonly line: number; readonly key: ImportedApiKey }

/** Adds the commands that bring keys in and out. */
export function keyMoves(keys: Order, terminal: Terminal): void {
  changing(keys.command('import'))
    .description('adopt keys from standard input: lines of JSON, or one key a line')
    .option('--name <name>', 'what keys without a name are called, with a number', 'imported')
    .option('--perm <list>', 'permissions of keys that say none', commaList)
    .option('--tenant <list>', 'tenants of keys that say none', commaList)
    .option('--expires <when>', 'never, 90d, 2027-01-31: for keys that do not say', moment)
    .examples(
      'postern keys import < keys.ndjson',
      'postern keys import --name old --perm data:read < keys.txt',
      'postern keys export --platform a | postern keys import --platform b --dry-run',
    )
    .action((options: ImportOptions) => bring(terminal, options))

  asking(keys.command('export'))
    .description('write every key that still works as a line of JSON, without its secret')
    .examples('postern keys export > keys.ndjson')
    .action(async (options: Common) => {
      for await (const key of connect(terminal, options).apiKeys.export()) {
        terminal.out(jsonLine(key))
      }
    })
}

async function bring(terminal: Terminal, options: ImportOptions): Promise<void> {
  const client = options.dryRun ? null : connect(terminal, options)
  const total = { imported: 0, conflicts: 0 }
  for await (const batch of batches(read(terminal, options))) {
    if (client === null) {
      rehearse(terminal, `POST /v1/api-keys/import with ${batch.length} keys`)
      continue
    }
    try {
      const answer = await client.apiKeys.import(batch.map(({ key }) => key))
      total.imported += answer.imported
      total.conflicts += answer.conflicts
    } catch (error) {
      if (error instanceof PosternError) complain(terminal, error, batch)
      say(terminal, `${total.imported} keys were imported before that. Those are kept.`)
      throw error
    }
    const soFar = `${total.imported} imported, ${total.conflicts} there already`
    terminal.err(terminal.hasColors ? `\r${soFar}` : `${soFar}\n`)
  }
  if (client === null) return
  if (terminal.hasColors) terminal.err('\n')
  done(terminal, `Imported ${total.imported} keys; ${total.conflicts} were there already`)
  if (options.output === 'json') terminal.out(`${json(total)}\n`)
}

async function* read(terminal: Terminal, options: ImportOptions): AsyncGenerator<Numbered> {
  const { perm: permissions, tenant: tenants, expires: expiresAt, name } = options
  const defaults = {
    ...(permissions && { permissions }),
    ...(tenants && { tenants }),
    ...(expiresAt !== undefined && { expiresAt }),
  }
  let line = 0
  for await (const text of linesFrom(terminal)) {
    line += 1
    const trimmed = text.trim()
    if (trimmed === '') continue
    const own = trimmed.startsWith('{') ? parsed(trimmed, line) : { key: trimmed }
    // The API judges what a line says, field by field.
    yield { line, key: { name: `${name} ${line}`, ...defaults, ...own } as ImportedApiKey }
  }
  if (line === 0) throw new Misuse('standard input is empty: give it keys, e.g. `< keys.ndjson`')
}

function parsed(text: string, line: number): object {
  try {
    const value = fromWire(JSON.parse(text))
    if (typeof value === 'object' && value !== null) return value
  } catch {
    // Said below, without the text: it may be a key.
  }
  throw new Misuse(`line ${line} is not JSON`)
}

async function* batches(keys: AsyncIterable<Numbered>): AsyncGenerator<readonly Numbered[]> {
  let batch: Numbered[] = []
  for await (const one of keys) {
    if (batch.push(one) < batchSize) continue
    yield batch
    batch = []
  }
  if (batch.length > 0) yield batch
}

const complaintsMax = 20

/** Where the API says `body[3]`, the person wants the line. */
function complain(
  terminal: Terminal,
  { errors }: Pick<InvalidRequestError, 'errors'>,
  batch: readonly Numbered[],
): void {
  for (const { location, message, fix } of errors.slice(0, complaintsMax)) {
    const [, index, field = ''] = /^body\[(\d+)\]\.?(.*)$/.exec(location) ?? []
    const line = index === undefined ? undefined : batch[Number(index)]?.line
    const where = line === undefined ? location : `line ${line} ${field}`.trim()
    say(terminal, `  ${where} ${message}${fix === undefined ? '' : ` (${fix})`}`)
  }
  const more = errors.length - complaintsMax
  if (more > 0) say(terminal, `  and ${more} more`)
}
