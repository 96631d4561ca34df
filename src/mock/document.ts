/**
 * What can be called, according to an OpenAPI document (3.0 and 3.1)? Each operation with its
 * parameters, bodies and answers, references followed and schemas turned into shapes.
 *
 * A document is data, whoever wrote it: nothing in it is run, `x-` members are not looked at, and a
 * fault costs the operation it is found in and not the document. What was left out is noted with its
 * place, because whoever imports a document wants to know what it did not get.
 */
import { below, isJson, itemsOf, memberOf, textOf } from './pointer.ts'
import { anyShape, createShapes, type Shape, type Shapes } from './shape.ts'
import { type Note, type Place, placeBelow, placesBelow, type Sources } from './sources.ts'
import { parseTemplate, type Template } from './template.ts'

/** A value that the document shows, by the name it has there. */
export type Example = { readonly name: string; readonly value: unknown }

export type Media = {
  /** Lower case, without parameters; may be a range such as `application/*`. */
  readonly type: string
  readonly shape: Shape | null
  readonly examples: readonly Example[]
}

export type Parameter = {
  readonly name: string
  readonly in: 'path' | 'query' | 'header' | 'cookie'
  readonly required: boolean
  readonly shape: Shape
  readonly style: string
  readonly explode: boolean
  /** Its text is JSON (`content` instead of `schema`). */
  readonly isJson: boolean
}

export type Answer = {
  /** `200`, `4XX` or `default`. */
  readonly status: string
  readonly media: readonly Media[]
  readonly headers: readonly { readonly name: string; readonly media: Media }[]
}

export type Operation = {
  /** Unique in the document: its operationId, else method and path. */
  readonly id: string
  readonly method: string
  /** With the path of the server in front: `/v1/things/{id}`. */
  readonly path: string
  readonly template: Template
  readonly tags: readonly string[]
  readonly summary: string | null
  /** Scopes that its security asks for, in the order in which they are named. */
  readonly scopes: readonly string[]
  /** It can be called without any credential. */
  readonly isOpen: boolean
  readonly parameters: readonly Parameter[]
  readonly body: { readonly required: boolean; readonly media: readonly Media[] } | null
  readonly answers: readonly Answer[]
  readonly at: string
}

export type ApiDocument = {
  readonly title: string
  readonly version: string
  /** Absolute URLs of its servers, with variables at their defaults. */
  readonly servers: readonly string[]
  readonly operations: readonly Operation[]
  /** What was left out or is not enforced, at most a thousand. */
  readonly notes: readonly Note[]
}

const methods = ['get', 'put', 'post', 'delete', 'options', 'head', 'patch', 'trace', 'query']
const operationsMax = 20_000
const notesMax = 1000

export type ReadOptions = {
  /** What stands before every path, e.g. `/v1`. null: the path of the first server. */
  readonly basePath: string | null
}

/** Reads a document, or says in a sentence why it is none that can be read. Does not throw. */
export function readDocument(sources: Sources, { basePath }: ReadOptions): ApiDocument | string {
  const { entry } = sources
  const version = textOf(entry.value, 'openapi')
  if (textOf(entry.value, 'swagger') !== null) {
    return 'it is Swagger 2.0; convert it to OpenAPI 3.0 or 3.1 first'
  }
  if (version === null) return 'it is no OpenAPI document: it has no field "openapi"'
  if (!/^3\.[0-2]\.\d+/.test(version)) return 'only OpenAPI 3.0, 3.1 and 3.2 can be read'
  const reader = new Reader(sources, version.startsWith('3.0'))
  const servers = reader.servers(entry)
  const base = basePath ?? pathOf(servers[0])
  const info = memberOf(entry.value, 'info')
  return {
    title: textOf(info, 'title') ?? '',
    version: textOf(info, 'version') ?? '',
    servers: servers.filter((url) => /^https?:/.test(url)),
    operations: reader.operations(base.replace(/\/+$/, '')),
    notes: reader.notes,
  }
}

/** A server may be a path alone: it is where the document was found. */
function pathOf(url: string | undefined): string {
  const parsed = url === undefined ? null : URL.parse(url, 'http://document.invalid/')
  return parsed === null ? '' : parsed.pathname
}

