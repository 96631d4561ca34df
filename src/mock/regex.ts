/**
 * Reads the text of a regular expression (ECMA-262 22.2.1, its regular part) as a tree. Throws `Unread`
 * for what is not read here: pattern.ts says what that is and what becomes of it.
 */
export type Range = readonly [number, number]
export type Node =
  | { readonly kind: 'set'; readonly ranges: readonly Range[] }
  | { readonly kind: 'sequence' | 'choice'; readonly parts: readonly Node[] }
  | { readonly kind: 'repeat'; readonly part: Node; readonly least: number; readonly most: number }
  | { readonly kind: 'start' | 'end' }

const depthMax = 50
const last = 0x10ffff

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

/** The pattern is more than is read here. */
export class Unread extends Error {}

/** The tree of a pattern's text. Throws `Unread`. */
export const readRegex = (source: string): Node => new Reader(source).read()

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
