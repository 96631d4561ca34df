/**
 * What do the schemas of a document say? Each becomes one `Shape`, in which the dialects of OpenAPI 3.0
 * and of JSON Schema 2020-12 (OpenAPI 3.1) are the same: `nullable` is a type, a boolean
 * `exclusiveMinimum` is a number, `const` is an enum of one. A shape is a node of a graph, made once for
 * a place however often it is referred to, so schemas that hold themselves are cycles and cost nothing.
 *
 * It refuses to know what shapes are for: schema.ts holds values to them, sample.ts makes values. What is
 * not read is noted and not enforced. The graph is filled from a queue and never by recursion, so that
 * no document can exhaust the stack.
 */
import { type Pattern, readPattern } from './pattern.ts'
import { isJson, itemsOf, type Json, lastName } from './pointer.ts'
import { type Place, placeBelow, placesBelow, type Sources } from './sources.ts'

export type TypeName = 'null' | 'boolean' | 'integer' | 'number' | 'string' | 'array' | 'object'

export type Shape = {
  /** Where it stands, unique in the document. */
  readonly at: string
  /** What a component is called; else the last part of its place. */
  readonly name: string
  /** Nothing is valid: the schema `false`. */
  never: boolean
  /** null: any type. */
  types: ReadonlySet<TypeName> | null
  /** null: any value. */
  values: readonly unknown[] | null
  format: string | null
  pattern: Pattern | null
  lengthMin: number
  lengthMax: number
  least: number
  most: number
  /** Whether `least` and `most` themselves are left out. */
  leastOpen: boolean
  mostOpen: boolean
  multipleOf: number | null
  items: Shape | null
  /** What the first items are, one by one. */
  prefix: readonly Shape[]
  contains: Shape | null
  itemsMin: number
  itemsMax: number
  unique: boolean
  properties: ReadonlyMap<string, Shape>
  required: readonly string[]
  /** What properties that are not named are. null: anything. */
  additional: Shape | null
  patternProperties: readonly (readonly [Pattern, Shape])[]
  propertyNames: Shape | null
  propertiesMin: number
  propertiesMax: number
  allOf: readonly Shape[]
  anyOf: readonly Shape[]
  oneOf: readonly Shape[]
  not: Shape | null
  /** `if`, `then`, `else`. */
  condition: { readonly test: Shape; readonly yes: Shape | null; readonly no: Shape | null } | null
  /** Which property says which branch it is, and the branch by what it says there. */
  discriminator: { readonly property: string; readonly names: ReadonlyMap<string, Shape> } | null
  /** Values that the document shows: examples first, then the default. Not checked yet. */
  shown: readonly unknown[]
  readOnly: boolean
  writeOnly: boolean
}

/** Turns the schemas of a document into shapes. */
export type Shapes = {
  /** The shape of the schema that stands there. A reference is followed. */
  shapeOf(place: Place): Shape
}

type NoteDown = (place: Pick<Place, 'file' | 'pointer'>, says: string) => void

const hopsMax = 50
const infinite = Number.POSITIVE_INFINITY
const none: ReadonlyMap<string, Shape> = new Map()

/** A shape that everything fits. */
export const anyShape = (at: string): Shape => ({
  at,
  name: lastName(at),
  ...{ never: false, types: null, values: null, format: null, pattern: null },
  ...{ lengthMin: 0, lengthMax: infinite, least: -infinite, most: infinite },
  ...{ leastOpen: false, mostOpen: false, multipleOf: null },
  ...{ items: null, prefix: [], contains: null, itemsMin: 0, itemsMax: infinite, unique: false },
  ...{ properties: none, required: [], additional: null, patternProperties: [] },
  ...{ propertyNames: null, propertiesMin: 0, propertiesMax: infinite },
  ...{ allOf: [], anyOf: [], oneOf: [], not: null, condition: null, discriminator: null },
  ...{ shown: [], readOnly: false, writeOnly: false },
})

const typeNames = new Set<string>([
  'null',
  'boolean',
  'integer',
  'number',
  'string',
  'array',
  'object',
] satisfies TypeName[])
const isTypeName = (value: unknown): value is TypeName =>
  typeof value === 'string' && typeNames.has(value)

/** Keywords whose meaning is not enforced; the import says so. */
const unread = [
  ...['$dynamicRef', '$recursiveRef', 'dependentSchemas', 'dependentRequired'],
  ...['unevaluatedProperties', 'unevaluatedItems', 'minContains', 'maxContains', 'dependencies'],
]

