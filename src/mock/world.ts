/**
 * A world that remembers: what is POSTed can be fetched, changed, listed and deleted, in the shapes of
 * the document. Collections are recognised by their paths: `/things` and `/things/{id}`; those below a
 * parent are the parent's. A collection begins with a few things made by seed, the same for everyone
 * of that seed; those of a parent that was made here begin empty. What is no collection is answered
 * without memory.
 *
 * It refuses to know where things are kept: the store is bound to one tenant's test scope by whoever
 * hands it in, holds a bounded number of things, and forgets them after a time.
 */
import type { World, WorldThing } from '../context.ts'
import type { Refusal } from '../problem.ts'
import { type Answering, type Called, type MockAnswer, ownerOf, wishOf } from './answer.ts'
import type { Operation } from './document.ts'
import { type Named, namedBy, thingsListed, thingsSet } from './named.ts'
import { filtersOf, itemShape, listValue, pageOf } from './paging.ts'
import { isJson, type Json } from './pointer.ts'
import { snake } from './realistic.ts'
import type { Sampler } from './sample.ts'
import type { Shape } from './shape.ts'
import type { Variants } from './variants.ts'

export type Remembering = {
  /** Answers from the world; null: the operation is of no collection. Rejects when the store does. */
  answer(called: Called, world: World): Promise<MockAnswer | Refusal | null>
}

/** The operations of one collection, by what they do. */
type Collection = {
  readonly item: string
  readonly get: Operation | null
  readonly post: Operation | null
  readonly list: Operation | null
  /** Its things are named by whoever sets them. */
  readonly named: Named | null
}

type Parts = { sampler: Sampler; variants: Variants; answering: Answering }

const firstThings = 3
const triesMax = 5
const thingBytesMax = 65_536

