/** What zod found, in the words of postern.yaml: one fault for each field, with the near name. */
import * as z from 'zod'
import { suggest } from '../lib/nearest.ts'
import { type Seen, valueAt } from './document.ts'
import { type Fault, type Path, quote } from './report.ts'
import { fileSchema } from './schema.ts'

type Issue = z.core.$ZodIssue

/** All faults of shape in a value read from postern.yaml; none when the schema takes it. */
export function shapeFaults(seen: Seen, issues: readonly Issue[]): Fault[] {
  return issues.flatMap((issue) => faultsOf(issue, [], seen))
}

function faultsOf(issue: Issue, above: Path, seen: Seen): Fault[] {
  // Names of a YAML map are text and places in a list are numbers: there are no symbols.
  const path = [
    ...above,
    ...issue.path.map((step) => (typeof step === 'number' ? step : String(step))),
  ]
  if (issue.code === 'unrecognized_keys') return unknownNames(issue.keys, path)
  if (valueAt(seen.value, path) === undefined) return [missing(issue, path)]
  if (issue.code === 'invalid_value' && issue.values.length > 1)
    return [unknownValue(issue.values.map(String), path, seen)]
  if (issue.code === 'invalid_key') {
    const message = `the name ${issue.issues[0]?.message ?? 'is not allowed'}`
    return [{ path, message, atName: true }]
  }
  if (issue.code === 'invalid_union') return unionFaults(issue.errors, path, seen)
  // Such a message may repeat a part of the value, which is not always to be shown.
  const repeats = issue.code === 'custom' && seen.said(path) === null
  return [{ path, message: repeats ? 'is not what this field can hold' : issue.message }]
}

function unknownNames(names: readonly string[], path: Path): Fault[] {
  const known = namesAt(fileSchema, path)
  return names.map((name) => ({
    path: [...path, name],
    message: `unknown field ${quote(name)}`,
    fix: suggest(name, known),
    atName: true,
  }))
}

function missing(issue: Issue, path: Path): Fault {
  if (issue.code === 'invalid_value' && issue.values.length > 1) {
    return { path, message: 'is required', fix: `one of ${issue.values.join(', ')}` }
  }
  const fix = /^must /.test(issue.message) ? `it ${issue.message}` : undefined
  return { path, message: 'is required', fix }
}

function unknownValue(values: readonly string[], path: Path, seen: Seen): Fault {
  const said = seen.said(path)
  const given = valueAt(seen.value, path)
  if (said === null || typeof given !== 'string') {
    return { path, message: `must be one of ${values.join(', ')}` }
  }
  return { path, message: `${said} is not known`, fix: suggest(given, values) }
}

/** The findings of the alternative that was meant: the one whose kind of value this is. */
function unionFaults(branches: readonly Issue[][], path: Path, seen: Seen): Fault[] {
  const meant = branches.filter((issues) => !issues.some(isWrongKind))
  // An enumeration refuses a section as it refuses an unknown name.
  const given = valueAt(seen.value, path)
  const fitting = meant.filter(
    (issues) =>
      typeof given === 'string' ||
      !issues.some((issue) => issue.code === 'invalid_value' && issue.path.length === 0),
  )
  const chosen = fitting[0] ?? branches[0] ?? []
  return chosen.flatMap((issue) => faultsOf(issue, path, seen))
}

const isWrongKind = (issue: Issue): boolean =>
  issue.code === 'invalid_type' && issue.path.length === 0

/** The names a section may hold, found by walking the schema along the path. */
function namesAt(schema: unknown, path: Path): string[] {
  if (schema instanceof z.ZodUnion) {
    return schema.options.flatMap((option) => namesAt(option, path))
  }
  if (schema instanceof z.ZodPipe) return namesAt(schema.in, path)
  if (
    schema instanceof z.ZodOptional ||
    schema instanceof z.ZodDefault ||
    schema instanceof z.ZodPrefault
  ) {
    return namesAt(schema.unwrap(), path)
  }
  const [step, ...rest] = path
  if (schema instanceof z.ZodArray) return namesAt(schema.element, rest)
  if (!(schema instanceof z.ZodObject)) return []
  return step === undefined ? Object.keys(schema.shape) : namesAt(schema.shape[step], rest)
}
