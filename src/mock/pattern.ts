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

type Range = readonly [number, number]
type Node =
  | { readonly kind: 'set'; readonly ranges: readonly Range[] }
  | { readonly kind: 'sequence' | 'choice'; readonly parts: readonly Node[] }
  | { readonly kind: 'repeat'; readonly part: Node; readonly least: number; readonly most: number }
  | { readonly kind: 'start' | 'end' }

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
const depthMax = 50
const last = 0x10ffff
const drawsMax = 10_000

const digit: readonly Range[] = [[0x30, 0x39]]
const word: readonly Range[] = [
  [0x30, 0x39],
  [0x41, 0x5a],
  [0x5f, 0x5f],
  [0x61, 0x7a],
]
const space: readonly Range[] = [
  [0x09, 0x0d],
  [0x20, 0x20],
  [0xa0, 0xa0],
  [0x1680, 0x1680],
  [0x2000, 0x200a],
  [0x2028, 0x2029],
  [0x202f, 0x202f],
  [0x205f, 0x205f],
  [0x3000, 0x3000],
  [0xfeff, 0xfeff],
]
const lineEnds: readonly Range[] = [
  [0x0a, 0x0a],
  [0x0d, 0x0d],
  [0x2028, 0x2029],
]

class Unread extends Error {}

