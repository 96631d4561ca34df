/**
 * One check of a value: what it may cost, where it is, and what it found. And the few facts about JSON
 * values that checks and samples share.
 */
import type { FieldError } from '../problem.ts'
import { isJson } from './pointer.ts'
import type { TypeName } from './shape.ts'

const faultsMax = 50

/** A value's way through a schema. */
export type Run = {
  left: number
  depth: number
  /** null: whether is all that is asked. */
  readonly found: FieldError[] | null
}
/** Whether a value fits a part of a schema; `at` is where it stands. Tells the run what is wrong. */
export type Check = (value: unknown, run: Run, at: string) => boolean

/** What is said where the budget ends. */
export const tooComplex = 'is too much to be checked'

/** Notes a fault, and is false. */
export function tell(
  { found }: Run,
  location: string,
  code: string,
  message: string,
  fix?: string,
): false {
  if (found !== null && found.length < faultsMax) {
    found.push(fix === undefined ? { location, code, message } : { location, code, message, fix })
  }
  return false
}

/** A fault that no schema found. */
export const faultAt = (location: string, code: string, message: string): FieldError => ({
  location,
  code,
  message,
})

/** The same run, which only asks whether. */
export function quietly(check: Check, value: unknown, run: Run): boolean {
  const quiet: Run = { left: run.left, depth: run.depth, found: null }
  const fits = check(value, quiet, '')
  run.left = quiet.left
  return fits
}

/** Where a member stands. Names were sent by a stranger: shortened, and printable. */
export const memberAt = (run: Run, at: string, name: string): string =>
  run.found === null ? '' : `${at}.${name.slice(0, 64).replaceAll(/[^\x20-\x7e]/g, '?')}`

/** Where an item stands. */
export const itemAt = (run: Run, at: string, index: number): string =>
  run.found === null ? '' : `${at}[${index}]`

/** The name of a value's type. A number without a fraction is an integer too. */
export function typeOf(value: unknown): TypeName | null {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'array'
  const type = typeof value
  if (type === 'number') return Number.isInteger(value) ? 'integer' : 'number'
  return type === 'boolean' || type === 'string' || type === 'object' ? type : null
}

/** Whether two JSON values are equal, whatever the order of members. */
export function same(one: unknown, other: unknown): boolean {
  if (one === other) return true
  if (Array.isArray(one) && Array.isArray(other)) {
    return one.length === other.length && one.every((item, i) => same(item, other[i]))
  }
  if (!isJson(one) || !isJson(other)) return false
  const names = Object.keys(one)
  return (
    names.length === Object.keys(other).length &&
    names.every((name) => Object.hasOwn(other, name) && same(one[name], other[name]))
  )
}

/** By code points, as JSON Schema counts (2020-12 6.3.1). */
export function lengthOf(text: string): number {
  let length = text.length
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    if (unit >= 0xd800 && unit < 0xdc00 && (text.charCodeAt(i + 1) & 0xfc00) === 0xdc00) length -= 1
  }
  return length
}

/** 0.3 is a multiple of 0.1, whatever their binary fractions say. */
export function isMultiple(value: number, step: number): boolean {
  const times = value / step
  return Math.abs(times - Math.round(times)) <= 1e-9 * Math.max(1, Math.abs(times))
}
