/**
 * Writes sdk/typescript/src/schema.ts anew, from the OpenAPI document that the gateway serves:
 * `npm run sdk:types`. A test fails while it is out of date.
 *
 * It knows as much of JSON Schema as that document uses, and throws on the rest, so that nothing
 * becomes `unknown` unseen.
 */
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { camel, snake } from '../sdk/typescript/src/case.ts'
import { managementDocument } from './management-document.ts'

type Schema = {
  readonly $ref?: string
  readonly type?: string | readonly string[]
  readonly enum?: readonly unknown[]
  readonly format?: string
  readonly description?: string
  readonly anyOf?: readonly Schema[]
  readonly oneOf?: readonly Schema[]
  readonly properties?: Readonly<Record<string, Schema>>
  readonly required?: readonly string[]
  readonly additionalProperties?: boolean | Schema
  readonly items?: Schema
  readonly prefixItems?: readonly Schema[]
}
type Content = Readonly<Record<string, { readonly schema: Schema }>>
type Operation = {
  readonly operationId: string
  readonly parameters?: readonly {
    readonly name?: string
    readonly in?: string
    readonly schema?: Schema
  }[]
  readonly requestBody?: { readonly content: Content }
  readonly responses: Readonly<Record<string, { readonly content?: Content }>>
}
type Document = {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> }
}

const file = fileURLToPath(new URL('../sdk/typescript/src/schema.ts', import.meta.url))

/** The whole file, formatted. */
export async function schemaSource(): Promise<string> {
  // It is our own document, read here as far as it is used.
  const document = (await managementDocument()) as Document
  const written = new Writer()
  const parts = Object.entries(document.components.schemas).map(([name, schema]) => {
    const says = schema.description ?? `The component \`${name}\` of the document.`
    return `/** ${says} */\n${written.declare(name, schema, name.startsWith('Imported'))}`
  })
  for (const [path, methods] of Object.entries(document.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      parts.push(...operationParts(written, `${method.toUpperCase()} ${path}`, operation))
    }
  }
  const header =
    '/** The shapes of the management API. Written by scripts/sdk-types.ts; edits are lost. */'
  const opaque = `/** Fields whose names inside are yours or the data's, and stay as they are. */
export const opaqueFields: ReadonlySet<string> = new Set(${JSON.stringify([...written.opaque].sort())})`
  const text = [header, opaque, ...parts].join('\n\n')
  const biome = fileURLToPath(new URL('../node_modules/.bin/biome', import.meta.url))
  return execFileSync(biome, ['format', `--stdin-file-path=${file}`], {
    input: text,
    encoding: 'utf8',
  })
}

function operationParts(written: Writer, where: string, operation: Operation): string[] {
  const name = operation.operationId.replace(/^./, (first) => first.toUpperCase())
  const parts: string[] = []
  const query = Object.fromEntries(
    (operation.parameters ?? []).flatMap((one) =>
      one.in === 'query' && one.schema !== undefined ? [[one.name ?? '', one.schema]] : [],
    ),
  )
  const add = (suffix: string, says: string, schema: Schema, isInput: boolean) => {
    if (Object.keys(named(schema)).length === 0) return
    parts.push(`/** ${says} \`${where}\`. */\n${written.declare(name + suffix, schema, isInput)}`)
  }
  add('Query', 'The query of', { type: 'object', properties: query }, true)
  const body = operation.requestBody?.content['application/json']?.schema
  if (body !== undefined) add('Body', 'What is sent to', body, true)
  for (const { content } of Object.values(operation.responses)) {
    const data = content?.['application/json']?.schema.properties?.data
    if (data !== undefined) add('Data', 'What is answered by', data, false)
  }
  return parts
}

/** The client names the platform in one place for all its calls. */
const named = ({ properties = {} }: Schema): Record<string, Schema> => {
  const { platform: _, ...own } = properties
  return own
}

class Writer {
  readonly opaque = new Set<string>()
  readonly #closed = new Set<string>()

  declare(name: string, schema: Schema, isInput: boolean): string {
    return `export type ${name} = ${this.#type(schema, isInput)}`
  }

  #type(schema: Schema, isInput: boolean): string {
    if (schema.$ref !== undefined) return schema.$ref.replace('#/components/schemas/', '')
    const choices = schema.anyOf ?? schema.oneOf
    if (choices !== undefined) return choices.map((one) => this.#type(one, isInput)).join(' | ')
    if (schema.enum !== undefined) return schema.enum.map((one) => JSON.stringify(one)).join(' | ')
    const types = [schema.type ?? 'unknown'].flat()
    return types.map((type) => this.#typeNamed(type, schema, isInput)).join(' | ')
  }

  #typeNamed(type: string, schema: Schema, isInput: boolean): string {
    if (type === 'string') {
      return isInput && schema.format === 'date-time' ? 'string | Date' : 'string'
    }
    if (type === 'integer' || type === 'number') return 'number'
    if (type === 'boolean' || type === 'null') return type
    if (type === 'array') {
      const items = schema.prefixItems?.map((one) => this.#type(one, isInput)).join(', ')
      if (items !== undefined) return `readonly [${items}]`
      return `readonly (${this.#type(schema.items ?? {}, isInput)})[]`
    }
    if (type === 'object') return this.#object(schema, isInput)
    if (type === 'unknown' && Object.keys(schema).length === 0) return 'unknown'
    throw new Error(`no type is known for ${JSON.stringify(schema)}`)
  }

  #object(schema: Schema, isInput: boolean): string {
    const { additionalProperties: others, required = [] } = schema
    if (typeof others === 'object') {
      return `Readonly<Record<string, ${this.#type(others, isInput)}>>`
    }
    const fields = Object.entries(named(schema)).map(([wire, field]) => {
      this.#note(wire, field)
      const says = field.description === undefined ? '' : `/** ${field.description} */\n`
      const mark = required.includes(wire) ? '' : '?'
      return `${says}readonly ${camel(wire)}${mark}: ${this.#type(field, isInput)}`
    })
    return `{\n${fields.join('\n')}\n}`
  }

  #note(wire: string, field: Schema): void {
    const isOpen = typeof field.additionalProperties === 'object'
    const set = isOpen ? this.opaque : this.#closed
    const other = isOpen ? this.#closed : this.opaque
    const isRenamed = camel(wire) !== wire && snake(camel(wire)) !== wire
    // Problem bodies alone have a name in camel case; errors.ts reads it as it is.
    if (isRenamed || (isOpen && camel(wire) !== wire)) throw new Error(`${wire} has no other case`)
    if (other.has(wire)) throw new Error(`${wire} is open in one place and closed in another`)
    set.add(wire)
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  writeFileSync(file, await schemaSource())
}