class Reader {
  readonly notes: Note[] = []
  readonly #sources: Sources
  readonly #shapes: Shapes
  readonly #ids = new Set<string>()

  constructor(sources: Sources, is30: boolean) {
    this.#sources = sources
    this.#shapes = createShapes(sources, is30, (place, says) => this.note(place, says))
  }

  note(place: Pick<Place, 'file' | 'pointer'>, says: string): void {
    if (this.notes.length < notesMax) this.notes.push({ at: this.#sources.show(place), says })
  }

  servers(entry: Place): string[] {
    return itemsOf(memberOf(entry.value, 'servers')).flatMap((server) => {
      const url = textOf(server, 'url')
      if (url === null || url.length > 1000) return []
      const variables = memberOf(server, 'variables')
      return [url.replace(/\{([^{}]*)\}/g, (_, name) => defaultOf(memberOf(variables, name)))]
    })
  }

  operations(base: string): Operation[] {
    const paths = placeBelow(this.#sources.entry, 'paths')
    const found: Operation[] = []
    for (const [path, place] of paths === undefined ? [] : placesBelow(paths)) {
      if (path.startsWith('x-')) continue
      const item = this.#resolve(place)
      const template = parseTemplate(base + path)
      if (typeof template === 'string') this.note(place, template)
      if (item === null || typeof template === 'string') continue
      for (const method of methods) {
        const at = placeBelow(item, method)
        if (at === undefined) continue
        if (found.length === operationsMax) {
          this.note(at, `is left out: there are more than ${operationsMax} operations`)
          return found
        }
        found.push(this.#operation(method, base + path, template, item, at))
      }
    }
    return found
  }

  #operation(
    method: string,
    path: string,
    template: Template,
    item: Place,
    place: Place,
  ): Operation {
    const upper = method.toUpperCase()
    const given = textOf(place.value, 'operationId')
    const id = given === null || this.#ids.has(given) ? `${upper} ${path}` : given
    if (given !== null && id !== given) this.note(place, 'its operationId stands twice')
    this.#ids.add(id)
    const security =
      memberOf(place.value, 'security') ?? memberOf(this.#sources.entry.value, 'security')
    const needs = itemsOf(security)
    return {
      id,
      method: upper,
      path,
      template,
      tags: itemsOf(memberOf(place.value, 'tags')).filter((tag) => typeof tag === 'string'),
      summary: textOf(place.value, 'summary'),
      scopes: needs.flatMap((need) =>
        isJson(need) ? Object.values(need).flatMap((scopes) => itemsOf(scopes).map(String)) : [],
      ),
      isOpen: needs.length === 0 || needs.some((need) => isJson(need) && isEmpty(need)),
      parameters: this.#parameters(template, item, place),
      body: this.#body(place),
      answers: this.#answers(place),
      at: this.#sources.show(place),
    }
  }

  #parameters(template: Template, item: Place, operation: Place): Parameter[] {
    // Those of the operation go before those of its path (OpenAPI 3.1 4.8.9.1).
    const found = new Map<string, Parameter>()
    for (const owner of [item, operation]) {
      const list = placeBelow(owner, 'parameters')
      for (const [, place] of list === undefined ? [] : placesBelow(list)) {
        const parameter = this.#parameter(place)
        if (parameter !== null) found.set(`${parameter.in} ${parameter.name}`, parameter)
      }
    }
    return [...found.values()].filter(
      ({ in: where, name }) => where !== 'path' || template.names.includes(name),
    )
  }

  #parameter(place: Place): Parameter | null {
    const at = this.#resolve(place)
    if (at === null) return null
    const name = textOf(at.value, 'name')
    const where = textOf(at.value, 'in')
    if (
      name === null ||
      !(where === 'path' || where === 'query' || where === 'header' || where === 'cookie')
    ) {
      this.note(place, 'is no parameter that can be read')
      return null
    }
    // OpenAPI 3.1 4.8.12.2: these three are said elsewhere in the document.
    if (where === 'header' && /^(?:accept|content-type|authorization)$/i.test(name)) return null
    const schema = placeBelow(at, 'schema')
    const content = placeBelow(at, 'content')
    const media = content === undefined ? undefined : this.#media(content)[0]
    const style =
      textOf(at.value, 'style') ?? (where === 'query' || where === 'cookie' ? 'form' : 'simple')
    const explode = memberOf(at.value, 'explode')
    return {
      name,
      in: where,
      required: where === 'path' || memberOf(at.value, 'required') === true,
      shape:
        (schema === undefined ? media?.shape : this.#shapes.shapeOf(schema)) ??
        anyShape(this.#sources.show(at)),
      style,
      explode: typeof explode === 'boolean' ? explode : style === 'form',
      isJson: schema === undefined && media !== undefined && isJsonType(media.type),
    }
  }

  #body(operation: Place): Operation['body'] {
    const place = placeBelow(operation, 'requestBody')
    const at = place === undefined ? null : this.#resolve(place)
    const content = at === null ? undefined : placeBelow(at, 'content')
    if (at === null || content === undefined) return null
    return { required: memberOf(at.value, 'required') === true, media: this.#media(content) }
  }

  #answers(operation: Place): Answer[] {
    const responses = placeBelow(operation, 'responses')
    return (responses === undefined ? [] : placesBelow(responses)).flatMap(([status, place]) => {
      if (status.startsWith('x-')) return []
      const known = /^(?:[1-5](?:\d\d|XX)|default)$/i.test(status)
      if (!known) this.note(place, 'is no status that can be read')
      const at = known ? this.#resolve(place) : null
      if (at === null) return []
      const content = placeBelow(at, 'content')
      const headers = placeBelow(at, 'headers')
      return [
        {
          status: /^\dxx$/i.test(status) ? status.toUpperCase() : status.toLowerCase(),
          media: content === undefined ? [] : this.#media(content),
          headers: headers === undefined ? [] : this.#headers(headers),
        },
      ]
    })
  }

  #headers(headers: Place): { name: string; media: Media }[] {
    return placesBelow(headers).flatMap(([name, place]) => {
      const at = this.#resolve(place)
      if (at === null || !/^[a-z0-9!#$&'*+.^_`|~-]{1,100}$/i.test(name)) return []
      return [{ name: name.toLowerCase(), media: this.#medium(at, 'text/plain') }]
    })
  }

  #media(content: Place): Media[] {
    return placesBelow(content).flatMap(([type, place]) => {
      const plain = (type.split(';', 1)[0] ?? '').trim().toLowerCase()
      if (/^[\w.+*-]+\/[\w.+*-]+$/.test(plain)) return [this.#medium(place, plain)]
      this.note(place, 'is no media type')
      return []
    })
  }

  #medium(place: Place, type: string): Media {
    const schema = placeBelow(place, 'schema')
    const named = placeBelow(place, 'examples')
    const examples = (named === undefined ? [] : placesBelow(named)).flatMap(([name, inner]) => {
      const at = this.#resolve(inner)
      if (at !== null && isJson(at.value) && Object.hasOwn(at.value, 'value')) {
        return [{ name, value: at.value.value }]
      }
      if (textOf(at?.value, 'externalValue') !== null)
        this.note(inner, 'its externalValue is not read')
      return []
    })
    const example = placeBelow(place, 'example')
    return {
      type,
      shape: schema === undefined ? null : this.#shapes.shapeOf(schema),
      examples:
        example === undefined ? examples : [...examples, { name: '', value: example.value }],
    }
  }

  #resolve(place: Place): Place | null {
    const found = this.#sources.resolve(place)
    if (typeof found === 'string') this.note(place, `its $ref ${found}`)
    else if (isJson(found.value)) return found
    else this.note(place, 'is no object')
    return null
  }
}

/** Whether bodies of this type are JSON (RFC 6839 3.1). */
export const isJsonType = (type: string): boolean => /^application\/(?:[\w.-]+\+)?json$/.test(type)

const defaultOf = (variable: unknown): string => textOf(variable, 'default') ?? ''
const isEmpty = (value: object): boolean => Object.keys(value).length === 0

/** Where a shape that the document does not have would stand: for what is made beside it. */
export const beside = (operation: Operation, name: string): string => below(operation.at, name)
