/**
 * Is the request one that the document describes? Parameters are taken apart as their `style` says and
 * read as their type says, then they and the body are held to their schemas; everything that is wrong
 * is told at once, with its place.
 *
 * A body that is not JSON has not been read by the gate, so only its presence and its type are judged.
 */
import type { FieldError, Refusal } from '../problem.ts'
import { faultAt } from './check.ts'
import { isJsonType, type Media, type Operation, type Parameter } from './document.ts'
import type { Validator } from './schema.ts'
import type { Shape } from './shape.ts'
import type { Variants } from './variants.ts'

/** One call, as the gate has read it. */
export type MockCall = {
  readonly method: string
  /** Canonical. */
  readonly path: string
  /** The raw query with its `?`, or ''. */
  readonly search: string
  readonly headers: { get(name: string): string | null }
  /** Parsed JSON; undefined: none was sent, or of another type. */
  readonly body: unknown
  /** A body was sent, of whatever type. */
  readonly hasBody: boolean
}

export type Judge = {
  /** null: the request fits. Otherwise 400 `request/invalid` with `errors`, or 415. */
  judge(operation: Operation, call: MockCall, path: ReadonlyMap<string, string>): Refusal | null
}

type Read = string | readonly string[] | Readonly<Record<string, string>>

/** Creates the judge of requests to a document's operations. */
export function createJudge(validator: Validator, variants: Variants): Judge {
  function parameterFaults(parameter: Parameter, read: Read | null): FieldError[] {
    const location = `${parameter.in}.${parameter.name}`
    if (read === null) {
      return parameter.required ? [faultAt(location, 'required', 'is required')] : []
    }
    const value = parameter.isJson ? parsed(read) : typed(read, parameter.shape, variants)
    if (value === undefined) return [faultAt(location, 'malformed', 'is not JSON')]
    return validator.faults(parameter.shape, value, location)
  }

  function bodyFaults(
    body: NonNullable<Operation['body']>,
    call: MockCall,
  ): FieldError[] | Refusal {
    if (!call.hasBody) return body.required ? [faultAt('body', 'required', 'is required')] : []
    const type =
      (call.headers.get('content-type') ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? ''
    const media = body.media.find((one) => takes(one, type))
    if (media === undefined) {
      const known = body.media.map((one) => one.type).join(', ')
      return {
        code: 'request/unsupported_media_type',
        detail: `Send Content-Type: ${known || 'none'}.`,
      }
    }
    if (!isJsonType(type) || media.shape === null || call.body === undefined) return []
    return validator.faults(media.shape, call.body, 'body')
  }

  return {
    judge(operation, call, path) {
      let query: URLSearchParams | null = null
      const faults: FieldError[] = []
      for (const parameter of operation.parameters) {
        if (parameter.in === 'query') query ??= new URLSearchParams(call.search)
        faults.push(...parameterFaults(parameter, readParameter(parameter, call, path, query)))
      }
      if (operation.body !== null) {
        const found = bodyFaults(operation.body, call)
        if ('code' in found) return found
        faults.push(...found)
      }
      const [first] = faults
      if (first === undefined) return null
      const param = first.location.replace(/^(?:body|query|path|header|cookie)\./, '')
      return { code: 'request/invalid', param, errors: faults.slice(0, 100) }
    },
  }
}

function takes(media: Media, type: string): boolean {
  if (media.type === type || media.type === '*/*') return true
  return media.type.endsWith('/*') && type.startsWith(media.type.slice(0, -1))
}

function parsed(read: Read): unknown {
  try {
    return JSON.parse(String(read))
  } catch {
    return undefined
  }
}

/** The texts of a parameter; null where it was not sent. */
function readParameter(
  parameter: Parameter,
  { headers }: MockCall,
  path: ReadonlyMap<string, string>,
  query: URLSearchParams | null,
): Read | null {
  const { name, style, explode } = parameter
  switch (parameter.in) {
    case 'path':
      return listed(path.get(name) ?? null, parameter, ',')
    case 'header':
      return listed(headers.get(name), parameter, ',')
    case 'cookie':
      return listed(cookieOf(headers.get('cookie'), name), parameter, ',')
    case 'query': {
      if (query === null) return null
      if (style === 'deepObject') return deepObject(query, name)
      if (explode && wantsList(parameter.shape)) {
        const all = query.getAll(name)
        return all.length === 0 ? null : all
      }
      const between = style === 'spaceDelimited' ? ' ' : style === 'pipeDelimited' ? '|' : ','
      return listed(query.get(name), parameter, between)
    }
  }
}

const wantsList = ({ types, items }: Shape): boolean => types?.has('array') ?? items !== null

function listed(text: string | null, { shape, isJson }: Parameter, between: string): Read | null {
  if (text === null || isJson || !wantsList(shape)) return text
  return text === ''
    ? []
    : text
        .split(between)
        .slice(0, 10_000)
        .map((one) => one.trim())
}

/** `filter[status]=open&filter[kind]=a` (OpenAPI 3.1 4.8.12.3). */
function deepObject(query: URLSearchParams, name: string): Read | null {
  const found: Record<string, string> = {}
  for (const [key, value] of query) {
    const inner =
      key.startsWith(`${name}[`) && key.endsWith(']') ? key.slice(name.length + 1, -1) : ''
    if (inner !== '' && inner !== '__proto__') found[inner] = value
  }
  return Object.keys(found).length === 0 ? null : found
}

function cookieOf(header: string | null, name: string): string | null {
  for (const pair of (header ?? '').split(';')) {
    const at = pair.indexOf('=')
    if (at > 0 && pair.slice(0, at).trim() === name) return pair.slice(at + 1).trim()
  }
  return null
}

/** Texts as the types of the shape want them; what is no such thing stays a text, and is refused. */
export function typed(read: Read, shape: Shape, variants: Variants): unknown {
  const ways = variants.of(shape)
  if (typeof read === 'string') {
    const types = new Set(ways.flatMap((way) => [...(way.types ?? [])]))
    if (types.has('string') || types.size === 0) return read
    return plain(read, types)
  }
  const way = ways[0]
  if (Array.isArray(read)) {
    const items = way?.items ?? null
    return items === null ? read : read.map((one) => typed(one, items, variants))
  }
  return Object.fromEntries(
    Object.entries(read).map(([name, value]) => {
      const inner = way?.properties.get(name)
      return [name, inner === undefined ? value : typed(value, inner, variants)]
    }),
  )
}

function plain(text: string, types: ReadonlySet<string>): unknown {
  if (/^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/.test(text)) {
    const number = Number(text)
    if ((types.has('number') || types.has('integer')) && Number.isFinite(number)) return number
  }
  if (types.has('boolean') && (text === 'true' || text === 'false')) return text === 'true'
  return types.has('null') && text === '' ? null : text
}
