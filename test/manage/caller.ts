/** Calls the management API of a gate, and reads what it answers. */
import { expect } from 'vitest'

export type Sent = {
  readonly key?: string
  readonly body?: unknown
  /** Sent as it is, of the type that `headers` says. */
  readonly raw?: BodyInit
  readonly headers?: Readonly<Record<string, string>>
}

export type Answer = {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  // What an answer holds is what the tests are about.
  readonly json: ReturnType<typeof JSON.parse>
}

/** A caller of one gate, with one key where none is said. `''` as key sends none. */
export function callerOf(url: string, own: string) {
  const call = async (method: string, path: string, sent: Sent = {}): Promise<Answer> => {
    const { key = own, body, raw } = sent
    const response = await fetch(url + path, {
      method,
      headers: {
        ...(key !== '' && { authorization: `Bearer ${key}` }),
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...sent.headers,
      },
      body: raw ?? (body === undefined ? undefined : JSON.stringify(body)),
    })
    const text = await response.text()
    const isJson = /json$/.test(response.headers.get('content-type') ?? '')
    const { status, headers } = response
    return {
      status,
      headers,
      text,
      json: isJson && !/ndjson/.test(headers.get('content-type') ?? '') ? JSON.parse(text) : null,
    }
  }
  return {
    call,
    /** Makes a key that must be made. */
    async make(body: Readonly<Record<string, unknown>> = {}, key = own) {
      const answer = await call('POST', '/v1/api-keys', {
        key,
        body: { name: 'made', environment: 'live', ...body },
      })
      expect([answer.status, answer.json?.errors]).toEqual([201, undefined])
      return answer.json.data
    },
  }
}

/** The code of a refusal with its status: `404 resource/not_found`. */
export const refusal = ({ status, json }: Answer): string => `${status} ${json?.code}`

/** A refusal's body without what differs from one request to the next. */
export const stable = ({ status, json }: Answer): unknown => ({
  ...{ status, ...json, requestId: '', instance: '' },
  error: { ...json.error, request_id: '' },
})
