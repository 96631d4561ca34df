/**
 * Does a value fit a shape? Shapes are compiled to closures, once and on demand; nothing is ever
 * turned into source text, so this runs where `eval` is forbidden.
 *
 * The dangers are a schema that branches into itself and a value that is large: every step is counted,
 * a pattern by the length of its text, and a value that needs more than the budget is refused and not
 * waited for. Messages say what was wanted and never repeat a value, which may be a secret.
 */
import type { FieldError } from '../problem.ts'
import { type Check, itemAt, memberAt, quietly, type Run, same, tell, tooComplex } from './check.ts'
import { isJson, type Json } from './pointer.ts'
import { compileScalars } from './scalars.ts'
import type { Shape } from './shape.ts'

/** A value is sent by a caller, or answered to one: `readOnly` and `writeOnly` say what that changes. */
export type Direction = 'request' | 'response'

export type Validator = {
  /** Whether the value fits. Allocates nothing for a value that does. */
  fits(shape: Shape, value: unknown): boolean
  /** Everything that is wrong with it, at most fifty; `location` is where it stands, e.g. `body`. */
  faults(shape: Shape, value: unknown, location: string): FieldError[]
}

const stepsMax = 5_000_000
const depthMax = 400

/** Creates a validator; what it has compiled of a document's shapes lives as long as it does. */
export function createValidator(direction: Direction): Validator {
  const compiled = new WeakMap<Shape, Check>()

  function checkOf(shape: Shape): Check {
    const before = compiled.get(shape)
    if (before !== undefined) return before
    // Shapes may hold themselves: what is inside is compiled when a value gets there.
    let checks: readonly Check[] | null = null
    const check: Check = (value, run, at) => {
      run.left -= 1
      if (run.left < 0 || run.depth > depthMax) return tell(run, at, 'too_complex', tooComplex)
      checks ??= compile(shape, checkOf, direction)
      run.depth += 1
      let fits = true
      for (const one of checks) {
        if (one(value, run, at)) continue
        fits = false
        if (run.found === null) break
      }
      run.depth -= 1
      return fits
    }
    compiled.set(shape, check)
    return check
  }

  return {
    fits: (shape, value) => {
      const run: Run = { left: stepsMax, depth: 0, found: null }
      return checkOf(shape)(value, run, '') && run.left >= 0
    },
    faults: (shape, value, location) => {
      const run: Run = { left: stepsMax, depth: 0, found: [] }
      const fits = checkOf(shape)(value, run, location)
      const found = run.found ?? []
      if (run.left < 0 && found.length === 0) tell(run, location, 'too_complex', tooComplex)
      if (!fits && found.length === 0) tell(run, location, 'invalid', 'does not fit the document')
      return found
    },
  }
}

function compile(shape: Shape, checkOf: (shape: Shape) => Check, direction: Direction): Check[] {
  if (shape.never) return [(_, run, at) => tell(run, at, 'not_allowed', 'is not allowed here')]
  return [
    ...compileScalars(shape),
    ...compileArrays(shape, checkOf),
    ...compileObjects(shape, checkOf, direction),
    ...compileBranches(shape, checkOf),
  ]
}

function compileArrays(shape: Shape, checkOf: (shape: Shape) => Check): Check[] {
  const { items, prefix, contains, itemsMin, itemsMax, unique } = shape
  const checks: Check[] = []
  const arrays = (check: (list: readonly unknown[], run: Run, at: string) => boolean): void => {
    checks.push((value, run, at) => !Array.isArray(value) || check(value, run, at))
  }
  if (itemsMin > 0 || itemsMax < Number.POSITIVE_INFINITY) {
    const says =
      itemsMax === Number.POSITIVE_INFINITY
        ? `must have at least ${itemsMin} items`
        : `must have ${itemsMin} to ${itemsMax} items`
    arrays(
      ({ length }, run, at) =>
        (length >= itemsMin && length <= itemsMax) || tell(run, at, 'items', says),
    )
  }
  if (items !== null || prefix.length > 0) {
    const rest = items === null ? null : checkOf(items)
    const first = prefix.map(checkOf)
    arrays((list, run, at) => {
      let fits = true
      for (let i = 0; i < list.length; i++) {
        const check = first[i] ?? rest
        if (check === null || check(list[i], run, itemAt(run, at, i))) continue
        fits = false
        if (run.found === null) break
      }
      return fits
    })
  }
  if (contains !== null) {
    const check = checkOf(contains)
    arrays(
      (list, run, at) =>
        list.some((item) => quietly(check, item, run)) ||
        tell(run, at, 'contains', 'must hold an item of the kind that the document names'),
    )
  }
  if (unique) {
    arrays((list, run, at) => {
      run.left -= list.length
      return !hasTwins(list, run) || tell(run, at, 'unique', 'must not hold an item twice')
    })
  }
  return checks
}

function hasTwins(list: readonly unknown[], run: Run): boolean {
  const plain = new Set<unknown>()
  const deep: unknown[] = []
  for (const item of list) {
    if (typeof item !== 'object' || item === null) {
      if (plain.size === plain.add(item).size) return true
      continue
    }
    run.left -= deep.length
    if (run.left < 0 || deep.some((other) => same(item, other))) return true
    deep.push(item)
  }
  return false
}

