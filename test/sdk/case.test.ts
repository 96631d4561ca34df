import { expect, test } from 'vitest'
import { fromWire, toWire } from '../../sdk/typescript/src/case.ts'

const wire = {
  expires_at: '2027-01-01T00:00:00.000Z',
  last4: 'abcd',
  hmac_sha256: 'ff',
  rate_limit: [{ window_seconds: 60 }],
  metadata: { team_name: 'a_b', camelCase: 1, nested: { also_kept: 1 } },
  changes: { expires_at: [null, 'x'] },
}
const ours = {
  expiresAt: '2027-01-01T00:00:00.000Z',
  last4: 'abcd',
  hmacSha256: 'ff',
  rateLimit: [{ windowSeconds: 60 }],
  metadata: { team_name: 'a_b', camelCase: 1, nested: { also_kept: 1 } },
  changes: { expires_at: [null, 'x'] },
}

test('names are changed both ways; values, and the names in metadata and changes, are not', () => {
  expect(fromWire(wire)).toEqual(ours)
  expect(toWire(ours)).toEqual(wire)
})

test('a date is written as RFC 3339', () => {
  expect(toWire({ expiresAt: new Date(Date.UTC(2027, 0)) })).toEqual({
    expires_at: '2027-01-01T00:00:00.000Z',
  })
})

test('a name that would be a prototype is a name', () => {
  const read = fromWire(JSON.parse('{"__proto__": {"polluted": true}}'))
  expect(Object.getPrototypeOf(read)).toBe(Object.prototype)
  expect({}).not.toHaveProperty('polluted')
})
