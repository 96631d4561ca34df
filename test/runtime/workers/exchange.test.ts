/** What Workers makes of a request before anybody has looked at it. */
import { describe, expect, test } from 'vitest'
import { WorkerExchange } from '../../../src/runtime/workers/exchange.ts'

const exchangeOf = (headers: Record<string, string>, method = 'GET') =>
  new WorkerExchange(
    new Request('https://acme.example/up/x', { method, headers }),
    () => {},
    () => {},
  )

describe('a handshake for a WebSocket', () => {
  const whole = {
    upgrade: 'websocket',
    connection: 'Upgrade',
    'sec-websocket-version': '13',
    'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
  }
  test.each([
    ['of another version', { ...whole, 'sec-websocket-version': '8' }, 'GET'],
    ['with a key that is none', { ...whole, 'sec-websocket-key': 'short' }, 'GET'],
    ['by POST', whole, 'POST'],
  ])('R23: %s is refused', (_, headers, method) => {
    const { flaw, upgrade } = exchangeOf(headers, method)
    expect([flaw?.code, upgrade]).toEqual(['request/malformed', false])
  })

  test.each([
    ['none', {}, false],
    ['for another protocol', { ...whole, upgrade: 'h2c' }, false],
    ['whose Connection says nothing of it', { ...whole, connection: 'close' }, false],
    ['that is whole', whole, true],
    ['of which the runtime shows its wish alone', { upgrade: 'websocket' }, true],
  ])('%s', (_, headers, upgrade) => {
    expect(exchangeOf(headers)).toMatchObject({ flaw: null, upgrade })
  })
})

test('R20: a length that is announced past the limit is known to be too large', () => {
  expect(exchangeOf({ 'content-length': '1001' }, 'POST').limitBody(1000)).toBe(false)
  expect(exchangeOf({ 'content-length': '1000' }, 'POST').limitBody(1000)).toBe(true)
  expect(exchangeOf({}, 'POST').limitBody(1000)).toBe(true)
})
