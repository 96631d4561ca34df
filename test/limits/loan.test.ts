import { expect, it } from 'vitest'
import { Loan } from '../../src/limits/loan.ts'

// Sub-windows of a second.
const loan = () => new Loan('plt_one:test', '3:one:64', 64)
const parcel = (slot: number, units: number, endsAt: number) => ({ slot, units, endsAt })

it('gives back each unit once, however often it is asked', () => {
  const one = loan()
  one.put(parcel(5, 3, 2000), 0)
  one.surrender()
  expect([one.takeReturns(0), one.takeReturns(0)]).toEqual([[{ slot: 5, units: 3 }], []])
  expect(one.held).toBe(0)
})

it('what has ended is not held any longer, and goes back', () => {
  const one = loan()
  one.put(parcel(5, 3, 2000), 0)
  one.put(parcel(6, 4, 3000), 0)
  one.expire(1999.9)
  expect(one.held).toBe(7)
  one.expire(2000)
  expect(one.held).toBe(4)
  expect(one.takeReturns(2000)).toEqual([{ slot: 5, units: 3 }])
})

it('what comes too late is not held, and goes back', () => {
  const one = loan()
  one.put(parcel(5, 3, 2000), 2000)
  expect(one.held).toBe(0)
  expect(one.takeReturns(2000)).toEqual([{ slot: 5, units: 3 }])
})

it('spends first what ends first, over as many parcels as it takes', () => {
  const one = loan()
  one.put(parcel(6, 4, 3000), 0)
  one.put(parcel(5, 3, 2000), 0)
  one.spend(2, 0)
  one.spend(3, 0)
  one.expire(2000)
  expect([one.held, one.takeReturns(2000)]).toEqual([2, []])
  one.surrender()
  expect(one.takeReturns(2000)).toEqual([{ slot: 6, units: 2 }])
})

it('of two guesses of one end the earlier holds', () => {
  const one = loan()
  one.put(parcel(5, 3, 2000), 0)
  one.put(parcel(5, 3, 1500), 0)
  one.expire(1500)
  expect([one.held, one.takeReturns(1500)]).toEqual([0, [{ slot: 5, units: 6 }]])
})

it('does not carry back what has aged out at the store, nor more sub-windows than a few', () => {
  const one = loan()
  one.put(parcel(5, 3, 2000), 0)
  one.expire(2000)
  expect(one.takeReturns(2000 + 65_000)).toEqual([])
  for (let slot = 0; slot < 100; slot++) one.put(parcel(slot, 1, 2000), 2000)
  expect(one.takeReturns(2000).length).toBeLessThanOrEqual(8)
})

it('asks once at a time, and again when a renewal has not been answered for long', () => {
  const one = loan()
  one.note(1, 0)
  one.note(1, 0)
  expect(one.ask(0)).toBeGreaterThan(0)
  expect(one.ask(1)).toBe(0)
  expect(one.ask(2000)).toBeGreaterThan(0)
})