/** Recognises the collections of a document's operations. */
export function createRemembering(
  operations: readonly Operation[],
  { sampler, variants, answering }: Parts,
): Remembering {
  const collections = collectionsOf(operations, { named: namedIn, showsThing })
  const below = childrenOf(collections)

  /** What is answered with no thing can be remembered by none. */
  function showsThing({ get, post, named }: Collection): boolean {
    const operation = get ?? post
    if (named !== null) return true
    return operation !== null && answering.goodAnswer(operation)?.media.shape != null
  }

  function namedIn({ item, get, post, list }: Omit<Collection, 'named'>): Named | null {
    const shape = list === null ? null : (answering.goodAnswer(list)?.media.shape ?? null)
    if (get !== null || shape === null) return null
    return namedBy(item, post, itemShape(shape, variants), variants)
  }

  async function answer(called: Called, world: World): Promise<MockAnswer | Refusal | null> {
    const { method, path } = called.operation
    const isItem = collections.has(parentOf(path))
    const collection = collections.get(isItem ? parentOf(path) : path)
    if (collection === undefined) return null
    const place = isItem ? parentOf(called.call.path) : called.call.path
    const before = seededThings(called, collection, place)
    await world.begin(place, before)
    if (!isItem && method === 'GET') return list(called, world, place)
    if (!isItem && method !== 'POST') return null
    if (!isItem) {
      const { named } = collection
      return named === null ? create(called, world, place) : set(called, world, place, named)
    }
    const id = decodeURIComponent(called.call.path.slice(place.length + 1))
    const thing = await world.get(place, id)
    if (thing === null) return absent(called)
    if (method === 'DELETE') {
      await world.delete(place, id)
      return answering.answerWith(called, [204, 200, 202], thing.data, true)
    }
    if (method === 'GET' || method === 'HEAD')
      return answering.answerWith(called, [200], thing.data, true)
    if (method !== 'PUT' && method !== 'PATCH') return null
    const sent = isJson(called.call.body) ? called.call.body : {}
    const base = method === 'PATCH' ? thing.data : keptOf(thing.data, bodyShape(called.operation))
    const changed = { ...merged(base, sent), ...changedAt(thing.data, called.setting.now) }
    const data: Json = { ...changed, ...ownId(thing.data) }
    const refusal = tooLarge(data)
    if (refusal !== null) return refusal
    await world.put(place, { id, data })
    return answering.answerWith(called, [200, 204, 202], data, true)
  }

  async function create(
    called: Called,
    world: World,
    place: string,
  ): Promise<MockAnswer | Refusal> {
    const { total } = await world.list(place, { where: {}, offset: 0, limit: 1 })
    const { call } = called
    const sent = isJson(call.body) ? call.body : {}
    for (let tries = 0; tries < triesMax; tries++) {
      // The same thing sent twice is two things: what is drawn depends on how many there were.
      const one: Called = { ...called, call: { ...call, path: `${call.path}#${total}.${tries}` } }
      const fields = { ...momentsOf(called), ...sent }
      const made = answering.answerWith(one, [201, 200, 202], fields, false)
      const data = 'code' in made || made.body === null ? null : thingIn(JSON.parse(made.body))
      const id = data === null ? null : idOf(data)
      if (data === null || id === null) return made
      const refusal = tooLarge(data)
      if (refusal !== null) return refusal
      if (await world.add(place, { id, data })) {
        await beginBelow(called.operation.path, `${place}/${encodeURIComponent(id)}`, world)
        return made
      }
      if (idOf(sent) === id) break
    }
    return { code: 'resource/conflict' }
  }

  /** What is made here has nothing below it yet. */
  async function beginBelow(collection: string, place: string, world: World): Promise<void> {
    for (const name of below.get(collection) ?? []) await world.begin(`${place}/${name}`, [])
  }

  async function set(called: Called, world: World, place: string, named: Named) {
    const sent = isJson(called.call.body) ? called.call.body : {}
    const show = (fields: Json): unknown => {
      const told = { fields: { ...momentsOf(called), ...fields }, isWhole: false }
      return sampler.sample(named.items, wishOf(called, told))?.value
    }
    // One that is there was made when it was made.
    for (const thing of thingsSet(named, sent, show)) await world.add(place, thing)
    return answering.answerWith(called, [204, 200, 201, 202], {}, false)
  }

  async function list(called: Called, world: World, place: string): Promise<MockAnswer | Refusal> {
    const good = answering.goodAnswer(called.operation)
    if (good?.media.shape == null) return answering.answer(called)
    const query = new URLSearchParams(called.call.search)
    const page = pageOf(query)
    const where = filtersOf(called.operation, query)
    const found = await world.list(place, { ...page, where })
    const { shape } = good.media
    const items = itemShape(shape, variants)
    // A list may show less of a thing than the thing itself does.
    const shown = found.things.flatMap(({ data }) => {
      if (items === null) return [data]
      const wish = wishOf({ ...called, parameters: new Map() }, { fields: data, isWhole: true })
      const made = sampler.sample(items, wish)
      return made === null ? [] : [made.value]
    })
    const value = listValue(shape, variants, shown, { ...page, total: found.total })
    if (value === null) return answering.answer(called)
    if (!Array.isArray(value)) return answering.answerWith(called, [good.status], value, false)
    const headers = { 'content-type': good.media.type, 'postern-mock': 'world' }
    return { status: good.status, headers, body: JSON.stringify(value) }
  }

  /** A collection begins with what its list would have shown. */
  function seededThings(
    called: Called,
    { item, get, post, list, named }: Collection,
    place: string,
  ): WorldThing[] {
    const operation = named === null ? (get ?? post) : list
    const media = operation === null ? null : answering.goodAnswer(operation)?.media
    if (operation === null || media?.shape == null) return []
    if (named !== null) {
      const call = { ...called.call, method: 'GET', path: place, search: '', body: undefined }
      const wish = wishOf({ ...called, operation, call }, null)
      return thingsListed(
        named,
        media.examples[0]?.value ?? sampler.sample(media.shape, wish)?.value,
      )
    }
    const things: WorldThing[] = []
    for (let nth = 0; nth < firstThings; nth++) {
      const call = {
        ...called.call,
        method: 'GET',
        path: `${place}#${nth}`,
        search: '',
        body: undefined,
      }
      const parameters = new Map(
        [...called.parameters].filter(([name]) => !item.endsWith(`/{${name}}`)),
      )
      const wish = {
        ...wishOf({ ...called, operation, call, parameters }, null),
        owner: ownerOf(operation.template.parts),
      }
      const data = thingIn(sampler.sample(media.shape, wish)?.value)
      const id = data === null ? null : idOf(data)
      if (data !== null && id !== null) things.push({ id, data })
    }
    return things
  }

  function absent(called: Called): MockAnswer | Refusal {
    const documented = called.operation.answers.some(({ status }) => status === '404')
    const made = documented ? answering.answerWith(called, [404], {}, false) : null
    return made === null || 'code' in made ? { code: 'resource/not_found' } : made
  }

  return { answer }
}

