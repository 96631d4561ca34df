import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { StoreDown, type UsageBatch } from '../../src/context.ts'
import { createMeter, type MeterOptions } from '../../src/usage/meter.ts'
import { outcomeOf } from './outcome.ts'

const noon = Date.UTC(2026, 10, 20, 12)
const hourMs = 3_600_000

type Fault = 'down' | 'reply lost' | 'refused'

/** A store that adds a batch once, as the database does, and fails when it is told to. */
function createStore() {
  const stored = new Map<string, { platform: string; batch: UsageBatch }>()
  const sent: UsageBatch[] = []
  let faultOf = (_platform: string): Fault | null => null
  return {
    sent,
    fails(fault: typeof faultOf) {
      faultOf = fault
    },
    async write(platform: string, batch: UsageBatch) {
      const fault = faultOf(platform)
      sent.push(structuredClone(batch))
      await Promise.resolve()
      if (fault === 'down') throw new StoreDown('away')
      if (fault === 'refused') throw new Error('no such function')
      stored.set(batch.id, { platform, batch: structuredClone(batch) })
      if (fault === 'reply lost') throw new StoreDown('connection lost')
    },
    entries: (platform = 'plt_a') =>
      [...stored.values()]
        .filter((one) => one.platform === platform)
        .flatMap(({ batch }) => batch.entries),
    requests: () =>
      [...stored.values()]
        .flatMap(({ batch }) => batch.entries)
        .reduce((all, { requests }) => all + requests, 0),
  }
}

function setUp(more: Partial<MeterOptions> = {}) {
  const store = createStore()
  const warned: [string, Readonly<Record<string, unknown>>][] = []
  const clock = { now: noon }
  const meter = createMeter({
    write: store.write,
    warn: (message, fields) => warned.push([message, fields]),
    now: () => clock.now,
    ...more,
  })
  const told = (word: string) => warned.filter(([message]) => message.includes(word))
  return { store, meter, warned, clock, told }
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
})
afterEach(() => {
  vi.useRealTimers()
})
const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms)

describe('nobody is charged for', () => {
  test.each([
    ['a request without a good key', outcomeOf(null, { status: 401 })],
    ['one that reached no platform', outcomeOf('sec_1', { platform: null })],
  ])('%s', async (_, outcome) => {
    const { store, meter } = setUp()
    meter.note(outcome)
    expect(vi.getTimerCount()).toBe(0)
    expect(await meter.flush()).toBe(true)
    expect(store.sent).toEqual([])
  })

  test('what comes after the end', async () => {
    const { store, meter } = setUp()
    await meter.close()
    meter.note(outcomeOf('sec_1'))
    expect(vi.getTimerCount()).toBe(0)
    await meter.flush()
    expect(store.sent).toEqual([])
  })
})

describe('sums', () => {
  test('are one for each secret, with the first and the last use', async () => {
    const { store, meter, clock } = setUp()
    meter.note(outcomeOf('sec_1'))
    clock.now = noon + 5000
    const origin = 'https://a.example'
    meter.note(outcomeOf('sec_1', { status: 403, clientAddress: '2001:db8::1', origin }))
    meter.note(outcomeOf('sec_2', { status: 502, requestBytes: 0, responseBytes: 2 ** 40 }))
    // The clock is set back.
    clock.now = noon - 1000
    meter.note(outcomeOf('sec_1', { status: 399 }))
    await meter.flush()
    expect(store.sent).toHaveLength(1)
    expect(store.entries()).toEqual([
      {
        ...{ keyId: 'key_of_sec_1', secretId: 'sec_1', day: '2026-11-20', requests: 3, errors: 1 },
        ...{ bytesIn: 30, bytesOut: 300, firstUsedAt: noon - 1000, lastUsedAt: noon + 5000 },
        ...{ lastAddress: '2001:db8::1', lastOrigin: origin },
      },
      {
        ...{ keyId: 'key_of_sec_2', secretId: 'sec_2', day: '2026-11-20', requests: 1, errors: 1 },
        ...{ bytesIn: 0, bytesOut: 2 ** 40, firstUsedAt: noon + 5000, lastUsedAt: noon + 5000 },
        ...{ lastAddress: '192.0.2.1', lastOrigin: null },
      },
    ])
  })

  test('an origin longer than any is not kept', async () => {
    const { store, meter } = setUp()
    meter.note(outcomeOf('sec_1', { origin: `https://${'a'.repeat(16_000)}.example` }))
    await meter.flush()
    expect(store.entries()).toMatchObject([{ lastOrigin: null }])
  })

  test('of two days are two, however the clock moves', async () => {
    const { store, meter, clock } = setUp()
    for (const hours of [11.9, 12, 11.9, 12.1]) {
      clock.now = noon + hours * hourMs
      meter.note(outcomeOf('sec_1'))
    }
    await meter.flush()
    const days = store.entries().map(({ day, requests }) => [day, requests])
    expect(days.filter(([day]) => day === '2026-11-20')).toHaveLength(2)
    expect(days.filter(([day]) => day === '2026-11-21')).toHaveLength(2)
    expect(store.requests()).toBe(4)
  })

  test('of two platforms are never one, whatever the ids', async () => {
    const { store, meter } = setUp()
    meter.note(outcomeOf('sec_1'))
    meter.note(outcomeOf('sec_1', { platform: 'plt_b' }))
    await meter.flush()
    expect(store.entries('plt_a')).toHaveLength(1)
    expect(store.entries('plt_b')).toHaveLength(1)
  })
})

