/** Data for people: columns, and times as they are said. */
import type { ApiKey } from '../../sdk/typescript/src/postern.ts'
import { plain } from './terminal.ts'

/** A name, and how it is read off a row. */
export type Column<Row> = readonly [string, (row: Row) => string]

const gap = '  '

/** Lines of equal columns. Without rows, the header alone. */
export function table<Row>(
  columns: readonly Column<Row>[],
  rows: readonly Row[],
  hasHeader = true,
): string {
  const cells = rows.map((row) => columns.map(([, read]) => plain(read(row)).replaceAll('\n', ' ')))
  const header = columns.map(([name]) => name)
  const widths = header.map((name, index) =>
    Math.max(name.length, ...cells.map((row) => (row[index] ?? '').length)),
  )
  const line = (row: readonly string[]): string =>
    `${row
      .map((cell, index) => cell.padEnd(widths[index] ?? 0))
      .join(gap)
      .trimEnd()}\n`
  return [...(hasHeader ? [header] : []), ...cells].map(line).join('')
}

/** Names and values, one below the other. */
export function facts(rows: readonly (readonly [string, string])[]): string {
  const width = Math.max(...rows.map(([name]) => name.length))
  return rows.map(([name, value]) => `${name.padEnd(width)}${gap}${plain(value)}\n`).join('')
}

const steps: readonly (readonly [number, string])[] = [
  [86_400_000, 'd'],
  [3_600_000, 'h'],
  [60_000, 'min'],
  [1000, 's'],
]

/** `3 d ago`, `in 2 h`; `-` for null. */
export function relative(time: string | null, nowMs = Date.now()): string {
  if (time === null) return '-'
  const ms = Date.parse(time) - nowMs
  const [step, unit] = steps.find(([size]) => Math.abs(ms) >= size) ?? [1000, 's']
  const amount = `${Math.floor(Math.abs(ms) / step)} ${unit}`
  if (Math.abs(ms) < 1000) return 'now'
  return ms < 0 ? `${amount} ago` : `in ${amount}`
}

/** A time both ways. */
export const absolute = (time: string | null): string =>
  time === null ? '-' : `${time} (${relative(time)})`

/** What may be seen of a key: `sk_live_k7Gh2Qm9x_…w3Zp`. */
export const shownKey = ({
  prefix,
  ref,
  last4,
}: Pick<ApiKey, 'prefix' | 'ref' | 'last4'>): string =>
  `${prefix}${ref === '' ? '' : `${ref}_`}…${last4}`

/** `never_used` in words. */
export const words = (status: string): string => status.replaceAll('_', ' ')
