/** Asks a service for what its OpenAPI document describes, over the network and with a key. */
import { type AskLive, type Drift, driftsOf } from '../../mock/drift.ts'
import { createMock } from '../../mock/mock.ts'
import { readOpenApi } from './openapi.ts'

export type Live = {
  /** Where it is; what stands in the document's own paths comes after it. */
  readonly url: string
  /** Sent as a Bearer token; null: none. */
  readonly apiKey: string | null
  readonly tenant?: string
  /** Values of parameters, by name. */
  readonly given: ReadonlyMap<string, string>
}

const timeoutMs = 10_000
const bytesMax = 8 * 1024 * 1024

/** What came of each GET, as it comes. Throws a sentence when the document cannot be read. */
export async function* driftsOfLive(file: string, service: Live): AsyncGenerator<Drift> {
  const document = await readOpenApi(file)
  yield* driftsOf(document, createMock(document), askOf(service), service.given)
}

function askOf({ url, apiKey, tenant }: Live): AskLive {
  const root = url.replace(/\/+$/, '')
  const headers: Record<string, string> = { accept: 'application/json' }
  if (apiKey !== null) headers.authorization = `Bearer ${apiKey}`
  if (tenant !== undefined) headers['x-tn'] = tenant
  return async (path) => {
    const signal = AbortSignal.timeout(timeoutMs)
    // A redirect may lead elsewhere, and the key would go with it.
    const answer = await fetch(root + path, { headers, signal, redirect: 'manual' })
    const { status } = answer
    if (!/[/+]json\b/.test(answer.headers.get('content-type') ?? '')) {
      await answer.body?.cancel()
      return { status, body: undefined }
    }
    return { status, body: JSON.parse(await readText(answer)) }
  }
}

async function readText({ body }: Response): Promise<string> {
  const decoder = new TextDecoder()
  let text = ''
  for await (const chunk of body ?? []) {
    text += decoder.decode(chunk, { stream: true })
    if (text.length > bytesMax) throw new Error('the answer is too long to be compared')
  }
  return text
}
