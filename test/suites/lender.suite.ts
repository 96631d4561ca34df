/**
 * What every store below a leased counter must do: the sums of a model that keeps each unit by
 * itself, in whatever order units are charged, lent and given back, also when the clock stands still,
 * runs past a window or steps back. `make` gives a lender that reads its time from `clock.ms`; each
 * test works in a shard of its own.
 */
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Ask, Lender, Lent } from '../../src/context.ts'
import type { Clock } from './counter.suite.ts'

let shards = 0
export const shardOf = (): string => `plt_lender_${process.pid}_${Date.now()}_${++shards}:test`

export const ask = (more: Partial<Ask> = {}): Ask => ({
  key: '3:one:1',
  windowSeconds: 1,
  quota: 100,
  need: 0,
  extra: 0,
  backs: [],
  ...more,
})

export function lenderSuite(
  name: string,
  make: (clock: Clock) => Lender | Promise<Lender>,
  runs = 100,
): void {
  describe(`${name} is a lender`, () => {
    const clock = { ms: 1_800_000_000_000 }
    let lender: Lender | undefined
    beforeAll(async () => {
      lender = await make(clock)
    })
    afterAll(() => lender?.close())
    const lend = async (shard: string, ...asks: Ask[]): Promise<Lent> => {
      if (lender === undefined) throw new Error('there is no lender')
      return lender.lend(shard, asks)
    }

    it('does the sums of the model, whatever is asked in whatever order', async () => {
      const step = fc.record({
        stepMs: fc.oneof(
          fc.constant(0),
          fc.integer({ min: 1, max: 40 }),
          fc.constantFrom(15.625, 984.375, 1000, 1015.625, 1031.25, 1046.875),
        ),
        asks: fc.array(
          fc.record({
            need: fc.integer({ min: 0, max: 6 }),
            extra: fc.integer({ min: 0, max: 20 }),
            // Which of the loans so far comes back, and how much of it.
            back: fc.option(fc.tuple(fc.nat(5), fc.integer({ min: 1, max: 25 })), { nil: null }),
          }),
          { minLength: 2, maxLength: 2 },
        ),
      })
      const property = fc.asyncProperty(
        fc.array(step, { minLength: 1, maxLength: 40 }),
        fc.integer({ min: 1, max: 60 }),
        async (steps, quota) => {
          const shard = shardOf()
          const models = [new Model(1000 / 64), new Model(3000 / 64)]
          const loans: { slot: number; units: number }[][] = [[], []]
          for (const { stepMs, asks } of steps) {
            clock.ms += stepMs
            const sent = asks.map(({ need, extra, back }, i) => {
              const loan = back === null ? undefined : loans[i]![back[0]]
              const units = Math.min(back?.[1] ?? 0, loan?.units ?? 0)
              if (loan !== undefined) loan.units -= units
              const backs = loan === undefined || units === 0 ? [] : [{ slot: loan.slot, units }]
              const windowSeconds = i === 0 ? 1 : 3
              return ask({
                key: `3:one:${windowSeconds}`,
                windowSeconds,
                quota,
                need,
                extra,
                backs,
              })
            })
            const answer = await lend(shard, ...sent)
            expect(answer).toEqual(modelled(models, sent, clock.ms))
            for (const [i, { lent: units, slot }] of answer.standings.entries()) {
              if (units > 0) loans[i]!.push({ slot, units })
            }
          }
        },
      )
      await fc.assert(property, { numRuns: runs })
    })

    it('all needs or none: a refusal charges nothing and lends nothing, and keeps what came back', async () => {
      const shard = shardOf()
      const wide = ask({ key: '4:wide:1', quota: 50 })
      const tight = ask({ key: '5:tight:1', quota: 2 })
      const first = await lend(shard, { ...wide, need: 1, extra: 6 }, { ...tight, need: 2 })
      expect(first).toMatchObject({ refusing: -1, standings: [{ used: 7, lent: 6 }, { used: 2 }] })
      const backs = [{ slot: first.standings[0]!.slot, units: 5 }]
      const refused = await lend(
        shard,
        { ...wide, need: 1, extra: 9, backs },
        { ...tight, need: 1 },
      )
      expect(refused).toMatchObject({ refusing: 1, standings: [{ used: 2, lent: 0 }, { used: 2 }] })
      expect((await lend(shard, wide)).standings[0]!.used).toBe(2)
    })

    it('slices shrink as the quota is used up, down to nothing', async () => {
      const shard = shardOf()
      const lent: number[] = []
      for (let i = 0; i < 60; i++) {
        const { standings } = await lend(shard, ask({ quota: 1000, extra: 1_000_000 }))
        lent.push(standings[0]!.lent)
      }
      expect(lent.slice(0, 4)).toEqual([125, 109, 95, 83])
      expect(lent.toSorted((a, b) => b - a)).toEqual(lent)
      expect(lent.at(-1)).toBe(0)
      // The last units are there for those who charge them one by one.
      let single = 0
      while ((await lend(shard, ask({ quota: 1000, need: 1, extra: 9 }))).refusing < 0) single++
      expect(single).toBe(1000 - lent.reduce((sum, units) => sum + units, 0))
      expect(single).toBeGreaterThan(0)
    })

    it('what is lent and never spent ages out by itself', async () => {
      const shard = shardOf()
      const { standings } = await lend(shard, ask({ quota: 80, extra: 10 }))
      const [standing] = standings
      expect(standing).toMatchObject({ used: 10, lent: 10 })
      expect(standing!.validMs).toBeGreaterThan(1000 / 64)
      expect(standing!.validMs).toBeLessThanOrEqual(2000 / 64)
      clock.ms += standing!.validMs + 1000 - 1
      expect((await lend(shard, ask({ quota: 80 }))).standings[0]!.used).toBe(10)
      clock.ms += 1
      expect((await lend(shard, ask({ quota: 80 }))).standings[0]!.used).toBe(0)
    })

    it('a back of a sub-window that holds less, or nothing, adds no units', async () => {
      const shard = shardOf()
      const { standings } = await lend(shard, ask({ need: 3, extra: 4 }))
      const { slot } = standings[0]!
      for (const back of [slot + 1, slot - 2, slot - 64, slot + 1000]) {
        const { standings: after } = await lend(shard, ask({ backs: [{ slot: back, units: 5 }] }))
        expect(after[0]!.used).toBe(7)
      }
      const more = await lend(shard, ask({ backs: [{ slot, units: 1000 }] }))
      expect(more.standings[0]!.used).toBe(3)
    })

    it('L3: a clock that steps back a little counts and lends on, and frees nothing', async () => {
      const shard = shardOf()
      await lend(shard, ask({ need: 5, extra: 3 }))
      clock.ms -= 500
      const { standings } = await lend(shard, ask({ need: 1, extra: 2 }))
      expect(standings[0]).toMatchObject({ used: 11, lent: 2 })
      expect(standings[0]!.validMs).toBeLessThanOrEqual(2000 / 64)
      clock.ms += 500 + 1000
      expect((await lend(shard, ask())).standings[0]!.used).toBeGreaterThan(0)
      clock.ms += 500
      expect((await lend(shard, ask())).standings[0]!.used).toBe(0)
    })
  })
}

