/**
 * What would the service have answered? Status by `Prefer`, else the first good one; media type by
 * `Accept`; the body from a named example, else any example, else the schema. What the request gave is
 * in it where names match: the id in the path, the fields of the body.
 *
 * An answer fits its schema, or it is not given: an example that does not is passed over. It is the
 * same for the same seed, call and day. Answers are made in memory from the document alone; there is
 * no socket, no row and no secret in reach (threats O5).
 */
import { createLru } from '../lib/lru.ts'
import type { Refusal } from '../problem.ts'
import { faultAt } from './check.ts'
import { type Answer, type Example, isJsonType, type Media, type Operation } from './document.ts'
import { chooseMedia, type Preference, readPrefer } from './negotiate.ts'
import { isJson } from './pointer.ts'
import { singular, snake } from './realistic.ts'
import type { MockCall } from './request.ts'
import type { Sampler, Wish } from './sample.ts'
import type { Validator } from './schema.ts'

/** An answer that has been made. `body` is null where the answer has none. */
export type MockAnswer = {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | null
}

/** What is answered in, besides the call itself. */
export type MockSetting = {
  /** Whose answers these are: platform, environment and tenant, so that two tenants' ids differ. */
  readonly seed: string
  /** Milliseconds since 1970: the world's clock. */
  readonly now: number
}

/** A call whose operation is known. */
export type Called = {
  readonly operation: Operation
  readonly call: MockCall
  readonly parameters: ReadonlyMap<string, string>
  readonly setting: MockSetting
}

export type Answering = {
  answer(called: Called): MockAnswer | Refusal
  /**
   * An answer of one of these statuses with the fields given, where the document allows. `isWhole`:
   * without fields that are neither given nor required.
   */
  answerWith(
    called: Called,
    statuses: readonly number[],
    fields: object,
    isWhole: boolean,
  ): MockAnswer | Refusal
  /** The shape and the status that a good answer has, where that is JSON. */
  goodAnswer(operation: Operation): { readonly status: number; readonly media: Media } | null
  /** What the body of a status is, where the document says so; null: it has no such status. */
  media(operation: Operation, status: number): Pick<Media, 'shape'> | null
}

const dayMs = 86_400_000
const keptMax = 1000
/** Characters: what is longer is made anew. */
const keptSizeMax = 8192

