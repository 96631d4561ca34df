/** Lets a fixed number in at once per name, and a fixed number more wait in order. */
export type Turnstile = {
  /**
   * undefined: in, call `leave` when done. A promise: in once it resolves. Otherwise refused: `full`
   * when this name has too many waiting, `overfull` when all names together have.
   */
  enter(name: string): undefined | Promise<void> | 'full' | 'overfull'
  /** Gives the place to the next who waits under this name. Exactly once per entry. */
  leave(name: string): void
  /** How many are in or waiting, over all names. */
  readonly size: number
}

type Gate = { inside: number; readonly waiting: (() => void)[] }

export type TurnstileOptions = {
  /** In at once, per name. */
  readonly insideMax: number
  /** Waiting, per name. */
  readonly waitingMax: number
  /** In or waiting, over all names. */
  readonly totalMax: number
}

/** Creates a turnstile. Names without anybody in or waiting take no memory. */
export function createTurnstile({ insideMax, waitingMax, totalMax }: TurnstileOptions): Turnstile {
  const gates = new Map<string, Gate>()
  let size = 0

  return {
    enter(name) {
      if (size >= totalMax) return 'overfull'
      const gate = gates.get(name) ?? { inside: 0, waiting: [] }
      if (gate.inside === 0) gates.set(name, gate)
      if (gate.inside >= insideMax && gate.waiting.length >= waitingMax) return 'full'
      size++
      if (gate.inside < insideMax) {
        gate.inside++
        return undefined
      }
      const { waiting } = gate
      return new Promise((resolve) => waiting.push(resolve))
    },
    leave(name) {
      const gate = gates.get(name)
      if (gate === undefined) throw new Error('left a turnstile that was not entered')
      size--
      const next = gate.waiting.shift()
      if (next !== undefined) next()
      else if (--gate.inside === 0) gates.delete(name)
    },
    get size() {
      return size
    },
  }
}