/** Each unit by itself: the sub-window it is counted in. */
class Model {
  readonly subMs: number
  units: number[] = []
  constructor(subMs: number) {
    this.subMs = subMs
  }
  advance(now: number): number {
    const index = Math.floor(now / this.subMs)
    this.units = this.units.filter((slot) => slot + 65 > index).sort((a, b) => a - b)
    return index
  }
}

function modelled(models: readonly Model[], asks: readonly Ask[], now: number): Lent {
  let refusing = -1
  let waitMs = 0
  const indices = models.map((model, i) => {
    const index = model.advance(now)
    const { backs, need, quota } = asks[i]!
    for (const { slot, units } of backs) {
      for (let n = 0; n < units && model.units.includes(slot); n++) {
        model.units.splice(model.units.indexOf(slot), 1)
      }
    }
    const over = model.units.length + need - quota
    if (need > 0 && over > 0) {
      const ms = need > quota ? Infinity : (model.units[over - 1]! + 65) * model.subMs - now
      if (refusing < 0 || ms > waitMs) {
        refusing = i
        waitMs = ms
      }
    }
    return index
  })
  const standings = models.map((model, i) => {
    const index = indices[i]!
    const { need, extra, quota } = asks[i]!
    let lent = 0
    if (refusing < 0) {
      model.units.push(...Array.from({ length: need }, () => index))
      lent = Math.max(0, Math.min(extra, Math.floor((quota - model.units.length) / 8)))
      model.units.push(...Array.from({ length: lent }, () => index + 1))
      model.advance(now)
    }
    const { units, subMs } = model
    return {
      used: units.length,
      moreMs: units.length === 0 ? 0 : (units[0]! + 65) * subMs - now,
      resetMs: units.length === 0 ? 0 : (units.at(-1)! + 65) * subMs - now,
      lent,
      slot: index + 1,
      validMs: (index + 2) * subMs - now,
    }
  })
  return { refusing, waitMs, standings }
}