/** Creates the part that answers. `validator` judges what is sent to callers. */
export function createAnswering(validator: Validator, sampler: Sampler): Answering {
  // Which examples of a body fit it: asked once for each, when first wanted.
  const fitting = new WeakMap<Media, readonly Example[]>()
  const kept = createLru<MockAnswer | Refusal>(keptMax)

  function examplesOf(media: Media): readonly Example[] {
    const before = fitting.get(media)
    if (before !== undefined) return before
    const { shape } = media
    const found =
      shape === null || !isJsonType(jsonOr(media.type))
        ? media.examples
        : media.examples.filter(({ value }) => validator.fits(shape, value))
    fitting.set(media, found)
    return found
  }

  /** The same call has the same answer all day, so what was made for it is kept for a while. */
  function answer(called: Called): MockAnswer | Refusal {
    const { call, setting } = called
    if (call.hasBody || call.search.length + call.path.length > 500) return answerAnew(called)
    const day = Math.floor(setting.now / dayMs)
    const wanted = [call.headers.get('prefer') ?? '', call.headers.get('accept') ?? '']
    const name = [setting.seed, day, call.method, call.path, call.search, ...wanted].join('\n')
    const before = kept.get(name, setting.now)
    if (before !== undefined) return before
    const made = answerAnew(called)
    const size = name.length + ('code' in made ? 0 : (made.body?.length ?? 0))
    if (size <= keptSizeMax) kept.set(name, made, (day + 1) * dayMs)
    return made
  }

  function answerAnew(called: Called): MockAnswer | Refusal {
    const preference = readPrefer(called.call.headers.get('prefer'))
    const chosen = chooseAnswer(called.operation, preference.code)
    if ('code' in chosen) return chosen
    const made = body(called, chosen, preference, null)
    return 'code' in made ? made : applied(made, preference)
  }

  function body(
    called: Called,
    { answer: chosen, status }: Chosen,
    preference: Preference,
    told: Told | null,
  ): MockAnswer | Refusal {
    const { call } = called
    const offered = chosen.media.filter((media) => isJsonType(jsonOr(media.type)) || isText(media))
    const media = chooseMedia(offered, call.headers.get('accept'))
    const headers = fieldsOf(chosen, called)
    if (isBodiless(status) || chosen.media.length === 0) return { status, headers, body: null }
    if (media === undefined) return none('no body of a type that can be made')
    const type = jsonOr(media.type)
    headers['content-type'] = type.startsWith('text/') ? `${type}; charset=utf-8` : type
    const value = madeFor(called, media, preference, told)
    if (value === null) return none(`no value found for ${called.operation.id}`)
    if ('code' in value) return value
    headers['postern-mock'] = value.source
    const text = isJsonType(type) ? JSON.stringify(value.value) : String(value.value)
    return { status, headers, body: call.method === 'HEAD' ? null : text }
  }

  function madeFor(
    called: Called,
    media: Media,
    { example, isDynamic }: Preference,
    told: Told | null,
  ): { value: unknown; source: string } | Refusal | null {
    const examples = examplesOf(media)
    const wish = wishOf(called, told)
    if (told === null && !isDynamic) {
      const named = example === null ? undefined : examples.find(({ name }) => name === example)
      if (example !== null && named === undefined) return unknownExample(media, examples)
      const shown = named ?? examples[0]
      if (shown !== undefined) return { value: echoed(shown.value, media, wish), source: 'example' }
    }
    if (media.shape === null) return null
    const sampled = sampler.sample(media.shape, wish)
    return sampled === null ? null : { ...sampled, source: told === null ? 'schema' : 'world' }
  }

  /** An example in which the fields that the request gave stand, as long as it still fits. */
  function echoed(value: unknown, { shape }: Media, wish: Wish): unknown {
    if (shape === null || wish.given.size === 0) return value
    const own = laidOver(value, wish.given)
    if (own !== value && validator.fits(shape, own)) return own
    if (!isJson(value)) return value
    for (const [name, inner] of Object.entries(value)) {
      const laid = isJson(inner) ? laidOver(inner, wish.given) : inner
      if (laid === inner) continue
      const whole = { ...value, [name]: laid }
      if (validator.fits(shape, whole)) return whole
    }
    return value
  }

  function fieldsOf({ headers }: Answer, called: Called): Record<string, string> {
    const made: Record<string, string> = {}
    for (const { name, media } of headers) {
      if (!isFree(name)) continue
      const shown = media.examples[0]?.value
      const sampled =
        media.shape === null ? null : sampler.sample(media.shape, wishOf(called, null))
      const value = shown ?? sampled?.value
      // A field's value is visible ASCII here, so that no document ends a header line (RFC 9110 5.5).
      if (value !== undefined && !isJson(value) && /^[\x20-\x7e]{1,1000}$/.test(String(value))) {
        made[name] = String(value)
      }
    }
    return made
  }

  return {
    answer,
    answerWith(called, statuses, fields, isWhole) {
      const { answers } = called.operation
      for (const status of statuses) {
        const found = statusAnswer(answers, String(status))
        if (found === undefined) continue
        const preference = { code: null, example: null, isDynamic: false }
        const made = body(called, { answer: found, status }, preference, { fields, isWhole })
        if (!('code' in made)) return made
      }
      return none(`no answer of ${statuses.join(' or ')} for ${called.operation.id}`)
    },
    media({ answers }, status) {
      const found = statusAnswer(answers, String(status))
      if (found === undefined) return null
      return found.media.find(({ type }) => isJsonType(jsonOr(type))) ?? { shape: null }
    },
    goodAnswer(operation) {
      const chosen = chooseAnswer(operation, null)
      if ('code' in chosen || chosen.status >= 300) return null
      const media = chosen.answer.media.find(({ type }) => isJsonType(jsonOr(type)))
      return media === undefined ? null : { status: chosen.status, media }
    },
  }
}

