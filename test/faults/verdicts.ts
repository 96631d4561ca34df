/**
 * A row of the table of threats as a test: what is done, what was measured, what is allowed. Rows are
 * run at a part of their lengths; what they find goes to the table that `npm run test:faults` prints.
 */
import { appendFileSync } from 'node:fs'
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Rig } from './rig.ts'

export type Check = {
  readonly what: string
  readonly measured: string
  readonly allowed: string
  readonly ok: boolean
  /** For whoever looks for the reason. */
  readonly where?: string
  /** Told and not judged, for this reason, until the feature is there; FAULT_PENDING=1 judges it. */
  readonly pending?: string
  /** It depends on what else the machine does, however large the allowance. */
  readonly timed?: true
  /** Told and not judged: the machine was too busy with something else to say. */
  readonly unclear?: string
}

/** How long things take in this run. */
export type Lengths = {
  /** The part of a row's own length: 1 is all of it. */
  readonly scale: number
  /** A row's length in this run, in milliseconds: never less than `minMs`, or it would show nothing. */
  of(seconds: number, minMs?: number): number
  /** What is allowed of a time, on a machine that may be slower than the rows' own. */
  slack(ms: number): number
  /** Whether what depends on the machine's leisure is judged, and not only told. */
  readonly judgesTimes: boolean
}

export type Row = {
  /** Of the threats it proves, the first one first. */
  readonly id: string
  readonly did: string
  /** Left out, for this reason, until the feature is there; FAULT_PENDING=1 runs it. */
  readonly pending?: string
  run(rig: Rig, lengths: Lengths): Promise<readonly Check[]>
}

/** Rows that share a rig. */
export type Group = {
  readonly name: string
  start(lengths: Lengths): Promise<Rig>
  readonly rows: readonly Row[]
}

export function lengthsOf(scale: number, slackFactor: number, judgesTimes = true): Lengths {
  return {
    ...{ scale, judgesTimes },
    of: (seconds, minMs = 2500) => Math.max(minMs, seconds * 1000 * scale),
    slack: (ms) => ms * slackFactor,
  }
}

/** Nothing may happen for a while: that is what a row's length is. */
export const lasting = (ms: number): Promise<void> => pause(ms)

export const atMost = (what: string, measured: number, allowed: number, unit = ''): Check => ({
  what,
  measured: `${round(measured)}${unit}`,
  allowed: `≤ ${round(allowed)}${unit}`,
  ok: measured <= allowed,
})

export const atLeast = (what: string, measured: number, allowed: number, unit = ''): Check => ({
  what,
  measured: `${round(measured)}${unit}`,
  allowed: `≥ ${round(allowed)}${unit}`,
  ok: measured >= allowed,
})

export const exactly = (what: string, measured: unknown, allowed: unknown): Check => {
  const [found, wanted] = [JSON.stringify(measured), JSON.stringify(allowed)]
  return { what, measured: found, allowed: wanted, ok: found === wanted }
}

/** A check that says something only on a machine that had time; null: it had. */
export const inTime = (unclear: string | null, check: Check): Check =>
  unclear === null ? { ...check, timed: true } : { ...check, timed: true, unclear }

/** A check that cannot hold yet. */
export const later = (pending: string, check: Check): Check => ({ ...check, pending })

type Judged = Pick<Check, 'pending' | 'unclear'>
const isJudged = ({ pending, unclear }: Judged): boolean =>
  unclear === undefined && (pending === undefined || process.env.FAULT_PENDING === '1')

const isTimed = ({ timed, measured }: Check): boolean => timed === true || measured.endsWith(' ms')

/** Of a list, or of counts by name: there must be none. */
export function none(
  what: string,
  found: readonly unknown[] | Readonly<Record<string, number>>,
): Check {
  const entries = Array.isArray(found) ? found.map(String) : countsOf(found)
  const more = entries.length > 3 ? `, and ${entries.length - 3} kinds more` : ''
  const measured = entries.length === 0 ? '0' : entries.slice(0, 3).join(', ') + more
  return { what, measured, allowed: '0', ok: entries.length === 0 }
}

const countsOf = (found: object): string[] =>
  Object.entries(found).map(([name, count]) => `${count} × ${name}`)
const round = (value: number): number => Math.round(value * 100) / 100

/** One line of the results: a row, as it came out. */
export type Result = {
  readonly id: string
  readonly did: string
  readonly seconds: number
  readonly checks: readonly Check[]
  readonly pending: string | null
}

function note(result: Result): void {
  const file = process.env.FAULT_RESULTS
  if (file !== undefined) appendFileSync(file, `${JSON.stringify(result)}\n`)
}

/** Some rows of groups whose rigs are alike, on one rig. Throws for an id that there is not. */
export function sharing(
  name: string,
  picked: readonly (readonly [Group, readonly string[]])[],
): Group {
  const [[first] = []] = picked
  if (first === undefined) throw new Error('no group to share a rig of')
  const rows = picked.flatMap(([group, ids]) =>
    ids.map((id) => {
      const row = group.rows.find((one) => one.id === id)
      if (row === undefined) throw new Error(`there is no row ${id} of ${group.name}`)
      return row
    }),
  )
  return { name, start: first.start, rows }
}

/** Registers a group's rows as tests: all of them, or those whose ids begin with one of `only`. */
export function runGroup(group: Group, lengths: Lengths, only?: readonly string[]): void {
  const wanted = group.rows.filter(
    ({ id }) => only === undefined || only.some((one) => id.split(' ')[0] === one),
  )
  const rows = wanted.filter(isJudged)
  for (const { id, did, pending = '' } of wanted.filter((row) => !isJudged(row))) {
    note({ id, did, seconds: 0, checks: [], pending })
  }
  if (rows.length === 0) return
  describe(group.name, () => {
    let rig: Rig
    beforeAll(async () => {
      rig = await group.start(lengths)
    }, 400_000)
    afterAll(() => rig?.stop(), 60_000)

    test.each(rows.map((row) => [row.id, row.did, row] as const))(
      '%s: %s',
      async (id, did, row) => {
        await rig.allReady()
        rig.crashes()
        const before = performance.now()
        const found = await row.run(rig, lengths)
        const { exits, uncaught } = rig.crashes()
        const checks = [...found, exactly('exits', exits, 0), none('uncaught', uncaught)]
        const seconds = Math.round((performance.now() - before) / 1000)
        note({ id, did, seconds, checks, pending: null })
        const words = ({ what, measured, allowed, where = '' }: Check) =>
          `${what}: ${measured} (${allowed}) ${where}`.trim()
        const judged = (one: Check) => isJudged(one) && (lengths.judgesTimes || !isTimed(one))
        expect(checks.filter((one) => !one.ok && judged(one)).map(words)).toEqual([])
      },
      900_000,
    )
  })
}
