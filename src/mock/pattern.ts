/**
 * The regular expressions of a document, matched in time that is linear in the text, and turned round
 * to make texts that match. They come from strangers, so the engine's own matcher, which tries every
 * way through `(a+)+$`, never sees one.
 *
 * It reads the regular part of ECMA-262: literals, classes, groups, alternatives, repetitions, `^` and
 * `$`. Look-around, back references, word boundaries and `\p` are not read, and neither is what needs
 * more than a few thousand states: such a pattern is not enforced, and the caller says so.
 */
import type { Random } from './random.ts'
import { type Node, type Range, readRegex, Unread } from './regex.ts'

/** A state of the machine: takes a character, forks, asserts, or has matched. */
type State =
  | { kind: 'set'; ranges: readonly Range[]; to: number }
  | { kind: 'fork'; to: number; or: number }
  | { kind: 'start' | 'end'; to: number }
  | { kind: 'match' }

export type Pattern = {
  readonly source: string
  /** How many states it has: a test costs at most this for each code point. */
  readonly size: number
  /** Whether it matches somewhere in the text, by code points. Linear in the text. */
  test(text: string): boolean
  /** A text of so many code points that matches, or null when none was found in a few tries. */
  make(random: Random, lengthMin: number, lengthMax: number): string | null
}

const sourceMax = 1000
const statesMax = 4000
// Parts that are empty make no states, and could still be repeated for ever.
const placedMax = 50_000
const drawsMax = 10_000

/** Reads a pattern; null when it is more than is read here. Does not throw. */
export function readPattern(source: string): Pattern | null {
  if (source.length > sourceMax) return null
  let tree: Node
  let states: readonly State[]
  try {
    tree = readRegex(source)
    states = compile(tree)
  } catch (thrown) {
    if (thrown instanceof Unread) return null
    throw thrown
  }
  const marks: Marks = { entered: new Uint32Array(states.length), step: 0 }
  const test = (text: string) => matches(states, text, marks)
  return {
    source,
    size: states.length,
    test,
    make(random, lengthMin, lengthMax) {
      // Wider repetitions where longer texts are asked for, and the shortest when nothing else fits.
      for (const spread of [6, 12, 3, 24, 1, 64, 0, 256]) {
        const text = draw(tree, random, spread, { left: drawsMax })
        if (text === null) continue
        const { length } = [...text]
        if (length >= lengthMin && length <= lengthMax && test(text)) return text
      }
      return null
    },
  }
}

/** Thompson's construction, written from the end: each part knows the state that follows it. */
function compile(tree: Node): readonly State[] {
  const states: State[] = [{ kind: 'match' }]
  const add = (state: State): number => {
    if (states.length >= statesMax) throw new Unread()
    return states.push(state) - 1
  }
  let placed = 0
  const place = (node: Node, to: number): number => {
    placed += 1
    if (placed > placedMax) throw new Unread()
    switch (node.kind) {
      case 'set':
        return add({ kind: 'set', ranges: node.ranges, to })
      case 'start':
      case 'end':
        return add({ kind: node.kind, to })
      case 'sequence':
        return node.parts.reduceRight((next, part) => place(part, next), to)
      case 'choice':
        return node.parts
          .map((part) => place(part, to))
          .reduceRight((or, next) => add({ kind: 'fork', to: next, or }))
      case 'repeat':
        return placeRepeat(node, to)
    }
  }
  const placeRepeat = ({ part, least, most }: Node & { kind: 'repeat' }, to: number): number => {
    let next = to
    if (most === Number.POSITIVE_INFINITY) {
      const fork: State = { kind: 'fork', to: 0, or: to }
      next = add(fork)
      fork.to = place(part, next)
    } else
      for (let n = least; n < most; n++) next = add({ kind: 'fork', to: place(part, next), or: to })
    for (let n = 0; n < least; n++) next = place(part, next)
    return next
  }
  const start = place(tree, 0)
  // The first state is found where the machine looks for it: at the end.
  add({ kind: 'fork', to: start, or: start })
  return states
}

/** In which step each state was last entered. A test is one turn, so one table serves them all. */
type Marks = { readonly entered: Uint32Array; step: number }

/** All ways at once: each state is entered at most once for each character. */
function matches(states: readonly State[], text: string, marks: Marks): boolean {
  const { entered } = marks
  const points = [...text]
  // Marks of earlier texts are of earlier steps, until the counter would run over.
  if (marks.step + points.length > 0xffff_0000) {
    marks.step = 0
    entered.fill(0)
  }
  let { step } = marks
  let open: number[] = []
  for (let at = 0; at <= points.length; at++) {
    step += 1
    marks.step = step
    const waiting: number[] = []
    const stack = [...open, states.length - 1]
    for (let state = stack.pop(); state !== undefined; state = stack.pop()) {
      if (entered[state] === step) continue
      entered[state] = step
      const found = states[state]
      if (found === undefined || found.kind === 'match') return true
      if (found.kind === 'set') waiting.push(state)
      else if (found.kind === 'fork') stack.push(found.to, found.or)
      else if (at === (found.kind === 'start' ? 0 : points.length)) stack.push(found.to)
    }
    const code = points[at]?.codePointAt(0)
    if (code === undefined) return false
    open = []
    for (const state of waiting) {
      const found = states[state]
      if (found?.kind === 'set' && holds(found.ranges, code)) open.push(found.to)
    }
  }
  return false
}

const holds = (ranges: readonly Range[], code: number): boolean =>
  ranges.some(([low, high]) => code >= low && code <= high)

/** What people type, the most likely first: a text is made of the first that a set shares. */
const liked: readonly Range[] = [
  [0x61, 0x7a],
  [0x30, 0x39],
  [0x41, 0x5a],
  [0x21, 0x7e],
  [0x20, 0x20],
]

function draw(node: Node, random: Random, spread: number, room: { left: number }): string | null {
  room.left -= 1
  if (room.left < 0) return null
  switch (node.kind) {
    case 'start':
    case 'end':
      return ''
    case 'set':
      return drawOne(node.ranges, random)
    case 'choice':
      return draw(random.pick(node.parts), random, spread, room)
    case 'sequence':
      return drawAll(node.parts, random, spread, room)
    case 'repeat': {
      const { part, least, most } = node
      if (least > drawsMax) return null
      const times = random.whole(least, Math.min(most, least + spread))
      return drawAll(Array<Node>(times).fill(part), random, spread, room)
    }
  }
}

function drawAll(
  parts: readonly Node[],
  random: Random,
  spread: number,
  room: { left: number },
): string | null {
  let made = ''
  for (const part of parts) {
    const text = draw(part, random, spread, room)
    if (text === null) return null
    made += text
  }
  return made
}

function drawOne(ranges: readonly Range[], random: Random): string | null {
  const shared = liked.flatMap(([low, high]) =>
    ranges
      .map(([from, to]): Range => [Math.max(from, low), Math.min(to, high)])
      .filter(([from, to]) => from <= to),
  )
  const [low, high] = shared.length > 0 ? random.pick(shared.slice(0, 3)) : (ranges[0] ?? [1, 0])
  return low > high ? null : String.fromCodePoint(random.whole(low, Math.min(high, low + 64)))
}
