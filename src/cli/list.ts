/** A list on standard output, however long it is. */
import type { Common } from './command.ts'
import { type Column, table } from './table.ts'
import { json, say, type Terminal } from './terminal.ts'

/** What a command that lists takes. */
export type Listing = Common & { readonly limit: number; readonly all?: boolean }

/** Writes a list as it comes, a hundred rows at a time; nothing of it is kept. */
export async function printList<Row>(
  terminal: Terminal,
  rows: AsyncIterable<Row>,
  shown: readonly Column<Row>[],
  { output, all, limit }: Listing,
): Promise<void> {
  const most = all ? Number.POSITIVE_INFINITY : limit
  let written = 0
  let waiting: Row[] = []
  const flush = (): void => {
    if (output === 'json') {
      for (const row of waiting) terminal.out(`${written++ === 0 ? '[' : ','}\n${json(row)}`)
    } else if (waiting.length > 0 || written === 0) {
      terminal.out(table(shown, waiting, written === 0))
      written += waiting.length
    }
    waiting = []
  }
  let more = false
  for await (const row of rows) {
    more = written + waiting.length === most
    if (more) break
    if (waiting.push(row) === 100) flush()
  }
  if (waiting.length > 0 || written === 0) flush()
  if (output === 'json') terminal.out(written === 0 ? '[]\n' : '\n]\n')
  if (more) say(terminal, `There are more than ${limit}: --all shows them.`)
}