describe('they are written', () => {
  test('within 100 ms for a secret that was not seen before, and within a second after that', async () => {
    const { store, meter } = setUp()
    meter.note(outcomeOf('sec_1'))
    meter.note(outcomeOf('sec_1'))
    await pass(99)
    expect(store.sent).toHaveLength(0)
    await pass(1)
    expect(store.sent).toHaveLength(1)
    meter.note(outcomeOf('sec_1'))
    await pass(999)
    expect(store.sent).toHaveLength(1)
    await pass(1)
    expect(store.sent).toHaveLength(2)
    expect(vi.getTimerCount(), 'nothing is held').toBe(0)

    meter.note(outcomeOf('sec_1'))
    await pass(500)
    meter.note(outcomeOf('sec_new'))
    await pass(100)
    expect(store.requests()).toBe(5)
  })

  test('soon, for one that came while others were being written', async () => {
    const { store, meter } = setUp()
    meter.note(outcomeOf('sec_1'))
    const flushed = meter.flush()
    meter.note(outcomeOf('sec_2'))
    await flushed
    await pass(100)
    expect(store.entries().map(({ secretId }) => secretId)).toEqual(['sec_1', 'sec_2'])
  })

  test('at once when a batch is full, and in batches no larger', async () => {
    const { store, meter } = setUp({ batchMax: 10, flushMs: 60_000, promptMs: 100 })
    const secrets = Array.from({ length: 25 }, (_, n) => `sec_${n}`)
    const round = () => {
      for (const secret of secrets) meter.note(outcomeOf(secret))
    }
    round()
    await pass(100)
    expect(store.sent.map(({ entries }) => entries.length)).toEqual([10, 10, 5])
    expect(new Set(store.sent.map(({ id }) => id)).size).toBe(3)
    round()
    await pass(100)
    expect(store.sent).toHaveLength(6)
    expect(store.requests()).toBe(50)
  })
})

