/**
 * Where does a service no longer answer as its document says? Each GET of the document is called once,
 * those with fewer segments first: what a list shows is where the ids of the next calls come from.
 *
 * Nothing is called that could change anything. What is said of an answer names fields and not their
 * values: they are real customers'.
 */
import type { FieldError } from '../problem.ts'
import type { ApiDocument, Operation, Parameter } from './document.ts'
import type { Mock } from './mock.ts'
import { isJson, listIn } from './pointer.ts'

/** Makes a GET of a path with its query. `body`: what its JSON says; undefined: it was no JSON. */
export type AskLive = (path: string) => Promise<{ readonly status: number; readonly body: unknown }>

/** What came of one operation. */
export type Drift = {
  /** Its id in the document. */
  readonly operation: string
  /** What was called, or would have been: `/v1/things/{id}`. */
  readonly path: string
  readonly status: number | null
  /** `failed`: the service did not answer this caller as it answers others. */
  readonly result: 'fits' | 'drifts' | 'skipped' | 'failed'
  /** What is wrong, field by field; or why it was not asked, or not answered. */
  readonly says: readonly FieldError[]
}

type Value = { readonly text: string; readonly isExample: boolean }

/**
 * Calls what can be called and compares. `given`: values of parameters, by name; they go before what
 * lists and examples show. Throws nothing: an operation that cannot be asked says why.
 */
export async function* driftsOf(
  document: Pick<ApiDocument, 'operations'>,
  mock: Pick<Mock, 'drift'>,
  ask: AskLive,
  given: ReadonlyMap<string, string> = new Map(),
): AsyncGenerator<Drift> {
  const listed = new Map<string, Readonly<Record<string, unknown>>>()
  const operations = document.operations
    .filter(({ method }) => method === 'GET')
    .toSorted((a, b) => a.template.parts.length - b.template.parts.length)
  for (const operation of operations) {
    const { id, path: template } = operation
    const filled = fill(operation, given, listed)
    const of = { operation: id, path: filled.path ?? template }
    if (filled.path === null) {
      const fix = `give it: --param ${filled.lacks}=…`
      const message = 'has no value: no list and no example shows one'
      const lacking = { location: `path.${filled.lacks}`, code: 'unknown', message, fix }
      yield { ...of, status: null, result: 'skipped', says: [lacking] }
      continue
    }
    yield { ...of, ...(await compare(filled.path, filled.isExample)) }
  }

  async function compare(
    path: string,
    isExample: boolean,
  ): Promise<Pick<Drift, 'status' | 'result' | 'says'>> {
    try {
      const { status, body } = await ask(path)
      const says = (result: Drift['result'], message: string) => ({
        ...{ status, result },
        says: [{ location: 'status', code: 'unknown', message }],
      })
      if (status === 404 && isExample) return says('skipped', "the document's example is not there")
      if (refusals.has(status) || status >= 500) return says('failed', `the answer was ${status}`)
      const [bare = path] = path.split('?')
      const thing = status === 200 ? firstThing(body) : null
      if (thing !== null) listed.set(bare, thing)
      const faults = mock.drift({ method: 'GET', path: bare }, status, body)
      return { status, result: faults.length === 0 ? 'fits' : 'drifts', says: faults }
    } catch (error) {
      const says = [{ location: 'call', code: 'unknown', message: `no answer: ${reasonOf(error)}` }]
      return { status: null, result: 'failed', says }
    }
  }
}

/** What fetch says is in its cause. */
const reasonOf = (error: unknown): string => {
  if (!(error instanceof Error)) return String(error)
  return error.cause instanceof Error ? error.cause.message : error.message
}

/** Of the caller, and not of what is called. */
const refusals: ReadonlySet<number> = new Set([401, 403, 407, 429])

type Filled =
  | { readonly path: string; readonly isExample: boolean }
  | { readonly path: null; readonly lacks: string }

function fill(
  { template, parameters }: Operation,
  given: ReadonlyMap<string, string>,
  listed: ReadonlyMap<string, Readonly<Record<string, unknown>>>,
): Filled {
  let path = ''
  let isExample = false
  for (const parts of template.parts) {
    const thing = listed.get(path)
    let segment = ''
    for (const [at, part] of parts.entries()) {
      const value = at % 2 === 0 ? null : shownOf(part, thing)
      if (at % 2 === 1 && value === null) return { path: null, lacks: part }
      segment += value === null ? part : encodeURIComponent(value.text)
      isExample ||= value?.isExample === true
    }
    path += `/${segment}`
  }
  const query = new URLSearchParams()
  for (const one of parameters) {
    if (one.in !== 'query') continue
    const text = given.get(one.name) ?? (one.required ? exampleOf(one) : null)
    if (text === null && one.required) return { path: null, lacks: one.name }
    if (text !== null) query.set(one.name, text)
  }
  return { path: query.size > 0 ? `${path}?${query}` : path, isExample }

  function shownOf(name: string, thing?: Readonly<Record<string, unknown>>): Value | null {
    const shown = given.get(name) ?? textOf(thing?.[name]) ?? textOf(thing?.id)
    if (shown !== null) return { text: shown, isExample: false }
    const parameter = parameters.find((one) => one.in === 'path' && one.name === name)
    const text = parameter === undefined ? null : exampleOf(parameter)
    return text === null ? null : { text, isExample: true }
  }
}

const exampleOf = ({ shape }: Parameter): string | null =>
  textOf([...shape.shown, ...(shape.values ?? [])][0])

const textOf = (value: unknown): string | null =>
  (typeof value === 'string' && value !== '') || typeof value === 'number' ? String(value) : null

/** The first thing of a list, or of the list in an answer. */
const firstThing = (body: unknown): Readonly<Record<string, unknown>> | null =>
  listIn(body).find(isJson) ?? null
