/** What a schema says of values that have no parts: kinds, texts and numbers, as checks. */
import {
  type Check,
  isMultiple,
  lengthOf,
  type Run,
  same,
  tell,
  tooComplex,
  typeOf,
} from './check.ts'
import { formats, wholeFormats } from './format.ts'
import type { Shape } from './shape.ts'

/** The checks of a shape that look at no part of a value. */
export const compileScalars = (shape: Shape): Check[] => [
  ...compileKinds(shape),
  ...compileStrings(shape),
  ...compileNumbers(shape),
]

function compileKinds({ types, values }: Shape): Check[] {
  const checks: Check[] = []
  if (types !== null) {
    const says = `must be ${[...types].join(' or ')}`
    checks.push((value, run, at) => {
      const type = typeOf(value)
      if (type !== null && (types.has(type) || (type === 'integer' && types.has('number')))) {
        return true
      }
      return tell(run, at, 'type', says)
    })
  }
  if (values !== null) {
    const plain = new Set(values.filter((one) => typeof one !== 'object' || one === null))
    const deep = values.filter((one) => typeof one === 'object' && one !== null)
    const says = `must be one of ${values.map(shown).join(', ').slice(0, 300)}`
    checks.push(
      (value, run, at) =>
        plain.has(value) || deep.some((one) => same(one, value)) || tell(run, at, 'enum', says),
    )
  }
  return checks
}

const shown = (value: unknown): string =>
  typeof value === 'string' ? value : (JSON.stringify(value) ?? 'nothing').slice(0, 40)

function compileStrings({ lengthMin, lengthMax, pattern, format }: Shape): Check[] {
  const checks: Check[] = []
  const strings = (check: (text: string, run: Run, at: string) => boolean): void => {
    checks.push((value, run, at) => typeof value !== 'string' || check(value, run, at))
  }
  if (lengthMin > 0 || lengthMax < Number.POSITIVE_INFINITY) {
    const says =
      lengthMax === Number.POSITIVE_INFINITY
        ? `must have at least ${lengthMin} characters`
        : `must have ${lengthMin} to ${lengthMax} characters`
    strings((text, run, at) => {
      const length = lengthOf(text)
      return (length >= lengthMin && length <= lengthMax) || tell(run, at, 'length', says)
    })
  }
  if (pattern !== null) {
    const says = `must match ${pattern.source.slice(0, 200)}`
    strings((text, run, at) => {
      run.left -= Math.ceil((text.length * pattern.size) / 16)
      if (run.left < 0) return tell(run, at, 'too_complex', tooComplex)
      return pattern.test(text) || tell(run, at, 'pattern', says)
    })
  }
  const isFormatted =
    format !== null && Object.hasOwn(formats, format) ? formats[format] : undefined
  if (isFormatted !== undefined) {
    const says = `must be of the format ${format}`
    strings((text, run, at) => isFormatted(text) || tell(run, at, 'format', says))
  }
  return checks
}

function compileNumbers({ format, least, most, leastOpen, mostOpen, multipleOf }: Shape): Check[] {
  const checks: Check[] = []
  const numbers = (code: string, says: string, holds: (value: number) => boolean): void => {
    checks.push(
      (value, run, at) => typeof value !== 'number' || holds(value) || tell(run, at, code, says),
    )
  }
  if (leastOpen) numbers('minimum', `must be more than ${least}`, (value) => value > least)
  else if (least > Number.NEGATIVE_INFINITY) {
    numbers('minimum', `must be at least ${least}`, (value) => value >= least)
  }
  if (mostOpen) numbers('maximum', `must be less than ${most}`, (value) => value < most)
  else if (most < Number.POSITIVE_INFINITY) {
    numbers('maximum', `must be at most ${most}`, (value) => value <= most)
  }
  if (multipleOf !== null) {
    numbers('multiple_of', `must be a multiple of ${multipleOf}`, (v) => isMultiple(v, multipleOf))
  }
  const bounds =
    format !== null && Object.hasOwn(wholeFormats, format) ? wholeFormats[format] : null
  if (bounds != null) {
    const [low, high] = bounds
    numbers('format', `must be of the format ${format}`, (value) => value >= low && value <= high)
  }
  return checks
}
