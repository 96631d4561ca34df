/** What the checks between fields share: a field that is there, a name given twice, one not known. */
import { suggest } from '../lib/nearest.ts'
import { type Seen, valueAt } from './document.ts'
import { type Fault, type Path, pathText } from './report.ts'

/** Whether a section has the field, be its value good or not. */
export const has = (seen: Seen, section: Path, field: string): boolean =>
  valueAt(seen.value, [...section, field]) !== undefined

/** A fault unless exactly one of the fields is there. */
export function oneOf(seen: Seen, section: Path, fields: readonly string[]): Fault[] {
  const given = fields.filter((field) => has(seen, section, field)).length
  if (given === 1) return []
  const names = `${fields.slice(0, -1).join(', ')} or ${fields.at(-1)}`
  const message = given === 0 ? `must have ${names}` : `must have only one of ${names}`
  return [{ path: section, message }]
}

/** The paths whose value already stands at an earlier one. */
export function repeated(seen: Seen, paths: readonly Path[], what: string): Fault[] {
  const first = new Map<unknown, Path>()
  const faults: Fault[] = []
  for (const path of paths) {
    const value = valueAt(seen.value, path)
    if (value === undefined || value === '') continue
    const earlier = first.get(value)
    if (earlier === undefined) first.set(value, path)
    else {
      const named = seen.said(path)
      const subject = named === null ? `the ${what}` : `the ${what} ${named}`
      const message = `${subject} is that of ${pathText(earlier)} too`
      faults.push({ path, message, fix: 'each must be its own' })
    }
  }
  return faults
}

/** A fault where there is a name that is not among the known ones. */
export function unknownName(
  seen: Seen,
  path: Path,
  known: readonly string[],
  what: string,
): Fault[] {
  const name = valueAt(seen.value, path)
  if (typeof name !== 'string' || known.includes(name)) return []
  const said = seen.said(path)
  const message = said === null ? `no such ${what}` : `no ${what} ${said}`
  return [{ path, message, fix: said === null ? undefined : suggest(name, known) }]
}

/** The values at paths that are text. */
export const textsAt = (seen: Seen, paths: readonly Path[]): string[] =>
  paths.map((path) => valueAt(seen.value, path)).filter((value) => typeof value === 'string')

/** What is said of a value: `message` may repeat a part of it, which is not always to be shown. */
export const judgement = (seen: Seen, path: Path, message: string): Fault => ({
  path,
  message: seen.said(path) === null ? 'is not what this field can hold' : message,
})
