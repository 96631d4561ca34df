/**
 * What every counter must do, whatever it counts in, and whether its limits are leased or exact.
 * `make` gives a counter that reads its time, in milliseconds, from `clock.ms`; each test works in a
 * shard of its own. Where a call is slow, fewer `runs` of the properties and a longer `floodMs`
 * between two calls of a flood keep it short.
 */
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Borrowed, Counter, CounterTree, Limit } from '../../src/context.ts'

export type Clock = { ms: number }

const leasedLimit = (quota: number, windowSeconds: number, name = 'limit'): Limit => ({
  name,
  quota,
  windowSeconds,
  onStoreDown: 'local',
})

/** What nothing is said of is leased. */
export const limit = leasedLimit

export const exactLimit = (...args: Parameters<typeof leasedLimit>): Limit => ({
  ...leasedLimit(...args),
  counting: 'exact',
})

let shards = 0
/** A tree in a shard nobody else uses. */
export const treeOf = (...nodes: CounterTree['nodes']): CounterTree => ({
  shard: `plt_suite_${process.pid}_${Date.now()}_${++shards}:test`,
  nodes,
})

const single = (...limits: Limit[]): CounterTree => treeOf({ key: 'one', limits })

export type CounterSuiteOptions = {
  readonly counting?: 'leased' | 'exact'
  readonly runs?: number
  readonly floodMs?: number
}

