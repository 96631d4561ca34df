/** The built-in echo, as `npm start` serves it, over HTTP and over WebSocket, up to a revocation. */
import { once } from 'node:events'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { startGate, type TestGate } from '../gate.ts'
import { callerOf } from '../manage/caller.ts'

let gate: TestGate
beforeAll(async () => {
  gate = await startGate()
})
afterAll(() => gate?.stop())

const sent = () => ({ 'x-api-key': gate.seeded.sk_live_, 'x-tn': 'tenant_abc123' })

test.each([
  ['GET', undefined, 0],
  ['POST', 'hello', 5],
  ['PUT', 'x'.repeat(100_000), 100_000],
  ['DELETE', undefined, 0],
])('%s is answered with what the upstream got', async (method, body, bytes) => {
  const answer = await fetch(`${gate.url}/echo/some/where?a=1`, {
    method,
    ...(body !== undefined && { body }),
    headers: sent(),
  })
  expect(answer.status).toBe(200)
  const told = await answer.json()
  expect(told).toMatchObject({ method, path: '/echo/some/where?a=1', bodyBytes: bytes })
  expect(told.headers).toMatchObject({
    'postern-tenant': 'tenant_abc123',
    'postern-environment': 'live',
    'x-forwarded-for': '127.0.0.1',
    via: '1.1 postern',
  })
  // K11: the key is nowhere upstream.
  expect(JSON.stringify(told)).not.toContain(gate.seeded.sk_live_)
  expect(told.headers['x-request-id']).toBe(answer.headers.get('x-request-id'))
})

describe('WebSocket', () => {
  const open = (headers: Record<string, string>) =>
    new WebSocket(`${gate.url.replace('http', 'ws')}/echo/ws`, { headers })

  test('R23: what is said comes back', async () => {
    const socket = open(sent())
    await once(socket, 'open')
    for (const text of ['one', 'x'.repeat(200_000)]) {
      socket.send(text)
      const [came] = await once(socket, 'message')
      expect(String(came)).toBe(text)
    }
    socket.close(1000)
    expect((await once(socket, 'close'))[0]).toBe(1000)
  })

  test('R23: without a key there is a 401 and no socket', async () => {
    const socket = open({ 'x-tn': 'tenant_abc123' })
    const [, response] = await once(socket, 'unexpected-response')
    expect(response.statusCode).toBe(401)
    socket.on('error', () => {})
    socket.terminate()
  })

  test('R23: a revoked key closes the socket with 4401', async () => {
    const key = await gate.mint({})
    const socket = open({ ...sent(), 'x-api-key': key })
    await once(socket, 'open')
    const closed = once(socket, 'close')
    const { call } = callerOf(gate.url, gate.seeded.admin)
    const { json } = await call('GET', '/v1/api-keys?name=minted')
    await call('DELETE', `/v1/api-keys/${json.data[0].id}`)
    const [code, reason] = await closed
    expect([code, String(reason)]).toEqual([4401, 'auth/key_revoked'])
  })
})
