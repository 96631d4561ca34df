/**
 * The text of postern.yaml as plain values, and where each was written.
 *
 * YAML here is YAML 1.2 without its clever parts: no anchors, aliases, tags, merge keys, directives
 * or second documents. They save a few lines, and are how a small file becomes a large one (threats
 * O6). Everything below takes time linear in the text, and the text has a cap.
 */
import { isMap, isSeq, LineCounter, type ParsedNode, parseDocument, type YAMLError } from 'yaml'
import { type Environment, readPlain } from './plain.ts'
import { type Fault, type Path, pathText, quote } from './report.ts'
import { secretLook } from './secret.ts'

/** Characters. A longer text is refused unread; whoever reads the file can stop there too. */
export const configLengthMax = 1_048_576

export type Document = {
  /** undefined when the syntax is broken. */
  readonly value: unknown
  readonly faults: readonly Fault[]
  /** The text at a path in quotes; null: not text, or not to be shown (see report.ts). */
  said(path: Path): string | null
  place(fault: Fault): { line: number; column: number }
}

/** What later checks may see of the file. */
export type Seen = Pick<Document, 'value' | 'said'>

/**
 * Reads the text; `${env:NAME}` inside a value becomes that variable's text, which is not looked at
 * again. Never throws. Faults of the syntax come alone: what follows them could not be trusted.
 */
export function readDocument(text: string, env: Environment): Document {
  if (text.length > configLengthMax) {
    const fault = { path: [], message: `the file is longer than ${configLengthMax} characters` }
    return {
      value: undefined,
      faults: [fault],
      said: () => null,
      place: () => ({ line: 1, column: 1 }),
    }
  }
  const lines = new LineCounter()
  const parsed = parseDocument(text, {
    lineCounter: lines,
    prettyErrors: false,
    // The library's own check for repeated names compares every pair of them.
    uniqueKeys: false,
    stringKeys: true,
    merge: false,
    version: '1.2',
  })
  const syntax = [...parsed.errors, ...parsed.warnings].slice(0, 100).map(syntaxFault)
  if (parsed.directives.yaml.explicit === true) {
    syntax.push({ path: [], message: 'directives are not read here', fix: 'remove the %YAML line' })
  }
  const plain = syntax.length > 0 ? null : readPlain(parsed.contents, env)
  return {
    value: plain?.value,
    faults: plain === null ? syntax : [...plain.faults, ...secretComments(text)],
    said(path) {
      const value = valueAt(plain?.value, path)
      return typeof value !== 'string' || plain?.hidden.has(pathText(path)) ? null : quote(value)
    },
    place(fault) {
      const offset = fault.offset ?? offsetOf(parsed.contents, fault)
      const { line, col } = lines.linePos(Math.min(offset, text.length))
      return { line: Math.max(line, 1), column: Math.max(col, 1) }
    },
  }
}

/** The value at a path, or undefined. Looks at own properties only. */
export function valueAt(value: unknown, path: Path): unknown {
  let found = value
  for (const step of path) {
    if (typeof found !== 'object' || found === null || !Object.hasOwn(found, step)) return undefined
    found = Reflect.get(found, step)
  }
  return found
}

/** The paths of the items of a list; none when there is no list. */
export function itemsAt(seen: Seen, path: Path): Path[] {
  const found = valueAt(seen.value, path)
  return Array.isArray(found) ? found.map((_, index) => [...path, index]) : []
}

const sayings: Partial<Record<YAMLError['code'], string>> = {
  BAD_DQ_ESCAPE: 'this escape is not known in double quotes',
  BAD_INDENT: 'the indentation does not fit',
  MULTIPLE_DOCS: 'a second document starts here',
  RESOURCE_EXHAUSTION: 'is nested too deeply',
  TAB_AS_INDENT: 'tabs cannot indent',
  TAG_RESOLVE_FAILED: 'tags are not read here',
}

/** The library's words, less what they quote from the file: that may be half of a secret. */
function syntaxFault({ code, message, pos }: YAMLError): Fault {
  const own = sayings[code]
  const theirs = message.split(':')[0] ?? ''
  const plain = /^[A-Za-z ,'()-]{1,120}$/.test(theirs) ? theirs : 'cannot be read here'
  return { path: [], message: `not well-formed YAML: ${own ?? plain}`, offset: pos[0] }
}

/** What was commented out is committed all the same. */
function secretComments(text: string): Fault[] {
  const faults: Fault[] = []
  for (const { 0: comment, index } of text.matchAll(/(?<![^\s])#.*/g)) {
    const look = comment.split(/\s+/).map(secretLook).find(Boolean)
    if (look) {
      const message = `this comment holds what looks like ${look}`
      faults.push({ path: [], message, fix: 'remove it, and replace the secret', offset: index })
    }
  }
  return faults
}

/** Where the path's value starts, or its name; of a missing field, where its section starts. */
function offsetOf(contents: ParsedNode | null, { path, atName }: Fault): number {
  let node = contents
  let offset = node?.range[0] ?? 0
  for (const [index, step] of path.entries()) {
    if (isSeq(node)) {
      node = node.items[Number(step)] ?? null
    } else if (isMap(node)) {
      const pair = node.items.find(({ key }) => 'value' in key && key.value === step)
      if (pair === undefined) return offset
      if (atName === true && index === path.length - 1) return pair.key.range[0]
      node = pair.value
      if (node === null) return pair.key.range[0]
    } else return offset
    offset = node?.range[0] ?? offset
  }
  return offset
}
