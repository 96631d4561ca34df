/**
 * In how many ways can a shape be met? `allOf` is laid together and each branch of `oneOf` and `anyOf`
 * is a way of its own, so that whoever makes a value looks at one flat shape. At most sixteen ways are
 * kept: enough to show every kind of a real document, and no schema can make more of them.
 *
 * A way may still contradict itself (a pattern and a format, `not`, `if`): whoever makes a value checks
 * it against the whole shape afterwards.
 */
import { same } from './check.ts'
import { anyShape, type Shape, type TypeName } from './shape.ts'

const waysMax = 16
const depthMax = 64

export type Variants = {
  /** The ways, none of which has branches. Empty: there is none. */
  of(shape: Shape): readonly Shape[]
}

/** Creates the table of ways; what it has worked out of a document lives as long as it does. */
export function createVariants(): Variants {
  const known = new WeakMap<Shape, readonly Shape[]>()
  const open = new Set<Shape>()

  function waysOf(shape: Shape): readonly Shape[] {
    const before = known.get(shape)
    if (before !== undefined) return before
    if (shape.never) return []
    // A branch that leads back to itself is no way of being met.
    if (open.has(shape) || open.size > depthMax) return []
    if (shape.allOf.length + shape.anyOf.length + shape.oneOf.length === 0) return [shape]
    open.add(shape)
    let ways: readonly Shape[] = [
      { ...shape, allOf: [], anyOf: [], oneOf: [], discriminator: null },
    ]
    for (const part of shape.allOf) ways = crossed(ways, waysOf(part))
    for (const branches of [shape.oneOf, shape.anyOf]) {
      if (branches.length === 0) continue
      ways = crossed(
        ways,
        branches.slice(0, waysMax).flatMap((branch) => named(shape, branch, waysOf(branch))),
      )
    }
    open.delete(shape)
    known.set(shape, ways)
    return ways
  }

  return { of: waysOf }
}

function crossed(ones: readonly Shape[], others: readonly Shape[]): readonly Shape[] {
  return ones
    .flatMap((one) => others.slice(0, waysMax).map((other) => both(one, other)))
    .filter(({ never }) => !never)
    .slice(0, waysMax)
}

/** A branch that a discriminator tells apart says its own name. */
function named({ discriminator }: Shape, branch: Shape, ways: readonly Shape[]): readonly Shape[] {
  if (discriminator === null) return ways
  const name = [...discriminator.names].find(([, shape]) => shape === branch)?.[0]
  if (name === undefined) return ways
  const { property } = discriminator
  const says = { ...anyShape(''), values: [name] }
  return ways.map((way) => ({
    ...way,
    properties: new Map([...way.properties, [property, says]]),
    required: [...new Set([...way.required, property])],
  }))
}

/** What fits both shapes, as far as one flat shape can say it. */
export function both(one: Shape, other: Shape): Shape {
  const types = commonTypes(one.types, other.types)
  const values = commonValues(one.values, other.values)
  const properties = new Map(one.properties)
  for (const [name, shape] of other.properties) {
    const before = properties.get(name)
    properties.set(name, before === undefined ? shape : allOf(before, shape))
  }
  const least = Math.max(one.least, other.least)
  const most = Math.min(one.most, other.most)
  return {
    ...one,
    never: one.never || other.never || types?.size === 0 || values?.length === 0,
    types,
    values,
    format: one.format ?? other.format,
    pattern: one.pattern ?? other.pattern,
    lengthMin: Math.max(one.lengthMin, other.lengthMin),
    lengthMax: Math.min(one.lengthMax, other.lengthMax),
    least,
    most,
    leastOpen: (one.least === least && one.leastOpen) || (other.least === least && other.leastOpen),
    mostOpen: (one.most === most && one.mostOpen) || (other.most === most && other.mostOpen),
    multipleOf: one.multipleOf ?? other.multipleOf,
    items: bothOrOne(one.items, other.items),
    prefix: one.prefix.length >= other.prefix.length ? one.prefix : other.prefix,
    contains: one.contains ?? other.contains,
    itemsMin: Math.max(one.itemsMin, other.itemsMin),
    itemsMax: Math.min(one.itemsMax, other.itemsMax),
    unique: one.unique || other.unique,
    properties,
    required: [...new Set([...one.required, ...other.required])],
    additional: bothOrOne(one.additional, other.additional),
    patternProperties: [...one.patternProperties, ...other.patternProperties],
    propertyNames: bothOrOne(one.propertyNames, other.propertyNames),
    propertiesMin: Math.max(one.propertiesMin, other.propertiesMin),
    propertiesMax: Math.min(one.propertiesMax, other.propertiesMax),
    // What the whole shows is of the whole; what a part shows may lack the rest.
    shown: one.shown.length > 0 ? one.shown : other.shown,
    readOnly: one.readOnly || other.readOnly,
    writeOnly: one.writeOnly || other.writeOnly,
  }
}

const allOf = (one: Shape, other: Shape): Shape =>
  one === other ? one : { ...anyShape(one.at), name: one.name, allOf: [one, other] }

const bothOrOne = (one: Shape | null, other: Shape | null): Shape | null =>
  one === null || other === null ? (one ?? other) : allOf(one, other)

function commonTypes(
  one: ReadonlySet<TypeName> | null,
  other: ReadonlySet<TypeName> | null,
): ReadonlySet<TypeName> | null {
  if (one === null || other === null) return one ?? other
  const common = new Set([...one].filter((type) => other.has(type)))
  // Every integer is a number.
  if (one.has('integer') && other.has('number')) common.add('integer')
  if (one.has('number') && other.has('integer')) common.add('integer')
  return common
}

function commonValues(one: Shape['values'], other: Shape['values']): Shape['values'] {
  if (one === null || other === null) return one ?? other
  return one.filter((value) => other.some((two) => same(value, two)))
}