/** By path: those that have an operation below them whose last segment is a parameter. */
function collectionsOf(
  operations: readonly Operation[],
  {
    named: namedIn,
    showsThing,
  }: {
    named(collection: Omit<Collection, 'named'>): Named | null
    showsThing(collection: Collection): boolean
  },
): ReadonlyMap<string, Collection> {
  const named = new Map<string, Map<string, Operation>>()
  for (const operation of operations) {
    const { path, method } = operation
    const at = named.get(path) ?? new Map<string, Operation>()
    named.set(path, at.set(method, operation))
  }
  const found = new Map<string, Collection>()
  for (const [item, at] of named) {
    if (!/\/\{[^{}/]+\}$/.test(item)) continue
    const above = named.get(parentOf(item))
    if (above === undefined || !(above.has('POST') || above.has('GET'))) continue
    const bare = {
      ...{ item, get: at.get('GET') ?? null },
      ...{ post: above.get('POST') ?? null, list: above.get('GET') ?? null },
    }
    const collection = { ...bare, named: namedIn(bare) }
    if (showsThing(collection)) found.set(parentOf(item), collection)
  }
  return found
}

/** Of each collection, the last names of those directly below one of its things. */
function childrenOf(
  collections: ReadonlyMap<string, Collection>,
): ReadonlyMap<string, readonly string[]> {
  const found = new Map<string, string[]>()
  for (const path of collections.keys()) {
    const above = collections.get(parentOf(parentOf(path)))
    if (above?.item !== parentOf(path)) continue
    const collection = parentOf(above.item)
    found.set(collection, [...(found.get(collection) ?? []), path.slice(parentOf(path).length + 1)])
  }
  return found
}

const parentOf = (path: string): string => path.slice(0, path.lastIndexOf('/'))

const idOf = (data: Json): string | null =>
  typeof data.id === 'string' || typeof data.id === 'number' ? String(data.id) : null

const ownId = (data: Json): Json => (Object.hasOwn(data, 'id') ? { id: data.id } : {})

/** The thing in an answer: the answer itself, or what its envelope holds. */
function thingIn(value: unknown): Json | null {
  if (!isJson(value)) return null
  if (idOf(value) !== null) return value
  return (
    Object.values(value)
      .filter(isJson)
      .find((inner) => idOf(inner) !== null) ?? null
  )
}

function tooLarge(data: Json): Refusal | null {
  if (JSON.stringify(data).length <= thingBytesMax) return null
  return { code: 'request/too_large', detail: 'A thing of the test world may have 64 KiB.' }
}

/** JSON Merge Patch (RFC 7396). */
function merged(before: unknown, patch: Json): Json {
  const made: Record<string, unknown> = isJson(before) ? { ...before } : {}
  for (const [name, value] of Object.entries(patch)) {
    if (name === '__proto__') continue
    if (value === null) delete made[name]
    else made[name] = isJson(value) ? merged(made[name], value) : value
  }
  return made
}

const bodyShape = ({ body }: Operation): Shape | null => body?.media[0]?.shape ?? null

/** PUT replaces what a caller may write; what the server alone writes stays. */
function keptOf(data: Json, shape: Shape | null): Json {
  const writable = (name: string): boolean => {
    const part = shape?.properties.get(name)
    return part !== undefined && !part.readOnly
  }
  return Object.fromEntries(Object.entries(data).filter(([name]) => !writable(name)))
}

const changedNames = /^(?:updated|modified)(?:_?(?:at|on|date|time))?$/
const createdNames = ['created_at', 'createdAt', 'created', 'updated_at', 'updatedAt', 'updated']

function changedAt(data: Json, now: number): Json {
  const names = Object.keys(data).filter((name) => changedNames.test(snake(name)))
  return Object.fromEntries(names.map((name) => [name, moment(now, data[name])]))
}

/** As the field has it: seconds where that is a number, else RFC 3339. */
const moment = (now: number, before: unknown): unknown =>
  typeof before === 'number' ? Math.floor(now / 1000) : new Date(now).toISOString()

/** What is made now says so, where the document has such a field. */
function momentsOf({ setting }: Called): Json {
  const text = new Date(setting.now).toISOString()
  return Object.fromEntries(createdNames.map((name) => [name, text]))
}
