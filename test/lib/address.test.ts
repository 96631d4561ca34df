import { describe, expect, test } from 'vitest'
import { addressBucket, inRange, parseAddress, parseRange } from '../../src/lib/address.ts'

describe('parseAddress', () => {
  test.each([
    '',
    ' ',
    '10.0.0',
    '10.0.0.256',
    '10.0.0.-1',
    '010.0.0.1',
    '0x0a.0.0.1',
    '167772161',
    '10.0.0.1 ',
    '10.0.0.1%eth0',
    '::ffff:010.0.0.1',
    '::ffff:10.0.0.256',
    '1::2::3',
    '2001:db8::g',
    '[::1]',
    'example.com',
    `${'0:'.repeat(60)}1`,
  ])('C7: %j is no address', (text) => {
    expect(parseAddress(text)).toBeNull()
  })

  test.each([
    ['10.0.0.5', '10.0.0.5'],
    ['::ffff:10.0.0.5', '10.0.0.5'],
    ['::FFFF:0a00:0005', '10.0.0.5'],
    ['2001:0DB8::1', '2001:db8::1'],
    ['2001:db8:0:0::1', '2001:db8::1'],
  ])('C7: %s is read as %s', (text, plain) => {
    expect(parseAddress(text)?.toString()).toBe(plain)
  })
})

describe('parseRange', () => {
  test.each([
    '',
    '/8',
    '10.0.0.0/',
    '10.0.0.0/33',
    '10.0.0.0/-1',
    '10.0.0.0/08',
    '10.0.0.0/8/8',
    '10.0.0.0/8 ',
    '10.0.0.0/255.0.0.0',
    '10.0/8',
    '2001:db8::/129',
    'fe80::1%eth0',
    'fe80::1%eth0/10',
    '::ffff:10.0.0.0/95',
    '*',
  ])('C7: %j is no range', (text) => {
    expect(parseRange(text)).toBeNull()
  })

  test.each([
    ['10.0.0.0/8', '10.255.255.255', true],
    ['10.0.0.0/8', '11.0.0.0', false],
    ['10.0.0.0/8', '::ffff:10.0.0.5', true],
    ['10.1.2.3/8', '10.9.9.9', true],
    ['::ffff:10.0.0.0/104', '10.0.0.5', true],
    ['::ffff:10.0.0.0/104', '11.0.0.5', false],
    ['::ffff:10.0.0.5', '10.0.0.5', true],
    ['10.0.0.5', '10.0.0.6', false],
    ['2001:db8::/32', '2001:0DB8:0:0::1', true],
    ['2001:db8::/32', '2001:db9::1', false],
    ['2001:db8::1', '2001:db8:0:0::1', true],
    ['fe80::/10', 'fe80::1%eth0', true],
    ['0.0.0.0/0', '8.8.8.8', true],
    ['0.0.0.0/0', '2001:db8::1', false],
    ['::/0', '2001:db8::1', true],
    ['::/0', '8.8.8.8', false],
    ['::/0', '::ffff:8.8.8.8', false],
  ])('C7: %s holds %s: %s', (range, address, expected) => {
    expect(inRange(parseAddress(address)!, parseRange(range)!)).toBe(expected)
  })
})

describe('addressBucket', () => {
  test('C9: a thousand addresses of one /64 share one name', () => {
    const names = new Set<string>()
    for (let host = 0; host < 1000; host++) {
      names.add(addressBucket(`2001:db8:1:2:${host.toString(16)}:${(host * 7).toString(16)}::1`))
    }
    expect([...names]).toEqual(['2001:db8:1:2::/64'])
  })

  test.each([
    ['2001:db8:1:2::1', '2001:db8:1:3::1'],
    ['10.0.0.1', '10.0.0.2'],
    ['10.0.0.1', '::a00:1'],
  ])('C9: %s and %s are two clients', (one, other) => {
    expect(addressBucket(one)).not.toBe(addressBucket(other))
  })

  test('an IPv4 client is one client however its socket shows it', () => {
    expect(addressBucket('::ffff:10.0.0.1')).toBe(addressBucket('10.0.0.1'))
  })

  test('what is no address shares one name, and throws nothing', () => {
    expect(new Set(['', 'x', '10.0.0.256', 'unix:'].map(addressBucket)).size).toBe(1)
  })
})
