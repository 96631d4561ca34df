/**
 * Overload on an event loop that is played, not run: what is shown holds whatever else the machine
 * does. `test/e2e/overload.test.ts` has a real gate; the bench has its figures.
 */
import { describe, expect, test } from 'vitest'
import type { EnvironmentName } from '../../../src/context.ts'
import { createPressure } from '../../../src/runtime/node/pressure.ts'

type Arrival = {
  readonly dueMs: number
  readonly environment: EnvironmentName
  readonly costMs: number
}
type Served = Arrival & { readonly shed: boolean; readonly doneMs: number }

/** What turning one away, and sending one answer, costs. */
const shedMs = 0.1
const answerMs = 0.02

/** Plays a loop that takes all that is ready in each turn, and answers at its end. */
function play(arrivals: readonly Arrival[], afterMs: number | null = 100) {
  let now = 1000
  let idle = 0
  let atEnd = () => {}
  const changes: [EnvironmentName, boolean, number][] = []
  const pressure = createPressure({
    afterMs,
    onChange: (...change) => changes.push(change),
    clock: {
      nowMs: () => now,
      idleMs: () => idle,
      atEndOfTurn: (work) => {
        atEnd = work
      },
    },
  })
  const waiting = arrivals
    .map((one) => ({ ...one, dueMs: one.dueMs + 1000 }))
    .toSorted((a, b) => a.dueMs - b.dueMs)
  const served: Served[] = []
  for (let next = 0; next < waiting.length; ) {
    const first = waiting[next]!
    if (first.dueMs > now) {
      idle += first.dueMs - now
      now = first.dueMs
    }
    const turn: { one: Arrival; shed: boolean }[] = []
    for (const ready = now; next < waiting.length && waiting[next]!.dueMs <= ready; next++) {
      const one = waiting[next]!
      const shed = pressure.shed(one.environment)
      now += shed ? shedMs : one.costMs
      turn.push({ one, shed })
    }
    atEnd()
    now += turn.length * answerMs
    served.push(...turn.map(({ one, shed }) => ({ ...one, shed, doneMs: now })))
  }
  return { served: served.map((one) => ({ ...one, dueMs: one.dueMs - 1000 })), changes }
}

/** A number from 0 to 1, the same in every run. */
function createDice(seed: number): () => number {
  let state = seed
  return () => {
    state = (state * 16_807) % 2_147_483_647
    return state / 2_147_483_647
  }
}

type Stream = {
  readonly environment: EnvironmentName
  readonly perSecond: number
  readonly fromMs?: number
  readonly toMs: number
  readonly costMs?: number
}

/** Poisson streams. */
function arrivalsOf(...streams: readonly Stream[]): Arrival[] {
  const dice = createDice(42)
  return streams.flatMap(({ environment, perSecond, fromMs = 0, toMs, costMs = 5 }) => {
    const arrivals: Arrival[] = []
    const gapMs = () => (-Math.log(dice()) * 1000) / perSecond
    for (let dueMs = fromMs + gapMs(); dueMs < toMs; dueMs += gapMs()) {
      arrivals.push({ dueMs, environment, costMs })
    }
    return arrivals
  })
}

const of = (served: readonly Served[], environment: EnvironmentName, fromMs = 0) =>
  served.filter((one) => one.environment === environment && one.dueMs >= fromMs)
const shareShed = (served: readonly Served[]) =>
  served.filter(({ shed }) => shed).length / served.length
const admitted = (served: readonly Served[]) => served.filter(({ shed }) => !shed)

function p99Ms(served: readonly Served[]): number {
  const sorted = admitted(served)
    // `doneMs` is on the clock of the loop, which began at 1000.
    .map(({ dueMs, doneMs }) => doneMs - 1000 - dueMs)
    .toSorted((a, b) => a - b)
  return sorted[Math.floor(sorted.length * 0.99)] ?? Number.NaN
}

/** 5 ms of work each: 200 a second are all that there can be. */
const quiet = play(arrivalsOf({ environment: 'live', perSecond: 20, toMs: 60_000 })).served