export function counterSuite(
  name: string,
  make: (clock: Clock) => Counter | Promise<Counter>,
  { counting = 'leased', runs = 30, floodMs = 1 }: CounterSuiteOptions = {},
): void {
  const limit = counting === 'exact' ? exactLimit : leasedLimit
  /** For how many milliseconds of a window of one second a unit is held at most. */
  const heldMs = 1000 * (counting === 'exact' ? 65 / 64 : 66 / 64)
  describe(`${name} is a counter, ${counting}`, () => {
    const clock = { ms: 1_800_000_000_000 }
    let counter: Counter | undefined
    beforeAll(async () => {
      counter = await make(clock)
    })
    afterAll(() => counter?.close())

    const borrow = async (tree: CounterTree, want = 1): Promise<Borrowed> => {
      if (counter === undefined) throw new Error('there is no counter')
      return counter.borrow(tree, want)
    }
    const take = async (tree: CounterTree, times: number): Promise<number> => {
      const all = await Promise.all(Array.from({ length: times }, () => borrow(tree)))
      return all.filter((one) => one.granted).length
    }

    it('L1: of 5 000 at once on a quota of 100, exactly 100 are granted', async () => {
      expect(await take(single(limit(100, 60)), 5000)).toBe(100)
    })

    it.each([0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 2e9])(
      'L12: a want of %s is refused',
      async (want) => {
        const tree = single(limit(10, 60))
        await expect(borrow(tree, want)).rejects.toThrow(RangeError)
        expect((await borrow(tree)).states[0]?.remaining).toBe(9)
      },
    )

    it('L2: no window of W holds more than the quota, wherever it starts', async () => {
      const moves = fc.array(
        fc.record({
          stepMs: fc.oneof(
            fc.integer({ min: 0, max: 20 }),
            fc.integer({ min: 0, max: 1100 }),
            fc.constantFrom(984, 985, 1000, 1015, 1016),
          ),
          want: fc.integer({ min: 1, max: 4 }),
        }),
        { minLength: 1, maxLength: 60 },
      )
      const property = fc.asyncProperty(
        moves,
        fc.integer({ min: 1, max: 12 }),
        async (all, quota) => {
          const tree = single(limit(quota, 1))
          const passed: { at: number; units: number }[] = []
          for (const { stepMs, want } of all) {
            clock.ms += stepMs
            const { granted } = await borrow(tree, want)
            if (granted) passed.push({ at: clock.ms, units: want })
            else expect(unitsWithin(passed, clock.ms, heldMs) + want).toBeGreaterThan(quota)
          }
          for (const { at } of passed)
            expect(unitsWithin(passed, at, 1000)).toBeLessThanOrEqual(quota)
        },
      )
      await fc.assert(property, { numRuns: runs })
    })

    // Two windows at least.
    const even = floodMs === 1 ? 2000 : 400
    it(`L2: ${even} of ${even} evenly spaced at 0.9 of the limit are granted`, async () => {
      const tree = single(limit(100, 10))
      let granted = 0
      for (let i = 0; i < even; i++) {
        clock.ms += 10_000 / 90
        if ((await borrow(tree)).granted) granted++
      }
      expect(granted).toBe(even)
    })

    it(`L4: flooding at ${50 / floodMs} times the limit for 10 windows is granted the quota a window`, async () => {
      const tree = single(limit(20, 1))
      let granted = 0
      for (let ms = 0; ms < 10_000; ms += floodMs) {
        if ((await borrow(tree)).granted) granted++
        clock.ms += floodMs
      }
      // Each unit is held for W to W + W/32 at most: at least 9 whole rounds of 20, at most 10.
      expect(granted).toBeGreaterThanOrEqual(180)
      expect(granted).toBeLessThanOrEqual(200)
      clock.ms += 1016
      expect(await take(tree, 30)).toBe(20)
    })

    it('L4: a tree is charged at every node or at none', async () => {
      const tight = { key: 'tight', limits: [limit(2, 60)] }
      const wide = { key: 'wide', limits: [limit(100, 60)] }
      const both = treeOf(wide, tight)
      expect(await take(both, 50)).toBe(2)
      const alone = { shard: both.shard, nodes: [wide] }
      const after = await borrow(alone)
      expect(after).toMatchObject({ granted: true, states: [{ remaining: 97 }] })
    })

    it('L4: a refused tree creates nothing, even where it had never been counted', async () => {
      const never = treeOf(
        { key: 'fresh', limits: [limit(10, 60)] },
        { key: 'n', limits: [limit(1, 60)] },
      )
      expect((await borrow(never, 2)).granted).toBe(false)
      const fresh = { shard: never.shard, nodes: [never.nodes[0]!] }
      expect((await borrow(fresh)).states[0]?.remaining).toBe(9)
    })

    it('several limits of one node hold at once, and the refusal names the one that refused', async () => {
      const burst = limit(5, 1, 'burst')
      const minute = limit(8, 60, 'minute')
      const tree = single(burst, minute)
      expect(await take(tree, 10)).toBe(5)
      expect(await borrow(tree)).toMatchObject({ granted: false, node: 0, limit: burst })
      clock.ms += 1016
      expect(await take(tree, 10)).toBe(3)
      expect(await borrow(tree)).toMatchObject({ granted: false, node: 0, limit: minute })
    })

    it('two limits of one window length share a count, and the smaller holds', async () => {
      const tree = single(limit(9, 60, 'wide'), limit(4, 60, 'tight'))
      expect(await take(tree, 10)).toBe(4)
      const refused = await borrow(tree)
      expect(refused).toMatchObject({ granted: false, limit: { name: 'tight' } })
      expect(refused.states.map(({ remaining }) => remaining)).toEqual([5, 0])
    })

    it('L16: of two limits that refuse, the one that takes longer is named and waited for', async () => {
      const tree = treeOf(
        { key: 'a', limits: [limit(1, 60)] },
        { key: 'b', limits: [limit(1, 10)] },
      )
      await borrow(tree)
      const refused = await borrow(tree)
      expect(refused).toMatchObject({ granted: false, node: 0 })
      if (!refused.granted) clock.ms += refused.retryAfterSeconds * 1000
      expect((await borrow(tree)).granted).toBe(true)
    })

    it('a cost above 1 takes that many units, and is refused whole when they are not there', async () => {
      const tree = single(limit(10, 60))
      expect((await borrow(tree, 7)).states[0]?.remaining).toBe(3)
      expect(await borrow(tree, 4)).toMatchObject({ granted: false, states: [{ remaining: 3 }] })
      expect((await borrow(tree, 3)).states[0]?.remaining).toBe(0)
    })

    it('a cost above the quota is refused for ever, and charges nothing', async () => {
      const tree = single(limit(3, 60))
      const never = { granted: false, retryAfterSeconds: Number.POSITIVE_INFINITY }
      expect(await borrow(tree, 4)).toMatchObject({ ...never, states: [{ remaining: 3 }] })
      clock.ms += 120_000
      expect(await borrow(tree, 4)).toMatchObject(never)
      expect(await take(tree, 5)).toBe(3)
    })

    it('L16: after Retry-After the same request passes, and a second before it does not', async () => {
      const wants = fc.array(
        fc.tuple(fc.integer({ min: 0, max: 3000 }), fc.integer({ min: 1, max: 5 })),
        {
          minLength: 1,
          maxLength: 20,
        },
      )
      const property = fc.asyncProperty(
        wants,
        fc.integer({ min: 1, max: 5 }),
        async (all, want) => {
          const tree = single(limit(8, 7))
          for (const [stepMs, units] of all) {
            clock.ms += stepMs
            await borrow(tree, units)
          }
          const refused = await borrow(tree, want)
          if (refused.granted) return
          const seconds = refused.retryAfterSeconds
          expect(Number.isInteger(seconds) && seconds >= 1).toBe(true)
          expect(refused.states[0]!.moreSeconds).toBeLessThanOrEqual(seconds)
          clock.ms += (seconds - 1) * 1000
          expect((await borrow(tree, want)).granted).toBe(false)
          clock.ms += 1000
          expect((await borrow(tree, want)).granted).toBe(true)
        },
      )
      await fc.assert(property, { numRuns: runs })
    })

    it('L16: after 1 of 1, exactly one more passes once Retry-After is over', async () => {
      const tree = single(limit(1, 5))
      expect(await take(tree, 3)).toBe(1)
      const refused = await borrow(tree)
      if (!refused.granted) clock.ms += refused.retryAfterSeconds * 1000
      expect(await take(tree, 3)).toBe(1)
    })

    it('L16: moreSeconds and resetSeconds tell when some, and when all of it, is back', async () => {
      const tree = single(limit(10, 60))
      await borrow(tree, 4)
      clock.ms += 20_000
      const { states } = await borrow(tree, 3)
      const [{ moreSeconds, resetSeconds } = { moreSeconds: 0, resetSeconds: 0 }] = states
      clock.ms += moreSeconds * 1000
      expect((await borrow(tree, 1)).states[0]?.remaining).toBe(6)
      expect(moreSeconds).toBeGreaterThanOrEqual(40)
      expect(moreSeconds).toBeLessThanOrEqual(42)
      expect(resetSeconds).toBeGreaterThanOrEqual(60)
      expect(resetSeconds).toBeLessThanOrEqual(61)
    })

    it('a lowered quota refuses until enough has come back, and remaining is never negative', async () => {
      const tree = single(limit(10, 60))
      await borrow(tree, 9)
      const lowered = { shard: tree.shard, nodes: [{ key: 'one', limits: [limit(4, 60)] }] }
      const refused = await borrow(lowered)
      expect(refused).toMatchObject({ granted: false, states: [{ remaining: 0 }] })
      if (!refused.granted) clock.ms += refused.retryAfterSeconds * 1000
      expect((await borrow(lowered)).granted).toBe(true)
    })

    it('T16: keys and shards that look alike when joined are counted apart', async () => {
      const { shard } = treeOf()
      const tree = (at: string, key: string): CounterTree => ({
        shard: at,
        nodes: [{ key, limits: [limit(1, 60)] }],
      })
      const alike = [
        tree(`${shard}:a`, 'b:c'),
        tree(`${shard}:a:b`, 'c'),
        tree(`${shard}:a}`, 'b'),
        tree(`${shard}:a`, '}b'),
        tree(`${shard}:a`, 'b:c:60'),
        tree(`${shard} a`, 'b:c'),
      ]
      for (const one of alike) expect((await borrow(one)).granted).toBe(true)
      for (const one of alike) expect((await borrow(one)).granted).toBe(false)
    })

    it('L17: the shards of test and live share nothing', async () => {
      const node = { key: 'same', limits: [limit(1, 60)] }
      const { shard } = treeOf()
      expect(await take({ shard: `${shard}:test`, nodes: [node] }, 50)).toBe(1)
      expect(await take({ shard: `${shard}:live`, nodes: [node] }, 2)).toBe(1)
    })

    it('a tree without limits is granted', async () => {
      expect(await borrow(treeOf())).toEqual({ granted: true, states: [] })
    })

    it('L3: a clock that steps back a little frees nothing and shuts nobody out', async () => {
      const tree = single(limit(2, 60))
      expect(await take(tree, 3)).toBe(2)
      clock.ms -= 30_000
      expect(await take(tree, 3)).toBe(0)
      clock.ms += 30_000 + 61_000
      expect(await take(tree, 3)).toBe(2)
    })

    it('L3: a clock that steps back by hours starts the count over', async () => {
      const tree = single(limit(2, 60))
      expect(await take(tree, 3)).toBe(2)
      clock.ms -= 4 * 3_600_000
      expect(await take(tree, 3)).toBe(2)
      clock.ms += 5 * 3_600_000
      expect(await take(tree, 3)).toBe(2)
    })
  })
}

/** Units that passed in (at - spanMs, at]. */
function unitsWithin(
  passed: readonly { at: number; units: number }[],
  at: number,
  spanMs: number,
): number {
  let units = 0
  for (const one of passed) if (one.at > at - spanMs && one.at <= at) units += one.units
  return units
}
