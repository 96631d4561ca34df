/**
 * A value for a shape: by seed, realistic, and valid. What the request gave comes first where it fits,
 * then what the document shows, then a guess from the field's name and format, fitted to the bounds.
 *
 * It refuses to know requests and statuses (answer.ts does). The danger is a schema that asks for what
 * cannot be: endless nesting, a million items, an empty choice. Work is counted, and whoever asks for a
 * value that was not found in that time gets none; the whole value is checked before it is given out.
 */

import { lengthOf, same, typeOf } from './check.ts'
import {
  holdsObjects,
  idLike,
  inOrder,
  numberFor,
  shallow,
  simplest,
  stretched,
  typeFor,
  Unmade,
} from './fit.ts'
import { formats } from './format.ts'
import { isJson } from './pointer.ts'
import type { Random } from './random.ts'
import { Random as Seeded } from './random.ts'
import {
  formatGuess,
  isId,
  numberGuess,
  singular,
  snake,
  textGuess,
  wordGuess,
  yesNoGuess,
} from './realistic.ts'
import { isOneWay, type Validator } from './schema.ts'
import type { Shape, TypeName } from './shape.ts'
import type { Variants } from './variants.ts'

/** What a value is made from, besides its shape. The same wish has the same value. */
export type Wish = {
  /** Whoever asks: answers of two seeds differ, as far as the document leaves room. */
  readonly seed: string
  /** What is asked: an object that nothing names gets its id from this. */
  readonly request: string
  /** Milliseconds since 1970, at the beginning of a day. */
  readonly today: number
  /** What the objects of the answer are: `customer`. */
  readonly owner: string
  /** Fields that the request gave for the object itself, by their names in snake case. */
  readonly given: ReadonlyMap<string, readonly unknown[]>
  /** Fields that hold for each item of a list: the parents that the path names. */
  readonly above: ReadonlyMap<string, readonly unknown[]>
  /** The object has the fields given and those it must have, and no others. */
  readonly isWhole: boolean
  /** How many items the answer's list has, where that is asked for. */
  readonly items: number | null
}

export type Sampler = {
  /** A value that fits, or null when none was found. */
  sample(shape: Shape, wish: Wish): { readonly value: unknown } | null
}

/** Where a value stands: what it is called, in what, how deep, and in which item of a list. */
type Spot = {
  readonly name: string
  readonly owner: string
  readonly depth: number
  readonly index: number
  readonly inList: boolean
  /** A field of the object that the answer is about. */
  readonly own: boolean
  /** That object itself. */
  readonly self: boolean
}

const triesMax = 5
const valuesMax = 20_000
const namesMax = 200
const depthMax = 24
const nothing: ReadonlyMap<string, readonly unknown[]> = new Map()

/** Creates a sampler of answers on a document's shapes. */
export function createSampler(validator: Validator, variants: Variants): Sampler {
  return {
    sample(shape, wish) {
      for (let nth = 0; nth < triesMax; nth++) {
        // What the request gave is the likeliest to break a rule between fields.
        const given = nth < triesMax - 1 ? wish.given : nothing
        const making = new Making({ ...wish, given }, nth, validator, variants)
        try {
          const value = making.whole(shape)
          if (validator.fits(shape, value)) return { value }
        } catch (thrown) {
          if (!(thrown instanceof Unmade)) throw thrown
        }
      }
      return null
    },
  }
}

class Making {
  readonly #wish: Wish
  readonly #nth: number
  readonly #validator: Validator
  readonly #variants: Variants
  #left = valuesMax
  #listed = false

  constructor(wish: Wish, nth: number, validator: Validator, variants: Variants) {
    this.#wish = wish
    this.#nth = nth
    this.#validator = validator
    this.#variants = variants
  }

  whole(shape: Shape): unknown {
    const { owner } = this.#wish
    const spot = { name: owner, owner, depth: 0, index: 0, inList: false, own: false, self: true }
    return this.#value(shape, this.#seeded(this.#wish.request), spot)
  }