/** What a thing of the test world has. */
export type Told = { readonly fields: object; readonly isWhole: boolean }

type Chosen = { readonly answer: Answer; readonly status: number }

/** The answer of a code that is asked for, else the first good one. */
function chooseAnswer({ id, answers }: Operation, code: string | null): Chosen | Refusal {
  if (code !== null) {
    const answer = /^[2-5]\d\d$/.test(code) ? statusAnswer(answers, code) : undefined
    if (answer !== undefined) return { answer, status: Number(code) }
    const known = answers.map(({ status }) => status).join(', ')
    const message = `must name a code that the document has: ${known.slice(0, 200) || 'it has none'}`
    return {
      code: 'request/invalid',
      param: 'Prefer',
      errors: [faultAt('header.Prefer', 'unknown', message)],
    }
  }
  const exact = answers.filter(({ status }) => /^[2-5]\d\d$/.test(status)).sort(byStatus)
  const best = exact.find(({ status }) => status.startsWith('2'))
  if (best !== undefined) return { answer: best, status: Number(best.status) }
  const range = answers.find(({ status }) => status === '2XX')
  if (range !== undefined) return { answer: range, status: 200 }
  const [other] = exact
  const whatever = answers.find(({ status }) => status === 'default')
  // `default` beside errors only is what all other codes answer: the good ones.
  if (whatever !== undefined && (other === undefined || !other.status.startsWith('3'))) {
    return { answer: whatever, status: 200 }
  }
  if (other !== undefined) return { answer: other, status: Number(other.status) }
  return none(`the document has no answer for ${id}`)
}

const byStatus = (one: Answer, other: Answer): number => Number(one.status) - Number(other.status)

/** An exact status goes before a range, and a range before `default` (OpenAPI 3.1 4.8.16). */
const statusAnswer = (answers: readonly Answer[], code: string): Answer | undefined =>
  [code, `${code.charAt(0)}XX`, 'default']
    .map((wanted) => answers.find(({ status }) => status === wanted))
    .find((found) => found !== undefined)

const none = (cause: string): Refusal => ({ code: 'mock/no_response', cause: `mock: ${cause}` })

function unknownExample(media: Media, examples: readonly Example[]): Refusal {
  const names = examples.map(({ name }) => name).filter((name) => name !== '')
  const left = media.examples.length - examples.length
  const also = left === 0 ? '' : ` (${left} more do not fit their schema)`
  const message = `must name an example that the document has: ${names.join(', ').slice(0, 200) || 'it has none'}${also}`
  return {
    code: 'request/invalid',
    param: 'Prefer',
    errors: [faultAt('header.Prefer', 'unknown', message)],
  }
}

/** RFC 7240 3: which preferences were followed. */
function applied(answer: MockAnswer, { code, example }: Preference): MockAnswer {
  const followed = [
    ...(code === null ? [] : [`code=${code}`]),
    // What was sent is shown where it is plain, which the names of a document are.
    ...(example !== null && /^[\w.-]{1,100}$/.test(example) ? [`example=${example}`] : []),
  ]
  if (followed.length === 0) return answer
  return { ...answer, headers: { ...answer.headers, 'preference-applied': followed.join(', ') } }
}

/** A range of types is met by JSON where JSON is in it. */
const jsonOr = (type: string): string =>
  type === '*/*' || type === 'application/*' ? 'application/json' : type

/** A text body is made from an example, or from a schema that is a text. */
const isText = ({ type, shape, examples }: Media): boolean =>
  examples.some(({ value }) => typeof value === 'string') ||
  (type.startsWith('text/') && shape?.types?.has('string') === true)