describe('while the store is away', () => {
  test('Q10: what was sent is sent again as it was, and what came since in another batch', async () => {
    const { store, meter, warned } = setUp()
    store.fails(() => 'reply lost')
    meter.note(outcomeOf('sec_1'))
    expect(await meter.flush()).toBe(false)
    meter.note(outcomeOf('sec_1'))
    expect(await meter.flush()).toBe(false)
    store.fails(() => null)
    expect(await meter.flush()).toBe(true)
    const [first, second, third, last] = store.sent
    expect([second, third]).toEqual([first, first])
    expect(last?.id).not.toBe(first?.id)
    expect(store.requests()).toBe(2)
    expect(warned.map(([message]) => message)).toEqual([
      'usage cannot be written: it is kept in memory and tried again',
      'usage is written again',
    ])
  })

  test('it is asked less and less often, and sums go on growing in their place', async () => {
    const { store, meter } = setUp()
    store.fails(() => 'down')
    for (let minute = 0; minute < 10; minute++) {
      for (let n = 0; n < 100; n++) meter.note(outcomeOf(`sec_${n}`))
      await pass(60_000)
    }
    // A request of every 15 s, at half of that where the spread is against us, and the first few.
    expect(store.sent.length).toBeLessThan(95)
    expect(store.sent.length).toBeGreaterThan(30)
    store.fails(() => null)
    await pass(15_000)
    expect(store.sent.slice(-2).map(({ entries }) => entries.length)).toEqual([100, 100])
    expect(store.requests()).toBe(1000)
    expect(vi.getTimerCount()).toBe(0)
  })

  test('past the number of sums that are held, further secrets are dropped, counted and told', async () => {
    const { store, meter, told } = setUp({ entriesMax: 10 })
    store.fails(() => 'down')
    for (let n = 0; n < 15; n++) meter.note(outcomeOf(`sec_${n}`))
    await meter.flush()
    // On their way, these ten still take their place.
    meter.note(outcomeOf('sec_1'))
    store.fails(() => null)
    await meter.flush()
    expect(told('dropped').map(([, fields]) => fields)).toEqual([{ requests: 5 }, { requests: 1 }])
    expect(store.requests()).toBe(10)
    for (let n = 0; n < 10; n++) meter.note(outcomeOf(`sec_${n}`))
    meter.note(outcomeOf('sec_1'))
    await meter.flush()
    expect(store.requests()).toBe(21)
  })

  test('a batch that is refused ten times is given up and told; others are not held up by it', async () => {
    const { store, meter, told } = setUp()
    store.fails((platform) => (platform === 'plt_a' ? 'refused' : null))
    meter.note(outcomeOf('sec_1'))
    meter.note(outcomeOf('sec_1'))
    for (let n = 0; n < 9; n++) {
      meter.note(outcomeOf('sec_b', { platform: 'plt_b' }))
      expect(await meter.flush()).toBe(false)
    }
    expect(store.entries('plt_b')).toHaveLength(9)
    expect(told('dropped')).toEqual([])
    expect(await meter.flush()).toBe(true)
    expect(told('dropped')).toEqual([[expect.any(String), { requests: 2 }]])
    store.fails(() => null)
    meter.note(outcomeOf('sec_1'))
    expect(await meter.flush()).toBe(true)
    expect(store.entries()).toMatchObject([{ secretId: 'sec_1', requests: 1 }])
  })

  test('Q10: a batch whose id the store may have forgotten is given up, not counted twice', async () => {
    const { store, meter, clock, told } = setUp()
    store.fails(() => 'reply lost')
    meter.note(outcomeOf('sec_1'))
    await meter.flush()
    clock.now += 21 * hourMs
    store.fails(() => null)
    meter.note(outcomeOf('sec_1'))
    expect(await meter.flush()).toBe(true)
    expect(store.sent).toHaveLength(2)
    expect(store.requests()).toBe(2)
    expect(told('dropped')).toHaveLength(1)
  })
})

describe('the end', () => {
  test('waits for what is being written, and writes the rest', async () => {
    const { store, meter, warned } = setUp()
    meter.note(outcomeOf('sec_1'))
    const flushed = meter.flush()
    meter.note(outcomeOf('sec_2'))
    await Promise.all([flushed, meter.close()])
    expect(store.requests()).toBe(2)
    expect(vi.getTimerCount()).toBe(0)
    expect(warned).toEqual([])
  })

  test('tries again while the store is away, for a time, and tells what is lost', async () => {
    vi.useRealTimers()
    const { store, meter, told } = setUp({ closeMs: 30, promptMs: 5 })
    store.fails(() => 'down')
    meter.note(outcomeOf('sec_1'))
    await meter.flush()
    meter.note(outcomeOf('sec_1'))
    meter.note(outcomeOf('sec_2'))
    await meter.close()
    expect(store.sent.length).toBeGreaterThan(1)
    expect(told('lost')).toEqual([[expect.any(String), { requests: 3 }]])
  })

  test('succeeds when the store comes back in time', async () => {
    vi.useRealTimers()
    const { store, meter, told } = setUp({ promptMs: 5 })
    let tries = 0
    store.fails(() => (tries++ < 3 ? 'reply lost' : null))
    meter.note(outcomeOf('sec_1'))
    await meter.close()
    expect(store.requests()).toBe(1)
    expect(told('lost')).toEqual([])
  })
})

test('Q10: whatever fails when, what is stored in the end is what was noted', async () => {
  vi.useRealTimers()
  const step = fc.oneof(
    fc.record({
      secret: fc.integer({ min: 0, max: 5 }),
      platform: fc.constantFrom('plt_a', 'plt_b'),
    }),
    fc.constantFrom<Fault | 'ok' | 'midnight'>('down', 'reply lost', 'refused', 'ok', 'midnight'),
  )
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      const { store, meter, clock } = setUp({ batchMax: 3, flushMs: 60_000, promptMs: 60_000 })
      let noted = 0
      let refusals = 0
      for (const one of steps) {
        if (typeof one === 'object') {
          meter.note(outcomeOf(`sec_${one.secret}`, { platform: one.platform }))
          noted++
        } else if (one === 'midnight') clock.now = 2 * noon + 12 * hourMs - clock.now
        // Past nine a batch is given up, which has its own test.
        else if (one !== 'refused' || refusals++ < 9) {
          store.fails(() => (one === 'ok' ? null : one))
          await meter.flush()
        }
      }
      store.fails(() => null)
      await meter.close()
      expect(store.requests()).toBe(noted)
    }),
    { numRuns: 300 },
  )
})
