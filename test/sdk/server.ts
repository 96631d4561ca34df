/** A server that answers what it is told to, one after the other, and remembers what it was asked. */
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Postern, type PosternOptions } from '../../sdk/typescript/src/postern.ts'

export type Asked = {
  readonly method: string
  readonly url: string
  readonly headers: IncomingHttpHeaders
  readonly body: string
}
type Scripted =
  | { readonly status: number; readonly headers?: Record<string, string>; readonly body?: unknown }
  | ((response: ServerResponse) => void)

export type Scene = {
  readonly url: string
  readonly asked: readonly Asked[]
  /** What is answered next. After the last one, every request is answered 599. */
  play(...answers: readonly Scripted[]): void
  client(options?: PosternOptions): Postern
  stop(): Promise<void>
}

export const secretKey = 'sk_live_k7Gh2Qm9x_0123456789abcdefghijklmnopqrstuv000000'

export async function openScene(): Promise<Scene> {
  let script: Scripted[] = []
  const asked: Asked[] = []
  const server = createServer(async (request, response) => {
    let body = ''
    for await (const chunk of request) body += chunk
    const { method = '', url = '', headers } = request
    asked.push({ method, url, headers, body })
    const next = script.shift() ?? { status: 599 }
    if (typeof next === 'function') return next(response)
    const text = typeof next.body === 'string' ? next.body : JSON.stringify(next.body ?? {})
    response.writeHead(next.status, { 'content-type': 'application/json', ...next.headers })
    response.end(text)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  // Listening on a port, not on a pipe.
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return {
    url,
    asked,
    play(...answers) {
      asked.length = 0
      script = [...answers]
    },
    client: (options) => new Postern({ apiKey: secretKey, baseUrl: url, ...options }),
    async stop() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

/** The body of a refusal, as the gateway writes it. */
export const refusalBody = (status: number, code: string, errors: unknown[] = []) => ({
  ...{ type: `/docs/errors/${code}`, title: 'No', status, detail: 'What is wrong.', code, errors },
  ...{ instance: '/v1/api-keys', requestId: 'req_1', success: false, message: 'No' },
  error: { type: 'x', code, message: 'No', param: null, doc_url: `https://x/${code}` },
})
