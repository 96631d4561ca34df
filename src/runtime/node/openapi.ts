/**
 * Reads OpenAPI documents from disk, for the import and for whoever serves mocks. A document leads to
 * files beside it and below its folder, and nowhere else: no URL is fetched, and a link that points out
 * of the folder is not followed. Files have a largest size; YAML aliases are counted.
 */
import { readFile, realpath, stat } from 'node:fs/promises'
import { sep } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { parse, stringify } from 'yaml'
import { type ApiDocument, readDocument } from '../../mock/document.ts'
import { proposeRoutes } from '../../mock/routes.ts'
import { gather, type Load } from '../../mock/sources.ts'

const fileBytesMax = 32 * 1024 * 1024
const allBytesMax = 64 * 1024 * 1024

/** Reads a document and the files it leads to. Throws a sentence when it cannot be read. */
export async function readOpenApi(file: string): Promise<ApiDocument> {
  const entry = await realpath(file).catch(() => {
    throw new Error(`${file} is not there, or cannot be read`)
  })
  const sources = await gather(pathToFileURL(entry).href, loaderFor(entry))
  const read = typeof sources === 'string' ? sources : readDocument(sources, { basePath: null })
  if (typeof read === 'string') throw new Error(`${file}: ${read}`)
  return read
}

/** Reads files of the entry's folder. */
function loaderFor(entry: string): Load {
  const folder = entry.slice(0, entry.lastIndexOf(sep) + 1)
  let left = allBytesMax
  return async (url) => {
    if (!url.startsWith('file:///')) return no('it is not a file, and nothing is fetched')
    try {
      const path = await realpath(fileURLToPath(url))
      if (!path.startsWith(folder)) return no("it is outside the document's folder")
      const found = await stat(path)
      if (!found.isFile()) return no('it is no file')
      if (found.size > Math.min(fileBytesMax, left)) return no('it is too large')
      left -= found.size
      return { ok: true, value: parseText(await readFile(path, 'utf8')) }
    } catch (error) {
      return no(
        error instanceof SyntaxError ? error.message : 'it is not there, or is no JSON or YAML',
      )
    }
  }
}

const no = (reason: string) => ({ ok: false, reason }) as const

/** JSON where it looks like it, which is read a hundred times as fast. */
function parseText(text: string): unknown {
  if (/^\uFEFF?\s*[{[]/.test(text)) {
    try {
      return JSON.parse(text.replace(/^\uFEFF/, ''))
    } catch {
      // YAML's braces look alike.
    }
  }
  return parse(text, { maxAliasCount: 1000, uniqueKeys: false, logLevel: 'silent' })
}

export type Imported = {
  /** For postern.yaml: to be reviewed and put into a platform. */
  readonly yaml: string
  /** What was made, and what was left out and why, a line each. */
  readonly says: readonly string[]
}

/** Proposes routes, permissions and mocks for a document. Throws a sentence when it cannot be read. */
export async function importOpenApi(file: string, upstream: string): Promise<Imported> {
  const document = await readOpenApi(file)
  const proposal = proposeRoutes(document, upstream)
  const { permissions, upstreams, routes, leftOut } = proposal
  const text = stringify(
    {
      openapi: file,
      environments: { test: { mode: 'mock' } },
      permissions,
      upstreams,
      routes,
    },
    { lineWidth: 100 },
  )
  const head = `# From ${oneLine(document.title)} ${oneLine(document.version)}. Review it: who may call what is yours to say.\n`
  const noted = [...leftOut, ...document.notes].map(
    ({ at, says }) => `${oneLine(at)} ${oneLine(says)}`,
  )
  return {
    yaml: head + text,
    says: [
      `${document.operations.length} operations: ${routes.length} routes, ${Object.values(permissions).flat().length} permissions`,
      ...noted.slice(0, notesShown),
      ...(noted.length > notesShown ? [`and ${noted.length - notesShown} more`] : []),
    ],
  }
}

const notesShown = 100

/** A title is a stranger's text: it may not end the comment it stands in. */
const oneLine = (text: string): string =>
  text.replaceAll(/[\x00-\x1f\x7f-\x9f\u2028\u2029]/g, ' ').slice(0, 200)
