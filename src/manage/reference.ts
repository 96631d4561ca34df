/**
 * The OpenAPI document of the management API, made of the very definitions that serve it, and the
 * page that shows it. Both need no key: they tell what the code tells.
 */
import type { OpenAPIHono } from '@hono/zod-openapi'
import type { Exchange } from '../context.ts'
import {
  referencePage,
  referenceScriptHeaders,
  referenceScriptName,
  referenceStart,
} from '../docs/reference.ts'
import { Problem } from '../problem.ts'
import type { ManageApp } from './call.ts'
import { problemObject } from './endpoint.ts'
import { receiptObject } from './receipt.ts'

/** Reads the vendored script, packed with gzip. */
export type ReadScript = () => Promise<Uint8Array>

/** What of a request decides it. */
export type Asked = Pick<Exchange, 'method' | 'requestHeaders'>

/** Answers the paths that need no key; null for every other. Throws 404 and 405. */
export type Reference = (exchange: Asked, path: string) => Promise<Response> | null

/** `readScript`: null where the runtime has no files to read. */
export function createReference(
  app: ManageApp,
  basePath: string,
  readScript: ReadScript | null,
): Reference {
  const documentPath = `${basePath}/openapi.json`
  const pagePath = `${basePath}/docs`
  let document: string | undefined

  async function answer({ method, requestHeaders }: Asked, path: string): Promise<Response> {
    if (method !== 'GET' && method !== 'HEAD') {
      throw new Problem('route/method_not_allowed', { headers: { allow: 'GET, HEAD' } })
    }
    if (path === documentPath) {
      document ??= JSON.stringify(documentOf(app))
      return new Response(document, {
        headers: { 'content-type': 'application/json', 'cache-control': 'public, max-age=300' },
      })
    }
    if (path === pagePath)
      return respond(referencePage(pagePath, documentPath, readScript !== null))
    if (path === `${pagePath}/start.js`) return respond(referenceStart(documentPath))
    if (path === `${pagePath}/${referenceScriptName}` && readScript !== null) {
      return script(await readScript(), requestHeaders.get('accept-encoding') ?? '')
    }
    throw new Problem('route/not_found')
  }

  return (asked, path) =>
    path === documentPath || path === pagePath || path.startsWith(`${pagePath}/`)
      ? answer(asked, path)
      : null
}

const respond = ({ headers, body }: ReturnType<typeof referenceStart>) =>
  new Response(body, { headers })

function script(packed: Uint8Array, accepts: string): Response {
  // A copy: the type of a body takes no view of memory that may be shared.
  const bytes = Uint8Array.from(packed)
  if (/(?:^|,)\s*gzip\s*(?:,|;(?!\s*q=0(?:\.0*)?\s*(?:,|$))|$)/i.test(accepts)) {
    return new Response(bytes, { headers: referenceScriptHeaders(true) })
  }
  const unpacked = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'))
  return new Response(unpacked, { headers: referenceScriptHeaders(false) })
}

type Document = ReturnType<OpenAPIHono['getOpenAPI31Document']>

function documentOf(app: ManageApp): Document {
  const { openAPIRegistry: registry } = app
  registry.register('Problem', problemObject)
  registry.register('Receipt', receiptObject)
  registry.registerComponent('securitySchemes', 'bearer', { type: 'http', scheme: 'bearer' })
  registry.registerComponent('securitySchemes', 'apiKey', {
    ...{ type: 'apiKey', in: 'header', name: 'x-api-key' },
  })
  registry.registerComponent('parameters', 'IdempotencyKey', {
    name: 'Idempotency-Key',
    in: 'header',
    required: false,
    description:
      'Sent again with the same key within 24 hours, a request is answered as it was and not carried out again. A key that was shown is shown again for ten minutes.',
    schema: { type: 'string', minLength: 1, maxLength: 255 },
  })
  const document = app.getOpenAPI31Document({
    openapi: '3.1.0',
    info: {
      title: 'Postern management API',
      version: '1',
      description:
        'Keys, tenants and audit of one platform. For secret API keys that hold admin permissions, and for operator keys.',
      license: { name: 'Apache-2.0', url: 'https://www.apache.org/licenses/LICENSE-2.0' },
    },
    servers: [{ url: '/' }],
    security: [{ bearer: [] }, { apiKey: [] }],
    tags: ['API keys', 'Tenants', 'Platforms', 'Audit'].map((name) => ({ name })),
  })
  for (const path of Object.values(document.paths ?? {})) {
    if (path.post === undefined) continue
    const parameters = path.post.parameters ?? []
    path.post.parameters = [...parameters, { $ref: '#/components/parameters/IdempotencyKey' }]
  }
  return document
}