const isBodiless = (status: number): boolean => status === 204 || status === 205 || status === 304

/** Fields that say how a message is sent, or that the gateway answers for, are not the document's. */
const isFree = (name: string): boolean =>
  !/^(?:connection|keep-alive|te|trailer|transfer-encoding|upgrade|content-\w+|date|server|set-cookie\d?|strict-transport-security|proxy-.*|postern-.*|access-control-.*|x-request-id|request-id|x-content-type-options|referrer-policy|www-authenticate|alt-svc|clear-site-data|vary|ratelimit.*|x-ratelimit.*|retry-after|host)$/.test(
    name,
  )

/** What is asked of the sampler: everything that a call gives. */
export function wishOf({ operation, call, parameters, setting }: Called, told: Told | null): Wish {
  const { parts } = operation.template
  const given = new Map<string, unknown[]>()
  const above = new Map<string, unknown[]>()
  const add = (to: Map<string, unknown[]>, name: string, value: unknown): void => {
    const before = to.get(snake(name))
    if (before === undefined) to.set(snake(name), [value])
    else before.push(value)
  }
  for (const [name, value] of Object.entries(told?.fields ?? {})) add(given, name, value)
  const own = ownParameter(parts)
  for (const [name, text] of parameters) {
    const values = /^-?\d{1,15}$/.test(text) ? [text, Number(text)] : [text]
    for (const value of values) {
      if (name === own) add(given, 'id', value)
      if (name !== 'id') add(given, name, value)
      if (name !== own && name !== 'id') add(above, name, value)
    }
  }
  if (told === null && isJson(call.body)) {
    for (const [name, value] of Object.entries(call.body)) add(given, name, value)
  }
  return {
    seed: setting.seed,
    request: `${call.method} ${call.path}${call.search}${call.body === undefined ? '' : JSON.stringify(call.body)}`,
    today: Math.floor(setting.now / dayMs) * dayMs,
    owner: ownerOf(parts),
    given,
    above,
    isWhole: told?.isWhole ?? false,
    items: itemsAsked(call.search),
  }
}

/** The parameter that is the id of what is answered: `/things/{id}`, `/things/{id}/cancel`. */
function ownParameter(parts: readonly (readonly string[])[]): string | null {
  const last = parts.at(-1)
  if (last !== undefined && last.length > 1) return last[1] ?? null
  const isAction = last?.[0] !== undefined && !last[0].endsWith('s')
  return isAction ? (parts.at(-2)?.[1] ?? null) : null
}

/** What the things of a path are called: `customer` for `/v1/customers/{id}`. */
export function ownerOf(parts: readonly (readonly string[])[]): string {
  const words = parts.filter((part) => part.length === 1).map(([text = '']) => text)
  const plural = words.findLast((text) => text.endsWith('s'))
  return singular(plural ?? words.at(-1) ?? '')
}

const pageNames = [
  'limit',
  'page_size',
  'pageSize',
  'per_page',
  'perPage',
  'size',
  'first',
  'count',
]

/** How many items are asked for: those shown are at most three. */
function itemsAsked(search: string): number | null {
  if (search === '') return null
  const query = new URLSearchParams(search)
  const asked = pageNames.map((name) => query.get(name)).find((text) => text !== null)
  return asked != null && /^\d{1,6}$/.test(asked) ? Math.min(3, Number(asked)) : null
}

/** An object with the given fields in place of its own; the object itself where none is its own. */
function laidOver(value: unknown, given: Wish['given']): unknown {
  if (!isJson(value)) return value
  let laid: Record<string, unknown> | null = null
  for (const name of Object.keys(value)) {
    const [first] = given.get(snake(name)) ?? []
    if (first === undefined || name === '__proto__') continue
    laid ??= { ...value }
    laid[name] =
      typeof value[name] === 'number' && typeof first === 'string' ? Number(first) : first
  }
  return laid ?? value
}
