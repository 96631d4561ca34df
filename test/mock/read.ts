/** Reads documents for the tests of this room: from texts by name, or from documents/. */
import { existsSync, readFileSync } from 'node:fs'
import { parse } from 'yaml'
import { type ApiDocument, readDocument } from '../../src/mock/document.ts'
import { createMock, type Mock } from '../../src/mock/mock.ts'
import type { MockCall } from '../../src/mock/request.ts'
import { createShapes, type Shape } from '../../src/mock/shape.ts'
import { gather, type Load, type Sources } from '../../src/mock/sources.ts'

const root = 'file:///documents/'

/** A loader of values by name, the entry being `openapi.json`. */
export const loader =
  (files: Readonly<Record<string, unknown>>): Load =>
  async (url) => {
    const name = url.startsWith(root) ? url.slice(root.length) : url
    return Object.hasOwn(files, name)
      ? { ok: true, value: files[name] }
      : { ok: false, reason: 'there is no such file' }
  }

export const sourcesOf = (files: Readonly<Record<string, unknown>>): Promise<Sources | string> =>
  gather(`${root}openapi.json`, loader(files))

/** The document of values that must be good. */
export async function documentOf(
  entry: unknown,
  files: Readonly<Record<string, unknown>> = {},
): Promise<ApiDocument> {
  const read = await readAny(entry, files)
  if (typeof read === 'string') throw new Error(read)
  return read
}

export async function readAny(
  entry: unknown,
  files: Readonly<Record<string, unknown>> = {},
): Promise<ApiDocument | string> {
  const sources = await sourcesOf({ ...files, 'openapi.json': entry })
  return typeof sources === 'string' ? sources : readDocument(sources, { basePath: null })
}

/** One of documents/, with the files beside it. */
export async function documentNamed(name: string): Promise<ApiDocument> {
  const folder = new URL('documents/', import.meta.url)
  const load: Load = async (url) =>
    existsSync(new URL(url))
      ? { ok: true, value: parse(readFileSync(new URL(url), 'utf8')) }
      : { ok: false, reason: 'there is no such file' }
  const sources = await gather(new URL(name, folder).href, load)
  if (typeof sources === 'string') throw new Error(sources)
  const read = readDocument(sources, { basePath: null })
  if (typeof read === 'string') throw new Error(read)
  return read
}

export const mockNamed = async (name: string): Promise<Mock> =>
  createMock(await documentNamed(name))

/** The shape of one schema, and what was noted about it. */
export async function shapeOf(
  schema: unknown,
  version: '3.0' | '3.1' = '3.1',
): Promise<{ shape: Shape; notes: string[] }> {
  const sources = await sourcesOf({ 'openapi.json': schema })
  if (typeof sources === 'string') throw new Error(sources)
  const notes: string[] = []
  const shapes = createShapes(sources, version === '3.0', (place, says) => {
    notes.push(`${sources.show(place)} ${says}`)
  })
  return { shape: shapes.shapeOf(sources.entry), notes }
}

export const setting = { seed: 'plt_a/test/tenant_a', now: Date.UTC(2026, 10, 26, 12) }

type Sent = { readonly headers?: Readonly<Record<string, string>>; readonly body?: unknown }

/** A call as the gate hands it over: `call('POST /v1/things?x=1', { body })`. */
export function call(line: string, { headers = {}, body }: Sent = {}): MockCall {
  const [method = '', target = ''] = line.split(' ')
  const at = target.indexOf('?')
  const all = new Headers(headers)
  if (body !== undefined && !all.has('content-type')) all.set('content-type', 'application/json')
  return {
    method,
    path: at < 0 ? target : target.slice(0, at),
    search: at < 0 ? '' : target.slice(at),
    headers: all,
    body,
    hasBody: body !== undefined,
  }
}
