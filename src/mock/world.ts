/**
 * A world that remembers: what is POSTed can be fetched, changed, listed and deleted, in the shapes of
 * the document. Collections are recognised by their paths: `/things` and `/things/{id}`; those below a
 * parent are the parent's. A collection begins with a few things made by seed, the same for everyone
 * of that seed. What is no collection is answered without memory.
 *
 * It refuses to know where things are kept: the store is bound to one tenant's test scope by whoever
 * hands it in, holds a bounded number of things, and forgets them after a time.
 */
import type { World, WorldThing } from '../context.ts'
import type { Refusal } from '../problem.ts'
import { type Answering, type Called, type MockAnswer, ownerOf, wishOf } from './answer.ts'
import type { Operation } from './document.ts'
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
}

type Parts = { sampler: Sampler; variants: Variants; answering: Answering }

const firstThings = 3
const pageUsual = 20
const pageMax = 100
const triesMax = 5
const thingBytesMax = 65_536

/** Recognises the collections of a document's operations. */
export function createRemembering(
  operations: readonly Operation[],
  { sampler, variants, answering }: Parts,
): Remembering {
  const collections = collectionsOf(operations, showsThing)

  /** What is answered with no thing can be remembered by none. */
  function showsThing({ get, post }: Collection): boolean {
    const operation = get ?? post
    return operation !== null && answering.goodAnswer(operation)?.media.shape != null
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
    if (!isItem) return method === 'POST' ? create(called, world, place) : null
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
      if (await world.add(place, { id, data })) return made
      if (idOf(sent) === id) break
    }
    return { code: 'resource/conflict' }
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
    { item, get, post }: Collection,
    place: string,
  ): WorldThing[] {
    const operation = get ?? post
    const media = operation === null ? null : answering.goodAnswer(operation)?.media
    if (operation === null || media?.shape == null) return []
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
  showsThing: (collection: Collection) => boolean,
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
    const collection = { item, get: at.get('GET') ?? null, post: above.get('POST') ?? null }
    if (showsThing(collection)) found.set(parentOf(item), collection)
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

type Page = { readonly offset: number; readonly limit: number }

/** Where a page is: `page`, `offset`, or a cursor, which here is the place of the next thing. */
function pageOf(query: URLSearchParams): Page {
  const number = (names: readonly string[]): number | null => {
    const text = names.map((name) => query.get(name)).find((one) => one !== null)
    return text != null && /^\d{1,9}$/.test(text) ? Number(text) : null
  }
  const asked = number(['limit', 'page_size', 'pageSize', 'per_page', 'perPage', 'size', 'first'])
  const limit = Math.min(Math.max(asked ?? pageUsual, 1), pageMax)
  const page = number(['page', 'page_number', 'pageNumber'])
  const cursor = ['cursor', 'after', 'starting_after', 'page_token', 'pageToken', 'next_token']
    .map((name) => /^cur_(\d{1,9})$/.exec(query.get(name) ?? '')?.[1])
    .find((one) => one !== undefined)
  const offset = cursor ?? number(['offset', 'skip', 'start'])
  return {
    limit,
    offset: offset != null ? Number(offset) : page === null ? 0 : Math.max(0, page - 1) * limit,
  }
}

/** Query parameters of the document that are fields of its things: those must be equal. */
function filtersOf({ parameters }: Operation, query: URLSearchParams): Record<string, string> {
  const found: Record<string, string> = {}
  for (const { name, in: where, shape } of parameters) {
    const value = query.get(name)
    const isText = shape.types?.has('string') ?? shape.values !== null
    if (where !== 'query' || value === null || !isText || paging.test(snake(name))) continue
    found[name] = value
  }
  return found
}

const paging =
  /^(?:cursor|after|before|starting_after|ending_before|page.*|next_token|limit|offset|sort.*|order.*|q|query|search|expand|fields|include)$/

const isList = (shape: Shape, variants: Variants): boolean =>
  variants.of(shape).some(({ types, items }) => types?.has('array') ?? items !== null)

/** What the items of a list are; null: the shape has no list, or says nothing of its items. */
function itemShape(shape: Shape, variants: Variants): Shape | null {
  const [flat] = variants.of(shape)
  if (flat === undefined || isList(flat, variants)) return flat?.items ?? null
  const listed = [...flat.properties.values()].find((part) => isList(part, variants))
  return listed === undefined ? null : (variants.of(listed)[0]?.items ?? null)
}

/** The list of a page, with what the document says beside it. null: the shape has no list. */
function listValue(
  shape: Shape,
  variants: Variants,
  things: readonly unknown[],
  { offset, limit, total }: Page & { total: number },
): Json | readonly unknown[] | null {
  const [flat] = variants.of(shape)
  if (flat === undefined) return null
  if (isList(flat, variants)) return things
  const made: Record<string, unknown> = {}
  let listed: string | null = null
  for (const [name, part] of flat.properties) {
    const plain = snake(name)
    if (listed === null && isList(part, variants)) {
      listed = name
      made[name] = things
    } else {
      const beside = pageField(plain, things.length, { offset, limit, total })
      if (beside !== undefined) made[name] = beside
    }
  }
  return listed === null ? null : made
}

/** What stands beside a list, by its name; undefined: something else. */
function pageField(
  name: string,
  length: number,
  { offset, limit, total }: Page & { total: number },
): unknown {
  const next = offset + length
  const hasMore = next < total
  if (name === 'has_more' || name === 'more') return hasMore
  if (/^(?:total|total_count|total_items|count_total)$/.test(name)) return total
  if (name === 'count') return length
  if (/^(?:next|next_cursor|next_page_token|next_token|cursor)$/.test(name)) {
    return hasMore ? `cur_${next}` : null
  }
  if (/^(?:limit|per_page|page_size)$/.test(name)) return limit
  if (name === 'offset') return offset
  if (name === 'page') return Math.floor(offset / limit) + 1
  return /^(?:pages|total_pages)$/.test(name) ? Math.ceil(total / limit) : undefined
}
