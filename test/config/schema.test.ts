import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { z } from 'zod'
import { schemaText } from '../../src/config/schema.ts'
import { accepted, fragment } from './parse.ts'

const root = new URL('../../', import.meta.url)
const file = (name: string): string => readFileSync(new URL(name, root), 'utf8')
const reference = file('docs/config.md')

test('postern.schema.json is what the schema says: else run `node scripts/schema.ts`', () => {
  expect(JSON.parse(file('postern.schema.json'))).toEqual(JSON.parse(schemaText()))
})

test('what editors check against it takes our own files, and not a misspelt field', () => {
  const schema = z.fromJSONSchema(JSON.parse(file('postern.schema.json')))
  for (const name of ['postern.yaml', 'examples/sources.yaml']) {
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

  // Each example says in its fence where it belongs: the whole file, beside `platforms`, in a
  // platform, or in a list of routes.
  const examples = [...reference.matchAll(/```yaml (\w+)\n([\s\S]*?)```/g)].map(
    ([, place = '', text = '']) => ({ place, text }),
  )
  const indent = (text: string, by: string): string => text.replaceAll(/^(?=.)/gm, by)
  const wrap: Record<string, (text: string) => string> = {
    file: (text) => text,
    top: (text) => fragment + text,
    platform: (text) => {
      const own = /^routes:/m.test(text) ? '' : 'routes: [{ path: /v1, handler: subscriptions }]\n'
      const head = /^id:/m.test(text) ? '' : 'id: plt_a\nslug: a\n'
      return `version: 1\nplatforms:\n  -\n${indent(head + own + text, '    ')}`
    },
    routes: (text) =>
      `version: 1\nplatforms:\n  - id: plt_a\n    slug: a\n    permissions: { data: [read, write] }\n    routes:\n${indent(text, '      ')}`,
  }

  test('has examples, each with its place', () => {
    expect(examples.length).toBeGreaterThan(8)
    expect(reference.match(/```yaml/g)).toHaveLength(examples.length)
  })

  test.each(examples)('an example in its $place is read: $text', ({ place, text }) => {
    const GIT_CA = '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----'
    const env = { ACME_HOST: 'api.example.com', GIT_CA }
    expect(accepted(wrap[place]?.(text) ?? '', env).platforms.length).toBeGreaterThan(0)
  })
})
