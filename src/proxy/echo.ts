/**
 * What the built-in echo upstream says of a request: everything as it arrived there, so that whoever
 * tries the gateway sees what an upstream of theirs would get. It judges nothing and hides nothing.
 */

/** The answer of the echo, as JSON has it. */
export type Echo = {
  readonly method: string
  /** The request target, query included. */
  readonly path: string
  /** By lower-case name; a field that came more than once is a list. */
  readonly headers: Readonly<Record<string, string | readonly string[]>>
  /** Bytes of body that arrived, without the framing. */
  readonly bodyBytes: number
}

/** Describes a request. `rawHeaders` holds names and values in turn, in the order they arrived. */
export function echoOf(
  method: string,
  path: string,
  rawHeaders: readonly string[],
  bodyBytes: number,
): Echo {
  // A field may be called `__proto__`.
  const headers: Record<string, string | string[]> = Object.create(null)
  for (let line = 0; line < rawHeaders.length; line += 2) {
    const name = (rawHeaders[line] ?? '').toLowerCase()
    const value = rawHeaders[line + 1] ?? ''
    const before = headers[name]
    if (before === undefined) headers[name] = value
    else if (typeof before === 'string') headers[name] = [before, value]
    else before.push(value)
  }
  return { method, path, headers, bodyBytes }
}