/** `is30`: OpenAPI 3.0, where `nullable` counts and what stands beside a `$ref` does not. */
export function createShapes(sources: Sources, is30: boolean, note: NoteDown): Shapes {
  const known = new Map<object, Shape>()
  const queue: (() => void)[] = []
  let draining = false

  function shapeOf(place: Place): Shape {
    const shape = reach(place)
    if (!draining) {
      draining = true
      for (let fill = queue.pop(); fill !== undefined; fill = queue.pop()) fill()
      draining = false
    }
    return shape
  }

  /** The shape of a place, to be filled later. */
  function reach(place: Place, hops = 0): Shape {
    const ref = isJson(place.value) ? place.value.$ref : undefined
    if (typeof ref === 'string' && !hasSiblings(place.value)) {
      const target = hops < hopsMax ? sources.follow(ref, place.file) : 'leads to itself'
      if (typeof target !== 'string') return reach(target, hops + 1)
      note(place, `its $ref ${target}`)
      return anyShape(sources.show(place))
    }
    const { value } = place
    if (typeof value !== 'object' || value === null) {
      const shape = anyShape(sources.show(place))
      shape.never = value === false
      if (typeof value !== 'boolean') note(place, 'is no schema')
      return shape
    }
    const before = known.get(value)
    if (before !== undefined) return before
    const shape = anyShape(sources.show(place))
    known.set(value, shape)
    // What is no object was sent back above; a list is an object without members that are read.
    queue.push(() => fill(shape, place, value as Json))
    return shape
  }

  /** In 3.1 a `$ref` is one condition among others. */
  const hasSiblings = (value: unknown): boolean =>
    !is30 && isJson(value) && Object.keys(value).some((name) => !annotations.has(name))

  function fill(shape: Shape, place: Place, schema: Json): void {
    for (const name of unread)
      if (Object.hasOwn(schema, name)) note(place, `${name} is not enforced`)
    fillCommon(shape, place, schema)
    fillScalars(shape, place, schema)
    fillArrays(shape, place, schema)
    fillObjects(shape, place, schema)
    fillBranches(shape, place, schema)
  }

  function fillCommon(shape: Shape, place: Place, schema: Json): void {
    const listed = Array.isArray(schema.type) ? schema.type : [schema.type]
    const types = new Set(listed.filter(isTypeName))
    if (types.size < listed.length && schema.type !== undefined) note(place, 'its type is unknown')
    const isNullable = is30 && schema.nullable === true
    if (isNullable && types.size > 0) types.add('null')
    shape.types = types.size > 0 ? types : null
    if (Array.isArray(schema.enum)) {
      const values = schema.enum.slice(0, 10_000)
      shape.values = isNullable && !values.includes(null) ? [...values, null] : values
    }
    if (Object.hasOwn(schema, 'const')) shape.values = [schema.const]
    const examples = Array.isArray(schema.examples) ? schema.examples.slice(0, 20) : []
    if (Object.hasOwn(schema, 'example')) examples.unshift(schema.example)
    if (Object.hasOwn(schema, 'default')) examples.push(schema.default)
    shape.shown = examples
    shape.readOnly = schema.readOnly === true
    shape.writeOnly = schema.writeOnly === true
  }

  function fillScalars(shape: Shape, place: Place, schema: Json): void {
    shape.format = typeof schema.format === 'string' ? schema.format.slice(0, 64) : null
    if (typeof schema.pattern === 'string') {
      shape.pattern = readPattern(schema.pattern)
      if (shape.pattern === null)
        note(place, 'its pattern is not enforced: it cannot be run safely')
    }
    shape.lengthMin = count(schema.minLength, 0)
    shape.lengthMax = count(schema.maxLength, infinite)
    shape.least = numberOr(schema.minimum, -infinite)
    shape.most = numberOr(schema.maximum, infinite)
    const { exclusiveMinimum: above, exclusiveMaximum: under } = schema
    shape.leastOpen = above === true
    shape.mostOpen = under === true
    if (typeof above === 'number' && above >= shape.least) {
      shape.least = above
      shape.leastOpen = true
    }
    if (typeof under === 'number' && under <= shape.most) {
      shape.most = under
      shape.mostOpen = true
    }
    const step = numberOr(schema.multipleOf, 0)
    shape.multipleOf = step > 0 ? step : null
  }

  function fillArrays(shape: Shape, place: Place, schema: Json): void {
    const at = (name: string) => optional(place, name)
    const isTuple = Array.isArray(schema.items)
    shape.prefix = listAt(place, isTuple ? 'items' : 'prefixItems')
    shape.items = isTuple ? at('additionalItems') : at('items')
    shape.contains = at('contains')
    shape.itemsMin = count(schema.minItems, 0)
    shape.itemsMax = count(schema.maxItems, infinite)
    shape.unique = schema.uniqueItems === true
  }

  function fillObjects(shape: Shape, place: Place, schema: Json): void {
    const properties = placeBelow(place, 'properties')
    if (properties !== undefined) {
      shape.properties = new Map(
        placesBelow(properties).map(([name, inner]) => [name, reach(inner)]),
      )
    }
    const required = itemsOf(schema.required).filter((name) => typeof name === 'string')
    shape.required = [...new Set(required)]
    shape.additional =
      schema.additionalProperties === true ? null : optional(place, 'additionalProperties')
    const patterns = placeBelow(place, 'patternProperties')
    shape.patternProperties = (patterns === undefined ? [] : placesBelow(patterns)).flatMap(
      ([source, inner]) => {
        const pattern = readPattern(source)
        if (pattern === null) note(inner, 'is not enforced: its pattern cannot be run safely')
        return pattern === null ? [] : [[pattern, reach(inner)] as const]
      },
    )
    shape.propertyNames = optional(place, 'propertyNames')
    shape.propertiesMin = count(schema.minProperties, 0)
    shape.propertiesMax = count(schema.maxProperties, infinite)
  }

  function fillBranches(shape: Shape, place: Place, schema: Json): void {
    shape.allOf = listAt(place, 'allOf')
    shape.anyOf = listAt(place, 'anyOf')
    shape.oneOf = listAt(place, 'oneOf')
    shape.not = optional(place, 'not')
    const test = optional(place, 'if')
    if (test !== null) {
      shape.condition = { test, yes: optional(place, 'then'), no: optional(place, 'else') }
    }
    if (typeof schema.$ref === 'string') {
      const target = sources.follow(schema.$ref, place.file)
      if (typeof target === 'string') note(place, `its $ref ${target}`)
      else if (target.value !== place.value) shape.allOf = [...shape.allOf, reach(target)]
    }
    shape.discriminator = discriminatorOf(shape, place)
  }

  function discriminatorOf(shape: Shape, place: Place): Shape['discriminator'] {
    const at = placeBelow(place, 'discriminator')
    const property = isJson(at?.value) ? at.value.propertyName : undefined
    if (at === undefined || typeof property !== 'string') return null
    const names = new Map<string, Shape>()
    const mapping = placeBelow(at, 'mapping')
    for (const [name, { value, file }] of mapping === undefined ? [] : placesBelow(mapping)) {
      if (typeof value !== 'string') continue
      const ref = /[#/.]/.test(value) ? value : `#/components/schemas/${value}`
      const target = sources.follow(ref, file)
      if (typeof target === 'string') note(at, `its mapping ${target}`)
      else names.set(name, reach(target))
    }
    // OpenAPI 3.1 4.8.25: a branch that is not mapped is called as its component is.
    const mapped = new Set(names.values())
    for (const branch of [...shape.oneOf, ...shape.anyOf]) {
      if (!mapped.has(branch)) names.set(branch.name, branch)
    }
    return { property, names }
  }

  function optional(place: Place, name: string): Shape | null {
    const inner = placeBelow(place, name)
    return inner === undefined ? null : reach(inner)
  }

  const listAt = (place: Place, name: string): Shape[] => {
    const list = placeBelow(place, name)
    if (list === undefined || !Array.isArray(list.value)) return []
    return placesBelow(list).map(([, inner]) => reach(inner))
  }

  return { shapeOf }
}

/** What may stand beside a `$ref` without being a condition. */
const annotations = new Set([
  ...['$ref', 'description', 'summary', 'title', 'deprecated', '$comment', 'externalDocs', 'xml'],
])

const count = (value: unknown, otherwise: number): number =>
  typeof value === 'number' && Number.isInteger(value) && value >= 0 ? value : otherwise

const numberOr = (value: unknown, otherwise: number): number =>
  typeof value === 'number' && Number.isFinite(value) ? value : otherwise
