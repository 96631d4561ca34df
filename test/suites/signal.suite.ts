/**
 * What every signal must do, whatever carries it. `make` gives a deployment of its own in which nodes
 * are opened; `several` is false where there can be only one.
 */
import { afterEach, describe, expect, it } from 'vitest'
import type { Change, Receipt, Signal } from '../../src/context.ts'
import { until } from '../redis.ts'

export type SignalDeployment = { open(): Promise<Signal>; drop(): Promise<void> }

/** How long a node that is cut off goes by its memory, in every deployment under test. */
export const maxStaleMs = 4000

let made = 0
/** A change that no other test makes. */
export const changeOf = (kind: Change['kind'] = 'key'): Change => ({
  kind,
  platform: 'plt_suite',
  id: `key_${++made}`,
})

/** What a node has forgotten, in order. */
export type Heard = (Change | null)[]

/** Listens, and keeps what is told from now on. */
export function keep(signal: Signal): Heard {
  const heard: Heard = []
  signal.listen((change) => heard.push(change))
  return heard
}

export const knows = (heard: Heard, change: Change): boolean =>
  heard.some((one) => one === null || one.id === change.id)

export const complete = (nodes: number) => ({
  epoch: expect.any(Number),
  nodes,
  acknowledged: nodes,
  maxStalenessMs: 0,
})

export function signalSuite(
  name: string,
  make: () => Promise<SignalDeployment>,
  several: boolean,
): void {
  const places: SignalDeployment[] = []
  const signals: Signal[] = []
  afterEach(async () => {
    await Promise.all(signals.splice(0).map((signal) => signal.close()))
    await Promise.all(places.splice(0).map((place) => place.drop()))
  })
  const start = async (nodes: number): Promise<[Signal, ...Signal[]]> => {
    const place = await make()
    places.push(place)
    const first = await place.open()
    const others = await Promise.all(Array.from({ length: nodes - 1 }, () => place.open()))
    signals.push(first, ...others)
    return [first, ...others]
  }

  describe(`${name} is a signal`, () => {
    it.each([Number.NaN, -1, 0, Number.POSITIVE_INFINITY, 0.5])(
      'a wait of %s ms is bounded, and one node alone is heard at once',
      async (waitMs) => {
        const [signal] = await start(1)
        expect(await signal.announce(changeOf(), waitMs)).toMatchObject(complete(1))
      },
    )

    it('an announcement without a listener, and one after the end, do not hang or throw', async () => {
      const [signal] = await start(1)
      expect(await signal.announce(changeOf(), 50)).toMatchObject(complete(1))
      await signal.close()
      await signal.close()
      expect(await signal.announce(changeOf(), 50)).toMatchObject({ acknowledged: 1 })
    })

    it('the announcer has forgotten before anything else happens, and the last listener is told', async () => {
      const [signal] = await start(1)
      const before = keep(signal)
      const heard = keep(signal)
      const change = changeOf('tenant')
      const receipt = signal.announce(change, 1000)
      expect(heard).toEqual([change])
      await receipt
      expect(heard).toEqual([change])
      expect(before).toEqual([])
    })

    it('it is certain from the start, and says when what was announced is in effect', async () => {
      const [signal] = await start(1)
      expect(signal.silentMs()).toBe(0)
      const from = Date.now()
      const { effectiveAt } = await signal.announce(changeOf(), 1000)
      expect(effectiveAt).toBeGreaterThanOrEqual(from)
      expect(effectiveAt).toBeLessThanOrEqual(Date.now())
    })

    it('epochs grow', async () => {
      const [signal] = await start(1)
      const epochs: number[] = []
      for (let n = 0; n < 5; n++) {
        epochs.push((await signal.announce(changeOf(), 0)).epoch ?? 0)
      }
      expect(epochs).toEqual([...new Set(epochs)].sort((a, b) => a - b))
    })
  })

  if (!several) return
  describe(`${name} is a signal between nodes`, () => {
    it('nobody hears of another deployment', async () => {
      const [one] = await start(1)
      const [other] = await start(1)
      const heard = keep(other)
      expect(await one.announce(changeOf(), 1000)).toMatchObject(complete(1))
      await other.announce(changeOf(), 1000)
      expect(heard).toHaveLength(1)
    })

    it('every node has forgotten when the receipt says so, and forgets nothing else', async () => {
      const [one, ...others] = await start(3)
      const heards = others.map(keep)
      for (const kind of ['key', 'tenant'] as const) {
        const change = changeOf(kind)
        expect(await one.announce(change, 2000)).toMatchObject(complete(3))
        for (const heard of heards) expect(heard.splice(0)).toEqual([change])
      }
    })

    it('without a wait the receipt promises nothing, and the others hear of it all the same', async () => {
      const [one, other] = await start(2)
      const heard = keep(other!)
      const change = changeOf()
      const from = Date.now()
      const receipt = await one.announce(change, 0)
      expect(receipt).toMatchObject({ nodes: 2, acknowledged: 1, maxStalenessMs: maxStaleMs })
      expect(receipt.effectiveAt).toBeGreaterThanOrEqual(from + maxStaleMs)
      await until(() => knows(heard, change))
      expect(heard).toEqual([change])
    })

    it('all nodes announce at once, and every one hears of everything', async () => {
      const nodes = await start(4)
      const heards = nodes.map(keep)
      const changes = nodes.map(() => changeOf())
      const receipts = await Promise.all(nodes.map((node, n) => node.announce(changes[n]!, 2000)))
      for (const receipt of receipts) expect(receipt).toMatchObject(complete(4))
      for (const heard of heards) {
        for (const change of changes) expect(knows(heard, change)).toBe(true)
      }
    })

    it('10 000 at once are a few epochs, and nobody misses one', async () => {
      const [one, other] = await start(2)
      const heard = keep(other!)
      const changes = Array.from({ length: 10_000 }, () => changeOf())
      const receipts = await Promise.all(changes.map((change) => one.announce(change, 0)))
      expect(epochsOf(receipts).size).toBeLessThan(100)
      expect(await one.announce(changeOf(), 2000)).toMatchObject(complete(2))
      expect(changes.every((change) => knows(heard, change))).toBe(true)
    })

    it('a node that ends is not waited for', async () => {
      const [one, other] = await start(2)
      expect(await one.announce(changeOf(), 2000)).toMatchObject(complete(2))
      await other!.close()
      expect(await one.announce(changeOf(), 0)).toMatchObject(complete(1))
      expect(other!.silentMs()).toBe(Number.POSITIVE_INFINITY)
    })
  })
}

const epochsOf = (receipts: readonly Receipt[]): Set<number | null> =>
  new Set(receipts.map(({ epoch }) => epoch))
