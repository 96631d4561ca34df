import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { type AddressGuard, createAddressGuard } from '../../src/runtime/node/address-guard.ts'

const here = '203.0.113.7'

async function chargeTimes(guard: AddressGuard, times: number, address = here) {
  const answers: (number | null)[] = []
  for (let time = 0; time < times; time++) answers.push(await guard.charge(address))
  return answers
}

describe('the address guard', () => {
  // The machine's clock is what this port counts on, so the test holds it still.
  beforeEach(() => {
    vi.useFakeTimers({ now: 1_800_000_000_000 })
  })
  afterEach(() => {
    vi.useRealTimers()
  })

  test('K1, L13: of 50 failures in 10 s the first 20 are answered, the rest are told when to come back', async () => {
    const answers = await chargeTimes(createAddressGuard({ count: 20, windowSeconds: 10 }), 50)
    expect(answers.slice(0, 20).every((answer) => answer === null)).toBe(true)
    expect(answers.slice(20)).toEqual(Array(30).fill(10))
  })

  test('the wait that is told shrinks, is never 0, and is true', async () => {
    const guard = createAddressGuard({ count: 1, windowSeconds: 10 })
    expect(await guard.charge(here)).toBeNull()
    vi.setSystemTime(Date.now() + 7001)
    expect(await guard.charge(here)).toBe(3)
    vi.setSystemTime(Date.now() + 2998)
    expect(await guard.charge(here)).toBe(1)
    vi.setSystemTime(Date.now() + 1)
    expect(await guard.charge(here)).toBeNull()
  })

  test('counts clients apart', async () => {
    const guard = createAddressGuard({ count: 1, windowSeconds: 10 })
    await chargeTimes(guard, 5)
    expect(await guard.charge('203.0.113.8')).toBeNull()
  })

  test('C9: a thousand addresses of one IPv6 /64 share one count; another /64 has its own', async () => {
    const guard = createAddressGuard({ count: 20, windowSeconds: 10 })
    let heard = 0
    for (let host = 0; host < 1000; host++) {
      if ((await guard.charge(`2001:db8:1:2::${host.toString(16)}`)) === null) heard++
    }
    expect(heard).toBe(20)
    expect(await guard.charge('2001:db8:1:3::1')).toBeNull()
  })

  test('C7: an IPv4 client is counted once however its socket shows it', async () => {
    const guard = createAddressGuard({ count: 1, windowSeconds: 10 })
    expect([await guard.charge(here), await guard.charge(`::ffff:${here}`)]).toEqual([null, 10])
  })

  test('what is no address is counted, together', async () => {
    const guard = createAddressGuard({ count: 1, windowSeconds: 10 })
    expect([await guard.charge(''), await guard.charge('x')]).toEqual([null, 10])
  })

  test('K9: past addressesMax, newcomers share one count and nobody is forgotten', async () => {
    const guard = createAddressGuard({ count: 2, windowSeconds: 10, addressesMax: 3 })
    for (const host of [1, 2, 3]) await chargeTimes(guard, 2, `10.0.0.${host}`)
    const newcomers = [4, 5, 6, 7].map((host) => guard.charge(`10.0.0.${host}`))
    expect(await Promise.all(newcomers)).toEqual([null, null, 10, 10])
    for (const host of [1, 2, 3]) expect(await guard.charge(`10.0.0.${host}`)).toBe(10)
  })

  test('K9: places come free when windows end, and the memory with them', async () => {
    const guard = createAddressGuard({ count: 1, windowSeconds: 10, addressesMax: 3 })
    for (const host of [1, 2, 3, 4, 5]) await guard.charge(`10.0.0.${host}`)
    expect(vi.getTimerCount()).toBe(4)
    vi.advanceTimersByTime(10_000)
    expect(vi.getTimerCount()).toBe(0)
    const later = [6, 7, 8].map((host) => guard.charge(`10.0.0.${host}`))
    expect(await Promise.all(later)).toEqual([null, null, null])
    expect(await guard.charge('10.0.0.6')).toBe(10)
  })
})
