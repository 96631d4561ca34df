/**
 * What is wrong with a management request, field by field and all at once. What zod found is said in
 * the words of the API: where it stands, what is wrong, and what was probably meant. No message
 * repeats a value, which may be a secret in the wrong place.
 */
import { z } from '@hono/zod-openapi'
import { suggest } from '../lib/nearest.ts'
import { type FieldError, Problem } from '../problem.ts'

type Issue = z.core.$ZodIssue
/** Where fields of a request stand. */
export type Place = 'body' | 'query' | 'path' | 'header'

const between = '\n'

/** An object that takes these fields and no others; an unknown one is refused with the nearest name. */
export const fields = <Shape extends z.ZodRawShape>(shape: Shape) =>
  z.strictObject(shape, {
    error: ({ code }) => {
      if (code === 'invalid_type') return 'must be an object'
      // `faultsOf` takes the names apart again: an issue does not say what it was looked up in.
      return code === 'unrecognized_keys' ? Object.keys(shape).join(between) : undefined
    },
  })

/** Text that `error` describes: "must be …". */
export const text = (pattern: RegExp, error: string) =>
  z.string({ error }).regex(pattern, { error })

/** A list of at most `max`, without repetitions. */
export const list = <Item extends z.ZodType>(item: Item, max: number) =>
  z.array(item, { error: 'must be a list' }).max(max, { error: `must have at most ${max} entries` })

/** One of these words; another is refused with the nearest. */
export const word = <const Words extends readonly [string, ...string[]]>(words: Words) =>
  z.enum(words, { error: `must be one of ${words.join(', ')}` })

/** Every fault in what zod found in `value`, in the order of the request. */
export const faultsOf = (issues: readonly Issue[], place: Place, value: unknown): FieldError[] =>
  issues.flatMap((issue) => faultOf(issue, { place, value, above: [] }))

const faultsMax = 100

/** `request/invalid` with these faults, the first hundred written out. */
export function invalid(faults: readonly FieldError[]): Problem {
  const param = faults[0]?.location.replace(/^(?:body|query|path|header)\./, '')
  const errors = faults.slice(0, faultsMax)
  return new Problem('request/invalid', { errors, ...(param !== undefined && { param }) })
}

/** Throws `invalid`, unless there are no faults. */
export function refuse(faults: readonly FieldError[]): void {
  if (faults.length > 0) throw invalid(faults)
}

/** A fault that no schema sees. `location`: `body.permissions[0]`. */
export const fault = (location: string, message: string, fix?: string): FieldError =>
  fix === undefined
    ? { location, code: 'invalid', message }
    : { location, code: 'invalid', message, fix }

/** Where an issue was found: below `above` in `value`. */
type Found = {
  readonly place: Place
  readonly value: unknown
  readonly above: readonly PropertyKey[]
}

function faultOf(issue: Issue, found: Found): FieldError[] {
  const path = [...found.above, ...issue.path]
  const location = locationOf([found.place, ...path])
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((name) =>
      unknownField(locationOf([found.place, ...path, name]), name, issue.message),
    )
  }
  if (valueAt(found.value, path) === undefined) {
    const fix = `it ${issue.message}`
    return [{ location, code: 'required', message: 'is required', fix }]
  }
  if (issue.code === 'invalid_union') return unionFaults(issue.errors, { ...found, above: path })
  return [{ location, code: 'invalid', message: issue.message }]
}

function unknownField(location: string, name: string, known: string): FieldError {
  const fix = suggest(name, known.split(between))
  const found = { location, code: 'unknown_field', message: 'is not a field of this request' }
  return fix === undefined ? found : { ...found, fix }
}

/** The findings of the alternative whose kind of value this is. */
function unionFaults(branches: readonly Issue[][], found: Found): FieldError[] {
  const wrongKind = (issue: Issue) => issue.code === 'invalid_type' && issue.path.length === 0
  const meant = branches.find((issues) => !issues.some(wrongKind)) ?? branches[0] ?? []
  return meant.flatMap((issue) => faultOf(issue, found))
}

function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  let found = value
  for (const step of path) {
    if (typeof found !== 'object' || found === null || !Object.hasOwn(found, step)) return undefined
    found = Reflect.get(found, step)
  }
  return found
}

function locationOf(path: readonly PropertyKey[]): string {
  return path.reduce<string>((all, step) => {
    if (typeof step === 'number') return `${all}[${step}]`
    // What was sent as a name is shown shortened, and cannot move a cursor.
    const name = String(step)
      .slice(0, 64)
      .replaceAll(/[^\x20-\x7e]/g, '?')
    return all === '' ? name : `${all}.${name}`
  }, '')
}
