import { expect, test } from 'vitest'
import { schemaSource } from '../../scripts/sdk-types.ts'
import { readText } from '../source.ts'

test('the types are those of the document that the gateway serves (npm run sdk:types)', async () => {
  expect(readText('sdk/typescript/src/schema.ts')).toBe(await schemaSource())
})

test('everything in them is said', async () => {
  expect(await schemaSource()).not.toMatch(/: unknown$|\bany\b/m)
})
