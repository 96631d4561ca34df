import { describe, expect, test } from 'vitest'
import { renderPage, renderTable, verdictOf } from './table.ts'
import { atLeast, atMost, exactly, inTime, later, none, type Result } from './verdicts.ts'

const result = (changes: Partial<Result>): Result => ({
  ...{ id: 'Q1', did: 'it broke', seconds: 3, checks: [], pending: null },
  ...changes,
})
const bad = atMost('longest', 400, 300, ' ms')

describe('the verdict', () => {
  test.each([
    ['FAILS', [bad]],
    ['FAILS', [later('x', bad), bad]],
    ['FAILS', [none('wrong', { '500 internal/error': 2 })]],
    ['FAILS', [none('uncaught', ['Error: boom'])]],
    ['FAILS', [atLeast('requests', 99, 100)]],
    ['FAILS', [exactly('answers', { 200: 101 }, { 200: 100 })]],
    ['holds', [later('x', bad)]],
    ['holds, times unclear', [inTime('busy', bad)]],
    ['holds', [inTime(null, atMost('longest', 300, 300)), none('wrong', {}), none('lines', [])]],
  ])('%s', (verdict, checks) => {
    expect(verdictOf(result({ checks }))).toBe(verdict)
  })

  test('not yet', () => {
    expect(verdictOf(result({ pending: 'x', checks: [bad] }))).toBe('not yet')
  })
})

test('a table says of each row what was measured and what is allowed', () => {
  const table = renderTable([
    result({ checks: [bad, later('leases', exactly('nodes', 1, 4))] }),
    result({ id: 'Q2', pending: 'shedding' }),
  ])
  expect(table).toContain(
    '| Q1 | it broke | longest 400 ms (**no**); nodes 1 (not yet) | longest ≤ 300 ms; nodes 4 | 3 s | FAILS |',
  )
  expect(table).toContain('2 rows: 1 FAILS, 1 not yet.')
  expect(table).toContain('- not yet: leases (Q1)\n- not yet: shedding (Q2)')
})

test('the page says with what it was made', () => {
  const facts = {
    scale: '0.1',
    slack: '1',
    minutes: 12,
    processor: '2 × x',
    node: 'v24',
    date: 'd',
  }
  expect(renderPage([result({})], facts)).toMatch(/on d UTC, in 12 minutes[\s\S]*Node v24 on 2 × x/)
})
