/** What the bench found, as a table for a terminal and as the page bench/results.md. */
import type { Spread } from './rounds.ts'

/** What every section is given. */
export type Setting = {
  readonly redisUrl: string
  /** Told what is running. */
  readonly say: (line: string) => void
}

/** One figure. `target` in words, and whether it was met; both null where none was set. */
export type Figure = {
  readonly name: string
  readonly measured: string
  readonly target: string | null
  readonly met: boolean | null
}

export type Section = {
  readonly title: string
  /** How it was measured, in sentences. */
  readonly about: string
  readonly figures: readonly Figure[]
  /** What was measured of each server, one a row. */
  readonly table?: Table
  /** Why the figures are not to be relied on, where that is seen. */
  readonly noise?: string | null
}

export type Table = {
  readonly columns: readonly string[]
  readonly rows: readonly (readonly string[])[]
}

export type Report = {
  readonly command: string
  readonly date: Date
  /** Names and values: the machine, then the versions. */
  readonly facts: readonly (readonly [string, string])[]
  readonly sections: readonly Section[]
  /** Sentences about what the figures can and cannot say. */
  readonly notes: readonly string[]
}

/** A figure without a target. */
export const fact = (name: string, measured: string): Figure => ({
  name,
  measured,
  target: null,
  met: null,
})

/** A figure that must be `least` or more. */
export function atLeast(
  name: string,
  value: number,
  least: number,
  show: (value: number) => string,
  spread = '',
): Figure {
  return { name, measured: show(value) + spread, target: `≥ ${show(least)}`, met: value >= least }
}

/** A figure that must be below `limit`. */
export function below(
  name: string,
  value: number,
  limit: number,
  show: (value: number) => string,
): Figure {
  return { name, measured: show(value), target: `< ${show(limit)}`, met: value < limit }
}

/** A figure that must be `most` or less. */
export function atMost(
  name: string,
  value: number,
  most: number,
  show: (value: number) => string,
  spread = '',
): Figure {
  return { name, measured: show(value) + spread, target: `≤ ${show(most)}`, met: value <= most }
}

/** A count that must be nothing at all. */
export const none = (name: string, value: number): Figure => ({
  name,
  measured: String(value),
  target: '0',
  met: value === 0,
})

export const ratio = (value: number): string => value.toFixed(2)
/** With thin gaps, since these have six digits. */
export const perSecond = (value: number): string =>
  `${Math.round(value)
    .toString()
    .replace(/\B(?=(\d{3})+$)/g, ' ')}/s`
export const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`
export const micros = (value: number): string => `${value.toFixed(1)} µs`
export const millis = (value: number): string => `${value.toFixed(1)} ms`
export const fineMillis = (value: number): string => `${value.toFixed(2)} ms`

export const share = (value: number): string => `${(value * 100).toFixed(2)} %`

/** The least and the most, to stand behind a median. */
export const spreadOf = ({ min, max }: Spread, show: (value: number) => string): string =>
  ` (${show(min)} to ${show(max)})`

/** Equal runs on a machine that does nothing else differ by a few percent. */
export function noiseOf(name: string, { min, max }: Spread): string | null {
  if (max < min * 1.25) return null
  return `Not to be relied on: ${name} alone ran at ${perSecond(min)} in one round and at ${perSecond(max)} in another, so something else used the machine. Run it again on a quiet one; until then the ratios by processor time say more.`
}

const verdict = ({ met }: Figure): string => (met === null ? '' : met ? 'yes' : 'NO')

const columns = ['', 'measured', 'target', 'met'] as const

const rowOf = (figure: Figure): readonly string[] => [
  figure.name,
  figure.measured,
  figure.target ?? '',
  verdict(figure),
]

/** The sections as aligned columns. */
export function renderTable(sections: readonly Section[]): string {
  const figures = sections.flatMap(({ title, figures }) => [
    ['', '', '', ''],
    [title, ...columns.slice(1)],
    ...figures.map((figure) => rowOf(figure).map((cell, at) => (at === 0 ? `  ${cell}` : cell))),
  ])
  const servers = sections.flatMap(({ title, table }) =>
    table === undefined
      ? []
      : [`\n${aligned([[title, ...table.columns.slice(1)], ...table.rows])}`],
  )
  return aligned(figures) + servers.join('')
}

function aligned(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]?.map((_, at) => Math.max(...rows.map((row) => row[at]?.length ?? 0)))
  return rows
    .map((row) => row.map((cell, at) => cell.padEnd(widths?.[at] ?? 0)).join('  '))
    .map((line) => `${line.trimEnd()}\n`)
    .join('')
}

/** How many targets there were, which were missed, and what speaks against the figures. */
export function renderVerdict(sections: readonly Section[]): string {
  const held = sections.flatMap(({ figures }) => figures).filter(({ met }) => met !== null)
  const missed = held.filter(({ met }) => met === false).map(({ name }) => name)
  const noise = sections.flatMap((section) => (section.noise ? [` ${section.noise}`] : [])).join('')
  if (missed.length === 0) return `All ${held.length} targets were met.${noise}`
  return `${missed.length} of ${held.length} targets were missed: ${missed.join('; ')}.${noise}`
}

/** The whole report as Markdown. */
export function renderPage({ command, date, facts, sections, notes }: Report): string {
  const parts = [
    '# Bench results',
    `Written by \`${command}\` on ${date.toISOString().slice(0, 16).replace('T', ' ')} UTC. Do not edit; run it again.`,
    renderVerdict(sections),
    '## Targets',
    targetsOf(sections),
    '## Where',
    markdownTable(['machine and versions', ''], facts),
    ...sections.flatMap(({ title, about, figures, table }) => [
      `## ${title}`,
      about,
      markdownTable(columns, figures.map(rowOf)),
      ...(table === undefined ? [] : [markdownTable(table.columns, table.rows)]),
    ]),
    '## How far to trust this',
    notes.map((note) => `- ${note}`).join('\n'),
  ]
  return `${parts.join('\n\n')}\n`
}

/** All of them, the missed ones too. */
function targetsOf(sections: readonly Section[]): string {
  const rows = sections.flatMap(({ title, figures }) =>
    figures.filter(({ met }) => met !== null).map((figure) => [title, ...rowOf(figure)]),
  )
  return markdownTable(['', ...columns], rows)
}

function markdownTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')
}
