import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { z } from 'zod'
import { schemaText } from '../../src/config/schema.ts'
import { accepted } from './parse.ts'
import { snippetsOf } from './snippets.ts'

const root = new URL('../../', import.meta.url)
const file = (name: string): string => readFileSync(new URL(name, root), 'utf8')
const reference = file('docs/config.md')

test('postern.schema.json is what the schema says: else run `node scripts/schema.ts`', () => {
  expect(JSON.parse(file('postern.schema.json'))).toEqual(JSON.parse(schemaText()))
})

test('what editors check against it takes our own files, and not a misspelt field', () => {
  const schema = z.fromJSONSchema(JSON.parse(file('postern.schema.json')))
  for (const name of ['postern.yaml', 'examples/sources.yaml', 'examples/git.yaml']) {
    expect(schema.safeParse(parse(file(name))).error).toBeUndefined()
  }
  const misspelt = file('postern.yaml').replace('permission: data:read', 'permision: data:read')
  expect(schema.safeParse(parse(misspelt)).success).toBe(false)
})

/** The names of all fields in a JSON Schema, as docs write them. */
function fieldsOf(schema: unknown): string[] {
  if (typeof schema !== 'object' || schema === null) return []
  return Object.entries(schema).flatMap(([name, inner]) =>
    name === 'properties' && typeof inner === 'object' && inner !== null
      ? [...Object.keys(inner), ...Object.values(inner).flatMap(fieldsOf)]
      : fieldsOf(inner),
  )
}

describe('docs/config.md', () => {
  test('names every field there is', () => {
    const missing = [...new Set(fieldsOf(JSON.parse(schemaText())))].filter(
      (name) => !new RegExp(`[\`.]${name}[\`.]`).test(reference),
    )
    expect(missing).toEqual([])
  })

  const examples = snippetsOf(reference)

  test('has examples, each with its place', () => {
    expect(examples.length).toBeGreaterThan(8)
    expect(examples.filter(({ file }) => file === '')).toEqual([])
  })

  test.each(examples)('an example in its $place is read: $text', ({ file }) => {
    const GIT_CA = '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----'
    const env = { ACME_HOST: 'api.example.com', GIT_CA }
    expect(accepted(file, env).platforms.length).toBeGreaterThan(0)
  })
})
