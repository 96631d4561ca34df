/**
 * How a guess is fitted to a shape that has no branches: which type it gets, a text of the length that
 * is asked for, a number between its bounds. Throws `Unmade` where there is none.
 */
import { isMultiple, typeOf } from './check.ts'
import { formats, wholeFormats } from './format.ts'
import type { Random } from './random.ts'
import { idText, uuid } from './realistic.ts'
import type { Shape, TypeName } from './shape.ts'

/** There is no such value, or it was not found in the work that it may cost. */
export class Unmade extends Error {}

/** Deeper than this, only what must be there is made. */
export const shallow = 5

/** As the document's example looks: a UUID, digits, or a prefix and random characters. */
export function idLike(field: Parameters<typeof idText>[0], shown: unknown): string {
  if (typeof shown !== 'string') return idText(field, shown)
  if (formats.uuid?.(shown)) return uuid(field)
  if (/^\d{1,15}$/.test(shown)) return field.random.text('123456789', shown.length)
  return idText(field, shown)
}

/** A text of a length: cut, or repeated. */
export function stretched(text: string, least: number, most: number): string {
  const points = [...text]
  if (points.length > most) return points.slice(0, most).join('').trimEnd().padEnd(least, 'x')
  let long = text
  while (long.length < least) long += ` ${text}`
  return long.length > most ? long.slice(0, most).trimEnd().padEnd(least, 'x') : long
}

/** The guess where it is allowed, else a number that is. */
export function numberFor(shape: Shape, isWhole: boolean, guess: number, random: Random): number {
  const { format, multipleOf, leastOpen, mostOpen } = shape
  const bounds =
    format !== null && Object.hasOwn(wholeFormats, format) ? wholeFormats[format] : undefined
  const low = Math.max(shape.least, bounds?.[0] ?? -Number.MAX_SAFE_INTEGER)
  const high = Math.min(shape.most, bounds?.[1] ?? Number.MAX_SAFE_INTEGER)
  const step = multipleOf ?? (isWhole ? 1 : 0)
  const fits = (value: number): boolean =>
    (leastOpen ? value > low : value >= low) &&
    (mostOpen ? value < high : value <= high) &&
    (!isWhole || Number.isInteger(value)) &&
    (multipleOf === null || isMultiple(value, multipleOf))
  if (fits(guess)) return guess
  if (step > 0) {
    const first = Math.ceil(low / step)
    const last = Math.floor(high / step)
    const from =
      Math.abs(guess / step) < Math.abs(first)
        ? first
        : Math.max(first, Math.round(guess / step) - 50)
    for (const times of [
      random.whole(from, Math.min(last, from + 100)),
      first,
      first + 1,
      last,
      last - 1,
      0,
    ]) {
      const value = rounded(times * step)
      if (fits(value)) return value
    }
    throw new Unmade()
  }
  for (const value of [
    low + (Math.min(high, low + 100) - low) * random.next(),
    (low + high) / 2,
    low,
    high,
  ]) {
    const short = Math.round(value * 100) / 100
    if (fits(short)) return short
    if (fits(value)) return value
  }
  throw new Unmade()
}

/** 3 * 0.1 as 0.3. */
const rounded = (value: number): number => Number(value.toPrecision(15))

/** Whether a flat shape is one of objects. */
export const holdsObjects = ({ types, properties }: Shape): boolean =>
  types?.has('object') ?? properties.size > 0

/** The type that a value of a flat shape gets. */
export function typeFor(
  shape: Shape,
  { depth, name }: { readonly depth: number; readonly name: string },
): TypeName {
  const { types } = shape
  if (types !== null) {
    if (depth > shallow && types.has('null')) return 'null'
    for (const type of types) if (type !== 'null') return type
    return 'null'
  }
  if (
    shape.properties.size + shape.required.length + shape.propertiesMin > 0 ||
    shape.additional !== null
  )
    return 'object'
  if (shape.items !== null || shape.prefix.length + shape.itemsMin > 0 || shape.contains !== null)
    return 'array'
  if (shape.least > -Infinity || shape.most < Infinity || shape.multipleOf !== null) return 'number'
  const example = shape.shown.map(typeOf).find((type) => type !== null)
  if (example != null) return example
  return name === '' ? 'object' : 'string'
}

/** The way with the fewest parts that must be there. */
export function simplest(ways: readonly Shape[]): Shape {
  const weight = (shape: Shape): number =>
    shape.types?.has('null') === true
      ? -1
      : holdsObjects(shape)
        ? 10 + shape.required.length
        : shape.itemsMin
  // Whoever calls has looked: there is at least one.
  return ways.reduce((least, way) => (weight(way) < weight(least) ? way : least))
}

/** Fields in the order in which the document names them. */
export function inOrder(
  made: Record<string, unknown>,
  { properties }: Shape,
): Record<string, unknown> {
  const ordered: Record<string, unknown> = {}
  for (const name of properties.keys()) if (Object.hasOwn(made, name)) ordered[name] = made[name]
  for (const name of Object.keys(made)) ordered[name] = made[name]
  return ordered
}
