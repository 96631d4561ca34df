/**
 * YAML nodes as plain values: the place where references to the environment are resolved, and where
 * what only looks harmless is refused (secrets in the text, names given twice, `__proto__`).
 */
import { isAlias, isMap, isScalar, isSeq, type ParsedNode, type YAMLMap } from 'yaml'
import { type Fault, type Path, pathText, quote } from './report.ts'
import { secretLook } from './secret.ts'

const depthMax = 16

export type Environment = Readonly<Record<string, string | undefined>>

export type Plain = {
  readonly value: unknown
  readonly faults: readonly Fault[]
  /** Paths whose text must not be shown. */
  readonly hidden: ReadonlySet<string>
}

type Reading = { readonly env: Environment; readonly faults: Fault[]; readonly hidden: Set<string> }

/** Reads a node and all below it. What is refused is left out of the value. Never throws. */
export function readPlain(node: ParsedNode | null, env: Environment): Plain {
  const reading: Reading = { env, faults: [], hidden: new Set() }
  if (node === null || (isScalar(node) && node.value === null)) {
    const fix = 'start with "version: 1" and "platforms:"'
    return { ...reading, value: undefined, faults: [{ path: [], message: 'is empty', fix }] }
  }
  return { ...reading, value: readNode(node, [], reading) }
}

function readNode(node: ParsedNode, path: Path, reading: Reading): unknown {
  const refuse = (message: string, fix?: string): undefined => {
    reading.faults.push({ path, message, fix, offset: node.range[0] })
  }
  if (isAlias(node) || node.anchor !== undefined) {
    return refuse('anchors and aliases are not read here', 'write the value out')
  }
  if (node.tag !== undefined) return refuse('tags are not read here', 'write the plain value')
  if (path.length > depthMax) return refuse('is nested too deeply')
  if (isSeq(node)) return node.items.map((item, index) => readNode(item, [...path, index], reading))
  if (isMap(node)) return readMap(node, path, reading)
  if (node.value === null) return refuse('has no value', 'give it one, or remove the field')
  return typeof node.value === 'string' ? readText(node.value, node, path, reading) : node.value
}

function readMap(
  node: YAMLMap<ParsedNode, ParsedNode | null>,
  path: Path,
  reading: Reading,
): Record<string, unknown> {
  const map: Record<string, unknown> = {}
  for (const { key, value } of node.items) {
    const offset = key.range[0]
    const name = isScalar(key) ? String(key.value) : ''
    const at = [...path, name]
    const look = secretLook(name)
    if (look !== null) {
      reading.faults.push({ path, message: `a name here looks like ${look}`, offset })
    } else if (!isScalar(key) || key.anchor !== undefined || name === '__proto__') {
      reading.faults.push({ path: at, message: `${quote(name)} cannot be a name here`, offset })
    } else if (Object.hasOwn(map, name)) {
      const message = `${quote(name)} is given a second time`
      reading.faults.push({ path: at, message, fix: 'keep one of them', offset })
    } else if (value === null) {
      map[name] = undefined
      const fix = 'give it one, or remove the field'
      reading.faults.push({ path: at, message: 'has no value', fix, offset })
    } else map[name] = readNode(value, at, reading)
  }
  return map
}

function readText(text: string, node: ParsedNode, path: Path, reading: Reading): string {
  const fault = (message: string, fix?: string): void => {
    reading.hidden.add(pathText(path))
    reading.faults.push({ path, message, fix, offset: node.range[0] })
  }
  const look = secretLook(text)
  if (look !== null) {
    fault(`looks like ${look}`, 'put it into the environment and write ${env:NAME} here')
    return ''
  }
  if (!text.includes('${')) return text
  reading.hidden.add(pathText(path))
  const resolved = text.replaceAll(
    /\$\{(?:env:([A-Za-z_][A-Za-z0-9_]*)\})?/g,
    (_, name?: string) => {
      const found = name !== undefined && Object.hasOwn(reading.env, name) ? reading.env[name] : ''
      if (name === undefined) fault('holds a reference that is not known', 'write ${env:NAME}')
      // An empty one counts as missing: half a value must not pass for a whole one (threats G10).
      else if (!found) fault(`the environment variable ${name} is not set`)
      return found ?? ''
    },
  )
  return resolved
}
