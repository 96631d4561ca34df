/** What the rows have shown, as a table: for a terminal and for test/faults/results.md. */
import type { Check, Result } from './verdicts.ts'

export type Facts = {
  readonly scale: string
  readonly slack: string
  readonly minutes: number
  readonly processor: string
  readonly node: string
  readonly date: string
}

/** In one word: whether a row holds. One whose times could not be judged holds as far as it goes. */
export function verdictOf({ checks, pending }: Result): string {
  if (pending !== null) return 'not yet'
  if (checks.some((one) => !one.ok && one.pending === undefined && one.unclear === undefined)) {
    return 'FAILS'
  }
  if (checks.some(({ unclear }) => unclear !== undefined)) return 'holds, times unclear'
  return 'holds'
}

function markOf({ ok, pending, unclear }: Check): string {
  if (unclear !== undefined) return ' (not judged)'
  if (ok) return ''
  return pending === undefined ? ' (**no**)' : ' (not yet)'
}

/** A Markdown table, which a terminal shows well enough. */
export function renderTable(results: readonly Result[]): string {
  const lines = results.map((result) => {
    const { id, did, seconds, checks, pending } = result
    const measured = checks.map((one) => `${one.what} ${one.measured}${markOf(one)}`)
    const allowed = checks.map((one) => `${one.what} ${one.allowed}`)
    const cells = [
      id,
      did,
      pending ?? measured.join('; '),
      allowed.join('; '),
      `${seconds} s`,
      verdictOf(result),
    ]
    return `| ${cells.map((cell) => cell.replaceAll('|', '/')).join(' | ')} |`
  })
  return [
    '| row | what was done | measured | allowed | took | verdict |',
    '| --- | --- | --- | --- | --- | --- |',
    ...lines,
    '',
    summaryOf(results),
    '',
  ].join('\n')
}

function summaryOf(results: readonly Result[]): string {
  const counts = new Map<string, number>()
  for (const result of results) {
    const verdict = verdictOf(result)
    counts.set(verdict, (counts.get(verdict) ?? 0) + 1)
  }
  const said = [...counts].map(([verdict, count]) => `${count} ${verdict}`)
  const later = new Map<string, string[]>()
  for (const { id, checks, pending } of results) {
    const reasons = [pending, ...checks.map((one) => (one.ok ? null : (one.pending ?? null)))]
    for (const reason of reasons) {
      if (reason !== null) later.set(reason, [...(later.get(reason) ?? []), id])
    }
  }
  const waiting = [...later].map(
    ([why, ids]) => `- not yet: ${why} (${[...new Set(ids)].join(', ')})`,
  )
  return [`${results.length} rows: ${said.join(', ')}.`, '', ...waiting].join('\n').trim()
}

/** The whole page. */
export function renderPage(results: readonly Result[], facts: Facts): string {
  const { scale, slack, minutes, processor, node, date } = facts
  return `# What was broken, and what came of it

Written by \`npm run test:faults\` on ${date} UTC, in ${minutes} minutes. Do not edit; run it again.

Four gates, each a process, on one PostgreSQL and one Redis that were killed and frozen, each through
relays of its own that were slow, narrow, black, half open or cut. The load came at a constant rate from
another process, 100 requests a second and more, whatever became of them. Lengths are ${scale} of those of
the rows, and never under a second or two; times are allowed ${slack} of what the rows allow, and beyond that
what callers waited anyway: those of a bare server at the same time, or everybody before. Where callers of
the bare server waited longer than 100 ms, times were not judged. Node ${node} on ${processor}.

A limited key has 40 units in any 2 seconds and asks for 60. "Any window" counts what was certainly let
through in one: sent after its start and answered before its end.

${renderTable(results)}`
}
