import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, expect, test } from 'vitest'
import { parse, stringify } from 'yaml'
import { importOpenApi, readOpenApi } from '../../../src/runtime/node/openapi.ts'
import { accepted } from '../../config/parse.ts'

const folder = mkdtempSync(join(tmpdir(), 'postern-openapi-'))
afterAll(() => rmSync(folder, { recursive: true }))
const documents = fileURLToPath(new URL('../../mock/documents/', import.meta.url))

const write = (name: string, value: unknown): string => {
  const file = join(folder, name)
  writeFileSync(file, typeof value === 'string' ? value : JSON.stringify(value))
  return file
}
const leading = ($ref: string) => ({
  openapi: '3.1.0',
  paths: { '/a': { get: { responses: { 200: { $ref } } } } },
})

test.each([
  ['missing.json', undefined, 'is not there'],
  ['text.json', 'hello', 'no OpenAPI document'],
  ['old.json', { swagger: '2.0' }, 'Swagger 2.0'],
  [
    'laugh.yaml',
    `a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [${'*a,'.repeat(99)}]\nc: &c [${'*b,'.repeat(99)}]\nd: [${'*c,'.repeat(99)}]\n`,
    'no JSON or YAML',
  ],
])('%s is refused', async (name, value, says) => {
  const file = value === undefined ? join(folder, name) : write(name, value)
  await expect(readOpenApi(file)).rejects.toThrow(says)
})

test('S1: nothing outside the folder is read, and nothing is fetched', async () => {
  symlinkSync('/etc/hostname', join(folder, 'link.yaml'))
  for (const ref of [
    '../../../../etc/hostname',
    'file:///etc/hostname',
    'http://127.0.0.1:1/a.yaml',
    'link.yaml',
    'file://host/a',
  ]) {
    const { notes } = await readOpenApi(write('refs.json', leading(ref)))
    expect([ref, notes[0]?.says]).toEqual([
      ref,
      expect.stringMatching(/cannot be read: it is (?:outside|not a file|not there)/),
    ])
  }
})

test('an import is routes, permissions and mocks that postern.yaml takes', async () => {
  const { yaml, says } = await importOpenApi(join(documents, 'shop.yaml'), 'shop')
  const { id: _, ...rest } = parse(yaml)
  expect(rest.openapi).toBe(join(documents, 'shop.yaml'))
  const platform = { id: 'plt_shop', slug: 'shop', ...rest }
  const config = accepted(stringify({ version: 1, platforms: [platform] }))
  expect(config.platforms[0]?.testMode).toBe('mock')
  expect(config.platforms[0]?.permissions).toEqual([
    'customers:delete',
    'customers:read',
    'customers:write',
    'reports:read',
  ])
  expect(rest.routes).toContainEqual({
    path: '/v1/customers/:customer_id',
    methods: ['GET'],
    upstream: 'shop',
    permission: 'customers:read',
  })
  expect(says[0]).toBe('9 operations: 9 routes, 4 permissions')
  expect(says.slice(1)).toEqual([
    '#/paths/~1ping/get needs no key in the document; here every route takes one',
  ])
})

test('scopes of the document are permissions', async () => {
  const { yaml } = await importOpenApi(join(documents, 'sessions.json'), 'api')
  expect(parse(yaml).permissions.sessions).toEqual(expect.arrayContaining(['read', 'write']))
})
