/** What the built-in echo upstream says of a request, over HTTP and nothing else. */
import { once } from 'node:events'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import type { ForwardGate } from './forward.suite.ts'

const config = `
version: 1
platforms:
  - id: plt_echo
    slug: echo
    environments:
      test: { limits: { key: [], tenant: [] } }
      live: { limits: { key: [], tenant: [] } }
    upstreams: [{ name: echo, builtin: echo }]
    routes: [{ path: /echo/**, upstream: echo, body: { maxBytes: 1000 } }]
    seed: [{ id: tenant_abc123 }]
log: { level: info }
`

/** `start` is given a config. */
export function echoSuite(name: string, start: (text: string) => Promise<ForwardGate>): void {
  describe(`the echo on ${name}`, () => {
    let gate: ForwardGate
    let headers: Record<string, string> = {}
    beforeAll(async () => {
      gate = await start(config)
      headers = { 'x-api-key': gate.seeded.sk_live_, 'x-tn': 'tenant_abc123' }
    })
    afterAll(() => gate?.stop())

    test('R20: a body that is too large is a 413, also when its length is not said', async () => {
      const large = new Uint8Array(1001)
      for (const body of [large, new Blob([large]).stream()]) {
        const url = `${gate.url}/echo/x`
        // The type of Node's fetch does not know `duplex`, without which a stream is no body.
        const init = { method: 'POST', headers, body, duplex: 'half' } as RequestInit
        const response = await fetch(url, init)
        expect(response.status).toBe(413)
        expect(await response.json()).toMatchObject({ code: 'request/too_large' })
      }
    })

    test.each(['GET', 'POST', 'PUT', 'DELETE'])(
      '%s says what an upstream would get',
      async (method) => {
        const body = method === 'GET' ? null : 'x'.repeat(321)
        const sent = { ...headers, 'x-own': 'own', 'postern-tenant': 'tenant_xyz789' }
        const url = `${gate.url}/echo/a/b?x=1&x=2`
        const response = await fetch(url, { method, headers: sent, body })
        expect(response.status).toBe(200)
        expect(response.headers.get('content-type')).toBe('application/json')
        const echo = (await response.json()) as { headers: Record<string, string> }
        expect(echo).toMatchObject({
          method,
          path: '/echo/a/b?x=1&x=2',
          bodyBytes: body?.length ?? 0,
          headers: { 'x-own': 'own', 'postern-tenant': 'tenant_abc123', via: '1.1 postern' },
        })
        expect(JSON.stringify(echo)).not.toContain(headers['x-api-key'])
        expect(echo.headers['x-request-id']).toBe(response.headers.get('x-request-id'))
      },
    )

    test('HEAD is answered as GET, without a body', async () => {
      const response = await fetch(`${gate.url}/echo`, { method: 'HEAD', headers })
      expect([response.status, await response.text()]).toEqual([200, ''])
      expect(Number(response.headers.get('content-length'))).toBeGreaterThan(100)
    })

    const open = async (): Promise<WebSocket> => {
      const client = new WebSocket(`${gate.url.replace('http', 'ws')}/echo/ws`, { headers })
      await once(client, 'open')
      return client
    }

    test('a WebSocket gets its messages back as they are, in order, and its close code', async () => {
      const client = await open()
      const came: [string, boolean][] = []
      client.on('message', (data, isBinary) => came.push([String(data), isBinary]))
      for (let at = 0; at < 50; at += 1)
        client.send(at % 2 === 0 ? `héllo ${at}` : Buffer.from([at]))
      const binary = (at: number) => String(Buffer.from([at]))
      await expect.poll(() => came.length).toBe(50)
      expect(came).toEqual(
        came.map((_, at) => (at % 2 === 0 ? [`héllo ${at}`, false] : [binary(at), true])),
      )
      const closed = once(client, 'close')
      client.close(4321, 'because')
      expect((await closed)[0]).toBe(4321)
    })

    test('a WebSocket message past 1 MiB ends it with 1009', async () => {
      const client = await open()
      const closed = once(client, 'close')
      client.send(Buffer.alloc(1_048_577))
      expect((await closed)[0]).toBe(1009)
    })
  })
}
