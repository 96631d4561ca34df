import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createClientAddress } from '../../src/runtime/node/client-address.ts'

const trusted = ['10.0.0.0/8', '2001:db8:1::/48', '192.0.2.9']

/** The client of a request from `peer` with these header lines, `name: value`. */
function client(peer: string | undefined, lines: readonly string[], proxies = trusted) {
  const { peerOf, clientOf } = createClientAddress(proxies)
  const rawHeaders = lines.flatMap((line) => line.split(/: ?(.*)/s).slice(0, 2))
  return clientOf(peerOf({ remoteAddress: peer }), rawHeaders)
}

const forgeries = [
  ['X-Forwarded-For: 1.2.3.4'],
  ['X-Forwarded-For: 1.2.3.4', 'X-Forwarded-For: 5.6.7.8', 'x-forwarded-for: 10.0.0.1'],
  [`X-Forwarded-For: ${'1.2.3.4, '.repeat(10_000)}`],
  ['Forwarded: for="[::1]:80";proto=https'],
  ['X-Forwarded-For: for="[::1]:80"'],
  ['X-Real-IP: 1.2.3.4', 'CF-Connecting-IP: 1.2.3.4', 'True-Client-IP: 1.2.3.4'],
  ['X-Forwarded-Proto: https'],
]

describe('H4: from a peer that is not trusted', () => {
  test.each(forgeries)('%.60j changes nothing', (...lines) => {
    expect(client('198.51.100.7', lines)).toMatchObject({ address: '198.51.100.7', secure: false })
    expect(client('10.0.0.1', lines, [])).toMatchObject({ address: '10.0.0.1', secure: false })
  })

  test('nothing is allocated: the peer itself is the client', () => {
    const { peerOf, clientOf } = createClientAddress(trusted)
    const peer = peerOf({ remoteAddress: '198.51.100.7' })
    expect(clientOf(peer, ['X-Forwarded-For', '1.2.3.4'])).toBe(peer)
  })

  test('a peer that has gone is nobody, and trusted by nobody', () => {
    const proxies = ['0.0.0.0/0', '::/0']
    expect(client(undefined, ['X-Forwarded-For: 1.2.3.4'], proxies).address).toBe('unknown')
  })
})

describe('H4: from a trusted peer', () => {
  test.each([
    ['the address it was called from', ['X-Forwarded-For: 203.0.113.5'], '203.0.113.5'],
    [
      'not what the client wrote before it',
      ['X-Forwarded-For: 1.1.1.1, 203.0.113.5'],
      '203.0.113.5',
    ],
    ['behind two hops', ['X-Forwarded-For: 1.1.1.1, 203.0.113.5, 10.0.0.2'], '203.0.113.5'],
    [
      'over several lines, in order',
      ['X-Forwarded-For: 203.0.113.5', 'x-forwarded-for: 10.0.0.2'],
      '203.0.113.5',
    ],
    ['the leftmost when all are trusted', ['X-Forwarded-For: 10.0.0.3, 10.0.0.2'], '10.0.0.3'],
    ['without a port', ['X-Forwarded-For: 203.0.113.5:4711'], '203.0.113.5'],
    ['without brackets', ['X-Forwarded-For: [2001:DB8::5]:80'], '2001:db8::5'],
    ['bare IPv6', ['X-Forwarded-For: 2001:db8:0:0::5'], '2001:db8::5'],
    ['IPv4-mapped as IPv4', ['X-Forwarded-For: ::ffff:203.0.113.5'], '203.0.113.5'],
    ['a trusted hop in IPv6', ['X-Forwarded-For: 203.0.113.5, 2001:db8:1::7'], '203.0.113.5'],
    ['its own when there is none', [], '10.0.0.1'],
    ['its own when it is empty', ['X-Forwarded-For:'], '10.0.0.1'],
    ['its own when it is garbage', ['X-Forwarded-For: 203.0.113.5, unknown'], '10.0.0.1'],
    ['its own for octal', ['X-Forwarded-For: 0313.0.0161.5'], '10.0.0.1'],
    ['its own for a short form', ['X-Forwarded-For: 127.1'], '10.0.0.1'],
    ['its own for an obfuscated hop', ['X-Forwarded-For: for="[::1]:80"'], '10.0.0.1'],
    ['the last hop before garbage', ['X-Forwarded-For: x, 10.0.0.2'], '10.0.0.2'],
    ['the last hop before an empty entry', ['X-Forwarded-For: 203.0.113.5,,10.0.0.2'], '10.0.0.2'],
  ])('the client is %s', (_name, lines, address) => {
    expect(client('10.0.0.1', lines).address).toBe(address)
    expect(client('::ffff:10.0.0.1', lines).address).toBe(address)
  })

  test('a chain of more than 32 trusted hops is not followed to its end', () => {
    const chain = `203.0.113.5${', 10.0.0.2'.repeat(10_000)}`
    expect(client('10.0.0.1', [`X-Forwarded-For: ${chain}`]).address).toBe('10.0.0.2')
  })

  test.each([
    ['https', true],
    ['HTTPS', true],
    ['https, https', true],
    ['http', false],
    ['https, http', false],
    ['http, https', false],
    ['', false],
    ['https,', false],
    ['httpsx', false],
  ])('X-Forwarded-Proto: %s is secure: %s', (proto, secure) => {
    expect(client('10.0.0.1', [`X-Forwarded-Proto: ${proto}`]).secure).toBe(secure)
  })

  test('any X-Forwarded-For gives an address it contains, or the peer', () => {
    const entry = fc.oneof(fc.ipV4(), fc.ipV6(), fc.constant('10.0.0.2'), fc.string())
    fc.assert(
      fc.property(fc.array(entry, { maxLength: 6 }), (entries) => {
        const { address } = client('10.0.0.1', [`X-Forwarded-For: ${entries.join(', ')}`])
        expect(address).toMatch(/^[0-9a-f.:]+$/)
      }),
      { numRuns: Number(process.env.FUZZ_RUNS ?? 2000) },
    )
  })
})

test('TLS to the socket is secure, whoever the peer is', () => {
  const { peerOf } = createClientAddress([])
  expect(peerOf({ remoteAddress: '198.51.100.7', encrypted: true }).secure).toBe(true)
})

test.each(['', 'nonsense', '10.0.0.0/33', '10.0.0.0/8/8', '10.0.0.0/-1', 'example.com', '10.1/8'])(
  'the trusted proxy %j is refused by name',
  (range) => {
    expect(() => createClientAddress([range])).toThrow(JSON.stringify(range))
  },
)