  #seeded(about: string): Random {
    return new Seeded(`${this.#wish.seed}\n${this.#nth}\n${about}`)
  }

  #value(shape: Shape, random: Random, spot: Spot): unknown {
    this.#left -= 1
    if (this.#left < 0 || spot.depth > depthMax) throw new Unmade()
    const ways = this.#variants.of(shape)
    if (ways.length === 0) throw new Unmade()
    // Deep down the first way is taken that ends: schemas put what is simple first.
    const flat = spot.depth > shallow && ways[0] !== undefined ? simplest(ways) : random.pick(ways)
    const type = typeFor(flat, spot)
    if (flat.values !== null) return this.#oneOf(flat.values, flat.shown, random)
    if (type === 'object') return this.#object(flat, random, spot)
    if (type === 'array') return this.#array(flat, random, spot)
    return this.#scalar(flat, type, random, spot)
  }

  /** Of an enumeration what the document shows: a new thing is in its first state, and not in any. */
  #oneOf(values: readonly unknown[], shown: readonly unknown[], random: Random): unknown {
    const usual = shown.find((value) => values.includes(value))
    if (usual !== undefined) return usual
    const some = values.filter((value) => value !== null)
    if (values.length === 0) throw new Unmade()
    return some.length === 0 ? null : random.pick(some)
  }

  // ---- objects ---------------------------------------------------------------------------------

  #object(shape: Shape, random: Random, spot: Spot): unknown {
    const example = spot.inList && spot.index > 0 ? undefined : shape.shown.find(isJson)
    // `{ success, data: { … } }`: the object that is asked for is the one in the envelope.
    const inner = spot.depth === 0 ? this.#enclosed(shape) : null
    const own = spot.self && inner === null
    const isNamed = spot.self || spot.inList
    const owner = isNamed ? spot.owner : singular(spot.name)
    const field = { ...spot, owner, depth: spot.depth + 1, inList: false, own, self: false }
    const made: Record<string, unknown> = {}
    let drawn = random
    const idShape = shape.properties.get('id')
    if (idShape !== undefined && shape.propertiesMax > 0) {
      made.id = this.#field(idShape, random, { ...field, name: 'id' }, example?.id)
      // What has a name is the same wherever it is met: in a list, alone, inside another.
      drawn = this.#seeded(`${owner}\n${String(made.id)}`)
    }
    for (const [name, part] of shape.properties) {
      if (name === 'id' || part.never || isOneWay(part, 'response')) continue
      const isRequired = shape.required.includes(name)
      if (!isRequired && (spot.depth >= shallow || this.#isLeftOut(name, own))) continue
      if (!isRequired && Object.keys(made).length >= shape.propertiesMax) continue
      const below = { ...field, name, self: name === inner }
      try {
        made[name] = this.#field(part, drawn, below, example?.[name])
      } catch (thrown) {
        if (isRequired || !(thrown instanceof Unmade) || this.#left < 0) throw thrown
      }
    }
    this.#others(shape, made, drawn, field)
    return inOrder(made, shape)
  }

  #isLeftOut(name: string, own: boolean): boolean {
    const { isWhole, given } = this.#wish
    return isWhole && own && !given.has(snake(name))
  }

  /** The field of an envelope that holds the object itself; null: it is no envelope. */
  #enclosed(shape: Shape): string | null {
    if (shape.properties.has('id')) return null
    for (const [name, part] of shape.properties) {
      const isUsual =
        /^(?:data|result|item|resource)$/.test(name) || snake(name) === this.#wish.owner
      const ways = this.#variants.of(part)
      if (ways.some(({ properties }) => properties.has('id') || (isUsual && properties.size > 0))) {
        return name
      }
    }
    return null
  }

  /** A field of an object: given, else shown, else made. */
  #field(shape: Shape, random: Random, spot: Spot, shown: unknown): unknown {
    const given = this.#given(shape, spot)
    if (given !== null) return given.value
    if (shown !== undefined && this.#validator.fits(shape, shown)) return shown
    return this.#value(shape, random, spot)
  }

  /** What the request gave for a field of the object itself, or of each item for a parent's id. */
  #given(shape: Shape, { name, own }: Spot): { value: unknown } | null {
    const fields = this.#listed ? this.#wish.above : own ? this.#wish.given : nothing
    for (const value of fields.get(snake(name)) ?? []) {
      if (this.#validator.fits(shape, value)) return { value }
    }
    return null
  }

  /** Fields that are required but not described, and those of a map. */
  #others(shape: Shape, made: Record<string, unknown>, random: Random, spot: Spot): void {
    const one = (name: string): unknown => {
      const matching = shape.patternProperties.find(([pattern]) => pattern.test(name))?.[1]
      const inner = matching ?? shape.additional
      return inner === null ? wordGuess(random) : this.#value(inner, random, { ...spot, name })
    }
    for (const name of shape.required) {
      if (!Object.hasOwn(made, name) && !shape.properties.has(name) && name !== '__proto__') {
        made[name] = one(name)
      }
    }
    const isMap =
      shape.properties.size === 0 && shape.additional !== null && !shape.additional.never
    const wanted = Math.max(shape.propertiesMin, isMap && spot.depth < shallow ? 2 : 0)
    const least = Math.min(wanted, shape.propertiesMax)
    const has = Object.keys(made).length
    if (least - has > namesMax) throw new Unmade()
    for (let tries = 0; Object.keys(made).length < least; tries++) {
      if (tries > least + 20) throw new Unmade()
      const [pattern] = shape.patternProperties[0] ?? []
      const name = pattern?.make(random, 1, 40) ?? this.#name(shape, random, spot, tries)
      made[name] = one(name)
    }
  }

  #name({ propertyNames }: Shape, random: Random, spot: Spot, nth: number): string {
    if (propertyNames !== null) {
      const name = this.#value(propertyNames, random, { ...spot, name: 'key', own: false })
      if (typeof name === 'string' && name !== '__proto__') return name
    }
    const word = wordGuess(random)
    return nth < 10 ? word : `${word}_${nth}`
  }

  // ---- arrays ----------------------------------------------------------------------------------

  #array(shape: Shape, random: Random, spot: Spot): unknown {
    const isFirst = !this.#listed && spot.depth <= 2
    const isObjects = shape.items !== null && this.#variants.of(shape.items).some(holdsObjects)
    const shown = shape.shown.find((value) => Array.isArray(value))
    if (shown !== undefined && !(isFirst && isObjects) && this.#validator.fits(shape, shown))
      return shown
    const isAnswer = isFirst && isObjects
    const usual = spot.depth > shallow ? 0 : isAnswer ? (this.#wish.items ?? 3) : 2
    const least = Math.max(shape.itemsMin, shape.contains === null ? 0 : 1)
    const length = Math.max(least, Math.min(usual, shape.itemsMax))
    if (length > this.#left) throw new Unmade()
    const before = this.#listed
    if (isAnswer) this.#listed = true
    const owner = isAnswer ? this.#wish.owner : singular(spot.name)
    const made: unknown[] = []
    for (let tries = 0; made.length < length; tries++) {
      const index = made.length
      const inner =
        shape.prefix[index] ??
        (index === 0 && shape.contains !== null ? shape.contains : shape.items)
      const below = {
        name: singular(spot.name),
        owner,
        depth: spot.depth + 1,
        index: tries,
        inList: true,
        own: false,
        self: false,
      }
      // The items of a list are the same whatever page of it is asked for.
      const drawn = isAnswer ? this.#seeded(`${owner}\nitem ${tries}`) : random
      const item = inner === null ? wordGuess(drawn) : this.#value(inner, drawn, below)
      if (!shape.unique || !made.some((other) => same(other, item))) made.push(item)
      else if (tries > 4 * length + 20) {
        if (made.length >= least) break
        throw new Unmade()
      }
    }
    this.#listed = before
    return made
  }

  // ---- what has no parts -----------------------------------------------------------------------

  #scalar(shape: Shape, type: TypeName, random: Random, spot: Spot): unknown {
    const shown = shape.shown.find(
      (value) => typeOf(value) !== 'object' && this.#validator.fits(shape, value),
    )
    // An id that the document shows is one thing's; and all items of a list would be called alike.
    const isOwn = isId(spot.name) || (spot.inList && shape.unique)
    if (shown !== undefined && shown !== null && !isOwn) return shown
    const isNone = shape.shown[0] === null && this.#validator.fits(shape, null)
    if (type === 'null' || isNone) return null
    const field = { name: spot.name, owner: spot.owner, random, today: this.#wish.today }
    if (type === 'boolean') return yesNoGuess(field)
    if (type === 'string') return this.#text(shape, field, shown ?? shape.shown[0])
    return numberFor(shape, type === 'integer', numberGuess(field, type === 'integer'), random)
  }

  #text(shape: Shape, field: Parameters<typeof textGuess>[0], shown: unknown): string {
    const { format, pattern, lengthMin, lengthMax } = shape
    const fits = (text: string): boolean => {
      const length = lengthOf(text)
      if (length < lengthMin || length > lengthMax) return false
      if (format !== null && Object.hasOwn(formats, format) && formats[format]?.(text) === false)
        return false
      return pattern === null || pattern.test(text)
    }
    if (lengthMin > 100_000) throw new Unmade()
    const guesses = [
      () => (format === null ? null : formatGuess(format, field)),
      () => (isId(field.name) ? idLike(field, shown) : null),
      () => textGuess(field),
    ]
    for (const guess of guesses) {
      const text = guess()
      if (text !== null && fits(text)) return text
    }
    const made = pattern?.make(field.random, lengthMin, lengthMax) ?? null
    if (made !== null && fits(made)) return made
    const long = pattern === null ? stretched(textGuess(field), lengthMin, lengthMax) : null
    if (long !== null && fits(long)) return long
    if (typeof shown === 'string' && fits(shown)) return shown
    throw new Unmade()
  }
}
