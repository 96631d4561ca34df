/**
 * How a place in a document is named (JSON Pointer, RFC 6901) and reached. What is reached is always
 * an own member: a document that says `constructor` or `__proto__` gets nothing of the language's.
 */

export type Json = Readonly<Record<string, unknown>>

/** Whether a value is a JSON object. */
export const isJson = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** The own member of an object, else undefined. */
export function memberOf(value: unknown, name: string): unknown {
  if (!isJson(value) || name === '__proto__' || !Object.hasOwn(value, name)) return undefined
  return value[name]
}

/** The own members of an object, without `__proto__`; none of what is no object. */
export const membersOf = (value: unknown): [string, unknown][] =>
  isJson(value) ? Object.entries(value).filter(([name]) => name !== '__proto__') : []

/** The items of a list; none of what is no list. */
export const itemsOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : [])

/** The text of a member, else null. */
export function textOf(value: unknown, name: string): string | null {
  const found = memberOf(value, name)
  return typeof found === 'string' ? found : null
}

/** A pointer to a member or an item below another pointer. */
export const below = (pointer: string, name: string | number): string =>
  `${pointer}/${String(name).replaceAll('~', '~0').replaceAll('/', '~1')}`

/** The value at a pointer (without its `#`, percent-encoded as in a URI); undefined: nothing is there. */
export function atPointer(root: unknown, pointer: string): unknown {
  if (pointer === '') return root
  if (!pointer.startsWith('/')) return undefined
  let found = root
  for (const token of pointer.slice(1).split('/')) {
    const name = unescaped(token)
    if (Array.isArray(found))
      found = /^(?:0|[1-9]\d{0,9})$/.test(name) ? found[Number(name)] : undefined
    else found = memberOf(found, name)
    if (found === undefined) return undefined
  }
  return found
}

/** The last name of a pointer: what the thing there is called. */
export const lastName = (pointer: string): string =>
  unescaped(pointer.slice(pointer.lastIndexOf('/') + 1))

// RFC 6901 4: `~1` first, or `~01` would become `/`.
function unescaped(token: string): string {
  let plain = token
  try {
    plain = decodeURIComponent(token)
  } catch {
    // A stray % is itself.
  }
  return plain.replaceAll('~1', '/').replaceAll('~0', '~')
}

/** A list, or the first one in an envelope; empty where there is none. */
export function listIn(value: unknown): readonly unknown[] {
  if (Array.isArray(value)) return value
  return isJson(value) ? (Object.values(value).find(Array.isArray) ?? []) : []
}