/** Reads a pattern; null when it is more than is read here. Does not throw. */
export function readPattern(source: string): Pattern | null {
  if (source.length > sourceMax) return null
  let tree: Node
  let states: readonly State[]
  try {
    tree = new Reader(source).read()
    states = compile(tree)
  } catch (thrown) {
    if (thrown instanceof Unread) return null
    throw thrown
  }
  const test = (text: string) => matches(states, text)
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

class Reader {
  readonly #source: readonly string[]
  #at = 0

  constructor(source: string) {
    this.#source = [...source]
  }

  read(): Node {
    const tree = this.#choice(0)
    if (this.#at < this.#source.length) throw new Unread()
    return tree
  }

  #peek(): string | undefined {
    return this.#source[this.#at]
  }

  #take(): string {
    const one = this.#source[this.#at]
    if (one === undefined) throw new Unread()
    this.#at += 1
    return one
  }

  #takes(text: string): boolean {
    if (this.#source.slice(this.#at, this.#at + text.length).join('') !== text) return false
    this.#at += text.length
    return true
  }

  #choice(depth: number): Node {
    if (depth > depthMax) throw new Unread()
    const parts = [this.#sequence(depth)]
    while (this.#takes('|')) parts.push(this.#sequence(depth))
    return parts.length === 1 && parts[0] !== undefined ? parts[0] : { kind: 'choice', parts }
  }

  #sequence(depth: number): Node {
    const parts: Node[] = []
    for (let next = this.#peek(); next !== undefined && next !== '|' && next !== ')'; ) {
      parts.push(this.#repeated(this.#atom(depth)))
      next = this.#peek()
    }
    return { kind: 'sequence', parts }
  }

  #repeated(part: Node): Node {
    const most = Number.POSITIVE_INFINITY
    let bounds: [number, number] | null = null
    if (this.#takes('*')) bounds = [0, most]
    else if (this.#takes('+')) bounds = [1, most]
    else if (this.#takes('?')) bounds = [0, 1]
    else if (this.#peek() === '{') bounds = this.#braces()
    if (bounds === null) return part
    // A lazy one matches the same texts.
    this.#takes('?')
    if ('*+?{'.includes(this.#peek() ?? '-')) throw new Unread()
    if (part.kind === 'start' || part.kind === 'end') throw new Unread()
    return { kind: 'repeat', part, least: bounds[0], most: bounds[1] }
  }

  #braces(): [number, number] {
    const end = this.#source.indexOf('}', this.#at)
    const text = this.#source.slice(this.#at, end + 1).join('')
    const [, least, comma, most] = /^\{(\d{1,5})(,?)(\d{0,5})\}$/.exec(text) ?? []
    if (least === undefined || (comma === '' && most !== '')) throw new Unread()
    this.#at = end + 1
    const from = Number(least)
    const to = comma === '' ? from : most === '' ? Number.POSITIVE_INFINITY : Number(most)
    if (to < from) throw new Unread()
    return [from, to]
  }

  #atom(depth: number): Node {
    const one = this.#take()
    if (one === '^') return { kind: 'start' }
    if (one === '$') return { kind: 'end' }
    if (one === '.') return { kind: 'set', ranges: inverted(lineEnds) }
    if (one === '[') return { kind: 'set', ranges: this.#set() }
    if (one === '\\') return { kind: 'set', ranges: this.#escape() }
    if (one === '(') return this.#group(depth)
    if ('*+?{}]'.includes(one)) throw new Unread()
    return { kind: 'set', ranges: single(one) }
  }

  #group(depth: number): Node {
    if (this.#takes('?')) {
      // `(?=`, `(?!`, `(?<=` and `(?<!` look around; `(?<name>` only names.
      if (this.#takes('<')) {
        for (let one = this.#take(); one !== '>'; one = this.#take()) {
          if (!/[\w$]/.test(one)) throw new Unread()
        }
      } else if (!this.#takes(':')) throw new Unread()
    }
    const inner = this.#choice(depth + 1)
    if (!this.#takes(')')) throw new Unread()
    return inner
  }

  #set(): readonly Range[] {
    const isInverted = this.#takes('^')
    const ranges: Range[] = []
    while (!this.#takes(']')) {
      const from = this.#member()
      const isRange = this.#peek() === '-' && this.#source[this.#at + 1] !== ']'
      if (!isRange) {
        ranges.push(...from)
        continue
      }
      this.#take()
      const to = this.#member()
      const [low, high] = [only(from), only(to)]
      if (low > high) throw new Unread()
      ranges.push([low, high])
    }
    return isInverted ? inverted(ranges) : ranges
  }

  #member(): readonly Range[] {
    const one = this.#take()
    return one === '\\' ? this.#escape() : single(one)
  }

  #escape(): readonly Range[] {
    const one = this.#take()
    if (one === 'd') return digit
    if (one === 'D') return inverted(digit)
    if (one === 'w') return word
    if (one === 'W') return inverted(word)
    if (one === 's') return space
    if (one === 'S') return inverted(space)
    const control = 'tnvfr'.indexOf(one)
    if (control >= 0) return single('\t\n\v\f\r'.charAt(control))
    if (one === 'x') return this.#hex(2)
    if (one === 'u') return this.#hex(4)
    // A letter or digit here means something that is not read.
    if (/[0-9A-Za-z]/.test(one)) throw new Unread()
    return single(one)
  }

  #hex(digits: number): readonly Range[] {
    const text = this.#source.slice(this.#at, this.#at + digits).join('')
    if (text.length !== digits || !/^[0-9a-f]+$/i.test(text)) throw new Unread()
    this.#at += digits
    const code = Number.parseInt(text, 16)
    return [[code, code]]
  }
}

function single(one: string): readonly Range[] {
  const code = one.codePointAt(0) ?? 0
  return [[code, code]]
}

function only(ranges: readonly Range[]): number {
  const [range, more] = ranges
  if (range === undefined || more !== undefined || range[0] !== range[1]) throw new Unread()
  return range[0]
}

function inverted(ranges: readonly Range[]): readonly Range[] {
  const kept: Range[] = []
  let from = 0
  for (const [low, high] of [...ranges].sort((a, b) => a[0] - b[0])) {
    if (low > from) kept.push([from, low - 1])
    from = Math.max(from, high + 1)
  }
  if (from <= last) kept.push([from, last])
  return kept
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

/** All ways at once: each state is entered at most once for each character. */
function matches(states: readonly State[], text: string): boolean {
  const entered = new Uint32Array(states.length)
  const points = [...text]
  let step = 0
  let open: number[] = []
  for (let at = 0; at <= points.length; at++) {
    step += 1
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