function compileObjects(
  shape: Shape,
  checkOf: (shape: Shape) => Check,
  direction: Direction,
): Check[] {
  const { properties, additional, patternProperties, propertyNames } = shape
  const { propertiesMin, propertiesMax } = shape
  const checks: Check[] = []
  const objects = (check: (value: Json, run: Run, at: string) => boolean): void => {
    checks.push((value, run, at) => !isJson(value) || check(value, run, at))
  }
  const required = shape.required.filter((name) => !isOneWay(properties.get(name), direction))
  if (required.length > 0) {
    objects((value, run, at) => {
      let fits = true
      for (const name of required) {
        if (Object.hasOwn(value, name)) continue
        fits = tell(run, memberAt(run, at, name), 'required', 'is required')
        if (run.found === null) break
      }
      return fits
    })
  }
  if (propertiesMin > 0 || propertiesMax < Number.POSITIVE_INFINITY) {
    objects((value, run, at) => {
      const { length } = Object.keys(value)
      if (length >= propertiesMin && length <= propertiesMax) return true
      return tell(run, at, 'properties', 'has too few or too many members')
    })
  }
  if (properties.size > 0 || additional !== null || patternProperties.length > 0) {
    const named = new Map([...properties].map(([name, inner]) => [name, checkOf(inner)]))
    const patterns = patternProperties.map(([pattern, inner]) => [pattern, checkOf(inner)] as const)
    const others = additional === null ? null : checkOf(additional)
    const closed = additional?.never === true
    objects((value, run, at) => {
      let fits = true
      for (const name of Object.keys(value)) {
        const check = named.get(name)
        const place = memberAt(run, at, name)
        let isKnown = check !== undefined
        if (check !== undefined && !check(value[name], run, place)) fits = false
        for (const [pattern, inner] of patterns) {
          run.left -= name.length * pattern.size
          if (run.left < 0 || !pattern.test(name)) continue
          isKnown = true
          if (!inner(value[name], run, place)) fits = false
        }
        if (isKnown || others === null) continue
        if (closed) fits = tell(run, place, 'unknown_field', 'is not a field of this request')
        else if (!others(value[name], run, place)) fits = false
        if (!fits && run.found === null) break
      }
      return fits
    })
  }
  if (propertyNames !== null) {
    const check = checkOf(propertyNames)
    objects((value, run, at) =>
      Object.keys(value).every((name) => check(name, run, memberAt(run, at, name))),
    )
  }
  return checks
}

/** What a server alone writes is not asked of a caller, and the other way round (OpenAPI 3.0 4.7.24). */
export function isOneWay(shape: Shape | undefined, direction: Direction): boolean {
  if (shape === undefined) return false
  const says = (one: Shape) => (direction === 'request' ? one.readOnly : one.writeOnly)
  return says(shape) || shape.allOf.some(says)
}

function compileBranches(shape: Shape, checkOf: (shape: Shape) => Check): Check[] {
  const { allOf, anyOf, oneOf, not, condition, discriminator } = shape
  const checks: Check[] = allOf.map(checkOf)
  if (discriminator !== null && oneOf.length + anyOf.length > 0) {
    checks.push(discriminated(discriminator, checkOf))
  } else {
    if (anyOf.length > 0) checks.push(branched(anyOf.map(checkOf), (n) => n > 0))
    if (oneOf.length > 0) checks.push(branched(oneOf.map(checkOf), (n) => n === 1))
  }
  if (not !== null) {
    const check = checkOf(not)
    checks.push(
      (value, run, at) =>
        !quietly(check, value, run) || tell(run, at, 'not', 'is what the document excludes'),
    )
  }
  if (condition !== null) {
    const test = checkOf(condition.test)
    const yes = condition.yes === null ? null : checkOf(condition.yes)
    const no = condition.no === null ? null : checkOf(condition.no)
    checks.push((value, run, at) => {
      const branch = quietly(test, value, run) ? yes : no
      return branch === null || branch(value, run, at)
    })
  }
  return checks
}

/** The branch that the value names is the one it is held to, so that faults are those of one kind. */
function discriminated(
  { property, names }: NonNullable<Shape['discriminator']>,
  checkOf: (shape: Shape) => Check,
): Check {
  const branches = new Map([...names].map(([name, shape]) => [name, checkOf(shape)]))
  const says = `must be one of ${[...branches.keys()].join(', ').slice(0, 300)}`
  return (value, run, at) => {
    if (!isJson(value)) return true
    const name = Object.hasOwn(value, property) ? value[property] : undefined
    const branch = typeof name === 'string' ? branches.get(name) : undefined
    if (branch !== undefined) return branch(value, run, at)
    return tell(run, memberAt(run, at, property), 'discriminator', says)
  }
}

/** Where no branch fits, the faults of the one that is wrong in the fewest places are told. */
function branched(checks: readonly Check[], enough: (fitting: number) => boolean): Check {
  return (value, run, at) => {
    let fitting = 0
    for (const check of checks) {
      if (quietly(check, value, run)) fitting += 1
      if (run.left < 0) return tell(run, at, 'too_complex', tooComplex)
    }
    if (enough(fitting)) return true
    if (run.found === null) return false
    if (fitting > 1) return tell(run, at, 'one_of', 'fits more than one of the kinds it may be')
    let nearest: FieldError[] | null = null
    for (const check of checks) {
      const inner: Run = { left: run.left, depth: run.depth, found: [] }
      check(value, inner, at)
      run.left = inner.left
      const found = inner.found ?? []
      if (nearest === null || found.length < nearest.length) nearest = found
    }
    for (const { location, code, message } of nearest ?? []) tell(run, location, code, message)
    return (nearest ?? []).length > 0 ? false : tell(run, at, 'any_of', 'is of no kind it may be')
  }
}
