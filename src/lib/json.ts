/**
 * Reads JSON that a stranger sent. `JSON.parse` alone lets through what breaks later: NUL, which
 * PostgreSQL refuses as text (22021); lone surrogates, which are stored as another character;
 * `__proto__` members; numbers that become Infinity; names given twice, where two readers of one
 * body may each believe another value; and nesting that exhausts the stack of whoever walks it.
 */

/** Deeper nesting than this is refused. */
export const jsonDepthMax = 64

export type JsonVerdict =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly reason: string }

/**
 * Parses `text` as JSON (RFC 8259), nested at most `jsonDepthMax` deep. The reason of a refusal
 * names what is wrong and where, and never repeats the text. Does not throw.
 */
export function parseJson(text: string): JsonVerdict {
  const shape = scan(text)
  if (shape !== null) return { ok: false, reason: shape }
  try {
    const value: unknown = JSON.parse(text)
    const flaw = text.includes('\\') || !text.isWellFormed() ? findBadText(value) : null
    return flaw === null ? { ok: true, value } : { ok: false, reason: flaw }
  } catch {
    return { ok: false, reason: 'the body is not JSON' }
  }
}

/**
 * One pass before parsing: depth, duplicate names, `__proto__`, and numbers out of range. It does
 * not judge the grammar, which JSON.parse does after it.
 */
function scan(text: string): string | null {
  const open: (Set<string> | null)[] = []
  let i = 0
  while (i < text.length) {
    const c = text.charCodeAt(i)
    if (c === 0x22) {
      const end = closingQuote(text, i)
      if (end < 0) return 'a string does not end'
      const names = open.at(-1)
      if (names != null && isName(text, end + 1)) {
        const flaw = addName(names, text.slice(i, end + 1))
        if (flaw !== null) return flaw
      }
      i = end + 1
      continue
    }
    if (c === 0x7b || c === 0x5b) {
      if (open.length === jsonDepthMax) return `the body is nested more than ${jsonDepthMax} deep`
      open.push(c === 0x7b ? new Set() : null)
    } else if (c === 0x7d || c === 0x5d) {
      open.pop()
    } else if (isDigit(c)) {
      const end = endOfNumber(text, i)
      if (!Number.isFinite(Number(text.slice(i, end)))) return 'a number is out of range'
      i = end
      continue
    }
    i++
  }
  return null
}

function closingQuote(text: string, start: number): number {
  for (let i = start + 1; i < text.length; i++) {
    const c = text.charCodeAt(i)
    if (c === 0x22) return i
    if (c === 0x5c) i++
  }
  return -1
}

/** A string followed by a colon is a member name. */
function isName(text: string, after: number): boolean {
  let i = after
  while (' \t\r\n'.includes(text.charAt(i)) && i < text.length) i++
  return text.charCodeAt(i) === 0x3a
}

function addName(names: Set<string>, quoted: string): string | null {
  let name: string
  try {
    name = String(JSON.parse(quoted))
  } catch {
    return 'the body is not JSON'
  }
  if (name === '__proto__') return 'the name "__proto__" is not allowed'
  if (names.has(name)) return 'a name stands twice in one object'
  names.add(name)
  return null
}

const isDigit = (c: number): boolean => c >= 0x30 && c <= 0x39

function endOfNumber(text: string, start: number): number {
  let i = start
  while (i < text.length && '0123456789.eE+-'.includes(text.charAt(i))) i++
  return i
}

/** Walks the parsed value; `jsonDepthMax` bounds the recursion. */
function findBadText(value: unknown): string | null {
  if (typeof value === 'string') return badText(value)
  if (value === null || typeof value !== 'object') return null
  for (const [name, member] of Object.entries(value)) {
    const flaw = badText(name) ?? findBadText(member)
    if (flaw !== null) return flaw
  }
  return null
}

function badText(text: string): string | null {
  if (text.includes('\0')) return 'a string holds the character NUL'
  return text.isWellFormed() ? null : 'a string holds half of a surrogate pair'
}
