import { expect, test } from 'vitest'
import { countResults, type Report } from './tally.ts'

function report(
  states: string[],
  broken: { file?: number; groups?: number[]; state?: 'pending' | 'queued' } = {},
): Report {
  const errors = (count = 0) => new Array(count).fill('error')
  return {
    state: () => broken.state ?? 'passed',
    errors: () => errors(broken.file),
    children: {
      allTests: () => states.map((state) => ({ result: () => ({ state }) })),
      allSuites: () => (broken.groups ?? []).map((count) => ({ errors: () => errors(count) })),
    },
  }
}

test.each<[string, Report[], number, number, number]>([
  ['nothing', [], 0, 0, 0],
  ['a failed test', [report(['passed', 'failed'])], 0, 1, 1],
  ['a skipped test', [report(['passed', 'skipped'])], 0, 1, 1],
  ['a test that never ended', [report(['pending'])], 0, 0, 1],
  ['a file that broke while loading', [report([], { file: 1 })], 0, 0, 1],
  ['a group that broke, and its test', [report(['skipped'], { groups: [1, 0] })], 0, 0, 2],
  ['a file that was never reached', [report([], { state: 'queued' })], 0, 0, 1],
  ['a file that was cut short', [report(['passed'], { state: 'pending' })], 0, 1, 1],
  ['an error of no test', [report(['passed'])], 2, 1, 2],
  ['two good files', [report(['passed', 'passed']), report(['passed'])], 0, 3, 0],
])('counts %s', (_name, reports, stray, passed, failed) => {
  expect(countResults(reports, stray, false)).toEqual({ passed, failed })
})

test('with a name pattern, what it left out is no failure, and the rest still is', () => {
  const reports = [report(['passed', 'skipped', 'failed'])]
  expect(countResults(reports, 0, true)).toEqual({ passed: 1, failed: 1 })
})