describe('nothing is turned away', () => {
  test.each<[string, Arrival[], number | null]>([
    [
      'at two thirds of what can be served',
      arrivalsOf({ environment: 'live', perSecond: 133, toMs: 60_000 }),
      100,
    ],
    [
      'Q25: while a loop is blocked once for 500 ms, nor after it',
      [
        { dueMs: 5000.1, environment: 'live', costMs: 500 },
        ...arrivalsOf(
          { environment: 'live', perSecond: 40, toMs: 10_000, costMs: 0.2 },
          { environment: 'test', perSecond: 40, toMs: 10_000, costMs: 0.2 },
        ),
      ],
      100,
    ],
    [
      'of ten that come at once',
      Array.from({ length: 10 }, () => ({ dueMs: 5, environment: 'test', costMs: 5 })),
      100,
    ],
    [
      'where overload is off',
      arrivalsOf({ environment: 'test', perSecond: 2000, toMs: 1000 }),
      null,
    ],
  ])('%s', (_, arrivals, afterMs) => {
    const { served, changes } = play(arrivals, afterMs)
    expect(served.length).toBe(arrivals.length)
    expect(shareShed(served)).toBe(0)
    expect(changes).toEqual([])
  })
})

describe('Q18: at ten times what can be served', () => {
  test.each<EnvironmentName>(['live', 'test'])(
    'of %s, who is let in is served within three times the quiet time, and the loop is put to use',
    (environment) => {
      const { served } = play(arrivalsOf({ environment, perSecond: 2000, toMs: 30_000 }))
      const steady = of(served, environment, 1000)
      expect(p99Ms(steady)).toBeLessThan(3 * p99Ms(quiet))
      expect(p99Ms(served), 'the beginning is in it').toBeLessThan(3 * p99Ms(quiet))
      const perSecond = admitted(steady).length / 29
      expect(perSecond).toBeGreaterThan(200 * 0.7)
    },
  )

  test('test traffic goes first: live ones that can be served are', () => {
    const { served } = play(
      arrivalsOf(
        { environment: 'live', perSecond: 100, toMs: 30_000 },
        { environment: 'test', perSecond: 1900, toMs: 30_000 },
      ),
    )
    expect(shareShed(of(served, 'live'))).toBeLessThan(0.01)
    const alone = play(arrivalsOf({ environment: 'live', perSecond: 100, toMs: 30_000 })).served
    expect(p99Ms(of(served, 'live', 1000))).toBeLessThan(3 * p99Ms(alone))
    expect(shareShed(of(served, 'test'))).toBeGreaterThan(0.9)
    expect(admitted(of(served, 'test')).length, 'what is left over').toBeGreaterThan(300)
  })

  test('none of test is let in while live ones are turned away', () => {
    const { served } = play(
      arrivalsOf(
        { environment: 'live', perSecond: 1000, toMs: 10_000 },
        { environment: 'test', perSecond: 1000, toMs: 10_000 },
      ),
    )
    expect(shareShed(of(served, 'live'))).toBeGreaterThan(0.7)
    expect(admitted(of(served, 'test', 1000))).toEqual([])
  })

  test('a flood that takes all there is to turn away still lets somebody in', () => {
    const { served } = play(arrivalsOf({ environment: 'live', perSecond: 9000, toMs: 5000 }))
    expect(admitted(of(served, 'live', 1000)).length).toBeGreaterThan(10)
  })

  test('where turning away is all that a process has time for, a good part of the live ones is served', () => {
    const { served } = play(
      arrivalsOf(
        { environment: 'live', perSecond: 20, toMs: 5000 },
        { environment: 'test', perSecond: 12_000, toMs: 5000 },
      ),
    )
    expect(shareShed(of(served, 'live', 500))).toBeLessThan(0.5)
  })

  test('it is over within 5 s, and says so once', () => {
    const { served, changes } = play(
      arrivalsOf(
        { environment: 'live', perSecond: 2000, toMs: 5000 },
        { environment: 'live', perSecond: 60, fromMs: 5000, toMs: 30_000 },
        { environment: 'test', perSecond: 20, fromMs: 5000, toMs: 30_000 },
      ),
    )
    expect(shareShed(served.filter(({ dueMs }) => dueMs > 10_000))).toBe(0)
    expect(changes.map(([environment, turnsAway]) => [environment, turnsAway])).toEqual([
      ['live', true],
      ['test', true],
      ['live', false],
      ['test', false],
    ])
    const turnedAway = served.filter(({ shed }) => shed).length
    expect(changes[2]![2] + changes[3]![2]).toBeLessThanOrEqual(turnedAway)
    expect(changes[2]![2] + changes[3]![2]).toBeGreaterThan(turnedAway * 0.99)
  })
})

test('a little too much is served as far as it can be', () => {
  const { served } = play(arrivalsOf({ environment: 'live', perSecond: 240, toMs: 60_000 }))
  expect(admitted(served).length / 60).toBeGreaterThan(200 * 0.8)
  expect(p99Ms(served)).toBeLessThan(250)
})
